"""The models of an installation, and the way to the process that runs them."""

from inference.client import ReaderClient
from inference.registry import SHIPPED, Registry
from service.settings import Installation


def registry(installation: Installation) -> Registry:
    """Return the models of an installation: the shipped ones and its own."""
    folders = installation.settings.inference.package_folders
    return Registry((SHIPPED, *(installation.path(folder) for folder in folders)))


def reader(installation: Installation) -> ReaderClient:
    """Return the way to the reader."""
    settings = installation.settings.inference
    return ReaderClient(installation.path(settings.socket), timeout_s=settings.request_timeout_s)
