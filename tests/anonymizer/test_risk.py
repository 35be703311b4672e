import pytest

from anonymizer.risk import Risk, flags
from core.model import BurnedIn

CT, SC, US, ENDOSCOPY = (
    f"1.2.840.10008.5.1.4.1.1.{suffix}" for suffix in ("2", "7", "6.1", "77.1.1")
)


def risks(sop_class_uid: str, modality: str = "", declared: BurnedIn = BurnedIn.UNKNOWN,
          image_type: tuple[str, ...] = ()) -> set[Risk]:  # fmt: skip
    found = flags(
        sop_class_uid=sop_class_uid,
        modality=modality,
        burned_in_annotation=declared,
        image_type=image_type,
    )
    return {flag.risk for flag in found}


@pytest.mark.parametrize("sop_class_uid", [SC, US, ENDOSCOPY])
def test_classes_that_carry_text_are_flagged(sop_class_uid: str) -> None:
    assert risks(sop_class_uid) == {Risk.CLASS}


@pytest.mark.parametrize("modality", ["US", "ES", "XA", "RF", "sc"])
def test_modalities_that_write_into_the_picture_are_flagged(modality: str) -> None:
    assert risks(CT, modality) == {Risk.MODALITY}


def test_a_plain_ct_is_not_flagged() -> None:
    assert risks(CT, "CT") == set()


def test_no_is_no_reason_to_trust() -> None:
    assert risks(SC, declared=BurnedIn.NO) == {Risk.CLASS}


def test_a_picture_of_a_screen_is_flagged() -> None:
    assert risks(CT, "CT", image_type=("DERIVED", "SECONDARY", "SCREEN SAVE")) == {Risk.SCREEN}


def test_what_the_object_says_itself_is_flagged() -> None:
    assert risks(CT, "CT", BurnedIn.YES) == {Risk.DECLARED}
