"""One temperature that makes probabilities honest, and the curve that shows whether they are."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seefit.console import QUIET, Console
from seefit.evaluation.intervals import Floats, Ints
from seefit.evaluation.roc import row_sums

BINS = 15
COLDEST, HOTTEST = 0.05, 20.0
_BLOCK = 4_000_000  # logits looked at together


class ReliabilityBin(NamedTuple):
    """One bin of a reliability curve: images whose highest probability is in (low, high]."""

    low: float
    high: float
    confidence: float
    accuracy: float
    images: int


def softmax(logits: ArrayLike, temperature: float = 1.0) -> Floats:
    """Return probabilities.

    Args:
        logits: (..., C) any float.
        temperature: Above 0; what the logits are divided by.

    Returns:
        (..., C) float64, rows sum to 1.
    """
    scaled = np.asarray(logits, dtype=np.float64)
    powers = np.exp((scaled - scaled.max(axis=-1, keepdims=True)) / temperature)
    probabilities: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def fit_temperature(logits: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None, *, console: Console = QUIET) -> float:
    """Return the temperature that minimises the negative log-likelihood (Guo et al. 2017, section 4.2).

    The loss is convex in 1 / T, so a bounded scalar search on log T finds the one minimum. Where every image is right it would be
    at T = 0, endless certainty. As Platt (1999) does, each label is therefore trusted only (N + 1) / (N + 2), the rest
    going to the strongest other class: 20 images that are all right give about 95 % confidence, and from some hundred
    images on it makes no difference. With weights N is the effective number of images, (sum w)^2 / sum w^2.

    Args:
        logits: (N, C) any float; images that the model was not fitted on.
        labels: (N,) int in 0 to C - 1.
        weights: (N,) float, at least 0.
        console: Told when the search ends at one of its bounds.

    Returns:
        The temperature in [0.05, 20]; 1.0 without images, without weight or with one class only.

    Raises:
        ValueError: Logits that are not finite, or shapes that do not fit.
    """
    from scipy.optimize import minimize_scalar

    table, truth = np.asarray(logits), np.asarray(labels, dtype=np.intp)
    share = np.ones(len(truth)) if weights is None else np.asarray(weights, dtype=np.float64)
    if table.ndim != 2 or len(table) != len(truth) or share.shape != truth.shape:
        raise ValueError(f"expected logits ({len(truth)}, C) and as many weights, got {table.shape} and {share.shape}")
    if share.sum() <= 0 or table.shape[1] < 2:
        return 1.0
    trust = 1 / (share.sum() ** 2 / np.square(share).sum() + 2)
    wanted = _wanted(table, truth, trust)
    share = share / share.sum()
    bounds = math.log(COLDEST), math.log(HOTTEST)
    found = minimize_scalar(
        lambda log_t: _loss(table, wanted, share, math.exp(-log_t)), bounds=bounds, method="bounded", options={"xatol": 1e-4}
    )
    return _bounded(float(found.x), console)


def _bounded(log_temperature: float, console: Console) -> float:
    for bound in (COLDEST, HOTTEST):
        if abs(log_temperature - math.log(bound)) < 1e-3:
            console.say(f"The temperature ended at its bound of {bound:g}: the probabilities may not be well calibrated.")
            return bound
    return math.exp(log_temperature)


def _wanted(table: NDArray[Any], truth: Ints, doubt: float) -> Floats:
    """Return (N,) the logit that each image should have: its class's own, mixed with a little of the strongest other."""
    wanted = np.empty(len(truth))
    for part in _parts(table):
        block = table[part].astype(np.float64)
        if not np.isfinite(block).all():
            raise ValueError("expected finite logits, got NaN or infinity")
        own = np.take_along_axis(block, truth[part, None], axis=1)[:, 0]
        np.put_along_axis(block, truth[part, None], -np.inf, axis=1)
        wanted[part] = (1 - doubt) * own + doubt * block.max(axis=1)
    return wanted


