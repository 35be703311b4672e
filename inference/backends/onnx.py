"""ONNX Runtime on the CPU."""

from typing import Any

import numpy as np
import onnxruntime as ort

from inference.errors import ModelFailedError, ModelPackageError
from inference.package import ModelCard, ModelPackage, read_weights
from inference.ports import Tensor

_FIXED_COLUMNS = {"yolo_end_to_end": 6}
_LEVEL_ERROR = 3


class OnnxBackend:
    """A network in an ONNX Runtime session."""

    def __init__(self, package: ModelPackage, *, threads: int) -> None:
        self._name = package.card.name
        self._session = _session(package, threads)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or not outputs:
            raise ModelPackageError(
                f"{package.weights} has {len(inputs)} inputs and {len(outputs)} outputs",
                remedy="A detector has one input; its first output is read",
            )
        self._input, self._output = inputs[0].name, outputs[0].name
        check_input(package, inputs[0].type, inputs[0].shape)
        sample = np.zeros(input_shape(package.card, 1), np.float32)
        check_output(package, self.run(sample).shape)

    def run(self, batch: Tensor) -> Tensor:
        """Return the first output for `batch`."""
        try:
            output: Any = self._session.run([self._output], {self._input: batch})[0]
        except Exception as error:  # noqa: BLE001 - the runtime raises classes of its own
            raise ModelFailedError(f"model {self._name} failed ({type(error).__name__})") from None
        result = np.asarray(output, dtype=np.float32)
        if not np.isfinite(result).all():
            raise ModelFailedError(f"model {self._name} gave numbers that are none")
        return result


def input_shape(card: ModelCard, batch: int) -> tuple[int, int, int, int]:
    """Return the shape of a batch in the layout of the card."""
    contract = card.input
    if contract.layout == "NHWC":
        return batch, contract.height, contract.width, contract.channels
    return batch, contract.channels, contract.height, contract.width


def check_input(package: ModelPackage, kind: str, shape: list[int | str | None]) -> None:
    """Refuse weights whose input is not that of the card; open dimensions fit anything."""
    expected = input_shape(package.card, 1)
    is_open = [not isinstance(size, int) or size < 0 for size in shape]
    fits = len(shape) == 4 and all(
        free or size == wanted for free, size, wanted in zip(is_open, shape, expected, strict=True)
    )
    if not fits or kind != "tensor(float)":
        raise ModelPackageError(
            f"{package.weights} takes {kind} {shape}, but model.yaml says float {list(expected)}",
            remedy="Export the weights for the input that the card states, batch 1 or open",
        )


def check_output(package: ModelPackage, shape: tuple[int, ...]) -> None:
    """Refuse weights whose answer does not fit the card's head and labels."""
    card = package.card
    rows = 4 + len(card.labels)
    fits = len(shape) == 3 and (
        shape[2] == _FIXED_COLUMNS["yolo_end_to_end"]
        if card.output.head == "yolo_end_to_end"
        else shape[1] == rows
    )
    if not fits:
        expected = "[1, n, 6]" if card.output.head == "yolo_end_to_end" else f"[1, {rows}, n]"
        raise ModelPackageError(
            f"{package.weights} answers {list(shape)}, but {len(card.labels)} labels and head "
            f"{card.output.head} in model.yaml mean {expected}",
            remedy="Name exactly the labels that the weights were trained on, in their order",
        )


def _session(package: ModelPackage, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _LEVEL_ERROR
    # A thread that spins while it waits takes the core from the decoders.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    weights = read_weights(package)
    try:
        return ort.InferenceSession(
            weights, sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise ModelPackageError(
            f"{package.weights} is no ONNX network that can be loaded ({type(error).__name__})",
            remedy="Fetch the whole package again; there is no fallback to other weights",
        ) from error
