"""Whether a prediction can be believed: the reliability of its probability, and what stands against a single one."""

from __future__ import annotations

from typing import Any

import numpy as np

from seefit.drawing import shown, svg
from seefit.evaluation.calibrate import BINS, confidence_bins
from seefit.evaluation.intervals import wilson
from seefit.report.axes import Counts, Floats
from seefit.report.figures import draw_intervals, draw_reliability
from seefit.report.page import Picture, Section, Table
from seefit.report.record import Figure, Record, as_figure
from seefit.report.trust_figures import draw_selective, draw_unknown
from seefit.report.words import Words

MOST_DRAWN = 30  # classes; the worst
FEW_POINTS = 10  # of the curve, in its table
LEAST = 20  # pictures that a class needs for a limit of its own (seefit.evaluation.conformal)


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
    lead = [words("reliability.lead"), *([words("reliability.groups")] if record.groups else [])]
    if not record.calibrated:
        lead.append(words("reliability.uncalibrated"))
    return Section("reliability", words("reliability.title"), [*lead, *_calibration(record, words)], [picture])


def _calibration(record: Record, words: Words) -> list[str]:
    """Say how large the calibration error is, how much of it chance would show, and what the temperature did."""
    ece, found = record.figure(record.part, "ece"), record.insight("trust")
    if ece is None:
        return []
    interval = words.interval("ece", ece)
    told = interval if ece.low is None else words("format.interval_named", interval=interval)
    if found is None:
        return [words("reliability.ece", value=words.percent(ece.value), interval=told)]
    floor = {"floor": words.percent(found["ece_floor"]["mean"]), "seldom": words.percent(found["ece_floor"]["seldom"])}
    said = [words("reliability.ece_floor", value=words.percent(ece.value), interval=told, **floor)]
    if nll := found["nll"]:
        said.append(words("reliability.nll", before=f"{nll['before']:.3f}", after=f"{nll['after']:.3f}"))
    return said


def _says(record: Record, words: Words, confidence: Floats, right: Counts) -> str:
    """Say whether the mean confidence lies above, below or within the interval of the accuracy."""
    said, share = float(confidence.mean()), float(right.mean())
    accuracy = record.figure(record.part, "accuracy") or Figure(share)
    key = "reliability.over" if accuracy.below(said) else "reliability.under" if accuracy.above(said) else "reliability.fair"
    return words(key, said=words.of_100(said), right=words.of_100(share))


def trust_section(record: Record, words: Words) -> Section | None:
    """What helps with a single picture: silence where it is unsure, "none of these", and sets of classes."""
    found = record.insight("trust")
    if found is None:
        return None
    lead = [words("trust.lead"), *_rests(record, words, found), *_silence(words, found["selective"])]
    parts = [_selective(words, found["selective"])]
    if found["unknown"]:
        lead.append(words("trust.unknown_lead"))
        parts.append(_unknown(words, found["unknown"], found["images"]))
    if found["sets"]:
        lead += [words("trust.sets_lead"), *_small(record, words, found["sets"])]
        parts.append(_sets(words, found["sets"]))
    return Section("trust", words("trust.title"), lead, parts, folded=_sizes(words, found["sets"]) if found["sets"] else [])


def _rests(record: Record, words: Words, found: dict[str, Any]) -> list[str]:
    """Say what the limits come from, and where they say little of the pictures that are judged."""
    source = found["fitted_on"]
    if not source:
        return [words("trust.none")]
    if source == found["part"]:
        return [words("trust.same")]
    said = [words(f"trust.rests.{source}", images=f"{found['images_fitted']:,}")]
    return [*said, words("trust.groups")] if record.groups else said


def _range(words: Words, value: dict[str, Any]) -> str:
    figure = as_figure(value) or Figure(0.0)
    interval = words.interval("accuracy", figure)
    return interval if figure.low is None else words("format.interval_named", interval=interval)


def _silence(words: Words, curve: dict[str, Any]) -> list[str]:
    """Say from which confidence on to answer, and how well confidence sorts right from wrong."""
    said, found, area = list[str](), curve["threshold"], as_figure(curve["area"])
    right = as_figure(found["accuracy"]) if found else None
    if found and right:
        values = {"confidence": words.percent(found["confidence"], 0), "answered": words.percent(found["answered"]["value"], 0)}
        said.append(words("trust.threshold", **values, right=words.percent(right.value, 0), range=_range(words, found["accuracy"])))
    return said if area is None else [*said, words("trust.area", value=words.percent(area.value), range=_range(words, curve["area"]))]


