"""REL-8: every object, whatever was done to it, ends in a state that has a name.

Real files, seeded mutations of them, and the survive list go through intake and the whole pipeline
in this process. `SECOND_READER_REL8_MUTATIONS=2000` is the long form.
"""

import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import FileDataset

from core.dataset_stream import DataSetScanner
from core.errors import CapacityError, InputError, ServiceError
from core.states import RevisionState
from dicom_node.ports import AssociationOrigin, IncomingObject
from service.wiring.custody import custodian
from tests.fuzz.mutation import mutated
from tests.fuzz.seeds import seeds
from tests.fuzz.target import SYNTAXES
from tests.hostile.test_data_sets import CASES
from tests.support.house import PEER, House, house

MUTATIONS = int(os.environ.get("SECOND_READER_REL8_MUTATIONS", "80"))
CLASS, INSTANCE = "1.2.840.10008.5.1.4.1.1.7", "2.25.1"


def objects() -> Iterator[tuple[str, bytes]]:
    """Yield transfer syntax and data set of every object."""
    bodies = sorted(content for name, content in seeds() if name.endswith(".body"))
    for content in bodies:
        yield SYNTAXES[content[0]], content[1:]
    random_ = random.Random(8)
    for _ in range(MUTATIONS):
        content = mutated(random_.choice(bodies), bodies, random_) or b"\0"
        yield SYNTAXES[content[0] % len(SYNTAXES)], content[1:]
    for make in CASES.values():
        case = make()
        yield case.syntax, case.body


def end_of(home: House, syntax: str, body: bytes) -> str:
    """Take one object through custody and the pipeline; return what became of it."""
    try:
        leading = taken(home, syntax, body)
    except (InputError, CapacityError) as error:
        return f"refused: {type(error).__name__}"
    revision = home.newest(leading)
    archive = home.foundation.archive
    with archive.snapshot() as tx:
        record = archive.revisions.get(tx, revision)
    if record.hold_reason is not None:
        return f"held: {record.hold_reason}"
    if record.state is not RevisionState.OPEN:
        return f"known: {record.state}"
    home.close(leading)
    try:
        home.process(revision)
    except ServiceError as error:
        return f"failed: {type(error).__name__}"
    with archive.snapshot() as tx:
        readings = archive.results.readings(tx, revision)
    return f"processed: {', '.join(reading.conclusion for reading in readings)}"


def taken(home: House, syntax: str, body: bytes) -> FileDataset:
    leading = FileDataset("", {})
    scanner = DataSetScanner(syntax)
    incoming = IncomingObject(CLASS, INSTANCE, syntax)
    try:
        scanner.feed(body)
        leading = FileDataset("", scanner.finish())
        named = str(leading.get("SOPClassUID")), str(leading.get("SOPInstanceUID"))
        incoming = IncomingObject(*named, syntax)
    except InputError:
        pass  # intake will say so, under whatever name it comes
    receiver = custodian(home.foundation).begin(AssociationOrigin("a", PEER), incoming)
    try:
        receiver.write(body)
        receiver.commit()
    except ServiceError:
        receiver.discard()
        raise
    return leading


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of pydicom, about what was done to the objects
@pytest.mark.timeout(7200)
def test_every_object_ends_in_a_state_that_has_a_name(tmp_path: Path) -> None:
    ends: Counter[str] = Counter()
    with house(tmp_path, sections={"archive": {"max_elements": 100_000}}) as home:
        for syntax, body in objects():
            ends[end_of(home, syntax, body)] += 1
    print(f"REL-8: {ends.total()} objects, {dict(ends.most_common())}")  # noqa: T201
    assert ends.total() >= MUTATIONS + len(CASES)
    kinds = {end.split(":")[0] for end in ends}
    assert {"refused", "processed", "held"} <= kinds, "the objects reach every door"
