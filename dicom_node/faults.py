"""How a bug is logged: where it happened, never the values that it met."""

import logging
import traceback

log = logging.getLogger(__name__)


def log_fault(what: str, association_id: str, error: Exception) -> None:
    """Log a bug with its traceback, but without its text, which may hold a value."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.error("%s on association %s: %s\n%s", what, association_id, type(error).__name__, frames)