def _selective(words: Words, curve: dict[str, Any]) -> Picture:
    shares, accuracy, lows, highs = (np.array(curve[key], np.float64) for key in ("shares", "accuracy", "low", "high"))
    at = curve["at"]
    figure = draw_selective(
        shares, accuracy, lows, highs, at["share"], x_label=words("trust.axis_answered"), y_label=words("trust.axis_right")
    )
    share = words.percent(at["share"], 0)
    right, everything = at["accuracy"]["value"], float(accuracy[-1])
    says = words(
        "trust.selective", share=share, right=words.of_100(right), all=words.of_100(everything), range=_range(words, at["accuracy"])
    )
    alt = words("trust.selective_alt", share=share, right=words.percent(right), all=words.percent(everything))
    rows = np.unique(np.linspace(0, len(shares) - 1, FEW_POINTS + 1).round().astype(int)[1:])
    cells = [[words.percent(shares[i], 0), words.percent(accuracy[i]), words.percent(lows[i]), words.percent(highs[i])] for i in rows]
    header = [words("trust.answered"), words("trust.right"), words("head.low"), words("head.high")]
    return Picture("selective", svg(figure, "selective", alt), says, Table(header, cells))


def _unknown(words: Words, found: dict[str, Any], images: int) -> Picture:
    edges, counts = (np.array(found["histogram"][key], np.float64) for key in ("edges", "images"))
    labels = {"x_label": words("trust.axis_unlike"), "y_label": words("axis.images"), "limit_label": words("trust.limit")}
    figure = draw_unknown(edges, counts, 1.0, **labels)
    refused = found["refused"]
    values = {"stated": words.of_100(found["stated"]), "images": f"{images:,}", "refused": words.of_100(refused["value"])}
    says = [words("trust.unknown", **values, range=_range(words, refused))]
    most = found["per_class"][0]
    if most["refused"]["value"] > refused["value"]:
        says.append(words("trust.unknown_most", name=shown(most["label"], 40), refused=words.of_100(most["refused"]["value"])))
    cells = [[f"{a:.1f}", f"{b:.1f}", f"{int(n):,}"] for a, b, n in zip(edges, edges[1:], counts, strict=False) if n]
    table = Table([words("trust.from"), words("trust.to"), words("head.images")], cells)
    return Picture("unknown", svg(figure, "unknown", words("trust.unknown_alt")), " ".join(says), table)


def _sets(words: Words, found: dict[str, Any]) -> Picture:
    classes = found["per_class"][:MOST_DRAWN]
    names = [words("trust.all"), *(row["label"] for row in classes)]
    figures = [as_figure(value) or Figure(0.0) for value in (found["coverage"], *(row["coverage"] for row in classes))]
    values, lows, highs = (
        np.array([np.nan if end is None else end for end in ends], np.float64)
        for ends in zip(*((figure.value, figure.low, figure.high) for figure in figures), strict=True)
    )
    references, stated = np.full(len(names), found["stated"]), words.percent(found["stated"], 0)
    labels = {"x_label": words("trust.axis_held"), "reference_label": words("trust.stated")}
    figure = draw_intervals(names, values, lows, highs, references=references, **labels)
    says = words(
        "trust.sets",
        stated=words.of_100(found["stated"]),
        coverage=words.of_100(found["coverage"]["value"]),
        range=_range(words, found["coverage"]),
        size=f"{found['size']['value']:.2f}",
    )
    cells = [
        [shown(n, 60), *("–" if x is None else words.percent(x) for x in (f.value, f.low, f.high))]
        for n, f in zip(names, figures, strict=True)
    ]
    table = Table([words("head.class"), words("trust.held"), words("head.low"), words("head.high")], cells)
    return Picture("sets", svg(figure, "sets", words("trust.sets_alt", count=len(classes), stated=stated)), says, table)


def _small(record: Record, words: Words, found: dict[str, Any]) -> list[str]:
    """Say how many classes share the limit of all."""
    small = len(record.classes) - found["own_limits"]
    return [words("trust.sets_small", count=f"{small:,}", least=LEAST)] if small else []


def _sizes(words: Words, found: dict[str, Any]) -> list[tuple[str, Table]]:
    """Return how many classes are in how many sets."""
    images = sum(count for _, count in found["sizes"])
    rows = [[f"{size:,}", f"{count:,}", words.percent(count / images)] for size, count in found["sizes"]]
    return [(words("trust.sizes"), Table([words("trust.size"), words("head.images"), words("trust.share")], rows))]