def _loss(table: NDArray[Any], wanted: Floats, share: Floats, sharpness: float) -> float:
    """Return the weighted mean of log sum exp(z / T) - wanted / T."""
    total = 0.0
    for part in _parts(table):
        block = table[part].astype(np.float64)
        top = block.max(axis=1)
        block -= top[:, None]
        block *= sharpness
        logs = np.log(np.exp(block, out=block).sum(axis=1))
        total += float(share[part] @ (logs + sharpness * (top - wanted[part])))
    return total


def _parts(table: NDArray[Any]) -> list[slice]:
    step = max(1, _BLOCK // table.shape[1])
    return [slice(start, start + step) for start in range(0, len(table), step)]


def confidence_bins(confidence: Floats, bins: int = BINS) -> Ints:
    """Return the bin of each confidence, 0 to bins - 1; bin m holds (m / bins, (m + 1) / bins], the first also 0."""
    numbers: Ints = np.clip(np.ceil(confidence * bins) - 1, 0, bins - 1).astype(np.intp)
    return numbers


def calibration_errors(confidence: ArrayLike, right: ArrayLike, counts: NDArray[np.float32]) -> Floats:
    """Return (r,) the expected calibration error (Guo et al. 2017, equation 3) of images drawn ``counts`` (N, r) times.

    Args:
        confidence: (N,) highest probabilities.
        right: (N,) bool.
        counts: (N, r) whole numbers.
    """
    sure = np.asarray(confidence, np.float64)
    gaps = row_sums(confidence_bins(sure), BINS, counts, np.asarray(right, np.bool_) - sure)
    errors: Floats = np.abs(gaps).sum(axis=0) / counts.sum(axis=0, dtype=np.float64)
    return errors


def reliability(probabilities: ArrayLike, labels: ArrayLike, bins: int = BINS) -> list[ReliabilityBin]:
    """Return the reliability curve: in bins of highest probability, how sure the model is and how often it is right.

    Args:
        probabilities: (N, C) float.
        labels: (N,) int.
        bins: How many bins of equal width from 0 to 1.

    Returns:
        ``(low, high, confidence, accuracy, images)`` of each bin that has images, rising; confidence and accuracy are
        means over its images.
    """
    table = np.asarray(probabilities)
    confidence = table.max(axis=1).astype(np.float64)
    right = table.argmax(axis=1) == np.asarray(labels)
    places = confidence_bins(confidence, bins)
    return [
        ReliabilityBin(
            place / bins,
            (place + 1) / bins,
            float(confidence[places == place].mean()),
            float(right[places == place].mean()),
            int((places == place).sum()),
        )
        for place in np.unique(places).tolist()
    ]


def ece_floor(probabilities: ArrayLike, *, replicates: int = 1000, seed: int = 0, bins: int = BINS) -> tuple[float, float]:
    """Return the calibration error that a perfectly calibrated model with these probabilities would show by chance.

    Each time, every prediction is right with the probability that the model states (Vaicenavicius et al. 2019, arXiv 1902.06977,
    section 5: consistency resampling, here from the stated probabilities); the error is that of `seefit.evaluation.metrics.judge`.

    Args:
        probabilities: (N, C) float, with N at least 1.
        replicates: How many times the labels are drawn.
        seed: Of the draws.
        bins: How many bins of equal width from 0 to 1.

    Returns:
        The mean, and what is exceeded once in 20 times.
    """
    confidence = np.asarray(probabilities).max(axis=1).astype(np.float64)
    places = confidence_bins(confidence, bins)
    said, rng = np.bincount(places, confidence, bins), np.random.default_rng(seed)
    found = [
        np.abs(np.bincount(places, rng.random(len(confidence)) < confidence, bins) - said).sum() / len(confidence)
        for _ in range(replicates)
    ]
    return float(np.mean(found)), float(np.quantile(found, 0.95))
