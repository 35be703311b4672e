"""A tiny real detector: it finds bright cells of 8 x 8 pixels. Built here, not trained."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from core.codes import LESION
from inference.package import (
    InputContract,
    Label,
    ModelCard,
    ModelPackage,
    WeightsFile,
    write_package,
)

SIDE = 64
CELL = 8
CELLS = SIDE // CELL


def bright_cells_package(
    folder: Path, names: Sequence[str] = ("bright",), **changes: Any
) -> ModelPackage:
    """Write a package whose score for each cell of a 64 x 64 picture is its mean brightness.

    With two names of labels, the score of the second is one minus that of the first. `changes` are
    fields of the card.
    """
    weights = folder.with_suffix(".onnx")
    weights.parent.mkdir(parents=True, exist_ok=True)
    weights.write_bytes(_network(len(names)).SerializeToString())
    card = ModelCard(
        name=folder.name,
        version="1.0.0",
        manufacturer="Second Reader tests",
        licence="AGPL-3.0-or-later",
        intended_use="Tests only: finds bright squares.",
        weights=WeightsFile(file="cells.onnx", sha256="0" * 64),
        input=InputContract(width=SIDE, height=SIDE),
        labels=tuple(Label(name=name, concept=LESION) for name in names),
        concept=LESION,
    )
    return write_package(folder, card.model_copy(update=changes), weights)


def picture_with_cells(*cells: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a black 64 x 64 RGB picture in which these (column, row) cells are white."""
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    for column, row in cells:
        pixels[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = 255
    return pixels


def hanging_package(folder: Path) -> ModelPackage:
    """Write a package that answers for dark pictures, and never comes to an end with white ones."""
    package = bright_cells_package(folder)
    network = onnx.load(package.weights)
    graph = network.graph
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["still"]),
            helper.make_node("Mul", ["before", "one"], ["after"]),
        ],
        "for ever",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, [1, 5, CELLS**2]),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, [1, 5, CELLS**2]),
        ],
    )
    graph.node[-1].output[0] = "found"
    graph.node.extend(
        [
            helper.make_node("ReduceMin", ["images"], ["darkest"], keepdims=0),
            helper.make_node("Mul", ["darkest", "many"], ["product"]),
            helper.make_node("Cast", ["product"], ["turns"], to=TensorProto.INT64),
            helper.make_node("Loop", ["turns", "", "found"], ["detections"], body=body),
        ]
    )
    graph.initializer.append(numpy_helper.from_array(np.array(1e15, np.float32), "many"))
    weights = folder.with_suffix(".onnx")
    weights.write_bytes(network.SerializeToString())
    return write_package(folder, package.card, weights)


def _network(labels: int) -> onnx.ModelProto:
    centres = (np.arange(CELLS, dtype=np.float32) + 0.5) * CELL
    across, down = np.meshgrid(centres, centres)
    sides = np.full((2, CELLS * CELLS), CELL, np.float32)
    boxes = np.concatenate([across.reshape(1, -1), down.reshape(1, -1), sides])[None]
    scores = ["grey", "inverse"][:labels]
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1], keepdims=1),
        helper.make_node(
            "AveragePool", ["mean"], ["cells"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]
        ),
        helper.make_node("Reshape", ["cells", "shape"], ["grey"]),
        helper.make_node("Sub", ["one", "grey"], ["inverse"]),
        helper.make_node("Concat", ["boxes", *scores], ["detections"], axis=1),
    ]
    constants = {
        "boxes": boxes,
        "shape": np.array([1, 1, CELLS * CELLS], np.int64),
        "one": np.ones(1, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "bright cells",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("detections", TensorProto.FLOAT, [1, 4 + labels, CELLS**2])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
