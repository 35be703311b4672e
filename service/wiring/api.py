"""The `api` role: REST over what the archive holds and the reader says."""

from dataclasses import replace
from functools import partial

from prometheus_client import CollectorRegistry
from pydicom.dataset import FileDataset

from anonymizer.deidentifier import deidentify
from anonymizer.part10 import write
from anonymizer.replacement import Replacement
from anonymizer.settings import MODELS
from api.app import create_app
from api.ports import Ports
from api.server import ApiServer
from api.settings import ApiSettings
from core.model import study_identity
from service.access import AccessTrail, KeyAuthenticator
from service.completeness import Completeness
from service.detection import Detection
from service.directory import Models, Results, Studies
from service.foundation import Foundation
from service.health import ArchiveNumbers, Health
from service.keys import Purpose
from service.log_reader import LogReader
from service.peer_directory import Peers
from service.settings import Installation
from service.wiring.models import reader, registry
from service.wiring.process import on_signal, role

MOST_ELEMENTS = 50_000
"""Of an object to be read at once: each costs this process 30 us and most of a kilobyte, while
other requests wait. A whole enhanced CT has fewer; larger objects belong to C-STORE."""


def run(installation: Installation) -> None:
    """Serve until a signal ends it; requests in work are finished first."""
    with role(installation, "api") as foundation:
        numbers = CollectorRegistry()
        numbers.register(ArchiveNumbers(foundation))
        settings = _absolute(installation)
        server = ApiServer(create_app(ports(foundation), settings, numbers), settings)
        on_signal(server.stop)
        server.run()


def ports(foundation: Foundation) -> Ports:
    """Return what the api needs, over an opened installation."""
    installation, archive = foundation.installation, foundation.archive
    trail, clock = foundation.trail, foundation.clock
    access = AccessTrail(archive, trail, clock)
    models, asking = registry(installation), reader(installation)
    completeness = Completeness(archive, trail, installation.settings.completeness)
    return Ports(
        authenticator=KeyAuthenticator(archive, clock),
        audit_sink=access,
        detector=Detection(
            reader=asking,
            registry=models,
            rules=installation.settings.inference.models,
            deidentify=partial(released, foundation),
            clock=clock,
            limits=replace(installation.settings.archive.limits, max_elements=MOST_ELEMENTS),
        ),
        studies=Studies(archive, completeness, access, clock),
        results=Results(archive, foundation.keyring.key(Purpose.RESULT)),
        models=Models(models, asking),
        peers=Peers(archive, installation),
        audit=LogReader(foundation),
        health=Health(foundation, asking),
    )


def released(foundation: Foundation, original: FileDataset) -> bytes:
    """Return the copy of a one-off instance that models may see; nothing of it is kept.

    No peer sent it, so no issuer is configured for it: whose it is, it says itself.
    """
    settings = foundation.installation.settings.anonymizer
    identity = study_identity(original)
    replacement = Replacement(
        pseudonym_key=foundation.keyring.key(Purpose.PSEUDONYM),
        uid_key=foundation.keyring.key(Purpose.UID),
        date_key=foundation.keyring.key(Purpose.DATE),
        patient=identity.patient,
        study_instance_uid=identity.study_instance_uid,
        date_shift_max_days=settings.date_shift_max_days,
    )
    return write(deidentify(original, settings.profile(MODELS), replacement).released)


def _absolute(installation: Installation) -> ApiSettings:
    settings = installation.settings.api
    files = {
        name: installation.path(path)
        for name in ("tls_certificate_file", "tls_key_file")
        if (path := getattr(settings, name)) is not None
    }
    return settings.model_copy(update=files)
