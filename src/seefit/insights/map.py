"""The map: images with like features lie close together, by class and by mistake.

Frozen features have learnt from no image here, so all images may be shown. A trained network has learnt its training images by heart, and
would show these as neatly apart as nothing else: of it, and of what it is compared with, only judged images are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.runtime import in_batches
from seefit.data.dataset import Sample
from seefit.evaluation.embedding import MOST_POINTS, NEIGHBOURS, Embedding, choose_points, embed, nearest_is_own, spread_out
from seefit.evaluation.evaluate import group_numbers
from seefit.evaluation.intervals import estimate, percentile_interval, resamples
from seefit.insights.material import Material, Scores
from seefit.training.augment import parse_augmentation
from seefit.training.cache import kept_features
from seefit.training.features import reference_recipe

COLOURED = 8  # classes with a colour of their own
PICTURES = 96  # points that open their picture
MOST_ROWS = 30  # classes in the table
VIEWED = 200  # images that are also shown augmented
VIEWS = 3  # of each

Float = NDArray[np.float32]
Index = NDArray[np.intp]
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class _Points:
    """What is on the map: judged images first, then others.

    Attributes:
        judged: Rows of the judged images.
        rest: Positions among the other images, those of the training part before those of the validation part.
        names: Of all points.
        labels: Class numbers of all points.
    """

    judged: Index
    rest: Index
    names: list[str]
    labels: NDArray[np.int64]


def find_map(material: Material) -> dict[str, Any] | None:
    """Return the maps of a run's features with what is known of each point; None of too few images, or where features are gone."""
    points = _choose(material)
    spaces = {name: features for name, features in _spaces(material, points).items() if features is not None}
    seed = material.settings.seed
    maps = {name: found for name, features in spaces.items() if (found := embed(features, points.labels, seed=seed))}
    if not maps:
        return None
    last = list(maps)[-1]
    same = maps[last].shares(points.labels)
    said, sure, actual = _said(material.judged, points)
    wrong = np.flatnonzero((said >= 0) & (said != points.labels))
    worst = wrong[np.argsort(actual[wrong], kind="stable")]
    return {
        "told": _told(maps, len(points.names)),
        "candidates": (len(material.judged.names) if material.judged else 0) + len(_others(material)[0]),
        "judged": len(points.judged),
        "perplexity": round(maps[last].perplexity, 1),
        "neighbours": NEIGHBOURS,
        "coloured": _coloured(points.labels, said, len(material.classes)),
        "names": points.names,
        "labels": points.labels.tolist(),
        "said": said.tolist(),
        "sure": np.round(sure, 4).tolist(),
        "maps": [_as_json(name, found, points.labels) for name, found in maps.items()],
        "pictured": spread_out(maps[last].places, worst[: PICTURES * 2 // 3], PICTURES).tolist(),
        "among_others": int((same[wrong] < 0.5).sum()),
        "table": _table(points.labels, said, same),
        "groups": _groups(material, points, maps[last]),
        "change": _change(maps, material.judged, points),
        "views": _views(material, points),
    }


def _learnt(material: Material) -> bool:
    """Return whether the network has learnt from images of this run."""
    return material.fitted is not material.probe or material.probe.extractor.backbone.state is not None


def _others(material: Material) -> tuple[list[Sample], list[str]]:
    """Return the images that were not judged, training part first, and their sha256; none where the network has learnt from them."""
    if _learnt(material):
        return [], []
    val = material.val if material.part != "val" else None
    parts = [material.train, *([val] if val else [])]
    return [sample for part in parts for sample in part.samples], [digest for part in parts for digest in part.sha256]


def _choose(material: Material) -> _Points:
    judged, (samples, _), seed = material.judged, _others(material), material.settings.seed
    labels = judged.labels if judged else np.empty(0, np.int64)
    rows = choose_points(labels, MOST_POINTS, seed=seed)
    numbers = {name: i for i, name in enumerate(material.classes)}
    others = np.array([numbers[sample.label or ""] for sample in samples], np.int64)
    rest = choose_points(others, MOST_POINTS - len(rows), seed=seed)
    names = [*(judged.names[i] for i in rows), *(samples[i].name for i in rest)] if judged else [samples[i].name for i in rest]
    return _Points(rows, rest, names, np.concatenate([labels[rows], others[rest]]))


def _spaces(material: Material, points: _Points) -> dict[str, Float | None]:
    """Return the features (N, D) of the points, by the name of their network; None where they are not kept any more."""
    if not _learnt(material):
        return {"frozen": _frozen(material, points)}
    if material.settings.from_scratch or material.fitted is material.probe:
        return {"trained": _judged_features(material, points)}
    samples, sha256 = _judged_images(material, points.judged)
    frozen = material.probe.extractor.extract(samples, sha256) if _there(samples) else None
    return {"frozen": frozen, "trained": _judged_features(material, points)}


def _there(samples: list[Sample]) -> bool:
    """Return whether the files of all images are still there; a run that was extended may know some by their kept features alone."""
    return all(sample.path.is_file() for sample in samples)


def _frozen(material: Material, points: _Points) -> Float | None:
    """Return the features of judged images by the reference, and of others by the engine that fitting used.

    The two differ much less than neighbours do (docs/LOG.md), and both are kept: nothing is computed.
    """
    found, (samples, sha256) = _judged_features(material, points), _others(material)
    if found is None:
        return None
    learnt = len(material.train.samples)
    extractor = material.probe.extractor

    def features(rows: Index, *, exact: bool) -> Float:
        return extractor.extract([samples[i] for i in rows], [sha256[i] for i in rows], exact=exact)

    rest = points.rest
    parts = [features(rest[rest < learnt], exact=False), features(rest[rest >= learnt], exact=True)]
    return np.concatenate([found.reshape(-1, extractor.width), *parts])


def _judged_features(material: Material, points: _Points) -> Float | None:
    if not len(points.judged) or material.judged is None:
        return np.empty((0, 0), np.float32)
    kept = kept_features([material.judged.sha256[i] for i in points.judged], reference_recipe(material.bundle))
    there = [features for features in kept if features is not None]
    return np.stack(there) if len(there) == len(kept) else None


def _judged_images(material: Material, rows: Sequence[int] | Index) -> tuple[list[Sample], list[str]]:
    if material.judged is None:
        return [], []
    samples = {sample.name: sample for sample in material.scan.samples}
    return [samples[material.judged.names[i]] for i in rows], [material.judged.sha256[i] for i in rows]


def _said(judged: Scores | None, points: _Points) -> tuple[NDArray[np.int64], Doubles, Doubles]:
    """Return for each point what the model said (-1 where it was not asked), its probability, and that of the actual class."""
    said, (sure, actual) = np.full(len(points.names), -1, np.int64), np.zeros((2, len(points.names)))
    if judged is not None and len(points.judged):
        probabilities = judged.probabilities[points.judged]
        asked = np.arange(len(probabilities))
        said[asked], sure[asked], actual[asked] = probabilities.argmax(1), probabilities.max(1), probabilities[asked, points.labels[asked]]
    return said, sure, actual


def _coloured(labels: NDArray[np.int64], said: NDArray[np.int64], classes: int) -> list[int]:
    """Return the classes with a colour: all where they are few, else those with most mistakes, and then the largest."""
    present = np.bincount(labels, minlength=classes)
    wrong = (said >= 0) & (said != labels)
    mistakes = np.bincount(labels[wrong], minlength=classes) + np.bincount(said[wrong], minlength=classes)
    order = np.lexsort((-present, -mistakes)) if classes > COLOURED else np.arange(classes)
    return [int(i) for i in order if present[i]][:COLOURED]


def _as_json(space: str, found: Embedding, labels: NDArray[np.int64]) -> dict[str, Any]:
    return {
        "space": space,
        "x": np.round(found.places[:, 0], 4).tolist(),
        "y": np.round(found.places[:, 1], 4).tolist(),
        "trustworthiness": found.trustworthiness,
        "flat": found.flat,
        "silhouette": found.silhouette,
        **_likeness(found, labels),
    }


def _likeness(found: Embedding, kinds: NDArray[np.int64]) -> dict[str, float]:
    """Return the share of neighbours of the same kind, and what it would be if likeness had nothing to do with kind."""
    shares = np.bincount(kinds) / len(kinds)
    return {"same": float(found.shares(kinds).mean()), "by_chance": float((shares**2).sum())}


def _groups(material: Material, points: _Points, found: Embedding) -> dict[str, float] | None:
    """Return how far neighbours are of the same group; None without groups."""
    of = {sample.name: sample.group for sample in material.scan.samples}
    groups = group_numbers([of[name] for name in points.names])
    return None if groups is None else _likeness(found, groups) | {"count": int(groups.max()) + 1}


def _table(labels: NDArray[np.int64], said: NDArray[np.int64], same: Doubles) -> list[list[Any]]:
    """Return class, points, judged points, mistakes and share of neighbours of the same class, the least apart first."""
    rows = []
    for label in np.unique(labels).tolist():
        own = labels == label
        asked = own & (said >= 0)
        rows.append([label, int(own.sum()), int(asked.sum()), int((asked & (said != label)).sum()), float(same[own].mean())])
    return sorted(rows, key=lambda row: row[-1])[:MOST_ROWS]


def _change(maps: dict[str, Embedding], judged: Scores | None, points: _Points) -> dict[str, Any] | None:
    """Return by how much training raised the share of neighbours of the same class, with its interval; groups are drawn whole."""
    if len(maps) < 2 or judged is None:
        return None
    gained = maps["trained"].shares(points.labels) - maps["frozen"].shares(points.labels)
    groups = None if judged.groups is None else np.unique(judged.groups[points.judged], return_inverse=True)[1]
    drawn = [gained @ counts / counts.sum(0) for counts in resamples(len(gained), groups, replicates=1000, seed=0)]
    units = len(gained) if groups is None else int(groups.max()) + 1
    low, high = percentile_interval(np.concatenate(drawn), units)
    return estimate(float(gained.mean()), float(low), float(high)).to_json()


def _views(material: Material, points: _Points) -> dict[str, Any] | None:
    """Return a map of judged images together with augmented views of them, where the network was trained on such views."""
    augmentation, seed = parse_augmentation(material.settings.augment), material.settings.seed
    if material.fitted is material.probe or material.judged is None or augmentation.distinct_views == 1:
        return None
    from seefit.training.kept import view_pixels
    from seefit.training.views import make_view

    chosen = choose_points(points.labels[: len(points.judged)], VIEWED, seed=seed)
    judged = points.judged[chosen]
    samples, sha256 = _judged_images(material, judged)
    if not _there(samples):
        return None
    rows = [(i, number) for i in range(len(samples)) for number in range(VIEWS + 1)]
    reference, view = material.bundle.reference, make_view(augmentation, seed=seed)
    pixels = view_pixels(rows, samples, sha256, reference, view, max_pixels=material.settings.max_pixels)
    features = np.concatenate(list(reference.forward(in_batches(pixels, reference.batch))))
    labels = np.repeat(material.judged.labels[judged], VIEWS + 1)
    found = embed(features, labels, seed=seed)
    if found is None:
        return None
    own = nearest_is_own(features, VIEWS + 1)
    return _as_json("trained", found, labels) | {
        "augmentation": augmentation.describe(),
        "views": VIEWS,
        "points": chosen.tolist(),
        "labels": labels.tolist(),
        "own": own,
    }


def _told(maps: dict[str, Embedding], count: int) -> str:
    found = ", ".join(f"{name} features {embedding.trustworthiness:.2f}" for name, embedding in maps.items())
    return f"Map: {count:,} pictures by t-SNE; trustworthiness of their neighbours (1 is perfect): {found}"
