"""Several networks and several views of an image as one network, whose linear head gives the mean of all their logits.

The mean of logits of linear heads is a linear head again: on the members' features one after another, each the mean over
the views. So an average of networks is a bundle like every other, with one graph and one head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

FEATURES = "members"  # the output of the merged network
VIEWS = "views"  # all that it sees of a batch, view after view
View = tuple[int, ...]  # the axes of (N, 3, S, S) pixels that are turned round: none for the image as it is

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Member:
    """One of the networks.

    Attributes:
        network: From ``pixels`` (N, 3, S, S) to ``features`` (N, D), as `seefit.bundle.graph.features_model` makes it.
        mean: Per channel, of RGB in [0, 1]: what its pixels are normalised with.
        std: Likewise.
        weight: (C, D) float32 of its head.
        bias: (C,) float32 of its head.
    """

    network: ModelProto
    mean: Colour
    std: Colour
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


def average_networks(members: Sequence[Member], views: Sequence[View]) -> ModelProto:
    """Merge networks that take pictures of one size.

    Args:
        members: The networks; the normalisation of the first is that of the merged one.
        views: What each network sees of a picture; at least one.

    Returns:
        A model from ``pixels`` (N, 3, S, S) float32 to ``members`` (N, sum of D) float32: the features of each member, mean over
        the views.
    """
    from onnx import ModelProto, TensorProto, helper

    first = members[0].network
    model = ModelProto(ir_version=first.ir_version, opset_import=first.opset_import)
    graph = model.graph
    graph.name = "network"
    graph.input.extend(first.graph.input)
    _add_views(graph, views)
    for number, member in enumerate(members):
        _add_member(graph, number, member, members[0], len(views))
    means = [f"average-{number}/mean" for number in range(len(members))]
    graph.node.append(helper.make_node("Concat", means, [FEATURES], name=FEATURES, axis=1))
    width = sum(member.weight.shape[1] for member in members)
    graph.output.append(helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["N", width]))
    return model


def average_heads(members: Sequence[Member]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the head on the merged features whose logits are the mean of the members': (C, sum of D) weights and (C,) bias."""
    weight = np.concatenate([member.weight.astype(np.float64) for member in members], 1) / len(members)
    bias = np.mean([member.bias.astype(np.float64) for member in members], 0)
    return np.ascontiguousarray(weight, np.float32), bias.astype(np.float32)


def views_in(model: ModelProto) -> list[View]:
    """Return the views that a network from `average_networks` sees of a picture; none of any other network."""
    nodes = {node.name: node for node in model.graph.node}
    names = nodes[VIEWS].input if {VIEWS, FEATURES} <= set(nodes) else []
    return [tuple(int(axis) for axis in name.split("-")[1:]) for name in names]


def _add_views(graph: GraphProto, views: Sequence[View]) -> None:
    """Add what makes ``views`` (V · N, 3, S, S) of ``pixels``, view after view."""
    from onnx import helper

    names = []
    for axes in views:
        name = "view" + "".join(f"-{axis}" for axis in axes)
        if axes:
            backwards = np.full(len(axes), -1)
            bounds = {"starts": backwards, "ends": np.full(len(axes), np.iinfo(np.int64).min), "axes": axes, "steps": backwards}
            inputs = [_constant(graph, f"{name}/{key}", np.array(value, np.int64)) for key, value in bounds.items()]
            graph.node.append(helper.make_node("Slice", ["pixels", *inputs], [name], name=name))
        else:
            graph.node.append(helper.make_node("Identity", ["pixels"], [name], name=name))
        names.append(name)
    graph.node.append(helper.make_node("Concat", names, [VIEWS], name=VIEWS, axis=0))


def _add_member(graph: GraphProto, number: int, member: Member, first: Member, views: int) -> None:
    """Add a network, with its own normalisation before it and the mean over the views after it."""
    from onnx import compose, helper

    own, around = f"member-{number}/", f"average-{number}/"  # two prefixes: whatever names the network has, none meets one of ours
    network = compose.add_prefix(member.network, own).graph
    _add_normalisation(graph, number, member, first)
    graph.node.extend(network.node)
    graph.initializer.extend(network.initializer)
    shape = _constant(graph, f"{around}by-view", np.array([views, -1, member.weight.shape[1]], np.int64))
    axis = _constant(graph, f"{around}view-axis", np.array([0], np.int64))
    graph.node.append(helper.make_node("Reshape", [f"{own}features", shape], [f"{around}viewed"], name=f"{around}viewed"))
    mean = f"{around}mean"
    graph.node.append(helper.make_node("ReduceMean", [f"{around}viewed", axis], [mean], name=mean, keepdims=0))


def _add_normalisation(graph: GraphProto, number: int, member: Member, first: Member) -> None:
    """Add what turns pixels as the first member wants them into pixels as this one does."""
    from onnx import helper

    pixels, around = f"member-{number}/pixels", f"average-{number}/"
    if (member.mean, member.std) == (first.mean, first.std):
        graph.node.append(helper.make_node("Identity", [VIEWS], [pixels], name=pixels))
        return
    mean, std, base, spread = (np.array(values).reshape(3, 1, 1) for values in (member.mean, member.std, first.mean, first.std))
    factor = _constant(graph, f"{around}factor", (spread / std).astype(np.float32))
    offset = _constant(graph, f"{around}offset", ((base - mean) / std).astype(np.float32))
    graph.node.append(helper.make_node("Mul", [VIEWS, factor], [f"{around}scaled"], name=f"{around}scaled"))
    graph.node.append(helper.make_node("Add", [f"{around}scaled", offset], [pixels], name=pixels))


def _constant(graph: GraphProto, name: str, value: NDArray[np.generic]) -> str:
    from onnx import numpy_helper

    graph.initializer.append(numpy_helper.from_array(value, name))
    return name
