"""Pseudonyms and UIDs: keyed, the same everywhere, guessable by nobody."""

import hashlib
import re

from hypothesis import given
from hypothesis import strategies as st

from anonymizer.pseudonyms import Subject, pseudonym
from anonymizer.replacement import Replacement
from anonymizer.uid_map import UidMap
from core.model import PatientIdentity

KEY = b"k" * 32


def replacement(
    *,
    patient_id: str = "P1",
    issuer: str = "",
    study: str = "1.2.3",
    default: str = "",
    key: bytes = KEY,
) -> Replacement:
    patient = PatientIdentity(patient_id, issuer, "Example^Ada", "19700102", "F")
    return Replacement(key, key, key, patient, study, default)


def test_a_pseudonym_holds_at_least_128_bits() -> None:
    made = replacement().patient_pseudonym
    assert re.fullmatch(r"[A-Z2-7]{32}", made)  # 32 base32 characters: 160 bits


def test_patient_is_issuer_and_id() -> None:
    made = {
        replacement(issuer="A").patient_pseudonym,
        replacement(issuer="B").patient_pseudonym,
        replacement(patient_id="P2", issuer="A").patient_pseudonym,
    }
    assert len(made) == 3


def test_the_peers_issuer_counts_where_the_object_names_none() -> None:
    named = replacement(issuer="A").patient_pseudonym
    assert replacement(default="A").patient_pseudonym == named
    assert replacement(issuer="A", default="B").patient_pseudonym == named


def test_name_and_study_do_not_matter_where_there_is_an_id() -> None:
    assert replacement(study="9.9").patient_pseudonym == replacement().patient_pseudonym


def test_without_an_id_each_study_has_its_own_pseudonym() -> None:
    first = replacement(patient_id="", study="1.2.3")
    assert first.patient_pseudonym == replacement(patient_id="", study="1.2.3").patient_pseudonym
    assert first.patient_pseudonym != replacement(patient_id="", study="1.2.4").patient_pseudonym


def test_another_key_gives_another_world() -> None:
    ours, theirs = replacement(), replacement(key=b"x" * 32)
    assert ours.patient_pseudonym != theirs.patient_pseudonym
    assert ours.uids.map("1.2.3.4") != theirs.uids.map("1.2.3.4")


def test_plain_hashes_of_guessed_ids_hit_nothing() -> None:
    """PS3.15 E.1.1 warns of guessing; the whole space of six-digit IDs is quickly hashed."""
    subjects = [Subject("patient", ("", f"{number:06d}")) for number in range(2000)]
    made = {pseudonym(KEY, subject) for subject in subjects}
    guesses = {hashlib.sha256(f"{number:06d}".encode()).hexdigest() for number in range(2000)}
    assert len(made) == 2000
    assert not any(guess[:16].upper() in value for guess in guesses for value in made)


@given(st.from_regex(r"1\.2\.[1-9][0-9]{0,20}(\.[1-9][0-9]{0,8}){0,4}", fullmatch=True))
def test_a_mapped_uid_is_a_valid_one_of_our_own(uid: str) -> None:
    mapped = UidMap(KEY).map(uid)
    assert re.fullmatch(r"2\.25\.(0|[1-9][0-9]{0,38})", mapped)
    assert mapped == UidMap(KEY).map(uid)


def test_what_the_standard_gave_out_stays() -> None:
    uids = UidMap(KEY)
    well_known = ["1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.4.1.1"]
    assert [uids.map(uid) for uid in well_known] == well_known


def test_an_instance_under_the_standards_root_is_mapped() -> None:
    """Some devices make instance UIDs there."""
    assert UidMap(KEY).map("1.2.840.10008.5.1.4.1.1.2.20240101.1").startswith("2.25.")


def test_keys_and_identities_are_not_shown() -> None:
    shown = repr(replacement(patient_id="SECRET-ID", study="1.2.3.99"))
    assert "SECRET-ID" not in shown
    assert "1.2.3.99" not in shown
    assert "kkk" not in shown
    assert "SECRET-ID" not in repr(replacement(patient_id="SECRET-ID").subject)
