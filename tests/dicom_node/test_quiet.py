import logging
from collections.abc import Iterator

import pytest
from pynetdicom import _config

import dicom_node.wire.quiet


class Listener(logging.Handler):
    """Hears what reaches the root logger, as a service's own handler would."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.heard += self.format(record) + "\n"


@pytest.fixture
def root() -> Iterator[Listener]:
    listener, logger = Listener(), logging.getLogger()
    level = logger.level
    logger.addHandler(listener)
    logger.setLevel(logging.DEBUG)
    yield listener
    logger.removeHandler(listener)
    logger.setLevel(level)


@pytest.mark.parametrize("name", ["pynetdicom", "pynetdicom.dul", "pynetdicom.association"])
def test_the_words_of_the_library_never_reach_our_log(name: str, root: Listener) -> None:
    library = logging.getLogger(name)
    library.debug("PatientID 4711")
    library.error("PatientID 4711")
    library.error("DOE^JOHN", exc_info=ValueError("PatientName DOE^JOHN"))
    assert "4711" not in root.heard
    assert "DOE" not in root.heard
    assert "complained (ValueError); its text is withheld" in root.heard


def test_a_logger_of_the_library_that_somebody_opened_is_still_cut_off(root: Listener) -> None:
    library = logging.getLogger("pynetdicom.acse")
    library.setLevel(logging.DEBUG)
    library.debug("PatientID 4711")
    library.setLevel(logging.NOTSET)
    assert "4711" not in root.heard


def test_the_library_prints_no_identifiers() -> None:
    assert dicom_node.wire.quiet
    assert _config.LOG_REQUEST_IDENTIFIERS is False
    assert _config.LOG_RESPONSE_IDENTIFIERS is False
    assert _config.LOG_HANDLER_LEVEL == "none"
