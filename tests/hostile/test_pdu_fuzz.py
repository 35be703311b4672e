"""Mutated PDU sequences against a live service: the short form of `python -m tests.fuzz.pdu`."""

import os

import pytest

from tests.fuzz.pdu import fuzz, sequence
from tests.support.installation import Service

SEQUENCES = int(os.environ.get("SECOND_READER_FUZZ_SEQUENCES", "300"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_mutated_sequence_ends_and_leaves_nothing_behind(service: Service) -> None:
    account, wrong = fuzz(service, range(SEQUENCES), 1)
    assert wrong == []
    assert account.endings.total() == SEQUENCES
    assert set(account.endings) <= {"aborted", "rejected", "released", "closed"}
    assert len(account.endings) >= 3, "the sequences reach more than the first door"


def test_a_sequence_is_the_same_whenever_it_is_played() -> None:
    assert sequence(7, 1) == sequence(7, 1) != sequence(8, 1)
