"""Whether a stated probability can be believed: the reliability of the predictions."""

from __future__ import annotations

import numpy as np

from seefit.drawing import svg
from seefit.evaluation.calibrate import BINS, confidence_bins
from seefit.evaluation.intervals import wilson
from seefit.report.axes import Counts, Floats
from seefit.report.figures import draw_reliability
from seefit.report.page import Picture, Section, Table
from seefit.report.record import Figure, Record
from seefit.report.words import Words


def reliability_bins(confidence: Floats, right: Counts, bins: int = BINS) -> tuple[Floats, Floats, Counts]:
    """Sort predictions into bins of equal width by how sure the model was.

    Args:
        confidence: (N,) probability of the predicted class, in [0, 1].
        right: (N,) 1 where the prediction is right, else 0.
        bins: Number of bins over [0, 1].

    Returns:
        For each bin that is not empty: mean confidence (B,), share right (B,), number of images (B,).
    """
    places = confidence_bins(confidence, bins)
    counts = np.bincount(places, minlength=bins)
    full = counts > 0
    said, hits = (np.bincount(places, weights=values, minlength=bins)[full] for values in (confidence, right))
    return said / counts[full], hits / counts[full], counts[full]


def reliability_section(record: Record, words: Words) -> Section | None:
    """Stated confidence against the share that was right."""
    if not record.predictions:
        return None
    confidence = np.array([row.confidence for row in record.predictions])
    right = np.array([row.right for row in record.predictions], np.int64)
    said, share, counts = reliability_bins(confidence, right)
    lows, highs = wilson(share, counts)
    drawn = draw_reliability(
        said, share, lows, highs, counts, x_label=words("axis.said"), y_label=words("axis.was_right"), count_label=words("axis.images")
    )
    rows = [
        [words.percent(s), words.percent(r), words("format.interval_percent", low=f"{100 * lo:.1f}", high=f"{100 * hi:.1f}"), f"{n:,}"]
        for s, r, lo, hi, n in zip(said, share, lows, highs, counts, strict=True)
    ]
    table = Table([words(f"head.{key}") for key in ("said", "was_right", "interval", "images")], rows)
    picture = Picture(
        "reliability", svg(drawn, "reliability", words("reliability.alt", count=len(rows))), _says(record, words, confidence, right), table
    )
    ece = record.figure(record.part, "ece")
    lead = [words("reliability.lead"), *([words("reliability.groups")] if record.groups else [])]
    if not record.calibrated:
        lead.append(words("reliability.uncalibrated"))
    if ece:
        interval = words.interval("ece", ece)
        told = interval if ece.low is None else words("format.interval_named", interval=interval)
        lead.append(words("reliability.ece", value=words.percent(ece.value), interval=told))
    return Section("reliability", words("reliability.title"), lead, [picture])


def _says(record: Record, words: Words, confidence: Floats, right: Counts) -> str:
    """Say whether the mean confidence lies above, below or within the interval of the accuracy."""
    said, share = float(confidence.mean()), float(right.mean())
    accuracy = record.figure(record.part, "accuracy") or Figure(share)
    key = "reliability.over" if accuracy.below(said) else "reliability.under" if accuracy.above(said) else "reliability.fair"
    return words(key, said=words.of_100(said), right=words.of_100(share))
