"""Turn a checkpoint into the weights of a model package: ONNX, decoded boxes, no suppression."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import CorruptionError, InputError
from inference.training.runtime import load_checked, prepare_runtime

OPSET = 17
INPUT_NAME = "images"
OUTPUT_NAME = "detections"
PARITY = 1e-3
"""Largest difference to torch that we accept: pixels of a box, and score."""


class ExportError(CorruptionError):
    """The exported weights do not say what the checkpoint says."""


def export_onnx(checkpoint: Path, target: Path, *, input_px: int) -> None:
    """Write the detector of `checkpoint` as ONNX, any batch size, a square of `input_px`.

    Input (batch, 3, rows, columns) RGB in 0 to 1; output (batch, 4 + classes, candidates): centre x
    and y, width, height in input pixels, then one score a class.

    Raises
    ------
    InputError
        If the checkpoint is no detector of that kind.
    ExportError
        If ONNX Runtime and torch disagree on the result.
    ConfigurationError
        If the extra `torch` is not installed.
    """
    prepare_runtime()
    import torch

    network = _inference_form(load_checked(checkpoint)[0])
    sample = torch.rand(1, 3, input_px, input_px, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network(sample)  # fixes the anchors of this input size, so that they become constants
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer warns of every shape that it fixes
            torch.onnx.export(
                network,
                (sample,),
                str(target),
                opset_version=OPSET,
                input_names=[INPUT_NAME],
                output_names=[OUTPUT_NAME],
                dynamic_axes={INPUT_NAME: {0: "batch"}, OUTPUT_NAME: {0: "batch"}},
                dynamo=False,
            )
        pair = torch.cat([sample, sample.flip(3)])
        expected = np.stack([network(frame[None])[0].numpy() for frame in pair])
    _state_output_shape(target, expected.shape[1:])
    _check_parity(target, pair.numpy(), expected)


def _inference_form(network: Any) -> Any:  # noqa: ANN401 - ultralytics ships no types
    """Return the network with its normalisation folded in and its boxes decoded."""
    network = network.float().eval().fuse(verbose=False)
    head = network.model[-1]
    if type(head).__name__ != "Detect" or head.end2end:
        raise InputError(
            f"the checkpoint ends in {type(head).__name__}, not in a plain detection layer",
            remedy="Train yolov8n, yolo11n or another detector of that family",
        )
    for parameter in network.parameters():
        parameter.requires_grad = False
    head.export, head.format = True, "onnx"
    return network


def _state_output_shape(weights: Path, shape: tuple[int, ...]) -> None:
    """Write the shape of one frame's output, which the tracer leaves open."""
    import onnx

    model = onnx.load(str(weights))
    dimensions = model.graph.output[0].type.tensor_type.shape.dim
    for dimension, value in zip(dimensions[1:], shape, strict=True):
        dimension.dim_value = value
    onnx.checker.check_model(model)
    onnx.save(model, str(weights))


def _check_parity(
    weights: Path, inputs: NDArray[np.float32], expected: NDArray[np.float32]
) -> None:
    """Run the exported file on a batch of two, which is not the batch it was traced with."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(weights), providers=["CPUExecutionProvider"])
    actual = session.run([OUTPUT_NAME], {INPUT_NAME: inputs})[0]
    difference = float(np.abs(actual - expected).max())
    if not difference <= PARITY:
        raise ExportError(f"ONNX Runtime and torch differ by {difference:.4f}")
