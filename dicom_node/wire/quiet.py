"""Makes pynetdicom silent about what it sees: identifiers, peers' strings, values in its errors.

Import this before anything of pynetdicom is used.
"""

import logging

from pynetdicom import _config

log = logging.getLogger(__name__)


class WithheldText(logging.Handler):
    """Passes on where pynetdicom complained, but never its words: they may hold a value."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log the place, and the type of the exception if there is one."""
        fault = record.exc_info[0] if record.exc_info else None
        kind = f" ({fault.__name__})" if fault else ""
        log.log(
            logging.DEBUG,
            "%s.%s, line %d, complained%s; its text is withheld",
            record.name,
            record.funcName,
            record.lineno,
            kind,
        )


def silence_pynetdicom() -> None:
    """Cut pynetdicom's loggers off from ours, at every level."""
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
    library = logging.getLogger("pynetdicom")
    library.handlers = [WithheldText(logging.WARNING)]
    library.propagate = False
    library.setLevel(logging.WARNING)


silence_pynetdicom()
