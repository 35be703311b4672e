"""What each role takes and loads: memory at rest, and no model runtime that is not its own."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.supervisor import ROLES
from tests.support.builders import part10
from tests.support.house import image_with_cells
from tests.support.installation import AE_TITLE, SENDER, Service, install, running
from tests.support.memory import REST_S, alone, pss_mib, runtimes

LIMITS_MIB = {"dicom": 130, "api": 150, "reader": 200}
ALL_MIB = 700
"""With the supervisor."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    return install(tmp_path_factory.mktemp("roles") / "installation")


@pytest.mark.parametrize("role", ROLES)
def test_a_role_alone_stays_small_and_loads_no_runtime_but_its_own(
    service: Service, role: str
) -> None:
    with alone(service, role) as process:
        assert pss_mib(process) <= LIMITS_MIB.get(role, ALL_MIB)
        assert runtimes(process) == ({"onnxruntime"} if role == "reader" else set())


def test_all_roles_together_stay_small_also_after_work(service: Service, tmp_path: Path) -> None:
    with running(service):
        _work(service, tmp_path)
        time.sleep(REST_S)
        for role, limit in LIMITS_MIB.items():
            assert pss_mib(service.role(role)) <= limit
        supervisor, *_ = service.processes()
        assert pss_mib(supervisor) <= ALL_MIB
        loaded = {role: runtimes(service.role(role)) for role in ROLES}
        assert loaded == {role: set() for role in ROLES} | {"reader": {"onnxruntime"}}
        assert runtimes(supervisor) == {"onnxruntime"}


def _work(service: Service, folder: Path) -> None:
    """Push a study and wait until it is through."""
    file = folder / "frame.dcm"
    file.write_bytes(part10(image_with_cells((2, 3))))
    to = f"127.0.0.1:{service.dicom_port}"
    service.run("send", str(file), "--to", to, "--called", AE_TITLE, "--calling", SENDER)
    deadline = time.monotonic() + 90
    while not service.get("/v1/studies?state=COMPLETED")["studies"]:
        assert time.monotonic() < deadline, service.tail()
        time.sleep(0.5)


def test_the_command_line_loads_no_runtime() -> None:
    program = (
        "import sys, service.cli\n"
        "print([name for name in sys.modules if name in ('torch', 'onnx', 'onnxruntime')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
