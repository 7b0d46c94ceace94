"""One arm of a study at work: its features, its heads on all folds, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from seefit.console import Console
from seefit.evaluation.benefit import MOST_CLASSES, THRESHOLDS, decision_curves
from seefit.evaluation.calibrate import softmax
from seefit.evaluation.decide import positive_class
from seefit.evaluation.embedding import choose_points, embed
from seefit.fitting import open_extractor
from seefit.promises import seconds_per_image
from seefit.proving import engine_difference, fell_back
from seefit.settings import Settings
from seefit.studies.arms import Arm
from seefit.studies.folds import Fold, thin_out
from seefit.studies.judging import Row, judge_fold
from seefit.studies.pool import Pool
from seefit.studies.probing import Probe, fit_folds, make_probe
from seefit.training.features import FeatureExtractor
from seefit.training.head import Head, balanced_weights, class_shares
from seefit.training.solver import Float
from seefit.training.viewed import count_views, viewed_features

Ints = NDArray[np.intp]
MAP_POINTS = 1_000
TURNS = 3
MB = 1e6
FLOAT = 1  # of ONNX's types
Made = TypeVar("Made")


@dataclass(frozen=True)
class Task:
    """What all arms have in common.

    Attributes:
        pool: The images.
        folds: Of the study.
        seed: Of everything that is drawn.
        proved: Networks whose fast engine was checked against the reference, and which go on with the one that is to be trusted.
    """

    pool: Pool
    folds: list[Fold]
    seed: int
    proved: list[FeatureExtractor] = field(default_factory=list)


@dataclass(frozen=True)
class Judged:
    """An arm on a fold: its row of ``folds.csv``, and the probabilities (H, C) of the held-out images."""

    row: Row
    probabilities: NDArray[np.float64]


def open_arm(settings: Settings, pool: Pool, opened: dict[tuple[object, ...], FeatureExtractor], console: Console) -> FeatureExtractor:
    """Open the network of an arm, or take that of an arm before with the same one.

    Args:
        settings: Of the arm.
        pool: The images.
        opened: What was opened so far; a new one is added.
        console: Where to say what was chosen.
    """
    key = (settings.backbone, settings.image_size, settings.features, settings.fit, settings.weights_seed, settings.from_scratch)
    if key not in opened:
        opened[key] = open_extractor(settings, pool.sizes, console=console)
    return opened[key]


def prove(
    task: Task, extractor: FeatureExtractor, made: Made, head_of: Callable[[Made], Head], make: Callable[[], Made], console: Console
) -> Made:
    """Check the fast engine as a run does, once for each network; where it differs too much, go on with the reference, made anew.

    Args:
        task: Knows which networks were checked.
        extractor: What gives the features.
        made: From features of the engine.
        head_of: Gives a head on raw features.
        make: Makes it again, from those of the reference.
        console: Where to say so.
    """
    if extractor in task.proved:
        return made
    task.proved.append(extractor)
    difference = engine_difference(extractor, head_of(made), task.pool.part, console)
    return make() if difference is not None and fell_back(extractor, difference, console) else made


def learn_from(arm: Arm, task: Task, labels: NDArray[np.int64], fold: Fold) -> Ints:
    """Return the positions of the images that an arm learns from on a fold.

    Args:
        arm: With its amount of data.
        task: With the images.
        labels: From `seefit.studies.pool.learnt_labels`.
        fold: The fold.
    """
    kept = thin_out(fold, task.pool.labels, task.pool.part.units, arm.amount, seed=task.seed)
    return kept[labels[kept] >= 0]


def probe_arm(arm: Arm, task: Task, extractor: FeatureExtractor, labels: NDArray[np.int64], console: Console) -> Iterator[Judged]:
    """Fit and judge a head on every fold.

    Args:
        arm: What is fitted.
        task: The images and folds.
        extractor: Of the arm's network.
        labels: That it learns from; -1 for images to leave out.
        console: Where to show progress.

    Yields:
        Each fold, in order.
    """
    settings, pool = arm.settings, task.pool
    views = count_views(settings.augment, settings.probe_views)
    targets = np.eye(len(pool.classes), dtype=np.float32)[np.maximum(labels, 0)]
    weights = pool.part.weights() * (labels >= 0)
    shift = np.log(np.maximum(class_shares(targets, weights), 1e-12)).astype(np.float32) if settings.class_weights == "prior" else None
    if settings.class_weights == "balanced":
        weights = balanced_weights(targets, targets.argmax(1), weights)

    def make() -> Probe:
        images = pool.part.samples, pool.part.sha256, settings.augment
        features = viewed_features(extractor, *images, views, seed=settings.seed, console=console)
        return make_probe(features, views, targets, weights=weights, units=pool.part.units, shift=shift, seed=task.seed)

    probe = prove(task, extractor, make(), Probe.head, make, console)
    with console.bar(f"Folds of {arm.name}", len(task.folds), "folds") as advance:
        answers = fit_folds(probe, task.folds, lambda fold: learn_from(arm, task, labels, fold))
        for fold, found in zip(task.folds, answers, strict=True):
            learnt = learn_from(arm, task, labels, fold)
            row = judge_fold(arm.name, fold, found.held_out, found.known, pool.labels, learnt, found.seconds)
            advance(1)
            yield Judged(row, softmax(found.held_out))


def time_networks(extractors: Sequence[FeatureExtractor], pool: Pool) -> list[float]:
    """Return how many images a second the graph that ships answers with each network, reading included.

    They take turns, and the fastest turn counts: whatever else the computer does meanwhile then hits none of them alone.

    Args:
        extractors: Of the networks; one that comes twice is timed once.
        pool: Some of its images are timed.
    """
    fastest: dict[int, float] = {}
    for _ in range(TURNS):
        for one in {id(extractor): extractor for extractor in extractors}.values():
            seconds = seconds_per_image(one, one.reference, pool.part)
            fastest[id(one)] = min(seconds, fastest.get(id(one), np.inf))
    return [round(1 / max(fastest[id(extractor)], 1e-9), 1) for extractor in extractors]


def cost_of(extractor: FeatureExtractor, pool: Pool, hidden: int = 0) -> dict[str, Any]:
    """Return what an arm's network is: parameters and size of what ships.

    Args:
        extractor: Of the network.
        pool: With its classes.
        hidden: Units of a layer in front of the linear one; 0 without one.
    """
    weights = (tensor for tensor in extractor.network.graph.initializer if tensor.data_type == FLOAT)  # others are shapes and axes
    numbers = sum(int(np.prod(tensor.dims)) for tensor in weights)
    seen = hidden or extractor.width
    head = hidden * (extractor.width + 1) + len(pool.classes) * (seen + 1)
    size = extractor.network.ByteSize() + extractor.preprocess.ByteSize() + 4 * head
    return {
        "backbone": extractor.backbone.name,
        "image_size": extractor.backbone.image_size,
        "features": extractor.width,
        "engine": extractor.engine.name,
        "parameters": numbers + head,
        "size_mb": round(size / MB, 2),
    }


def curve_of(probabilities: NDArray[np.float64], pool: Pool, seed: int) -> dict[str, Any] | None:
    """Return the decision curve of an arm over the held-out images of the first repeat: of two classes that of the one looked for, of
    more the mean over classes, with no name as ``class``; None of more than `MOST_CLASSES`.

    Args:
        probabilities: (N, C) of all images, each by the head that had not seen it.
        pool: The images.
        seed: Of the bootstrap.
    """
    if len(pool.classes) > MOST_CLASSES:
        return None
    chosen = positive_class(pool.classes, np.bincount(pool.labels, minlength=2).tolist())[0] if len(pool.classes) == 2 else None
    numbers = np.unique(pool.labels).tolist() if chosen is None else [chosen]
    curve, _ = decision_curves(probabilities, pool.labels, numbers, groups=pool.groups, seed=seed)
    lines = {name: np.round(getattr(curve, name), 5).tolist() for name in ("model", "everything")}
    return {
        "class": None if chosen is None else pool.classes[chosen],
        "thresholds": THRESHOLDS.tolist(),
        **lines,
        "area": curve.area,
        "gain": curve.gain.to_json(),
    }


def map_of(arm: Arm, task: Task, extractor: FeatureExtractor, console: Console) -> dict[str, Any] | None:
    """Return a map of the frozen features that an arm's head learns from: images, and with augmentation their views; None of few images.

    Args:
        arm: What is fitted.
        task: The images.
        extractor: Of the arm's network; the features are kept.
        console: Where to show progress.
    """
    settings, part = arm.settings, task.pool.part
    views = count_views(settings.augment, settings.probe_views)
    chosen = choose_points(task.pool.labels, max(20, MAP_POINTS // views), seed=task.seed)
    some = [part.samples[i] for i in chosen], [part.sha256[i] for i in chosen]
    features = viewed_features(extractor, *some, settings.augment, views, seed=settings.seed, console=console)
    return drawn_map(features, np.repeat(task.pool.labels[chosen], views), "frozen" if views == 1 else "views", views, task.seed)


def drawn_map(features: Float, labels: NDArray[np.int64], space: str, views: int, seed: int) -> dict[str, Any] | None:
    """Return the places of features in two dimensions, and how far apart the classes are among the features themselves.

    Args:
        features: (M, D) float32.
        labels: (M,) class numbers.
        space: Of which features: ``frozen``, ``views`` or ``trained``.
        views: Of each image, one after another; that they are alike says nothing of classes, so they are not counted as neighbours.
        seed: Of the map.
    """
    found = embed(features, labels, seed=seed)
    if found is None:
        return None
    images = np.arange(len(labels)) // views
    others = images[found.neighbours] != images[:, None]
    own = float((labels[found.neighbours] == labels[:, None])[others].mean()) if others.any() else None
    about = {
        "space": space,
        "images": len(labels) // views,
        "trustworthiness": found.trustworthiness,
        "silhouette": found.silhouette,
        "own": own,
    }
    return {**about, "places": np.round(found.places, 4).tolist(), "labels": labels.tolist()}
