"""One module for each runtime that can run a model; imported only when a card names it."""

import os

from inference.package import ModelPackage
from inference.ports import Backend

_MOST_THREADS = 4


def load_backend(package: ModelPackage, *, threads: int = 0) -> Backend:
    """Load the weights of a package into the runtime that its card names, and try them once.

    Parameters
    ----------
    threads
        Processor threads; 0 takes all cores, but four at most.

    Raises
    ------
    ModelPackageError
        If the weights are not what the card says.
    """
    from inference.backends.onnx import OnnxBackend

    return OnnxBackend(package, threads=threads or _available_threads())


def _available_threads() -> int:
    return min(_MOST_THREADS, len(os.sched_getaffinity(0)))
