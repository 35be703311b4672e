"""Logs: one JSON line an event on standard error, and nothing of a patient in any of them."""

import logging
import sys
import traceback
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import structlog

from core.errors import ServiceError

_QUIET = ("dbos", "pynetdicom", "pydicom", "alembic", "sqlalchemy", "uvicorn", "highdicom")
"""Libraries whose lines may quote what they were given; only their errors pass."""


def configure_logs(role: str, *, level: int = logging.INFO) -> None:
    """Send every log line of this process to standard error as JSON."""
    shared: list[structlog.types.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _safe_exception,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _with_role(role),
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.captureWarnings(capture=True)
    logging.getLogger("py.warnings").setLevel(logging.CRITICAL)


def _with_role(role: str) -> structlog.types.Processor:
    def add(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ANN401
        event["role"] = role
        return event

    return add


def _safe_exception(
    _: Any,  # noqa: ANN401
    __: str,
    event: MutableMapping[str, Any],
) -> MutableMapping[str, Any]:
    """Replace a traceback by its frames and types; only our own errors keep their text."""
    exc_info = event.pop("exc_info", None)
    if exc_info is True:
        exc_info = sys.exc_info()
    error = exc_info[1] if isinstance(exc_info, tuple) else exc_info
    if isinstance(error, BaseException):
        event["exception"] = describe(error)
    return event


def describe(error: BaseException) -> str:
    """Tell where a defect happened without the text of a foreign exception."""
    frames = traceback.extract_tb(error.__traceback__)
    places = " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(frames))
    text = f": {error}" if isinstance(error, ServiceError) else ""
    return f"{type(error).__name__}{text} at {places}"
