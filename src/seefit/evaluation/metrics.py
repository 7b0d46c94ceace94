"""How good a classifier is, each figure with a 95 % interval.

How the intervals are made, since no single way is right for all:

- A proportion of independent images (accuracy, majority baseline, precision, recall) has Wilson's interval. A class's F1
  has Wilson's interval of TP / (TP + FP + FN), of which F1 is a rising function.
- The gain over the majority baseline is judged pair by pair, on the same images and the same resamples: where images come in
  groups, accuracy and baseline rise and fall together, so the two intervals may overlap widely and the gain still be certain.
  For independent images it has Bonett and Price's interval of a paired difference.
- Everything else, and everything when images come in groups, has the expanded percentile interval of the bootstrap
  over images or whole groups.
- The bootstrap never draws the mistake that has not happened yet: with every image right it says "100 % to 100 %".
  So the gain is never given less than Bonett and Price's interval, and whatever is a proportion or a mean of proportions
  never less than Wilson's at its effective number of images: (sum w)^2 / sum w^2 for weighted accuracy, C^2 / sum(1 / n_c)
  for means over classes. For AUC that is four times the smaller side: in simulations with normal scores, 3 to 1,000 images
  on that side and a true AUC from 0.86 to 0.999, such intervals held the truth at least 95 times in 100, those of the
  bootstrap alone 52 to 96 times.
- Chance pushes ECE up, and in a resample once more, and adds to it as to a standard deviation. So the ends of its
  percentile interval are mirrored at the value (the basic bootstrap) as squares: a calibrated model gets a low end of 0.
- NLL and Brier score have no such bound: with very few mistakes in the part their intervals are too narrow.

From 101 classes on there is no confusion matrix, no AUC per class, and intervals per class take images as independent. Macro AUC
gets fewer resamples when ``resamples * images * classes`` would pass 2e9, and no interval when fewer than 100 would be left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seefit.errors import unknown_name
from seefit.evaluation.calibrate import calibration_errors
from seefit.evaluation.confusion import confusion_matrix
from seefit.evaluation.facts import Facts, gather_facts, number_units
from seefit.evaluation.intervals import (
    Estimate,
    Floats,
    Ints,
    effective_size,
    estimate,
    mirrored,
    paired_difference,
    percentile_interval,
    resamples,
    wilson,
    wilson_f1,
)
from seefit.evaluation.roc import RankedClass, class_aucs, column_sums, divide, ranked_classes, row_sums

NAMES = ("accuracy", "balanced_accuracy", "weighted_accuracy", "macro_f1", "auc", "nll", "brier", "ece", "majority_baseline", "gain")
MANY_CLASSES = 100

_AUC_WORK = 2_000_000_000  # images x classes x resamples: a few seconds
_FEWEST_RESAMPLES = 100

Counts = NDArray[np.float32]  # how many times each image is drawn, one column per resample


@dataclass(frozen=True)
class Metrics:
    """The figures of one part.

    Attributes:
        n: The number of images.
        figures: Each figure by its name in `NAMES`; ``weighted_accuracy`` only when weights differ.
        per_class: Per class ``n``, ``precision``, ``recall``, ``f1`` and, up to 100 classes, ``auc``.
        confusion: Numbers of images, rows are the true classes, columns the predicted; None beyond 100 classes.
    """

    n: int
    figures: dict[str, Estimate]
    per_class: dict[str, dict[str, int | Estimate]]
    confusion: list[list[int]] | None

    def to_json(self) -> dict[str, Any]:
        """Return ``{"n", <figures>, "per_class", "confusion"}``; every figure is ``{"value", "low", "high"}``."""
        per_class = {
            name: {key: item.to_json() if isinstance(item, Estimate) else item for key, item in row.items()}
            for name, row in self.per_class.items()
        }
        matrix = {} if self.confusion is None else {"confusion": self.confusion}
        return {"n": self.n, **{name: figure.to_json() for name, figure in self.figures.items()}, "per_class": per_class, **matrix}


def judge(
    probabilities: ArrayLike,
    labels: ArrayLike,
    classes: Sequence[str],
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    majority: int | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> Metrics:
    """Compute every figure of one part with its 95 % interval.

    The prediction is the class of highest probability, the first of equals. The figures, for N images and C classes:

    - ``accuracy``: share of right predictions. ``weighted_accuracy``: the same, each image counting by its weight.
    - ``balanced_accuracy``: mean recall over the classes that have images.
    - ``macro_f1``: mean of 2 TP / (2 TP + FP + FN) over the classes that have images or are predicted.
    - ``auc``: area under the ROC curve, ties counting half (Mann-Whitney); of the second class when there are two, else
      the mean over classes, each against the rest (classes without images left out).
    - ``nll``: mean of -log probability of the true class, probabilities below 2.2e-16 counting as that.
    - ``brier``: mean over images of the squared distance over all classes (Brier 1950): 0 to 2.
    - ``ece``: sum over 15 equal bins of highest probability ((m-1)/15, m/15] of n_m/N |accuracy_m - confidence_m|
      (Guo et al. 2017, equation 3).
    - ``majority_baseline``: accuracy of always answering the commonest class of the training part.
    - ``gain``: ``accuracy`` minus ``majority_baseline``, from -1 to 1.

    Args:
        probabilities: (N, C) float, rows sum to 1.
        labels: (N,) int in 0 to C - 1.
        classes: The C names.
        weights: (N,) float, at least 0; only ``weighted_accuracy`` uses them.
        groups: (N,) int: images of one group are not independent, so whole groups are resampled.
        majority: The commonest class of the training part; None takes that of ``labels``.
        replicates: How many resamples the bootstrap takes.
        seed: The same seed gives the same intervals.

    Returns:
        The figures; None stands for what is undefined, such as the recall of a class without images.

    Raises:
        ValueError: Shapes that do not fit, labels out of range, or probabilities that are not finite.
    """
    facts = gather_facts(probabilities, labels, len(classes), weights, majority)
    units = number_units(groups, len(facts.labels))
    figures, counts, aucs, drawn = _draw(facts, units, replicates, seed)
    n_units = _units(facts, units)
    overall = {}
    for name in [name for name in NAMES if name in figures]:
        plain = units is None and name in {"accuracy", "majority_baseline", "gain"}
        value = float(figures[name][0])
        overall[name] = _interval(name, value, _edges(name, value, facts, counts), None if plain else drawn.figures[name], n_units)
    per_class = _per_class(classes, facts, counts, aucs=aucs, drawn=drawn, units=n_units)
    return Metrics(len(facts.labels), overall, per_class, _confusion(facts))


@dataclass(frozen=True)
class Resampled:
    """The figures of one part and of its resamples, to be held against those of another model on the same part.

    Attributes:
        figures: (1 + R,) each figure: of the images themselves, then of each resample; for AUC fewer resamples where they are much work.
        trials: The effective number of images behind each figure; 0 for what is no proportion.
        units: Images or groups that were drawn from.
    """

    figures: dict[str, Floats]
    trials: dict[str, float]
    units: int


def resample_figures(
    probabilities: ArrayLike, labels: ArrayLike, *, groups: ArrayLike | None = None, replicates: int = 1000, seed: int = 0
) -> Resampled:
    """Return the figures of `judge` with those of every resample; the same labels, groups and seed draw the same resamples.

    Args:
        probabilities: As in `judge`, like the other arguments.
        labels: Likewise.
        groups: Likewise.
        replicates: Likewise.
        seed: Likewise.

    Raises:
        ValueError: As in `judge`.
    """
    table = np.asarray(probabilities)
    facts = gather_facts(table, labels, table.shape[-1], None, None)
    units = number_units(groups, len(facts.labels))
    figures, counts, _, drawn = _draw(facts, units, replicates, seed)
    return Resampled(
        {name: np.concatenate([figures[name], drawn.figures[name]]) for name in figures},
        {name: _trials(name, facts, counts) for name in figures},
        _units(facts, units),
    )


def score(name: str, probabilities: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return one figure by its name, without an interval.

    Args:
        name: One of `NAMES`, as defined in `judge`.
        probabilities: (N, C) float.
        labels: (N,) int.
        weights: (N,) float; only ``weighted_accuracy`` uses them.

    Returns:
        The figure; NaN where it is undefined. ``majority_baseline`` and ``gain`` take the commonest class of ``labels``.

    Raises:
        UsageError: There is no such figure.
        ValueError: As in `judge`.
    """
    if name not in NAMES:
        unknown_name("metric", name, NAMES)
    table = np.asarray(probabilities)
    facts = gather_facts(table, labels, table.shape[-1], weights, None)
    ones = np.ones((len(facts.labels), 1), dtype=np.float32)
    if name == "auc":
        return float(_overall_auc(class_aucs(ranked_classes(facts.probabilities, facts.labels), facts.n_classes, ones))[0])
    if name == "weighted_accuracy" and facts.weights is None:
        name = "accuracy"
    return float(_figures(facts, ones)[0][name][0])


