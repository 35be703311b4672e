"""Commands read and written by us are those that pynetdicom reads and writes."""

import random
import struct

import pytest
from pynetdicom.dimse_messages import C_STORE_RSP
from pynetdicom.pdu import P_DATA_TF

from dicom_node.wire.command_set import command_pdus, store_request, store_response, text_of
from dicom_node.wire.fragments import ProtocolError
from tests.dicom_node.fakes import CT
from tests.dicom_node.raw import store_rq


def element(number: int, value: bytes, *, group: int = 0) -> bytes:
    return struct.pack("<HHL", group, number, len(value)) + value


def test_a_request_is_read() -> None:
    request = store_request(store_rq(CT, "1.2.3"))
    assert request is not None
    assert text_of(request.sop_class_uid) == CT
    assert text_of(request.sop_instance_uid) == "1.2.3"
    assert int.from_bytes(request.message_id, "little") == 7
    assert request.has_data_set


def test_a_request_without_a_data_set_says_so() -> None:
    request = store_request(store_rq(CT, "1.2.3", has_data_set=False))
    assert request is not None
    assert not request.has_data_set


def test_another_command_is_not_ours() -> None:
    """C-ECHO-RQ and C-CANCEL-RQ. Source: PS3.7 E.1"""
    for field in (0x0030, 0x0FFF):
        assert store_request(element(0x0100, struct.pack("<H", field))) is None


@pytest.mark.parametrize(
    ("status", "comment"), [(0, ""), (0xA700, "the disk is full"), (0xC000, "x")]
)
@pytest.mark.parametrize("max_pdu_bytes", [0, 16_384, 64])
def test_the_answer_is_read_by_another_implementation(
    status: int, comment: str, max_pdu_bytes: int
) -> None:
    request = store_request(store_rq(CT, "1.2.3"))
    assert request is not None
    sent = command_pdus(5, store_response(request, status, comment), max_pdu_bytes)
    message = C_STORE_RSP()
    is_whole = False
    while sent:
        size = 6 + int.from_bytes(sent[2:6], "big")
        assert max_pdu_bytes == 0 or size - 6 <= max_pdu_bytes
        pdu = P_DATA_TF()
        pdu.decode(sent[:size])
        is_whole = message.decode_msg(pdu.to_primitive())
        sent = sent[size:]
    answer = message.message_to_primitive()
    assert is_whole
    assert message.context_id == 5
    assert (answer.Status, answer.ErrorComment or "") == (status, comment)
    assert answer.MessageIDBeingRespondedTo == 7
    assert (answer.AffectedSOPClassUID, answer.AffectedSOPInstanceUID) == (CT, "1.2.3")


def test_what_is_no_uid_is_not_repeated_in_the_answer() -> None:
    request = store_request(store_rq(CT, "1.2.3").replace(b"1.2.3\0", b"<b>;--"))
    assert request is not None
    assert b"<b>" not in store_response(request, 0xC000, "")


@pytest.mark.parametrize(
    "command_set",
    [
        pytest.param(b"garbage", id="no element"),
        pytest.param(store_rq(CT, "1.2.3")[:-1], id="cut off"),
        pytest.param(store_rq(CT, "1.2.3") * 2, id="twice"),
        pytest.param(element(0x0100, b"\1\0") + element(0x0002, b"1.2\0"), id="not in order"),
        pytest.param(element(0x0100, b"\1\0") + element(0x0100, b"\1\0"), id="element twice"),
        pytest.param(element(0x0100, b"\1\0") + element(2, b"1.2\0", group=8), id="group 0008"),
        pytest.param(struct.pack("<HHL", 0, 0x0100, 2**32 - 1), id="4 GiB"),
        pytest.param(element(0x0100, b"\1\0") + element(0x0800, b"\1\0"), id="no message id"),
        pytest.param(element(0x0100, b"\1\0") + element(0x0110, b"\1\0"), id="no data set type"),
    ],
)
def test_what_is_no_command_set_is_not_the_protocol(command_set: bytes) -> None:
    with pytest.raises(ProtocolError):
        store_request(command_set)


def test_random_bytes_raise_nothing_else() -> None:
    whole = store_rq(CT, "1.2.3")
    dice = random.Random(20261121)
    for _ in range(5000):
        changed = bytearray(whole)
        for _ in range(dice.randint(1, 6)):
            changed[dice.randrange(len(changed))] = dice.randrange(256)
        try:
            store_request(bytes(changed[: dice.randint(0, len(changed))]))
        except ProtocolError:
            continue
