"""What we negotiate: every storage SOP class with every transfer syntax that we take, in one table.

The tables come from the UID registry (PS3.6) as pydicom and pynetdicom carry it, less what is
named below with its reason. `docs/conformance_statement.md` is generated from here.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from pydicom._uid_dict import UID_dictionary
from pynetdicom.sop_class import _STORAGE_CLASSES

from dicom_node.settings import Right

VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
UNCOMPRESSED = (EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG)
"""In the order in which we like them: implicit VR loses the VR of private elements."""

MAX_CONTEXTS = 128
"""Presentation context IDs are odd numbers of one byte. Source: PS3.8 9.3.2.2."""

SOP_CLASSES_LEFT_OUT: Mapping[str, str] = MappingProxyType(
    {
        "1.2.840.10008.1.20.1": "storage commitment, not storage",
        "1.2.840.10008.1.20.2": "storage commitment, not storage",
        "1.2.840.10008.1.3.10": "DICOMDIR, media only",
        "1.2.840.10008.5.1.4.38.1": "non-patient object, belongs to no study",
        "1.2.840.10008.5.1.4.39.1": "non-patient object, belongs to no study",
        "1.2.840.10008.5.1.4.43.1": "non-patient object, belongs to no study",
        "1.2.840.10008.5.1.4.44.1": "non-patient object, belongs to no study",
        "1.2.840.10008.5.1.4.45.1": "non-patient object, belongs to no study",
        "1.2.840.10008.5.1.4.1.1.200.1": "non-patient object, belongs to no study",
        "1.2.840.10008.5.1.4.1.1.200.3": "non-patient object, belongs to no study",
        "1.2.840.10008.5.1.4.1.1.200.7": "non-patient object, belongs to no study",
        "1.2.840.10008.5.1.4.1.1.201.1": "non-patient object, belongs to no study",
    }
)
"""SOP classes with "Storage" in their name that are not of the storage service class.

Source: PS3.4 Annex J (commitment), Annex GG (non-patient objects)
"""

TRANSFER_SYNTAXES_LEFT_OUT: Mapping[str, str] = MappingProxyType(
    {
        "1.2.840.10008.1.2.4.95": "deflated, and its pixels are elsewhere (JPIP)",
        "1.2.840.10008.1.2.4.205": "deflated, and its pixels are elsewhere (JPIP)",
        "1.2.840.10008.1.2.6.1": "retired; not an encoding of a data set",
        "1.2.840.10008.1.2.6.2": "retired; not an encoding of a data set",
        "1.2.840.10008.1.2.7.1": "real-time video (PS3.22), never negotiated",
        "1.2.840.10008.1.2.7.2": "real-time video (PS3.22), never negotiated",
        "1.2.840.10008.1.2.7.3": "real-time video (PS3.22), never negotiated",
        "1.2.840.10008.1.20": "retired; a Papyrus file, not an encoding of a data set",
    }
)


def _storage_sop_classes() -> dict[str, str]:
    # pynetdicom knows a few new ones that pydicom's registry cannot name yet.
    names = {uid: keyword for keyword, uid in _STORAGE_CLASSES.items()}
    for uid, (name, kind, *_) in UID_dictionary.items():
        if kind == "SOP Class" and ("Storage" in name or uid in names):
            names[uid] = name
    return {uid: names[uid] for uid in sorted(names) if uid not in SOP_CLASSES_LEFT_OUT}


def _transfer_syntaxes() -> dict[str, str]:
    return {
        uid: name
        for uid, (name, kind, *_) in UID_dictionary.items()
        if kind == "Transfer Syntax" and uid not in TRANSFER_SYNTAXES_LEFT_OUT
    }


STORAGE_SOP_CLASSES: Mapping[str, str] = MappingProxyType(_storage_sop_classes())
"""UID to name; retired ones included, for archives are full of them."""

TRANSFER_SYNTAXES: Mapping[str, str] = MappingProxyType(_transfer_syntaxes())
"""UID to name, for every storage SOP class alike."""


def right_needed(sop_class_uid: str) -> Right | None:
    """Return what a peer must be allowed for this SOP class; None if we do not offer it."""
    if sop_class_uid == VERIFICATION:
        return Right.ECHO
    return Right.STORE if sop_class_uid in STORAGE_SOP_CLASSES else None


def negotiable(proposed: Iterable[tuple[str, Iterable[str]]]) -> dict[str, tuple[str, ...]]:
    """Return, for each proposed SOP class that we offer, the transfer syntaxes we take, best first.

    A SOP class of which we take none of the proposed transfer syntaxes has an empty tuple: it is
    refused for that reason and no other (PS3.8 9.3.3.2).

    Parameters
    ----------
    proposed
        Abstract syntax and transfer syntaxes of each presentation context, in the peer's order.
    """
    merged: dict[str, dict[str, None]] = {}
    for sop_class_uid, transfer_syntaxes in proposed:
        if right_needed(sop_class_uid) is not None:
            taken = merged.setdefault(sop_class_uid, {})
            offered = UNCOMPRESSED if sop_class_uid == VERIFICATION else TRANSFER_SYNTAXES
            taken |= dict.fromkeys(uid for uid in transfer_syntaxes if uid in offered)
    return {uid: _best_first(tuple(syntaxes)) for uid, syntaxes in merged.items()}


def _best_first(transfer_syntaxes: tuple[str, ...]) -> tuple[str, ...]:
    """Keep the peer's order, but among the uncompressed ones prefer ours."""
    preferred = iter(uid for uid in UNCOMPRESSED if uid in transfer_syntaxes)
    return tuple(next(preferred) if uid in UNCOMPRESSED else uid for uid in transfer_syntaxes)


def contexts_to_propose(sop_class_uid: str, transfer_syntax_uid: str) -> list[tuple[str, str]]:
    """Return the presentation contexts that give an object of ours the best chance.

    Its own encoding first; for an uncompressed one also those that we can turn it into.
    """
    alternatives = UNCOMPRESSED[:2] if transfer_syntax_uid in UNCOMPRESSED else ()
    syntaxes = dict.fromkeys((transfer_syntax_uid, *alternatives))
    return [(sop_class_uid, syntax) for syntax in syntaxes]
