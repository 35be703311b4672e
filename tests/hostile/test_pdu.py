"""PDUs that no library would send (NET-6): each ends in a word of ours, and costs nothing."""

import struct
from collections.abc import Callable

import pytest

from tests.dicom_node.raw import RawPeer, associate_rq, item, pdu, pdv, store_rq
from tests.hostile.live import associated, ending, survives
from tests.support.installation import AE_TITLE, SENDER, Service

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
COMMAND, LAST, DATA = 0x01, 0x02, 0x00

TLS_HELLO = bytes.fromhex("160301020001000001fc0303") + bytes(500)
REQUEST = associate_rq([(1, CT, EXPLICIT)], called=AE_TITLE, calling=SENDER)


def request(body: bytes) -> bytes:
    """Return an A-ASSOCIATE-RQ with these items behind its fixed fields."""
    head = struct.pack(">HH16s16s32x", 1, 0, AE_TITLE.ljust(16).encode(), SENDER.ljust(16).encode())
    return pdu(0x01, head + body)


APPLICATION = item(0x10, b"1.2.840.10008.3.1.1.1")
CONTEXT = item(
    0x20, struct.pack(">B3x", 1) + item(0x30, CT.encode()) + item(0x40, EXPLICIT.encode())
)
USER = item(0x50, item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3"))

FIRST_WORDS: dict[str, bytes] = {
    "4 GiB announced (pynetdicom #1086)": struct.pack(">BBL", 0x01, 0, 0xFFFFFFFF) + bytes(5000),
    "2 MiB announced": struct.pack(">BBL", 0x01, 0, 2 * 1024**2) + bytes(5000),
    "P-DATA before an association": pdu(0x04, pdv(1, COMMAND | LAST, store_rq(CT, "1.2.3"))),
    "a release before an association": pdu(0x05, bytes(4)),
    "an abort before an association": pdu(0x07, bytes(4)),
    "an acceptance from one who asks": pdu(0x02, REQUEST[6:]),
    "a rejection from one who asks": pdu(0x03, bytes(4)),
    "an unknown PDU type": pdu(0x08, bytes(64)),
    "PDU type 255": pdu(0xFF, bytes(64)),
    "HTTP (fo-dicom #1678)": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a TLS hello": TLS_HELLO,
    "zeros": bytes(4096),
    "a request of no length": pdu(0x01, b""),
    "a request of ten bytes": pdu(0x01, bytes(10)),
    "a request without items": request(b""),
    "a request without a context": request(APPLICATION + USER),
    "an item longer than its PDU": request(b"\x10\x00\xff\xff" + b"1.2.840"),
    "a sub-item longer than its item": request(
        APPLICATION + item(0x20, struct.pack(">B3x", 1) + b"\x30\x00\xff\xff1.2") + USER
    ),
    "an item of no length": request(APPLICATION + item(0x20, b"") + USER),
    "a maximum length of 3 bytes": request(
        APPLICATION + CONTEXT + item(0x50, b"\x51\x00\x00\x03\x00\x00\x01")
    ),
    "an even context ID": request(APPLICATION + CONTEXT.replace(b"\x01\0\0\0", b"\2\0\0\0") + USER),
    "UIDs that are none": request(
        APPLICATION + item(0x20, struct.pack(">B3x", 1) + item(0x30, b"\xff" * 64)) + USER
    ),
    "an item of an unknown type": request(APPLICATION + item(0x99, bytes(10))),
}
"""What may be the first that somebody says. None of it opens an association."""

TITLES: dict[str, tuple[bytes, bytes]] = {
    "an AE title of control characters": (b"\r\nfake: line\x1b[2J", AE_TITLE.encode()),
    "an AE title of HTML": (b"<script>alert(1)", AE_TITLE.encode()),
    "an AE title that is no ASCII": (b"\xff\xfe\x80\x81", AE_TITLE.encode()),
    "an AE title of zeros": (bytes(16), AE_TITLE.encode()),
    "an AE title of spaces": (b" " * 16, AE_TITLE.encode()),
    "an AE title of a path": (b"../../etc/passwd", AE_TITLE.encode()),
    "another's called title": (SENDER.encode(), b"'; DROP TABLE x"),
}


def command(group_length: int, elements: bytes) -> bytes:
    return struct.pack("<HHLL", 0, 0, 4, group_length) + elements


def element(number: int, value: bytes) -> bytes:
    return struct.pack("<HHL", 0, number, len(value)) + value


def dimse(field: int, *extra: bytes, data: int = 0x0101) -> bytes:
    """Return a command set with this command field."""
    elements = element(0x0002, CT.encode() + b"\0") + element(0x0100, struct.pack("<H", field))
    elements += element(0x0110, b"\x07\0") + element(0x0800, struct.pack("<H", data))
    elements += b"".join(extra)
    return command(len(elements), elements)


WHOLE = store_rq(CT, "1.2.3")
HUGE_PDU = struct.pack(">BBL", 0x04, 0, 0xFFFFFFF0) + bytes(100_000)

MESSAGES: dict[str, bytes] = {
    "a P-DATA of 4 GiB": HUGE_PDU,
    "a P-DATA of no length": pdu(0x04, b"") + pdu(0x04, b"\0"),
    "a PDV of no length": pdu(0x04, struct.pack(">LBB", 0, 1, 3)),
    "a PDV shorter than its own head": pdu(0x04, struct.pack(">LBB", 1, 1, 3)),
    "a PDV longer than its PDU": pdu(0x04, struct.pack(">LBB", 5000, 1, 3) + bytes(10)),
    "a PDV of 4 GiB": pdu(0x04, struct.pack(">LBB", 0xFFFFFFFF, 1, 3) + bytes(10)),
    "a command that never ends": pdu(0x04, pdv(1, COMMAND, bytes(10_000))) * 5,
    "a data set that no command announced": pdu(0x04, pdv(1, DATA | LAST, bytes(100))),
    "a context that was not accepted": pdu(0x04, pdv(77, COMMAND | LAST, WHOLE)),
    "context ID 0": pdu(0x04, pdv(0, COMMAND | LAST, WHOLE)),
    "a data set in another context": pdu(0x04, pdv(1, COMMAND | LAST, WHOLE))
    + pdu(0x04, pdv(3, DATA | LAST, bytes(100))),
    "a command in the middle of a data set": pdu(0x04, pdv(1, COMMAND | LAST, WHOLE))
    + pdu(0x04, pdv(1, DATA, bytes(100)))
    + pdu(0x04, pdv(1, COMMAND | LAST, WHOLE)),
    "a command of nothing": pdu(0x04, pdv(1, COMMAND | LAST, b"")),
    "a command of garbage": pdu(0x04, pdv(1, COMMAND | LAST, b"\xff" * 500)),
    "a command whose element is 4 GiB": pdu(
        0x04, pdv(1, COMMAND | LAST, struct.pack("<HHL", 0, 2, 0xFFFFFFFE) + b"1.2")
    ),
    "a command without its field": pdu(
        0x04, pdv(1, COMMAND | LAST, command(10, element(0x0110, b"\x07\0")))
    ),
    "a query where only storage is (CVE-2026-52868)": pdu(
        0x04, pdv(1, COMMAND | LAST, dimse(0x0020))
    ),
    "a deletion (N-DELETE)": pdu(0x04, pdv(1, COMMAND | LAST, dimse(0x0150))),
    "an unknown command": pdu(0x04, pdv(1, COMMAND | LAST, dimse(0x7777))),
    "a response to nothing": pdu(0x04, pdv(1, COMMAND | LAST, dimse(0x8001))),
    "a C-ECHO where only storage is": pdu(0x04, pdv(1, COMMAND | LAST, dimse(0x0030))),
    "another request on the same association": REQUEST,
    "an acceptance on an open association": pdu(0x02, REQUEST[6:]),
    "an unknown PDU type": pdu(0x77, bytes(100)),
    "a release in the middle of a data set": pdu(0x04, pdv(1, COMMAND | LAST, WHOLE))
    + pdu(0x04, pdv(1, DATA, bytes(100)))
    + pdu(0x05, bytes(4)),
    "an abort of an odd length": pdu(0x07, b"\0"),
}
"""What may be said on an open association. All of it ends it."""

ENDINGS_OF = {"a release in the middle of a data set": {"released"}}
"""Who leaves in good order is let go; what had arrived of its object is not kept."""


def opening(service: Service, words: bytes) -> str:
    peer = RawPeer(service.dicom_port)
    try:
        try:
            peer.send(words)
        except (BrokenPipeError, ConnectionResetError):
            return "closed"
        return ending(peer)
    finally:
        peer.socket.close()


@pytest.mark.parametrize("name", FIRST_WORDS)
def test_first_words_that_are_no_sound_request_are_answered_and_forgotten(
    service: Service, name: str
) -> None:
    with survives(service):
        assert opening(service, FIRST_WORDS[name]) in {"aborted", "rejected", "closed"}


@pytest.mark.parametrize("name", TITLES)
def test_a_title_of_an_unknown_peer_is_rejected_and_acts_nowhere(
    service: Service, name: str
) -> None:
    calling, called = TITLES[name]
    head = struct.pack(">HH16s16s32x", 1, 0, called.ljust(16)[:16], calling.ljust(16)[:16])
    said = service.log.stat().st_size
    with survives(service):
        body = head + APPLICATION + CONTEXT + USER
        assert opening(service, pdu(0x01, body)) in {"rejected", "aborted"}
    with service.log.open("rb") as log:
        log.seek(said)
        lines = log.read().splitlines()
    assert all(line.startswith(b"{") for line in lines)
    assert not any(c in line for line in lines for c in b"\x1b\r\x07")


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_that_breaks_the_protocol_ends_its_association_only(
    service: Service, name: str
) -> None:
    with survives(service):
        peer = associated(service, (1, CT, EXPLICIT), (3, CT, IMPLICIT))
        try:
            peer.send(MESSAGES[name])
            assert ending(peer) in ENDINGS_OF.get(name, {"aborted", "closed"})
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was closed while we still spoke
        finally:
            peer.socket.close()


def test_a_release_in_good_order_is_answered(service: Service) -> None:
    """So that the endings above mean something."""
    peer = associated(service, (1, VERIFICATION, IMPLICIT))
    peer.send(pdu(0x05, bytes(4)))
    assert ending(peer) == "released"
    peer.socket.close()


NEVER_LAST: dict[str, Callable[[RawPeer], None]] = {
    "a request that stops in the middle": lambda peer: peer.send(REQUEST[:40]),
    "a request that never comes": lambda _: None,
    "the head of a PDU": lambda peer: peer.send(REQUEST[:3]),
}


@pytest.mark.parametrize("name", NEVER_LAST)
def test_who_never_finishes_a_sentence_is_cut_off(service: Service, name: str) -> None:
    with survives(service):
        peer = RawPeer(service.dicom_port)
        NEVER_LAST[name](peer)
        assert ending(peer) in {"aborted", "closed"}
        peer.socket.close()


def test_a_data_set_whose_last_fragment_never_comes_is_cut_off(service: Service) -> None:
    with survives(service):
        peer = associated(service, (1, CT, EXPLICIT))
        peer.send(pdu(0x04, pdv(1, COMMAND | LAST, WHOLE)) + pdu(0x04, pdv(1, DATA, bytes(64))))
        assert ending(peer) in {"aborted", "closed"}
        peer.socket.close()
