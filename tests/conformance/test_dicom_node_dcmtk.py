"""The node against DCMTK's own senders and receivers, unchanged."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from core.dataset_stream import DataSetScanner
from core.errors import CapacityError, MalformedInstanceError, MismatchedInstanceError
from dicom_node.association import Destination, echo
from dicom_node.errors import AssociationRejectedError, PeerError
from dicom_node.part10 import OutgoingObject, from_file
from dicom_node.ports import Ending, Refusal, RefusalReason
from dicom_node.presentation import (
    EXPLICIT_LITTLE,
    TRANSFER_SYNTAXES,
    UNCOMPRESSED,
)
from dicom_node.store_scu import SendState, send
from tests.dicom_node.fakes import MemorySink, RunningNode, peer, running_node
from tests.support.builders import ct_image, endoscopic_image
from tests.support.data import data_folder
from tests.support.peers import free_port, wait_for_port

pytestmark = pytest.mark.external("DCMTK")

JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"


def dcmtk(*arguments: object) -> tuple[int, str]:
    """Run a program of DCMTK; return its exit code and what it printed."""
    done = subprocess.run(
        [str(argument) for argument in arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        errors="replace",
    )
    return done.returncode, done.stdout + done.stderr


def storescu(
    running: RunningNode, *arguments: object, calling: str = "SCANNER", called: str = "READER"
) -> tuple[int, str]:
    port = running.node.port
    return dcmtk("storescu", "-v", "-aet", calling, "-aec", called, "127.0.0.1", port, *arguments)


def echoscu(running: RunningNode, *, calling: str, called: str) -> tuple[int, str]:
    return dcmtk("echoscu", "-aet", calling, "-aec", called, "127.0.0.1", running.node.port)


def files(folder: Path, count: int = 3) -> list[Path]:
    paths = [folder / f"{number}.dcm" for number in range(count)]
    for path in paths:
        ct_image().save_as(path, enforce_file_format=True)
    return paths


def data_set(path: Path) -> bytes:
    return b"".join(from_file(path).read())


def refusal(running: RunningNode) -> Refusal:
    (found,) = running.observer.wait_for("refused")
    assert isinstance(found, Refusal)
    return found


def test_a_peer_verifies_us() -> None:
    with running_node() as running:
        assert echoscu(running, calling="SCANNER", called="READER") == (0, "")
        assert len(running.observer.wait_for("echoed")) == 1


@pytest.mark.parametrize(
    ("calling", "called", "reason", "words", "setting"),
    [
        ("NOBODY", "READER", RefusalReason.UNKNOWN_CALLING_AE_TITLE, "Calling AE", "peers"),
        ("SCANNER", "WRITER", RefusalReason.UNKNOWN_CALLED_AE_TITLE, "Called AE", "called_ae_t"),
        ("FAR", "READER", RefusalReason.WRONG_ADDRESS, "Calling AE", "`addresses` of the peer far"),
    ],
)
def test_who_is_no_peer_is_told_so(
    calling: str, called: str, reason: RefusalReason, words: str, setting: str
) -> None:
    far = peer("far", "FAR", addresses=(ip_network("192.0.2.0/24"),))
    with running_node(peer(), far) as running:
        code, output = echoscu(running, calling=calling, called=called)
        assert code == 1
        assert f"{words} Title Not Recognized" in output
        assert refusal(running).reason is reason
        assert setting in refusal(running).remedy


def test_a_peer_that_may_not_store_is_refused_that_only(tmp_path: Path) -> None:
    with running_node(peer(allow=["echo"])) as running:
        assert echoscu(running, calling="SCANNER", called="READER")[0] == 0
        code, output = storescu(running, *files(tmp_path, 1))
        assert code == 1
        assert "No Acceptable Presentation Contexts" in output
        assert "`store` to `allow`" in refusal(running).remedy


def test_stored_objects_are_those_that_were_sent(tmp_path: Path) -> None:
    paths = files(tmp_path)
    with running_node() as running:
        assert storescu(running, *paths)[0] == 0
        assert [data for _, data in running.sink.committed] == [data_set(path) for path in paths]
        assert running.observer.wait_for("closed") == [(Ending.RELEASED, 3, 0)]


def encoded(folder: Path) -> Iterator[tuple[str, Path, str]]:
    """Yield one object in each encoding that DCMTK can make, and how storescu proposes it."""
    plain, colour = folder / "plain.dcm", folder / "colour.dcm"
    pixels = np.arange(64 * 64, dtype=np.int16).reshape(64, 64)
    ct_image(pixels).save_as(plain, enforce_file_format=True)
    endoscopic_image().save_as(colour, enforce_file_format=True)
    makers = {
        "little": (["dcmconv", "+te"], "-xe"),
        "implicit": (["dcmconv", "+ti"], "-xi"),
        "big": (["dcmconv", "+tb"], "-xb"),
        "jpeg-lossless": (["dcmcjpeg", "+e1"], "-xs"),
        "jpeg-baseline": (["dcmcjpeg", "+eb"], "-xy"),
        "jpeg-ls": (["dcmcjpls", "+el"], "-xt"),
        "jpeg-ls-near": (["dcmcjpls", "+en"], "-xu"),
        "rle": (["dcmcrle"], "-xr"),
    }
    for name, (maker, option) in makers.items():
        path = folder / f"{name}.dcm"
        source = colour if name in {"jpeg-baseline", "jpeg-ls-near"} else plain
        assert dcmtk(*maker, source, path)[0] == 0, name
        yield name, path, option


def test_each_encoding_that_dcmtk_can_make_arrives_byte_for_byte(tmp_path: Path) -> None:
    with running_node() as running:
        for name, path, option in encoded(tmp_path):
            assert storescu(running, option, path)[0] == 0, name
            incoming, data = running.sink.committed[-1]
            meta = dcmread(path, stop_before_pixels=True).file_meta
            assert incoming.transfer_syntax_uid == meta.TransferSyntaxUID, name
            assert data == data_set(path), name


UNKNOWN_TO_DCMTK = ("1.2.840.10008.1.2.4.11", "1.2.840.10008.1.2.4.2", "1.2.840.10008.1.2.8")
"""JPEG XL, HTJ2K, deflated frames."""


def corpus() -> dict[str, OutgoingObject]:
    """Return the corpus of transfer syntaxes by SOP instance, without what we refuse."""
    found = {}
    for path in sorted((data_folder() / "dicom" / "transfer_syntax").rglob("*.dcm")):
        with suppress(MalformedInstanceError):  # some have no file meta information
            outgoing = from_file(path)
            if outgoing.transfer_syntax_uid in TRANSFER_SYNTAXES:
                found[str(path)] = outgoing
    return found


def test_dcmsend_sends_each_encoding_that_it_knows() -> None:
    """It proposes what the files are, several encodings in one association.

    What is odd or uncompressed it writes anew, so bytes are compared in other tests.
    """
    found = {
        path: outgoing
        for path, outgoing in corpus().items()
        if not outgoing.transfer_syntax_uid.startswith(UNKNOWN_TO_DCMTK)
        and dcmtk("dcmdump", "-q", path)[0] == 0  # some are broken on purpose
    }
    with running_node() as running:
        code, output = dcmtk(
            *("dcmsend", "-dn", "-aet", "SCANNER", "-aec", "READER", "-nuc"),
            *("127.0.0.1", running.node.port, *found),
        )
        assert code == 0, output
        arrived = {incoming.transfer_syntax_uid for incoming, _ in running.sink.committed}
        compressed = {o.transfer_syntax_uid for o in found.values()} - set(UNCOMPRESSED)
        assert arrived - set(UNCOMPRESSED) == compressed
        assert len(compressed) > 8


def test_we_send_each_encoding_of_the_corpus_to_ourselves() -> None:
    found = list(corpus().values())
    with running_node() as running:
        outcomes = send(found, running.destination())
        assert {outcome.state for outcome in outcomes} == {SendState.STORED}
        for outgoing, (incoming, data) in zip(found, running.sink.committed, strict=True):
            assert incoming.transfer_syntax_uid == outgoing.transfer_syntax_uid
            assert data == b"".join(outgoing.read())


def test_a_deflated_data_set_arrives_as_it_is(tmp_path: Path) -> None:
    plain, deflated = files(tmp_path, 1)[0], tmp_path / "deflated.dcm"
    assert dcmtk("dcmconv", "+td", plain, deflated)[0] == 0
    with running_node() as running:
        assert storescu(running, "-xd", deflated)[0] == 0
        ((incoming, data),) = running.sink.committed
    assert incoming.transfer_syntax_uid == "1.2.840.10008.1.2.1.99"
    assert len(data) < len(data_set(plain))
    DataSetScanner(incoming.transfer_syntax_uid).feed(data)


def test_a_full_disk_is_a700_and_the_next_object_is_taken(tmp_path: Path) -> None:
    sink = MemorySink(failures={(2, "commit"): CapacityError("the disk is full")})
    with running_node(sink=sink) as running:
        _, output = storescu(running, "-nh", "+II", *files(tmp_path))
        assert "Refused: OutOfResources" in output
        assert running.observer.wait_for("closed") == [(Ending.RELEASED, 2, 1)]


def test_a_mismatch_is_a900_and_the_next_object_is_taken(tmp_path: Path) -> None:
    sink = MemorySink(failures={(1, "commit"): MismatchedInstanceError("another instance")})
    with running_node(sink=sink) as running:
        _, output = storescu(running, "-nh", *files(tmp_path))
        assert "Error: DataSetDoesNotMatchSOPClass" in output
        assert running.observer.wait_for("closed") == [(Ending.RELEASED, 2, 1)]


def read_what_is_cut_off() -> None:
    """Refuse it as the archive does."""
    scanner = DataSetScanner(EXPLICIT_LITTLE)
    scanner.feed(b"\x08\x00\x05\x00CS\xff\x00short")
    scanner.finish()


def test_an_unreadable_data_set_is_c000_and_the_next_object_is_taken(tmp_path: Path) -> None:
    sink = MemorySink(failures={(2, "commit"): read_what_is_cut_off})
    with running_node(sink=sink) as running:
        _, output = storescu(running, "-nh", *files(tmp_path))
        assert "Error: CannotUnderstand" in output
        assert running.observer.wait_for("closed") == [(Ending.RELEASED, 2, 1)]


def test_an_abort_after_the_last_object_keeps_the_objects(tmp_path: Path) -> None:
    with running_node() as running:
        storescu(running, "--abort", *files(tmp_path))
        assert running.observer.wait_for("closed") == [(Ending.ABORTED, 3, 0)]
        assert len(running.sink.committed) == 3


def test_four_senders_at_once(tmp_path: Path) -> None:
    paths = files(tmp_path, 10)
    with running_node() as running, ThreadPoolExecutor(4) as senders:
        codes = senders.map(lambda _: storescu(running, "+II", *paths)[0], range(4))
        assert list(codes) == [0, 0, 0, 0]
        assert len(running.sink.committed) == 40
        assert running.observer.wait_for("closed", count=4) == [(Ending.RELEASED, 10, 0)] * 4


@contextmanager
def storescp(folder: Path, *options: str) -> Iterator[Destination]:
    folder.mkdir(exist_ok=True)
    port = free_port()
    process = subprocess.Popen(
        ["storescp", "+B", "-od", str(folder), "-aet", "PACS", *options, str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port)
        yield Destination("pacs", "127.0.0.1", port, "PACS", "READER", timeout_s=3.0)
    finally:
        process.kill()
        process.wait()


def received(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_we_verify_a_peer(tmp_path: Path) -> None:
    with storescp(tmp_path / "pacs") as pacs:
        assert echo(pacs) < 3


def test_we_send_the_bytes_as_they_are(tmp_path: Path) -> None:
    paths = [path for _, path, _ in encoded(tmp_path)]
    with storescp(tmp_path / "pacs", "+xa") as pacs:
        for path in paths:
            (outcome,) = send([from_file(path)], pacs)
            assert outcome.state is SendState.STORED, path
            (stored,) = received(tmp_path / "pacs")
            assert data_set(stored) == data_set(path), path
            stored.unlink()


@pytest.mark.parametrize("own", ["+te", "+ti", "+tb"])
@pytest.mark.parametrize("accepted", ["+xi", "+xe"])
def test_an_uncompressed_object_is_converted_if_it_must_be(
    tmp_path: Path, own: str, accepted: str
) -> None:
    """PS3.5 10.1: everybody takes implicit VR little endian."""
    pixels = np.arange(32 * 32, dtype=np.int16).reshape(32, 32)
    plain, path = tmp_path / "plain.dcm", tmp_path / "own.dcm"
    ct_image(pixels).save_as(plain, enforce_file_format=True)
    assert dcmtk("dcmconv", own, plain, path)[0] == 0
    with storescp(tmp_path / "pacs", accepted) as pacs:
        (outcome,) = send([from_file(path)], pacs)
    assert outcome.state is SendState.STORED
    (stored,) = received(tmp_path / "pacs")
    assert (dcmread(stored).pixel_array == pixels).all()
    dump = [
        dcmtk("dcmdump", "+L", "-q", file)[1].partition("Data-Set")[2]
        for file in (converted(plain, tmp_path / "a.dcm"), converted(stored, tmp_path / "b.dcm"))
    ]
    assert dump[0] == dump[1]


def converted(path: Path, target: Path) -> Path:
    assert dcmtk("dcmconv", "+te", path, target)[0] == 0
    return target


def test_a_compressed_object_that_the_peer_does_not_take_is_told(tmp_path: Path) -> None:
    plain, path = files(tmp_path, 1)[0], tmp_path / "jpeg.dcm"
    assert dcmtk("dcmcjpeg", "+e1", plain, path)[0] == 0
    with storescp(tmp_path / "pacs", "+xi") as pacs:
        first, second = send([from_file(path), from_file(plain)], pacs)
    assert first.state is SendState.FAILED
    assert JPEG_LOSSLESS in first.text
    assert second.state is SendState.STORED


@pytest.mark.parametrize("option", ["--abort-during", "--abort-after"])
def test_a_peer_that_aborts_is_reported(tmp_path: Path, option: str) -> None:
    big = tmp_path / "big.dcm"
    endoscopic_image(np.zeros((600, 600, 3), np.uint8)).save_as(big, enforce_file_format=True)
    with storescp(tmp_path / "pacs", option) as pacs:
        (outcome,) = send([from_file(big)], pacs)
    assert isinstance(outcome.error, PeerError)
    assert outcome.is_worth_retrying


def test_a_peer_that_hangs_is_given_up_in_time(tmp_path: Path) -> None:
    objects = [from_file(path) for path in files(tmp_path)]
    with storescp(tmp_path / "pacs", "--sleep-during", "20") as pacs:
        outcomes = send(objects, replace(pacs, timeout_s=1.0))
    assert all(isinstance(outcome.error, PeerError) for outcome in outcomes)


def test_a_peer_that_refuses_us_is_reported(tmp_path: Path) -> None:
    with storescp(tmp_path / "pacs", "--refuse") as pacs:
        with pytest.raises(AssociationRejectedError):
            echo(pacs)
        (outcome,) = send([from_file(files(tmp_path, 1)[0])], pacs)
    assert "pacs at 127.0.0.1" in outcome.text
