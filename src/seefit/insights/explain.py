"""Why the model said what it said: class maps of mistakes and of a random sample, checks of them, and nearest training images."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.explanation import Explainer, Explanation
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
OCCLUDED = (8, 4)  # mistakes and drawn pictures that are explained where each takes dozens of runs of the network
CHECKED = 16  # pictures whose maps are checked

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Explained:
    """One judged image with its explanation.

    Attributes:
        row: Its number in predictions.csv, from 0.
        sample: The image.
        pixels: (3, S, S), preprocessed.
        explanation: Of the predicted class.
    """

    row: int
    sample: Sample
    pixels: Float
    explanation: Explanation


def find_explain(material: Material) -> dict[str, Any] | None:
    """Explain the worst mistakes and a random sample of predictions; None where nothing was judged.

    Returns:
        ``exact``, ``fit``, ``sample`` (rows of predictions.csv), ``pictures`` (per row the map as whole numbers up to 127 of its peak,
        logit, bias, nearest training images) and ``checks``.
    """
    judged = material.judged
    if judged is None:
        return None
    predictions = read_predictions(material.run / "predictions.csv")
    number = {row.path: i for i, row in enumerate(predictions)}
    wrong = [number[row.path] for row in worst_mistakes(predictions)]
    drawn = np.random.default_rng(material.settings.seed).permutation(len(predictions))[:SAMPLE].tolist()
    explainer = material.bundle.explainer
    chosen = [*wrong, *drawn] if explainer.exact else [*wrong[: OCCLUDED[0]], *drawn[: OCCLUDED[1]]]
    names = {judged.names[row] for row in chosen}
    samples = {sample.name: sample for sample in material.scan.samples if sample.name in names}
    found = [one for row in dict.fromkeys(chosen) if (one := _explained(material, judged, samples, row)) is not None]
    pictures = [_written(one) for one in found]
    for picture, alike in zip(pictures, _nearest(material, judged, found), strict=False):
        picture["nearest"] = alike
    return {
        "exact": explainer.exact,
        "fit": material.bundle.manifest["fit"],
        "sample": drawn,
        "pictures": pictures,
        "checks": _checks(material, judged, explainer, _spread(found, set(drawn))),
    }


def _explained(material: Material, judged: Scores, samples: Mapping[str, Sample], row: int) -> Explained | None:
    """Explain the answer to one judged image; None where its file is gone."""
    sample = samples.get(judged.names[row])
    if sample is None:
        return None
    try:
        image = read_image(sample, judged.sha256[row], material.settings.max_pixels)
    except (Undecodable, Unreadable, RunError):
        return None
    pixels = material.bundle.reference.pixels(image)
    return Explained(row, sample, pixels, material.bundle.explainer.explain(pixels))


def _written(one: Explained) -> dict[str, Any]:
    found = one.explanation
    finite = np.nan_to_num(found.map, posinf=0.0, neginf=0.0)
    peak = float(np.abs(finite).max()) or 1.0
    whole = np.rint(finite / peak * 127).astype(np.int8)
    return {
        "row": one.row,
        "label": found.label,
        "map": base64.b64encode(whole.tobytes()).decode("ascii"),
        "peak": peak,
        "logit": found.logit,
        "bias": found.bias,
    }


def _nearest(material: Material, judged: Scores, found: Sequence[Explained]) -> list[list[dict[str, Any]]]:
    """Return the nearest training images of each, by the features that the probe was fitted on: they are kept."""
    if material.settings.from_scratch or not found:
        return []
    train, extractor = material.train, material.probe.extractor
    queries = extractor.extract([one.sample for one in found], [judged.sha256[one.row] for one in found])
    rows, cosines = nearest(queries, blocks_of(material.features(train)), NEAREST)
    return [
        [
            {"path": train.samples[row].name, "label": train.samples[row].label, "cosine": round(float(cosine), 4)}
            for row, cosine in zip(*pair, strict=True)
        ]
        for pair in zip(rows, cosines, strict=True)
    ]


def _spread(found: Sequence[Explained], drawn: set[int]) -> list[Explained]:
    """Return the pictures to check: those drawn by chance first, then mistakes."""
    return sorted(found, key=lambda one: one.row not in drawn)[:CHECKED]


def _checks(material: Material, judged: Scores, explainer: Explainer, some: Sequence[Explained]) -> dict[str, Any] | None:
    """Check the maps; one by occlusion comes from the answers alone, so shuffled weights would tell nothing new of it."""
    if not some:
        return None
    pictures, maps = [one.pixels for one in some], [one.explanation.map for one in some]
    groups = None if judged.groups is None else judged.groups[[one.row for one in some]]
    seed = material.settings.seed
    gone = deletion(explainer, pictures, maps, groups=groups, seed=seed)
    found: dict[str, Any] = {
        "images": len(some),
        "deletion": {"map": gone.map, "random": gone.random, "gain": gone.gain.to_json()},
    }
    if explainer.exact:
        labels = [one.explanation.label for one in some]
        network, classes = material.bundle.network(), material.classes
        likeness = likeness_to_random(network, classes, pictures, maps, labels, groups=groups, seed=seed)
        found |= {name: estimate.to_json() for name, estimate in likeness.items()}
    return found
