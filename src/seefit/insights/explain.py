"""Why the model said what it said: class maps of mistakes and of a random sample, checks of them, and nearest training images."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.explanation import Explanation
from seefit.data.dataset import Sample
from seefit.data.image import Undecodable, Unreadable
from seefit.errors import RunError
from seefit.evaluation.explain import deletion, likeness_to_random
from seefit.evaluation.nearest import blocks_of, nearest
from seefit.insights.material import Material, Scores
from seefit.report.mistakes import worst_mistakes
from seefit.report.record import read_predictions
from seefit.training.engine import read_image

SAMPLE = 8  # predictions that are drawn by chance
NEAREST = 3  # training images beside a picture
OCCLUDED = (4, 12)  # pictures that are explained, at least and at most, where each takes dozens of runs of the network
ONE_IN = 250  # and no more than one for so many images of the run, so that explaining takes a fraction of the time of their features
CHECKED = 16  # pictures whose maps are checked

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Explained:
    """One judged image with its explanation.

    Attributes:
        row: Its number in predictions.csv, from 0.
        sample: The image.
        pixels: (3, S, S), preprocessed.
        explanation: Of the predicted class; None where too many others were explained already.
    """

    row: int
    sample: Sample
    pixels: Float
    explanation: Explanation | None


def find_explain(material: Material) -> dict[str, Any] | None:
    """Explain the worst mistakes and a random sample of predictions; None where nothing was judged.

    Returns:
        ``exact``, ``fit``, ``sample`` (rows of predictions.csv), ``pictures`` (per row the nearest training images and, as far as there is
        one, the map as whole numbers up to 127 of its peak, logit and bias) and ``checks``.
    """
    judged = material.judged
    if judged is None:
        return None
    predictions = read_predictions(material.run / "predictions.csv")
    number = {row.path: i for i, row in enumerate(predictions)}
    wrong = [number[row.path] for row in worst_mistakes(predictions)]
    drawn = np.random.default_rng(material.settings.seed).permutation(len(predictions))[:SAMPLE].tolist()
    rows = list(dict.fromkeys([*wrong, *drawn]))
    found = _explained(material, judged, rows, _affordable(material, wrong, drawn))
    alike = _nearest(material, judged, found)
    return {
        "exact": material.bundle.explainer.exact,
        "fit": material.bundle.manifest["fit"],
        "sample": drawn,
        "pictures": [{"row": one.row, **_written(one.explanation), "nearest": near} for one, near in zip(found, alike, strict=True)],
        "checks": _checks(material, judged, _to_check(found, set(drawn))),
    }


def _affordable(material: Material, wrong: list[int], drawn: list[int]) -> set[int]:
    """Return the rows whose maps are made: all where they cost nothing, else some, the drawn pictures and the worst mistakes in turns."""
    if material.bundle.explainer.exact:
        return {*wrong, *drawn}
    most = min(max(len(material.scan.samples) // ONE_IN, OCCLUDED[0]), OCCLUDED[1])
    turns = itertools.chain.from_iterable(itertools.zip_longest(drawn, wrong))
    return set(list(dict.fromkeys(row for row in turns if row is not None))[:most])


def _explained(material: Material, judged: Scores, rows: Sequence[int], mapped: set[int]) -> list[Explained]:
    """Explain the answers to judged images, those in ``mapped`` with a map; images whose file is gone are left out."""
    names = {judged.names[row] for row in rows}
    samples = {sample.name: sample for sample in material.scan.samples if sample.name in names}
    bundle, found = material.bundle, []
    for row in rows:
        try:
            image = read_image(samples[judged.names[row]], judged.sha256[row], material.settings.max_pixels)
        except (KeyError, Undecodable, Unreadable, RunError):
            continue
        pixels = bundle.reference.pixels(image)
        explanation = bundle.explainer.explain(pixels) if row in mapped else None
        found.append(Explained(row, samples[judged.names[row]], pixels, explanation))
    return found


def _written(found: Explanation | None) -> dict[str, Any]:
    if found is None:
        return {}
    finite = np.nan_to_num(found.map, posinf=0.0, neginf=0.0)
    peak = float(np.abs(finite).max()) or 1.0
    whole = np.rint(finite / peak * 127).astype(np.int8)
    return {
        "label": found.label,
        "map": base64.b64encode(whole.tobytes()).decode("ascii"),
        "peak": peak,
        "logit": found.logit,
        "bias": found.bias,
    }


def _nearest(material: Material, judged: Scores, found: Sequence[Explained]) -> list[list[dict[str, Any]]]:
    """Return the nearest training images of each, by the features that the probe was fitted on, which are kept; of a network that was
    trained from scratch, by its own, since those of its beginning are random.
    """
    if not found:
        return []
    train, fitted = material.train, material.fitted if material.settings.from_scratch else material.probe
    queries = fitted.extractor.extract([one.sample for one in found], [judged.sha256[one.row] for one in found])
    rows, cosines = nearest(queries, blocks_of(material.features(train, extractor=fitted.extractor)), NEAREST)
    return [
        [
            {"path": train.samples[row].name, "label": train.samples[row].label, "cosine": round(float(cosine), 4)}
            for row, cosine in zip(*pair, strict=True)
        ]
        for pair in zip(rows, cosines, strict=True)
    ]


def _to_check(found: Sequence[Explained], drawn: set[int]) -> list[tuple[int, Float, Explanation]]:
    """Return row, pixels and explanation of the pictures to check: those drawn by chance first, then mistakes."""
    ordered = sorted(found, key=lambda one: one.row not in drawn)
    return [(one.row, one.pixels, one.explanation) for one in ordered if one.explanation is not None][:CHECKED]


def _checks(material: Material, judged: Scores, some: Sequence[tuple[int, Float, Explanation]]) -> dict[str, Any] | None:
    """Check the maps; one by occlusion comes from the answers alone, so shuffled weights would tell nothing new of it."""
    if not some:
        return None
    rows, pictures, explanations = (list(column) for column in zip(*some, strict=True))
    maps = [found.map for found in explanations]
    groups = None if judged.groups is None else judged.groups[rows]
    explainer, seed = material.bundle.explainer, material.settings.seed
    gone = deletion(explainer, pictures, maps, groups=groups, seed=seed)
    found: dict[str, Any] = {
        "images": len(some),
        "deletion": {"map": gone.map, "random": gone.random, "gain": gone.gain.to_json()},
    }
    if explainer.exact:
        labels = [found.label for found in explanations]
        network, classes = material.bundle.network(), material.classes
        likeness = likeness_to_random(network, classes, pictures, maps, labels, groups=groups, seed=seed)
        found |= {name: estimate.to_json() for name, estimate in likeness.items()}
    return found
