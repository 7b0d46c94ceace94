"""The exact class map: what each place of a picture adds to the logit of a class, as two more outputs of the one graph.

``map`` (N, G, G) float32 · ``map_bias`` (N,) float32 · ``explain_class`` int64 (1,) or (N,), an input that may be left out: -1, as it is
then, stands for the predicted class.

Where the features are means and maxima of maps over their places and the head is linear, a logit is a sum over places: under a mean each
place of an h x w map adds weight · value / (h w) (Zhou et al. 2016, "Learning deep features for discriminative localization", section 2),
under a maximum the place of the maximum adds weight · maximum, and places that share a maximum share this equally. All maps come to the
grid of the finest: each cell's part is spread over the cells of the grid that it covers, by area. Nothing is scaled or cut off, so

    map.sum() + map_bias = logits[explain_class]        (before the temperature; the bias is that of the head)

Class tokens, flattened maps, hidden layers, and a norm or a convolution behind the pooling are no such sum: such a graph has no map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.averaging import View, views_in
from seefit.bundle.graph import prune

if TYPE_CHECKING:
    from onnx import ModelProto

MAP, BIAS, CLASS = "map", "map_bias", "explain_class"
PREDICTED = -1
_POOLS = {"ReduceMean": False, "GlobalAveragePool": False, "ReduceMax": True, "GlobalMaxPool": True}  # and whether they take the largest
_RESHAPES = {"Flatten", "Reshape", "Squeeze"}
_PLACES, _PLACES_FIRST = (2, 3), (1, 2)  # the axes of places with channels first, and with channels last
_SMALL = 64  # numbers; larger constants do not matter to shapes


@dataclass(frozen=True)
class Pooled:
    """A map that was pooled over its places into one feature per channel.

    Attributes:
        value: The map, (B, C, h, w), or (B, h, w, C) with ``channels_last``.
        pooled: What pooling made of it.
        largest: Whether it took the maximum; else the mean.
        channels: C.
        height: h.
        width: w.
        channels_last: How the map lies.
    """

    value: str
    pooled: str
    largest: bool
    channels: int
    height: int
    width: int
    channels_last: bool


def add_class_map(network: ModelProto) -> int:
    """Add the class map to a ``network`` part, in place, where its logits are sums over places.

    Args:
        network: What `seefit.bundle.graph.network_model` returned.

    Returns:
        G, the side of the map; 0 where there is none.
    """
    from onnx import TensorProto, helper

    pieces, views = find_pooled(network)
    if not pieces:
        return 0
    side = max(max(piece.height, piece.width) for piece in pieces)
    nodes = _Nodes(network)
    network.graph.input.append(helper.make_tensor_value_info(CLASS, TensorProto.INT64, ["K"]))
    nodes.constant(CLASS, np.array([PREDICTED]), own=True)
    chosen = _chosen_class(nodes)
    row = nodes.add("Gather", ["head/weight", chosen], "row", axis=0)
    if views:
        row = nodes.add("Tile", [row, nodes.constant("as-often", np.array([len(views), 1]))], "row-of-views")
    parts, offset = [], 0
    for number, piece in enumerate(pieces):
        weight = _columns(nodes, row, offset, piece.channels, f"{number}")
        parts.append(_to_grid(nodes, _parts(nodes, piece, weight, f"{number}"), piece, side, f"{number}"))
        offset += piece.channels
    total = nodes.add("Sum", parts, "total" if views else MAP, own=not views)
    if views:
        _mean_of_views(nodes, total, views)
    nodes.add("Gather", ["head/bias", chosen], BIAS, own=True, axis=0)
    network.graph.output.append(helper.make_tensor_value_info(MAP, TensorProto.FLOAT, ["N", side, side]))
    network.graph.output.append(helper.make_tensor_value_info(BIAS, TensorProto.FLOAT, ["N"]))
    return side


def without_class_map(network: ModelProto) -> ModelProto:
    """Return a ``network`` part without the map, which ONNX Runtime would compute for every prediction, asked for or not."""
    return prune(network, [value.name for value in network.graph.output if value.name not in {MAP, BIAS}])


def has_class_map(network: ModelProto) -> bool:
    """Return whether a ``network`` part gives a class map."""
    return {MAP, BIAS} <= {value.name for value in network.graph.output}


def area_weights(cells: int, grid: int) -> NDArray[np.float32]:
    """Return how each of some cells on a line is spread over a finer grid on the same line: (grid, cells), every column sums to 1.

    Args:
        cells: Their number.
        grid: The number of cells of the grid, at least as many.
    """
    fine, coarse = np.arange(grid + 1) / grid, np.arange(cells + 1) / cells
    overlap = np.minimum(fine[1:, None], coarse[None, 1:]) - np.maximum(fine[:-1, None], coarse[None, :-1])
    return np.asarray(np.maximum(overlap, 0) * cells, np.float32)


# ---- what a graph pools ---------------------------------------------------------------------------------------


def find_pooled(network: ModelProto) -> tuple[list[Pooled], list[View]]:
    """Return the maps that the features of a graph are pooled from, in the order of the features, and the views they are means over.

    Args:
        network: With ``features`` among its values.

    Returns:
        Nothing where one of the features is anything else; no views where there is but the picture itself.
    """
    graph = _Graph(network)
    return _pieces("features", graph) or [], graph.views


class _Graph:
    """Which node makes each value, and what is known of shapes and small constants."""

    def __init__(self, model: ModelProto) -> None:
        from onnx import numpy_helper

        self.views = views_in(model)
        self.makers: dict[str, Any] = {name: node for node in model.graph.node for name in node.output}
        small = (tensor for tensor in model.graph.initializer if prod(tensor.dims) <= _SMALL)
        self.constants: dict[str, NDArray[Any]] = {tensor.name: numpy_helper.to_array(tensor) for tensor in small}
        self.shapes = _shapes(model)

    def axes(self, node: Any) -> tuple[int, ...]:
        """Return the axes that a pooling takes together, counted from the front; none where that is not known."""
        if node.op_type.startswith("Global"):
            return _PLACES
        given = [attribute.ints for attribute in node.attribute if attribute.name == "axes"]
        if not given and len(node.input) > 1:
            given = [self.constants.get(node.input[1], np.empty(0, np.int64)).ravel().tolist()]
        rank = len(self.shapes.get(node.input[0], []))
        return tuple(sorted(int(axis) % rank for axes in given for axis in axes)) if rank else ()

    def numbers(self, value: str) -> int:
        """Return how many numbers of a value belong to one image; 0 where that is not known."""
        return prod(self.shapes.get(value, [0])[1:])


def _shapes(model: ModelProto) -> dict[str, list[int]]:
    """Infer the shape of every value, 0 for what is not known; weights are told by their shapes alone, so that nothing large is copied."""
    from onnx import ModelProto, helper, shape_inference

    light = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    light.graph.name = "shapes"
    light.graph.node.extend(model.graph.node)
    light.graph.input.extend(model.graph.input)
    light.graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        if prod(tensor.dims) <= _SMALL:
            light.graph.initializer.append(tensor)
        else:
            light.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    found = shape_inference.infer_shapes(light, data_prop=True).graph
    return {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in [*found.value_info, *found.output]}


def _pieces(value: str, graph: _Graph) -> list[Pooled] | None:
    """Return the pooled maps that a value (B, D) is made of; None where it is made of anything else."""
    node = graph.makers.get(value)
    if node is None:
        return None
    if node.op_type == "Concat" and [attribute.i for attribute in node.attribute] == [1]:
        found = [_pieces(name, graph) for name in node.input]
        return None if None in found else [piece for pieces in found if pieces for piece in pieces]
    if node.op_type == "Identity" or (node.op_type in _RESHAPES and _only_drops_places(node, graph)):
        return _pieces(node.input[0], graph)
    if node.op_type == "ReduceMean" and graph.axes(node) == (0,) and graph.views:
        return _pieces(graph.makers[node.input[0]].input[0], graph)  # before the views were put side by side
    return _pooled(node, graph) if node.op_type in _POOLS else None


def _only_drops_places(node: Any, graph: _Graph) -> bool:
    before, after = graph.shapes.get(node.input[0], []), graph.shapes.get(node.output[0], [])
    return len(before) == 4 and len(after) == 2 and graph.numbers(node.input[0]) == after[1] == max(before[1:])


def _pooled(node: Any, graph: _Graph) -> list[Pooled] | None:
    shape, axes = graph.shapes.get(node.input[0], []), graph.axes(node)
    if len(shape) != 4 or axes not in {_PLACES, _PLACES_FIRST} or not all(shape[1:]):
        return None
    last = axes == _PLACES_FIRST
    channels, height, width = (shape[3], *shape[1:3]) if last else shape[1:]
    return [Pooled(node.input[0], node.output[0], _POOLS[node.op_type], channels, height, width, last)]


# ---- the nodes ------------------------------------------------------------------------------------------------


class _Nodes:
    """Adds nodes and constants to a graph, each under ``map/``."""

    def __init__(self, network: ModelProto) -> None:
        self.graph = network.graph

    def add(self, kind: str, inputs: Sequence[str], name: str, *, own: bool = False, **attributes: Any) -> str:
        """Add a node and return its value; ``own`` keeps the name as it is."""
        return self.add_many(kind, inputs, [name if own else f"map/{name}"], **attributes)[0]

    def add_many(self, kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> Sequence[str]:
        """Add a node of several values."""
        from onnx import helper

        self.graph.node.append(helper.make_node(kind, inputs, outputs, name=outputs[0], **attributes))
        return outputs

    def constant(self, name: str, value: NDArray[Any], *, own: bool = False) -> str:
        """Add a constant and return its name."""
        from onnx import numpy_helper

        name = name if own else f"map/{name}"
        self.graph.initializer.append(numpy_helper.from_array(value, name))
        return name


def _chosen_class(nodes: _Nodes) -> str:
    """Return (N,) class numbers: what is asked for, else the most probable."""
    best = nodes.add("ArgMax", ["logits"], "best", axis=1, keepdims=0)
    left_out = nodes.add("Less", [CLASS, nodes.constant("first", np.array(0))], "left-out")
    return nodes.add("Where", [left_out, best, CLASS], "class")


def _columns(nodes: _Nodes, row: str, start: int, count: int, name: str) -> str:
    """Return the weights (B, 1, C) of one piece of the features."""
    ends = [nodes.constant(f"{name}/{key}", np.array([value])) for key, value in (("start", start), ("end", start + count), ("axis", 1))]
    columns = nodes.add("Slice", [row, *ends], f"{name}/columns")
    return nodes.add("Unsqueeze", [columns, ends[2]], f"{name}/weight")


def _parts(nodes: _Nodes, piece: Pooled, weight: str, name: str) -> str:
    """Return what each place of a map adds, (B, h, w)."""
    value, count = piece.value, piece.height * piece.width
    if piece.channels_last:
        value = nodes.add("Transpose", [value], f"{name}/turned", perm=[0, 3, 1, 2])
    shape = nodes.constant(f"{name}/flat-shape", np.array([0, piece.channels, count]))
    flat = nodes.add("Reshape", [value, shape], f"{name}/flat")
    if piece.largest:
        column = nodes.constant(f"{name}/column", np.array([0, piece.channels, 1]))
        largest = nodes.add("Reshape", [piece.pooled, column], f"{name}/largest")
        there = nodes.add("Cast", [nodes.add("Equal", [flat, largest], f"{name}/is-largest")], f"{name}/there", to=1)
        axis = nodes.constant(f"{name}/places", np.array([2]))
        places = nodes.add("ReduceSum", [there, axis], f"{name}/count", keepdims=1)
        each = nodes.add("Div", [largest, places], f"{name}/each")
        spread = nodes.add("Mul", [weight, nodes.add("Transpose", [each], f"{name}/each-row", perm=[0, 2, 1])], f"{name}/part")
        summed = nodes.add("MatMul", [spread, there], f"{name}/sum")
    else:
        share = nodes.constant(f"{name}/share", np.array(1 / count, np.float32))
        summed = nodes.add("MatMul", [nodes.add("Mul", [weight, share], f"{name}/part"), flat], f"{name}/sum")
    back = nodes.constant(f"{name}/map-shape", np.array([-1, piece.height, piece.width]))
    return nodes.add("Reshape", [summed, back], f"{name}/map")


def _to_grid(nodes: _Nodes, parts: str, piece: Pooled, side: int, name: str) -> str:
    """Return (B, h, w) parts on the grid (B, G, G), with the same sum."""
    if piece.height != side:
        down = nodes.constant(f"{name}/down", area_weights(piece.height, side))
        parts = nodes.add("MatMul", [down, parts], f"{name}/rows")
    if piece.width != side:
        across = nodes.constant(f"{name}/across", np.ascontiguousarray(area_weights(piece.width, side).T))
        parts = nodes.add("MatMul", [parts, across], f"{name}/grid")
    return parts


def _mean_of_views(nodes: _Nodes, total: str, views: Sequence[View]) -> None:
    """Turn the map of each view, (V · N, G, G) view after view, back to how the picture lies, and take the mean."""
    each = nodes.add_many("Split", [total], [f"map/view-{i}" for i in range(len(views))], axis=0, num_outputs=len(views))
    upright = []
    for number, (value, axes) in enumerate(zip(each, views, strict=True)):
        backwards = np.full(len(axes), -1)
        ends = np.full(len(axes), np.iinfo(np.int64).min)
        places = np.array([axis - 1 for axis in axes], np.int64)  # a map has no axis of channels
        bounds = {"starts": backwards, "ends": ends, "axes": places, "steps": backwards}
        inputs = [nodes.constant(f"view-{number}/{key}", bound.astype(np.int64)) for key, bound in bounds.items()] if axes else []
        upright.append(nodes.add("Slice", [value, *inputs], f"view-{number}/upright") if axes else value)
    summed = nodes.add("Sum", upright, "sum-of-views")
    nodes.add("Mul", [summed, nodes.constant("share-of-view", np.array(1 / len(views), np.float32))], MAP, own=True)
