"""One installation in a scratch folder, in this process: intake, steps and a tiny real model."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydicom.dataset import FileDataset

from audit.events import AuditEvent
from audit.records import SealedRecord
from core.clock import utc_now
from core.model import RemoteAE, RevisionKey
from dicom_node.ports import AssociationOrigin, IncomingObject
from imaging.decode import Decoder
from inference.engine import Engine
from inference.registry import Registry
from service.completeness import Completeness
from service.delivery import Delivery
from service.foundation import Foundation, opened
from service.intake import Intake
from service.keys import Purpose, create_keys
from service.settings import load_settings
from service.steps.border import Check
from service.steps.conclusion import Conclude
from service.steps.objects import Encode
from service.steps.readings import Infer
from service.steps.released import Release
from service.steps.subject import Tools
from service.wiring.worker import equipment
from tests.support.builders import encoded, endoscopic_image
from tests.support.detector import bright_cells_package, picture_with_cells

PEER = RemoteAE("tower", "TOWER", "SECOND_READER", "127.0.0.1")


@dataclass(frozen=True)
class House:
    """Everything from C-STORE to delivery, without sockets and processes."""

    foundation: Foundation
    tools: Tools
    release: Release
    infer: Infer
    encode: Encode
    check: Check
    conclude: Conclude
    delivery: Delivery

    def take(self, *datasets: FileDataset) -> RevisionKey:
        """Take custody of instances of one study, and close its revision."""
        self.receive(*datasets)
        return self.close(datasets[0])

    def receive(self, *datasets: FileDataset) -> RevisionKey:
        """Take custody of instances of one study; return its newest revision."""
        intake = Intake(
            archive=self.foundation.archive,
            trail=self.foundation.trail,
            clock=utc_now,
            content_key=self.foundation.keyring.key(Purpose.CONTENT),
            key_version=self.foundation.keyring.version,
        )
        for dataset in datasets:
            incoming = IncomingObject(
                str(dataset.SOPClassUID),
                str(dataset.SOPInstanceUID),
                str(dataset.file_meta.TransferSyntaxUID),
            )
            receiver = intake.begin(AssociationOrigin("association", PEER), incoming)
            receiver.write(encoded(dataset))
            receiver.commit()
        return self.newest(datasets[0])

    def close(self, dataset: FileDataset) -> RevisionKey:
        """Close the open revision of a study."""
        archive, newest = self.foundation.archive, self.newest(dataset)
        with archive.transaction() as tx:
            archive.revisions.close(tx, newest, rule="a test said so", at=utc_now())
        return newest

    def newest(self, dataset: FileDataset) -> RevisionKey:
        """Return the newest revision of a study."""
        archive = self.foundation.archive
        with archive.snapshot() as tx:
            key = archive.catalogue.locate(tx, str(dataset.StudyInstanceUID))
            return archive.revisions.newest(tx, key).key

    def process(self, revision: RevisionKey) -> None:
        """Run the five steps."""
        self.release.deidentify(revision)
        self.infer.infer(revision)
        self.encode.encode(revision)
        self.check.check(revision)
        self.conclude.enqueue_deliveries(revision)

    def events(self) -> list[AuditEvent]:
        """Open every audit record that waits in the outbox."""
        archive = self.foundation.archive
        with archive.snapshot() as tx:
            waiting = archive.outbox.pending(tx, 1000)
        sealer = self.foundation.trail.sealer
        return [sealer.open(SealedRecord(one.event_id, one.sealed)) for one in waiting]

    def completeness(self) -> Completeness:
        """Return what closes revisions by rule."""
        return Completeness(
            self.foundation.archive, self.foundation.trail, self.tools.settings.completeness
        )


@contextmanager
def house(
    folder: Path,
    *,
    sections: Mapping[str, Any] | None = None,
    destinations: Sequence[Mapping[str, Any]] = (),
    card: Mapping[str, Any] | None = None,
) -> Iterator[House]:
    """Open a fresh installation whose only model finds bright cells."""
    create_keys(folder / "keys")
    bright_cells_package(folder / "models" / "bright", **(card or {}))
    config = folder / "config.yaml"
    settings = {
        "inference": {"models": [{"name": "bright"}], "package_folders": ["models"]},
        "delivery": {"destinations": [dict(one) for one in destinations]},
        **(sections or {}),
    }
    config.write_text(yaml.safe_dump(settings))
    registry = Registry((folder / "models",))
    with (
        opened(load_settings(config), "worker") as foundation,
        Decoder() as decoder,
        Engine(registry, decoder) as engine,
    ):
        tools = Tools(
            foundation.archive,
            foundation.keyring,
            foundation.installation.settings,
            foundation.trail,
            utc_now,
        )
        yield House(
            foundation,
            tools,
            Release(tools, registry),
            Infer(tools, registry, engine),
            Encode(tools, decoder, equipment(tools)),
            Check(tools),
            Conclude(tools),
            Delivery(
                foundation.archive,
                tools.settings.delivery.resolved(foundation.installation.folder),
                "SECOND_READER",
                foundation.trail,
                utc_now,
            ),
        )


def image_with_cells(*cells: tuple[int, int], **attributes: object) -> FileDataset:
    """Return an endoscopic image in which the model finds these (column, row) cells."""
    return endoscopic_image(picture_with_cells(*cells), attributes)


def pixels_of(dataset: FileDataset) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """Return the pixels of an uncompressed RGB object: (rows, columns, 3)."""
    shape = (int(dataset.Rows), int(dataset.Columns), 3)
    return np.frombuffer(dataset.PixelData, np.uint8).reshape(shape)
