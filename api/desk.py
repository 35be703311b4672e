"""What the routes of one application share."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from api.body import BodyBudget
from api.crew import Crew
from api.ports import Ports
from api.settings import ApiSettings
from api.trail import Trail


@dataclass(frozen=True)
class Desk:
    """Everything that a route needs to answer."""

    ports: Ports
    settings: ApiSettings
    registry: CollectorRegistry
    trail: Trail
    lookups: Crew
    """Threads for the database: keys, studies, audit."""
    detections: Crew
    """Threads for the reader, apart from the others, so that neither waits for the other."""
    budget: BodyBudget


def open_desk(ports: Ports, settings: ApiSettings, registry: CollectorRegistry) -> Desk:
    """Return a desk with its own threads, which `close_desk` lets go."""
    return Desk(
        ports=ports,
        settings=settings,
        registry=registry,
        trail=Trail(ports.audit_sink),
        lookups=Crew("lookups", threads=LOOKUP_THREADS, timeout_s=settings.request_timeout_s),
        detections=Crew(
            "detections",
            threads=settings.max_concurrent_detections,
            timeout_s=settings.detection_timeout_s,
        ),
        budget=BodyBudget(settings.max_buffered_bytes),
    )


def close_desk(desk: Desk) -> None:
    """Let the threads go; what they have begun ends by itself."""
    desk.lookups.stop()
    desk.detections.stop()


LOOKUP_THREADS = 8
"""Enough to cover waits for the disk; the database itself takes one writer at a time."""
