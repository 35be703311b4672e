"""docs/tls.md does what it says: its commands run, its settings are right, its peer comes in."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from core.errors import ServiceError
from dicom_node.association import Destination, echo
from dicom_node.ports import Refusal, RefusalReason
from dicom_node.settings import NodeSettings, TlsCallSettings
from service.settings import load_settings
from tests.dicom_node.fakes import running_node

PAGE = (Path(__file__).parents[2] / "docs" / "tls.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def run(commands: str, folder: Path) -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        input="y\ny\n",
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    run(blocks("sh")[0], folder)
    return folder


def settings(site: Path, **tls: object) -> NodeSettings:
    """Return what the page says, on ports and addresses that are free here."""
    (site / "config.yaml").write_text(blocks("yaml")[0])
    node = load_settings(site / "config.yaml").settings.dicom_node.model_dump()
    node["host"], node["port"] = "127.0.0.1", 0
    node["tls"] |= {"port": 0} | tls
    node["peers"][0]["addresses"] = ["127.0.0.0/8"]
    return NodeSettings.model_validate(node).resolved(site)


def call(site: Path, port: int | None) -> float:
    """Verify the service as ct1 does."""
    assert port is not None
    values = {"certificate_file": "ct1.pem", "key_file": "ct1.key", "ca_file": "authority.pem"}
    names = {"certificates": ["DNS:reader.hospital.example"]}
    tls = TlsCallSettings.model_validate(values | names).resolved(site / "tls")
    return echo(Destination("reader", "127.0.0.1", port, "SECOND_READER", "CT1", tls=tls))


def test_the_peer_of_the_page_comes_in_until_its_certificate_is_taken_back(site: Path) -> None:
    with running_node(**settings(site).model_dump()) as running:
        assert call(site, running.node.tls_port) < 30
    run(blocks("sh")[3], site / "tls")
    with running_node(**settings(site, crl_file="tls/authority.crl").model_dump()) as running:
        with pytest.raises(ServiceError):
            call(site, running.node.tls_port)
        (refusal,) = running.observer.wait_for("refused")
        assert isinstance(refusal, Refusal)
        assert refusal.reason is RefusalReason.REVOKED_CERTIFICATE


def test_the_settings_of_the_page_are_right(tmp_path: Path) -> None:
    for number, block in enumerate(blocks("yaml")):
        config = tmp_path / f"{number}.yaml"
        config.write_text(block)
        assert load_settings(config).settings
    assert yaml.safe_load(blocks("yaml")[1])["delivery"]["destinations"][0]["tls"]


def test_the_options_of_the_page_are_there() -> None:
    from tests.support.commands import second_reader

    help_text = second_reader("echo", "--help").out
    for option in re.findall(r"--tls[a-z-]*", blocks("sh")[1]):
        assert option in help_text
