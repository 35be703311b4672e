"""Our own keys."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from archive.index import IdentityIndex
from archive.tables import KEY_LENGTH
from tests.support.archives import instance

INDEX = IdentityIndex(b"i" * 32)
PATIENT = instance().identity.patient


def _patient_key(patient_id: str, issuer: str, study: str = "1.2") -> str:
    patient = replace(PATIENT, patient_id=patient_id)
    return INDEX.patient_key(patient, issuer=issuer, study_instance_uid=study)


@given(uid=st.text(max_size=64))
def test_a_key_is_short_plain_and_tells_nothing_of_the_uid(uid: str) -> None:
    key = INDEX.study_key(uid)
    assert len(key) == KEY_LENGTH
    assert key.isalnum()
    assert key == IdentityIndex(b"i" * 32).study_key(uid)
    assert key != IdentityIndex(b"j" * 32).study_key(uid)


def test_keys_of_different_kinds_differ_for_the_same_uid() -> None:
    keys = {
        INDEX.study_key("1.2"),
        INDEX.series_key("1.2", ""),
        INDEX.instance_key("1.2", b""),
        INDEX.result_key("1.2"),
    }
    assert len(keys) == 4


def test_a_patient_is_issuer_and_id_together() -> None:
    assert _patient_key("7", "A", "1.2") == _patient_key("7", "A", "1.3")
    assert _patient_key("7", "A") != _patient_key("7", "B")
    assert _patient_key("7", "") != _patient_key("", "7")


def test_an_empty_patient_id_is_one_patient_for_each_study() -> None:
    assert _patient_key("", "A", "1.2") != _patient_key("", "A", "1.3")
    assert _patient_key("", "A", "1.2") == _patient_key("", "B", "1.2")


def test_the_key_is_not_shown() -> None:
    assert repr(INDEX) == "IdentityIndex()"
