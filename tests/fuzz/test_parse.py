"""The short form of `python -m tests.fuzz.parse`: the same inputs every time."""

import os
from pathlib import Path

import pytest

from tests.fuzz.parse import Account, seeded

RUNS = int(os.environ.get("SECOND_READER_FUZZ_RUNS", "2000"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of pydicom, about what was done to the objects
def test_nothing_but_our_own_errors_escapes(tmp_path: Path) -> None:
    account = Account(tmp_path)
    seeded(account, runs=RUNS, seconds=240, seed=1)
    assert account.defects == {}
    outcomes = {outcome.split(": ")[1] for outcome in account.outcomes}
    assert {"released", "MalformedInstanceError", "within budget", "encoded anew"} <= outcomes
