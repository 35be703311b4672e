"""The `worker` role: completeness, the pipeline, deliveries, and the audit sequencer."""

import logging
import os
import socket
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path

from core.errors import ServiceError
from imaging.decode import Decoder
from results.provenance import Equipment
from service.completeness import Completeness, OpenAssociations
from service.delivery import Delivery
from service.engine import Engine
from service.foundation import Foundation
from service.keys import Purpose
from service.logs import describe
from service.reload import StatPeers
from service.scrub import Scrubber
from service.sequencer import Sequencer
from service.settings import Installation
from service.steps import StudySteps
from service.steps.border import Check
from service.steps.conclusion import Conclude
from service.steps.objects import Encode
from service.steps.readings import Infer
from service.steps.released import Release
from service.steps.subject import Tools
from service.sweep import Sweep
from service.transfers import Transfers
from service.wiring.models import reader, registry
from service.wiring.process import on_signal, one_worker, role

log = logging.getLogger(__name__)

SEQUENCE_INTERVAL_S = 0.5
PRUNE_INTERVAL_S = 3600.0
SCRUB_INTERVAL_S = 60.0
OUTBOX_KEPT = timedelta(days=1)
"""Records that the log has had for so long leave the outbox."""
CAPTURE_IDLE_S = 60.0
"""Decoders of captures end after so long without work, to give their memory back."""
WORKFLOWS_FILE = "workflows.db"


def run(installation: Installation) -> None:
    """Work until a signal ends it; what is unfinished is taken up at the next start."""
    stopping = threading.Event()
    on_signal(stopping.set)
    with _alone(installation), role(installation, "worker") as foundation:
        settings = installation.settings
        limits = settings.inference.decoder.model_copy(
            update={"idle_s": CAPTURE_IDLE_S, "children": 1}
        )
        with Decoder(limits.limits()) as decoder:
            _work(foundation, decoder, stopping)


def _work(foundation: Foundation, decoder: Decoder, stopping: threading.Event) -> None:
    settings = foundation.installation.settings
    tools = Tools(
        foundation.archive,
        foundation.keyring,
        settings,
        foundation.trail,
        foundation.clock,
    )
    models = registry(foundation.installation)
    conclude = Conclude(tools)
    steps = StudySteps(
        deidentify=Release(tools, models).deidentify,
        infer=Infer(tools, models, reader(foundation.installation)).infer,
        encode=Encode(tools, decoder, equipment(tools)).encode,
        check=Check(tools).check,
        enqueue_deliveries=conclude.enqueue_deliveries,
    )
    delivery = Delivery(
        archive=foundation.archive,
        settings=settings.delivery.resolved(foundation.installation.folder),
        ae_title=settings.dicom_node.ae_title,
        trail=foundation.trail,
        clock=foundation.clock,
    )
    engine = Engine(
        settings.pipeline,
        database=workflows_file(foundation.installation),
        steps=steps,
        failures=conclude,
        deliverer=delivery,
        clock=foundation.clock,
    )
    owner = f"{socket.gethostname()}/{os.getpid()}"
    sequencer = Sequencer(
        foundation.archive,
        foundation.audit_settings,
        signing_key=foundation.keyring.key(Purpose.AUDIT_SIGNING),
        owner=owner,
        trail=foundation.trail,
        clock=foundation.clock,
    )
    engine.launch()
    stat_peers = StatPeers(foundation.installation)
    sweep = build_sweep(foundation, engine, conclude, delivery, stat_peers)
    threads = [
        _repeat("sequencer", sequencer.run_once, SEQUENCE_INTERVAL_S, stopping),
        _repeat("sweep", sweep.run_once, settings.completeness.check_interval_s, stopping),
        _repeat("peers", stat_peers.look, 1.0, stopping),
        _repeat("outbox", lambda: _prune(foundation), PRUNE_INTERVAL_S, stopping),
        _scrubbing(foundation, owner, stopping),
        _once("upkeep", lambda: _tidy(foundation)),
    ]
    stopping.wait()
    engine.stop()
    for thread in threads[:2]:
        thread.join(10)
    sequencer.run_once()
    sequencer.close()


def build_sweep(
    foundation: Foundation,
    engine: Engine,
    failures: Conclude,
    delivery: Delivery,
    stat_peers: StatPeers,
) -> Sweep:
    """Return the sweep of an opened installation."""
    settings = foundation.installation.settings
    archive, trail = foundation.archive, foundation.trail
    return Sweep(
        archive=archive,
        engine=engine,
        completeness=Completeness(archive, trail, settings.completeness),
        associations=OpenAssociations(archive, settings.completeness.association_lease_s),
        transfers=Transfers(archive, trail, foundation.clock),
        failures=failures,
        deliveries=delivery,
        stat_peers=stat_peers,
        clock=foundation.clock,
    )


def equipment(tools: Tools) -> Equipment:
    """Return how results name this installation."""
    return Equipment(
        software_version=version("second-reader"),
        device_serial_number=tools.settings.audit.source_id,
    )


def _alone(installation: Installation) -> AbstractContextManager[None]:
    """Keep a second worker from a database of workflows that only one may use."""
    url = installation.settings.pipeline.database_url
    if url is not None and not url.startswith("sqlite"):
        return nullcontext()
    file = workflows_file(installation) if url is None else Path(url.partition(":///")[2])
    return one_worker(file.with_name(f"{file.name}.lock"))


def workflows_file(installation: Installation) -> Path:
    """Return where the engine keeps its workflows by default."""
    return installation.path(installation.settings.archive.folder) / WORKFLOWS_FILE


def _repeat(
    name: str, action: Callable[[], object], interval_s: float, stopping: threading.Event
) -> threading.Thread:
    """Call `action` again and again; a failure is logged and waited out, a defect as well."""

    def loop() -> None:
        while not stopping.wait(interval_s):
            try:
                action()
            except ServiceError as error:
                log.warning("%s: %s", name, error)
            except Exception as error:  # noqa: BLE001 - the boundary of a background thread
                log.error("%s: a defect: %s", name, describe(error))  # noqa: TRY400 - no values

    thread = threading.Thread(target=loop, name=name, daemon=True)
    thread.start()
    return thread


def _once(name: str, action: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=action, name=name, daemon=True)
    thread.start()
    return thread


def _scrubbing(foundation: Foundation, owner: str, stopping: threading.Event) -> threading.Thread:
    """Read what is stored again and again, slowly."""
    days = foundation.installation.settings.archive.scrub_days
    key = foundation.keyring.key(Purpose.CONTENT)
    scrubber = Scrubber(foundation.archive, foundation.trail, foundation.clock, key)
    step = partial(scrubber.step, days=days, interval_s=SCRUB_INTERVAL_S, owner=owner)
    return _repeat("scrub", step, SCRUB_INTERVAL_S, stopping)


def _prune(foundation: Foundation) -> None:
    before = foundation.clock() - OUTBOX_KEPT
    with foundation.archive.transaction() as tx:
        foundation.archive.outbox.prune(tx, before=before)


def _tidy(foundation: Foundation) -> None:
    """Remove what was never acknowledged; sound the alarm for what is missing."""
    grace_s = foundation.installation.settings.archive.orphan_grace_s
    try:
        report = foundation.archive.upkeep.sweep(
            now=foundation.clock().timestamp(), grace_s=grace_s
        )
    except ServiceError as error:
        log.warning("objects and rows could not be compared: %s", error)
        return
    for missing in report.missing:
        log.error("study %s: a sealed object is missing", missing.study_key)