# ---- figures of the part itself and of every resample, by the same code -----------------------------------------


def _mean(values: Floats) -> Floats:
    """Return the mean over classes (axis 0) of what is defined."""
    known = ~np.isnan(values)
    return divide(np.where(known, values, 0).sum(axis=0), known.sum(axis=0))


@dataclass(frozen=True)
class _ClassCounts:
    """Images of each class, predictions of it, and right ones; all (C, r)."""

    images: NDArray[Any]
    called: NDArray[Any]
    hits: NDArray[Any]

    @property
    def either(self) -> NDArray[Any]:
        """Images of the class or predicted as it: TP + FP + FN."""
        total: NDArray[Any] = self.images + self.called - self.hits
        return total

    def scores(self) -> dict[str, Floats]:
        """Return precision, recall and F1, NaN where undefined."""
        return {
            "precision": divide(self.hits, self.called),
            "recall": divide(self.hits, self.images),
            "f1": divide(2 * self.hits, self.images + self.called),
        }


def _figures(facts: Facts, counts: Counts) -> tuple[dict[str, Floats], _ClassCounts]:
    """Return every figure but AUC (r,), and the counts per class, for images drawn ``counts`` (N, r) times."""
    total = counts.sum(axis=0, dtype=np.float64)
    means = column_sums([facts.right, facts.nll, facts.brier, facts.common], counts) / total
    by_class = _ClassCounts(
        row_sums(facts.labels, facts.n_classes, counts),
        row_sums(facts.predicted, facts.n_classes, counts),
        row_sums(facts.labels, facts.n_classes, counts, facts.right.astype(np.float32)),
    )
    scores = by_class.scores()
    figures = dict(zip(("accuracy", "nll", "brier", "majority_baseline"), means, strict=True))
    figures["gain"] = figures["accuracy"] - figures["majority_baseline"]
    figures |= {"balanced_accuracy": _mean(scores["recall"]), "macro_f1": _mean(scores["f1"])}
    figures["ece"] = calibration_errors(facts.confidence, facts.right, counts)
    if facts.weights is not None:
        figures["weighted_accuracy"] = divide(*column_sums([facts.weights * facts.right, facts.weights], counts))
    return figures, by_class


