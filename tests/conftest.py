"""What every test run needs: peers are checked before a test and counted in the summary."""

from collections import Counter
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.peers import PEERS, are_required, is_here

# No test depends on how fast the machine is.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

_counts: Counter[str] = Counter()


def _peers(item: pytest.Item) -> list[str]:
    return [peer for marker in item.iter_markers("external") for peer in marker.args]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse an `external` test that does not say whom it talks to."""
    for item in items:
        if item.get_closest_marker("external") and not set(_peers(item)) <= set(PEERS):
            raise pytest.UsageError(f"{item.nodeid}: unknown peer; see tests/support/peers.py")
        if item.get_closest_marker("external") and not _peers(item):
            raise pytest.UsageError(f"{item.nodeid}: `external` names no peer")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or fail where peers are required, a test whose peer is not here."""
    missing = [peer for peer in _peers(item) if not is_here(peer)]
    if missing and are_required():
        pytest.fail(f"missing: {', '.join(missing)} (run scripts/install-peers)")
    if missing:
        pytest.skip(f"missing: {', '.join(missing)} (run scripts/install-peers)")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Count every test that passed with its peers."""
    report = yield
    if report.when == "call" and report.passed:
        _counts.update(_peers(item))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name every peer with the number of tests that passed against it."""
    terminalreporter.section("peers")
    for peer in PEERS:
        state = "" if is_here(peer) else " (not installed)"
        terminalreporter.write_line(f"{peer}: {_counts[peer]} tests passed{state}")
