"""What a runtime must be able to do for us."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Tensor = NDArray[np.float32]


class Backend(Protocol):
    """A loaded network of one package; called by one thread at a time."""

    def run(self, batch: Tensor) -> Tensor:
        """Return the network's output for a batch in the layout of its input contract.

        Raises
        ------
        ModelFailedError
            If the runtime fails, or gives numbers that are none.
        """
