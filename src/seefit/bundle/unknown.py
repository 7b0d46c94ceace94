"""How unlike the training images an image is: one number, computed by the graph itself, above 1 where it should be refused.

Three signs are added, each in units of its spread over images that the model knows but did not learn from:

- how little the head recognises: minus log sum exp of its logits less their mean (the energy of Liu et al. 2020, arXiv 2010.03759);
- how far the image is from the nearest class, less how far it is from all images: the relative Mahalanobis distance (Ren et al. 2021,
  arXiv 2106.09022, section 3) in the directions that tell the classes apart;
- how far it is from the nearest training image (Sun et al. 2022, arXiv 2204.06507), by features of length one in a few directions, what
  lies outside of these counted in full.

Each sees what the others miss (docs/LOG.md). None may speak for an image more than it does for the most familiar sixth of the known
ones: far from everything that was learnt a head can be surer than ever. Only plain operators are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import ModelProto

Float = NDArray[np.float32]

OUTPUT = "unknown"
LIMIT = 1.0  # of the output; 0 is an image as the model knows them
TINY = 1e-12  # the least length that features are divided by
BLOCK = 2_048  # images looked at together


@dataclass(frozen=True)
class Familiar:
    """What the model knows, as far as a new image is compared with it.

    Attributes:
        centre: (D,) mean of the training images' features of length one.
        projection: (D, P) the directions in which they differ most.
        gallery: (G, P) training images in these directions.
        discriminants: (P, R) the directions that tell the classes apart, in units of the spread within classes.
        means: (C, R) of the classes in them.
        background: (R,) one over the variance of all images in them.
        floors: (3,) the least that each sign counts as.
        units: (3,) what one of each sign counts in the sum.
        offset: What is added to it.
    """

    centre: Float
    projection: Float
    gallery: Float
    discriminants: Float
    means: Float
    background: Float
    floors: Float
    units: Float
    offset: float

    def signs(self, features: Float, logits: Float) -> NDArray[np.float64]:
        """Return (N, 3) the three signs as the graph computes them, but in float64, of (N, D) features and (N, C) logits."""
        found = np.empty((len(features), 3))
        for start in range(0, len(features), BLOCK):
            part = slice(start, start + BLOCK)
            found[part] = self._signs(features[part].astype(np.float64), logits[part].astype(np.float64))
        return found

    def _signs(self, features: NDArray[np.float64], logits: NDArray[np.float64]) -> NDArray[np.float64]:
        centred = logits - logits.mean(axis=1, keepdims=True)
        top = centred.max(axis=1)
        energy = -top - np.log(np.exp(centred - top[:, None]).sum(axis=1))
        wide = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), TINY) - self.centre
        flat = wide @ self.projection
        told = flat @ self.discriminants
        relative = (told**2) @ (1 - self.background.astype(np.float64)) + _least(told, self.means)
        nearest = np.sqrt(np.maximum((wide**2).sum(axis=1) + _least(flat, self.gallery), 0))
        return np.stack([energy, relative, nearest], axis=1)

    def scores(self, features: Float, logits: Float) -> NDArray[np.float64]:
        """Return (N,) what the graph's output ``unknown`` is of (N, D) features and (N, C) logits."""
        return np.maximum(self.signs(features, logits), self.floors) @ self.units.astype(np.float64) + self.offset


def _least(points: NDArray[np.float64], others: Float) -> NDArray[np.float64]:
    """Return (N,) the least of |other|² - 2 point · other: the least squared distance, less |point|²."""
    wide = others.astype(np.float64)
    found: NDArray[np.float64] = ((wide**2).sum(axis=1) - 2 * points @ wide.T).min(axis=1)
    return found


def with_unknown(network: ModelProto, familiar: Familiar) -> ModelProto:
    """Give the ``network`` part of a graph the output ``unknown`` (N,).

    Args:
        network: From `seefit.bundle.graph.network_model`, with the values ``features`` and ``logits``.
        familiar: What a new image is compared with.
    """
    from onnx import ModelProto, TensorProto, helper, numpy_helper

    model = ModelProto()
    model.CopyFrom(network)
    graph = model.graph

    def keep(name: str, value: NDArray[np.generic] | list[int] | list[float], kind: type[np.generic] = np.float32) -> str:
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value, kind), f"unknown/{name}"))
        return f"unknown/{name}"

    def add(operator: str, inputs: list[str], name: str, **options: int | float) -> str:
        graph.node.append(helper.make_node(operator, inputs, [f"unknown/{name}"], name=f"unknown/{name}", **options))
        return f"unknown/{name}"

    def least(points: str, others: Float, name: str) -> str:
        squares = (others.astype(np.float64) ** 2).sum(axis=1)
        product = add("Gemm", [points, keep(f"{name}s", -2 * others.T), keep(f"{name}-squares", squares)], f"to-{name}s")
        return add("ReduceMin", [product, axis], f"to-{name}", keepdims=1)

    axis = keep("axis", [1], np.int64)
    mean = add("ReduceMean", ["logits", axis], "mean-logit", keepdims=1)
    energy = add(
        "Neg", [add("ReduceLogSumExp", [add("Sub", ["logits", mean], "centred-logits"), axis], "recognised", keepdims=1)], "energy"
    )

    length = add("Max", [add("ReduceL2", ["features", axis], "raw-length", keepdims=1), keep("tiny", [TINY])], "length")
    wide = add("Sub", [add("Div", ["features", length], "of-length-one"), keep("centre", familiar.centre)], "centred")
    flat = add("MatMul", [wide, keep("projection", familiar.projection)], "flat")
    told = add("MatMul", [flat, keep("discriminants", familiar.discriminants)], "told-apart")
    shares = keep("foreground", (1 - familiar.background)[:, None])
    own = add("MatMul", [add("Mul", [told, told], "told-apart-squares"), shares], "own")
    relative = add("Add", [own, least(told, familiar.means, "class")], "relative")

    whole = add("ReduceSumSquare", [wide, axis], "whole", keepdims=1)
    square = add("Max", [add("Add", [whole, least(flat, familiar.gallery, "image")], "square"), keep("zero", [0.0])], "square-from-0")
    signs = add("Concat", [energy, relative, add("Sqrt", [square], "nearest")], "raw-signs", axis=1)
    signs = add("Max", [signs, keep("floors", familiar.floors)], "signs")
    total = add("Add", [add("MatMul", [signs, keep("units", familiar.units)], "sum"), keep("offset", [familiar.offset])], "total")
    graph.node.append(helper.make_node("Identity", [total], [OUTPUT], name=OUTPUT))
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N"]))
    return model
