import logging

import pytest

from core.errors import CapacityError, MalformedInstanceError
from core.model import RemoteAE
from dicom_node.errors import InterruptedObjectError, NodeFaultError
from dicom_node.ports import AssociationOrigin, IncomingObject
from dicom_node.store_scp import Answer, StoreSession
from tests.dicom_node.fakes import CT, EXPLICIT, MemorySink, RecordingObserver

ORIGIN = AssociationOrigin("a1", RemoteAE("ct", "CT", "READER", "10.0.0.1"))
OBJECT = IncomingObject(CT, "1.2.3", EXPLICIT)


def session(sink: MemorySink, observer: RecordingObserver | None = None) -> StoreSession:
    return StoreSession(ORIGIN, sink, observer or RecordingObserver(), max_object_bytes=100)


def stored(store: StoreSession, data: bytes = b"abc", incoming: IncomingObject = OBJECT) -> Answer:
    store.begin(incoming, abstract_syntax_uid=CT)
    store.write(data)
    return store.finish()


def test_success_is_answered_after_the_commit() -> None:
    sink = MemorySink()
    assert stored(session(sink)) == Answer(0x0000)
    assert sink.committed == [(OBJECT, b"abc")]
    assert sink.discarded == []


@pytest.mark.parametrize("phase", ["begin", "write", "commit"])
def test_an_error_of_the_sink_gives_its_status_and_the_next_object_is_taken(phase: str) -> None:
    sink, observer = MemorySink(), RecordingObserver()
    error = CapacityError("the disk is full")
    sink.failures[1, phase] = error
    store = session(sink, observer)
    assert stored(store) == Answer(0xA700, "the disk is full")
    assert len(sink.discarded) == (0 if phase == "begin" else 1)
    assert observer.events == [("failed_store", error)]
    assert stored(store).status == 0x0000
    assert (store.stored, store.failed) == (1, 1)


def test_after_an_error_nothing_more_is_written() -> None:
    sink = MemorySink()
    sink.failures[1, "write"] = MalformedInstanceError("not a data set")
    store = session(sink)
    store.begin(OBJECT, abstract_syntax_uid=CT)
    store.write(b"a")
    store.write(b"b")
    assert store.finish().status == 0xC000
    assert sink.fragments == [1]


def test_a_bug_is_logged_without_its_words_and_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink, observer = MemorySink(), RecordingObserver()
    sink.failures[1, "commit"] = ValueError("DOE^JOHN is not a number")
    with caplog.at_level(logging.DEBUG):
        assert stored(session(sink, observer)) == Answer(0x0110, "internal error")
    assert "ValueError" in caplog.text
    assert "fakes.py" in caplog.text
    assert "DOE" not in caplog.text
    assert isinstance(observer.events[0][1], NodeFaultError)


def test_an_object_of_another_class_than_its_context_never_reaches_the_sink() -> None:
    sink = MemorySink()
    store = session(sink)
    store.begin(OBJECT, abstract_syntax_uid="1.2.840.10008.5.1.4.1.1.4")
    store.write(b"abc")
    assert store.finish().status == 0xA900
    assert sink.begun == 0


@pytest.mark.parametrize("uid", ["", "../../etc/passwd", "1.2.3\0", "1." * 33, "1.2.x"])
def test_an_instance_that_is_named_by_no_uid_never_reaches_the_sink(uid: str) -> None:
    sink = MemorySink()
    assert stored(session(sink), incoming=IncomingObject(CT, uid, EXPLICIT)).status == 0xC000
    assert sink.begun == 0


def test_a_request_without_a_data_set_is_not_stored() -> None:
    sink = MemorySink()
    store = session(sink)
    store.begin(OBJECT, abstract_syntax_uid=CT)
    assert store.finish().status == 0xC000
    assert sink.discarded == [OBJECT]


def test_an_object_that_is_too_long_is_not_kept_but_read_to_its_end() -> None:
    sink, observer = MemorySink(), RecordingObserver()
    store = session(sink, observer)
    store.begin(OBJECT, abstract_syntax_uid=CT)
    assert store.expect(100)
    store.write(bytes(100))
    assert store.expect(1)
    store.write(bytes(1))
    assert sink.discarded == [OBJECT]
    assert sum(sink.fragments) == 100
    assert store.finish().status == 0xA700
    assert isinstance(observer.events[0][1], CapacityError)


def test_an_object_that_is_absurdly_long_is_given_up() -> None:
    store = session(MemorySink())
    store.begin(OBJECT, abstract_syntax_uid=CT)
    assert store.expect(400)
    assert not store.expect(1)


def test_an_object_that_is_cut_off_is_discarded_and_told() -> None:
    sink, observer = MemorySink(), RecordingObserver()
    store = session(sink, observer)
    store.begin(OBJECT, abstract_syntax_uid=CT)
    store.write(b"abc")
    store.abandon()
    store.abandon()
    assert sink.discarded == [OBJECT]
    assert [type(what) for _, what in observer.events] == [InterruptedObjectError]
    assert store.failed == 1
