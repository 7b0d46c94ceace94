"""Whether a class map can be believed: it must change with the weights, and point at what matters to the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.class_map import area_weights
from seefit.bundle.explanation import Explainer
from seefit.evaluation.intervals import Estimate, estimate, percentile_interval, resamples

if TYPE_CHECKING:
    from onnx import ModelProto

Float = NDArray[np.float32]
Double = NDArray[np.float64]

BLOCKS = 7  # squares in a row that are taken away one after the other
STEPS = (0, 3, 6, 12, 24, 37, 49)  # how many of all 49 are away
BLUR = 1 / 14  # of the side: the width of the blur that leaves no detail
REPLICATES = 1000
OWN = "map/"  # before the constants of the class map, which are no weights


@dataclass(frozen=True)
class Deletion:
    """What taking parts of pictures away does to the probability of their class.

    Attributes:
        map: Mean area under the probability, over the share that is away, when the places that speak most for the class go first.
        random: The same in an order by chance.
        gain: By how much ``map`` is below ``random``: above 0, the map points at what matters.
    """

    map: float
    random: float
    gain: Estimate


def deletion(
    explainer: Explainer, pictures: Sequence[Float], maps: Sequence[Float], *, groups: NDArray[np.int64] | None, seed: int
) -> Deletion:
    """Take the places of pictures away in the order of their maps, and in an order by chance.

    Petsiuk et al. 2018, "RISE", section 4.3, with two changes. Squares of a 7 x 7 grid go, by the sum of the map over each, so that both
    orders leave holes of the same form; and a square is not made grey but blurred until no detail is left, since grey squares are
    themselves something to see.

    Args:
        explainer: Of the model.
        pictures: (3, S, S) each, preprocessed.
        maps: (G, G) each, for the predicted class.
        groups: (N,) numbers of their groups; None without groups.
        seed: Of the order by chance and of the interval.
    """
    rng = np.random.default_rng(seed)
    areas = np.array(
        [
            [_area(explainer, pixels, order) for order in (_by_sum(values), rng.permutation(BLOCKS**2))]
            for pixels, values in zip(pictures, maps, strict=True)
        ]
    )
    gain = mean_estimate(areas[:, 1] - areas[:, 0], groups, seed=seed)
    return Deletion(float(areas[:, 0].mean()), float(areas[:, 1].mean()), gain)


def _by_sum(values: Float) -> NDArray[np.intp]:
    weights = area_weights(len(values), BLOCKS)
    return np.argsort(-(weights @ values @ weights.T).ravel(), kind="stable")


def _area(explainer: Explainer, pixels: Float, order: NDArray[np.intp]) -> float:
    """Return the area under the probability of the predicted class while squares go in an order."""
    from scipy.ndimage import gaussian_filter

    side = pixels.shape[1]
    edges = np.rint(np.arange(BLOCKS + 1) * side / BLOCKS).astype(int)
    gone = gaussian_filter(pixels, (0, side * BLUR, side * BLUR), mode="nearest")
    picture, stages = pixels.copy(), []
    for begin, end in zip((0, *STEPS), STEPS, strict=False):
        for row, column in (divmod(int(at), BLOCKS) for at in order[begin:end]):
            square = slice(None), slice(*edges[row : row + 2]), slice(*edges[column : column + 2])
            picture[square] = gone[square]
        stages.append(picture.copy())
    probabilities = explainer.run(np.stack(stages), ["probabilities"])[0]
    return float(np.trapezoid(probabilities[:, probabilities[0].argmax()], np.array(STEPS) / BLOCKS**2))


def likeness_to_random(
    network: ModelProto,
    classes: Sequence[str],
    pictures: Sequence[Float],
    maps: Sequence[Float],
    labels: Sequence[str],
    *,
    groups: NDArray[np.int64] | None,
    seed: int,
) -> dict[str, Estimate]:
    """Tell how much maps still resemble themselves when weights are put in an order by chance: those of the head, then of all layers.

    Adebayo et al. 2018, "Sanity checks for saliency maps", section 3.1: a map that stays the same cannot explain what was learnt.

    Args:
        network: The ``network`` part with a class map; its weights are lost.
        classes: C names, in the order of the outputs.
        pictures: (3, S, S) each, preprocessed.
        maps: (G, G) each, as the right weights make them.
        labels: The class that each map is for.
        groups: (N,) numbers of their groups; None without groups.
        seed: Of the order and of the interval.

    Returns:
        ``head`` and ``network``: the mean size of the rank correlation, 0 for no likeness and 1 for the same order of places.
    """
    found = {}
    for part in ("head", "network"):
        _shuffle(network, part, seed)
        other = Explainer(network, classes)
        pairs = zip(pictures, maps, labels, strict=True)
        sizes = [abs(rank_correlation(values, other.explain(pixels, label).map)) for pixels, values, label in pairs]
        found[part] = mean_estimate(np.array(sizes), groups, seed=seed)
    return found


def _shuffle(network: ModelProto, part: str, seed: int) -> None:
    """Put the numbers within each weight in an order by chance: of the head, or of every layer."""
    from onnx import TensorProto, numpy_helper

    rng = np.random.default_rng(seed)
    for tensor in network.graph.initializer:
        weight = tensor.data_type == TensorProto.FLOAT and len(tensor.dims) > 1 and not tensor.name.startswith(OWN)
        if weight and part in {"network", tensor.name.partition("/")[0]}:
            array = numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(rng.permutation(array.ravel()).reshape(array.shape), tensor.name))


def rank_correlation(first: Float, second: Float) -> float:
    """Return Spearman's rank correlation of two maps of one shape; 0 where one of them is the same everywhere or not finite."""
    from scipy.stats import rankdata

    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return 0.0
    ranks = [rankdata(values.ravel()) for values in (first, second)]
    centred = [rank - rank.mean() for rank in ranks]
    size = float(np.sqrt(np.prod([rank @ rank for rank in centred])))
    return float(centred[0] @ centred[1]) / size if size else 0.0


def mean_estimate(values: Double, groups: NDArray[np.int64] | None, *, seed: int) -> Estimate:
    """Return the mean of a figure over images with its interval by the bootstrap; whole groups are drawn where there are some.

    Args:
        values: (N,).
        groups: (N,) numbers of their groups; None without groups.
        seed: Of the bootstrap.
    """
    numbers: Any = None if groups is None else np.unique(groups, return_inverse=True)[1]
    drawn = np.concatenate([counts.T for counts in resamples(len(values), numbers, replicates=REPLICATES, seed=seed)])
    means = drawn @ values / drawn.sum(1)
    low, high = percentile_interval(means, len(values) if numbers is None else int(numbers.max()) + 1)
    return estimate(float(values.mean()), float(low), float(high))