def _auc_plan(facts: Facts, replicates: int) -> tuple[list[RankedClass] | None, int]:
    """Return the ranks to keep for the resamples and how many of these AUC takes; None where that would be too much work."""
    rounds = min(replicates, _AUC_WORK // (len(facts.labels) * facts.n_classes))
    return (list(ranked_classes(facts.probabilities, facts.labels)), rounds) if rounds >= min(_FEWEST_RESAMPLES, replicates) else (None, 0)


@dataclass(frozen=True)
class _Drawn:
    """The figures (R,) and the scores per class (R, C) of all resamples; scores per class only where they are needed."""

    figures: dict[str, Floats]
    per_class: dict[str, Floats]


def _resampled(facts: Facts, ranks: list[RankedClass] | None, units: Ints | None, *, replicates: int, rounds: int, seed: int) -> _Drawn:
    figures: dict[str, list[Floats]] = {name: [] for name in NAMES}
    per_class: dict[str, list[Floats]] = {name: [] for name in ("precision", "recall", "f1", "auc")}
    done = 0
    for counts in resamples(len(facts.labels), units, replicates=replicates, seed=seed, width=facts.n_classes):
        own, by_class = _figures(facts, counts)
        if ranks is not None and done < rounds:
            aucs = class_aucs(ranks, facts.n_classes, counts[:, : rounds - done])
            own["auc"] = _overall_auc(aucs)
            per_class["auc"].append(aucs.T)
        if units is not None and facts.n_classes <= MANY_CLASSES:
            for name, values in by_class.scores().items():
                per_class[name].append(values.T)
        for name, values in own.items():
            figures[name].append(values)
        done += counts.shape[1]
    joined = {name: np.concatenate(parts) if parts else np.full(1, np.nan) for name, parts in figures.items()}
    return _Drawn(joined, {name: np.concatenate(parts) for name, parts in per_class.items() if parts})


def _draw(facts: Facts, units: Ints | None, replicates: int, seed: int) -> tuple[dict[str, Floats], _ClassCounts, Floats, _Drawn]:
    """Return the figures of the part itself, its counts and AUCs (C, 1) per class, and the same of every resample."""
    ones = np.ones((len(facts.labels), 1), dtype=np.float32)
    figures, counts = _figures(facts, ones)
    ranks, rounds = _auc_plan(facts, replicates)
    aucs = class_aucs(ranks if ranks is not None else ranked_classes(facts.probabilities, facts.labels), facts.n_classes, ones)
    figures["auc"] = _overall_auc(aucs)
    return figures, counts, aucs, _resampled(facts, ranks, units, replicates=replicates, rounds=rounds, seed=seed)


def _units(facts: Facts, units: Ints | None) -> int:
    return len(facts.labels) if units is None else int(units.max()) + 1


# ---- intervals -------------------------------------------------------------------------------------------------


def _overall_auc(aucs: Floats) -> Floats:
    return aucs[1] if len(aucs) == 2 else _mean(aucs)


def _trials(name: str, facts: Facts, counts: _ClassCounts) -> float:
    """Return the effective number of images behind a proportion or a mean of proportions; 0 for other figures."""
    images = counts.images[:, 0]
    if name in {"accuracy", "majority_baseline"}:
        return float(len(facts.labels))
    if name == "weighted_accuracy" and facts.weights is not None:
        return float(facts.weights.sum() ** 2 / np.square(facts.weights).sum())
    if name == "balanced_accuracy":
        return effective_size(images)
    if name == "macro_f1":
        return effective_size(counts.either[:, 0])
    if name == "auc":
        sides = _auc_trials(images, len(facts.labels))
        return effective_size(sides[1:] if len(sides) == 2 else sides)
    return 0.0


def _auc_trials(images: NDArray[Any], n: int) -> NDArray[Any]:
    trials: NDArray[Any] = 4 * np.minimum(images, n - images)
    return trials


def _edges(name: str, value: float, facts: Facts, counts: _ClassCounts) -> tuple[float, float] | None:
    """Return the least interval that a figure may have; None for figures that are no proportions."""
    if name == "gain":
        better, worse = facts.right & ~facts.common, facts.common & ~facts.right
        return paired_difference(int(better.sum()), int(worse.sum()), len(facts.labels))
    trials = _trials(name, facts, counts)
    if not trials:
        return None
    low, high = wilson_f1(value, trials) if name == "macro_f1" else wilson(value, trials)
    return float(low), float(high)


def _interval(name: str, value: float, edges: tuple[float, float] | None, drawn: Floats | None, units: int) -> Estimate:
    """Return a figure with its least interval, and where resamples are given with the wider of that and the bootstrap's."""
    if drawn is None:
        return estimate(value, *(edges or ()))
    low, high = (float(end) for end in percentile_interval(drawn, units))
    if name == "ece":
        low, high = mirrored(value, low, high)
    if edges is not None:
        low, high = float(np.minimum(low, edges[0])), float(np.maximum(high, edges[1]))
    return estimate(value, low, high)


def _per_class(
    classes: Sequence[str], facts: Facts, counts: _ClassCounts, *, aucs: Floats, drawn: _Drawn, units: int
) -> dict[str, dict[str, int | Estimate]]:
    images, called, either = counts.images[:, 0], counts.called[:, 0], counts.either[:, 0]
    scores = {name: values[:, 0] for name, values in counts.scores().items()}
    edges = {
        "precision": wilson(scores["precision"], called),
        "recall": wilson(scores["recall"], images),
        "f1": wilson_f1(scores["f1"], either),
    }
    if facts.n_classes <= MANY_CLASSES:
        scores["auc"] = aucs[:, 0]
        edges["auc"] = wilson(aucs[:, 0], _auc_trials(images, len(facts.labels)))
    for name in edges.keys() & drawn.per_class.keys():
        low, high = percentile_interval(drawn.per_class[name], units)
        edges[name] = np.minimum(low, edges[name][0]), np.maximum(high, edges[name][1])
    return {
        label: {"n": int(images[i])} | {name: estimate(scores[name][i], edges[name][0][i], edges[name][1][i]) for name in scores}
        for i, label in enumerate(classes)
    }


def _confusion(facts: Facts) -> list[list[int]] | None:
    if facts.n_classes > MANY_CLASSES:
        return None
    matrix: list[list[int]] = confusion_matrix(facts.labels, facts.predicted, facts.n_classes).tolist()
    return matrix
