"""What is read back from the workflow database: plain values and errors, nothing that runs.

DBOS pickles, and each row says by itself that it did. Who may write to that database, or to a
backup of it, must not thereby run code in the one process that holds every key.
"""

import base64
import io
import pickle
import sys


class _PlainReader(pickle.Unpickler):
    """Knows no class but errors of modules that are loaded already."""

    def find_class(self, module_name: str, global_name: str) -> type[Exception]:
        found = getattr(sys.modules.get(module_name), global_name, None)
        if isinstance(found, type) and issubclass(found, Exception):
            return found
        raise pickle.UnpicklingError("the workflow database holds what no workflow of ours wrote")


def read_plain(text: str) -> object:
    """Return a value that DBOS wrote.

    Raises
    ------
    pickle.UnpicklingError
        If it names anything that could run.
    """
    return _PlainReader(io.BytesIO(base64.b64decode(text))).load()
