from pynetdicom.presentation import StoragePresentationContexts

from dicom_node.presentation import (
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    SOP_CLASSES_LEFT_OUT,
    STORAGE_SOP_CLASSES,
    TRANSFER_SYNTAXES,
    contexts_to_propose,
    negotiable,
    right_needed,
)
from dicom_node.settings import Right
from tools import make_conformance_statement

CT = "1.2.840.10008.5.1.4.1.1.2"
JPEG = "1.2.840.10008.1.2.4.50"
DEFLATED = "1.2.840.10008.1.2.1.99"
JPIP = "1.2.840.10008.1.2.4.95"


def test_every_storage_sop_class_that_pynetdicom_knows_is_offered() -> None:
    known = {str(context.abstract_syntax) for context in StoragePresentationContexts}
    assert known <= set(STORAGE_SOP_CLASSES) | set(SOP_CLASSES_LEFT_OUT)


def test_retired_storage_sop_classes_are_offered() -> None:
    assert "1.2.840.10008.5.1.4.1.1.6" in STORAGE_SOP_CLASSES  # Ultrasound Image, retired 1993


def test_deflated_data_sets_are_offered() -> None:
    assert DEFLATED in TRANSFER_SYNTAXES
    assert not {"1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"} & set(TRANSFER_SYNTAXES)


def test_the_order_of_the_peer_decides_but_explicit_goes_before_implicit() -> None:
    assert negotiable([(CT, [JPEG, IMPLICIT_LITTLE, EXPLICIT_LITTLE])]) == {
        CT: (JPEG, EXPLICIT_LITTLE, IMPLICIT_LITTLE)
    }


def test_a_class_with_no_transfer_syntax_of_ours_is_refused_for_that_reason() -> None:
    assert negotiable([(CT, [JPIP])]) == {CT: ()}


def test_a_class_that_is_not_storage_is_unknown() -> None:
    assert negotiable([("1.2.840.10008.5.1.4.1.2.2.1", [IMPLICIT_LITTLE])]) == {}
    assert right_needed("1.2.840.10008.5.1.4.1.2.2.1") is None
    assert right_needed(CT) is Right.STORE


def test_a_compressed_object_is_proposed_as_it_is_only() -> None:
    assert contexts_to_propose(CT, JPEG) == [(CT, JPEG)]


def test_an_uncompressed_object_is_proposed_in_its_own_encoding_first() -> None:
    assert contexts_to_propose(CT, IMPLICIT_LITTLE) == [
        (CT, IMPLICIT_LITTLE),
        (CT, EXPLICIT_LITTLE),
    ]


def test_the_conformance_statement_is_up_to_date() -> None:
    written = make_conformance_statement.PATH.read_text(encoding="utf-8")
    assert written == make_conformance_statement.statement(), (
        "run python -m tools.make_conformance_statement"
    )
