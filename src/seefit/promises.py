"""How long a run takes on this computer: said before its work begins, and held against the clock at its end.

What differs most from computer to computer and from network to network is measured, on a few of the run's own images and in about a
second. The rest follows from the sizes of the parts, by ratios and constants that were measured once (docs/LOG.md, "Promises").
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seefit.budget import EXPLAINED, MINUTES, TIMINGS, read_timings
from seefit.bundle.bundle import Bundle
from seefit.environment import threads
from seefit.evaluation.embedding import MOST_POINTS
from seefit.evaluation.familiar import compared
from seefit.parts import Part
from seefit.proving import ENGINE_CHECK_IMAGES
from seefit.settings import Settings
from seefit.training.engine import Engine, frozen_forward
from seefit.training.features import FeatureExtractor
from seefit.training.head import FOLDS, MAX_LOGITS, MAX_PATH_ROWS, SAMPLE_PER_CLASS, SAMPLE_ROWS
from seefit.training.viewed import count_views, share_missing

TRIAL_SHARE, TRIAL_LEAST, TRIAL_MOST = 20, 8, 48  # one image in so many is tried, at least and at most so many
TRIAL_S = 0.7  # no longer than that
STEP_SHARE, STEP_MOST = 24, 32  # the step of training that is tried has one image in so many, and at most so many
TRIAL_ROWS, TRIAL_WORK = 500, 5e7  # of made-up features, on which a step of the head's solver is timed; fewer for many classes

STEPS_FOLDS, STEPS_LAST = 300, 30  # steps of the solver over the rows: for all folds along the path, and for the last fit
STEPS_SAMPLE, STEPS_MANY = 100, 125  # beyond MAX_PATH_ROWS: along the path on a sample, and for the folds at one strength

LOOP, LOOP_S = 1_000_000, 0.066  # a loop in Python, and its seconds on the computer where these were measured:
FITTING_S = 1.5  # first use of libraries, figures with their intervals
POINT_S, LOOKED_S = 0.003, 0.0015  # a point of the map; any image, for the learning curve and for what is odd about the data
JUDGING_S = 1.0  # saving, reading and judging the model, the answers left out
REPORT_S = 1.5  # pictures and page
LOADING_S = 2.0  # cutting the network and reading its weights, twice
PRECISION_STEPS = 6  # that choosing the precision takes: three, and one in the other precision, as long as three


@dataclass(frozen=True)
class Promise:
    """How long a run is thought to take.

    Attributes:
        spent: Seconds of the run before.
        parts: Seconds of what is left to do, by its name, in order.
        cost: Seconds that the estimate itself took; they are among those spent.
        at_most: Whether it may also take less: what fits into the time is chosen later.
    """

    spent: float
    parts: dict[str, float]
    cost: float = 0.0
    at_most: bool = False

    @property
    def left(self) -> float:
        """Seconds from now to the end of the run."""
        return sum(self.parts.values())

    def sentence(self, *, again: bool) -> str:
        """Return what the user is told; of a run that goes on ``again``, what is left."""
        whole = f"{about(self.left)} left" if again else f"{about(self.spent + self.left)} in all"
        if self.at_most:
            return (
                f"At most about {whole} on this computer ({threads()} threads): what fits into that is chosen after the probe (--minutes)"
            )
        parts = ", ".join(f"{name} {about(seconds)}" for name, seconds in self.parts.items() if seconds >= 1)
        return f"About {whole} on this computer ({threads()} threads): {parts}"

    def held(self, took: float) -> str:
        """Return what the user is told at the end: how long the run took, in seconds, and what was promised."""
        return f"Done in {about(took)}; about {about(self.spent + self.left)} were promised"

    def to_json(self) -> dict[str, Any]:
        """Return ``{"seconds", "cost", "parts"}``: of the whole run, of the estimate itself, and of each part, in seconds."""
        parts = {name: round(seconds, 1) for name, seconds in self.parts.items()}
        return {"seconds": round(self.spent + self.left, 1), "cost": round(self.cost, 2), "parts": parts}


@dataclass(frozen=True)
class Work:
    """What a run has to do.

    Attributes:
        train: What is trained on.
        val: The validation part, which may be empty.
        judged: How many images the model will be judged on.
        classes: How many there are.
        tried: Training images that can be read, of which some are tried; None where the files of all are gone.
        teacher: Is asked about every view; None without one.
    """

    train: Part
    val: Part
    judged: int
    classes: int
    tried: Part | None
    teacher: Bundle | None = None


def promise_run(settings: Settings, extractor: FeatureExtractor, work: Work, *, began: float, checkpoints: Path) -> Promise:
    """Estimate how long a run takes.

    Args:
        settings: What the user chose.
        extractor: Of the network, the first one where there are several.
        work: What is to be done.
        began: When the run began, by `time.monotonic`.
        checkpoints: Where an earlier start left the state of training.
    """
    if settings.preset == "best":
        spent = time.monotonic() - began
        return Promise(spent, {"networks": max(0.0, 60 * (settings.minutes or MINUTES) - spent)}, at_most=True)
    if settings.way != "probe":
        import seefit.measuring  # noqa: F401  # brings torch, which the run needs anyway
    started, slow = time.monotonic(), slowness()
    answer = seconds_per_image(extractor, extractor.reference, work.tried)
    parts = {} if settings.from_scratch else _probe_parts(settings, extractor, work, answer, slow)
    if settings.way != "probe" and work.tried:
        parts |= _tuning_parts(settings, extractor, work, answer, slow, checkpoints)
    parts |= {"judging": work.judged * answer + JUDGING_S * slow, **_insight_parts(work, answer, slow), "report": REPORT_S * slow}
    now = time.monotonic()
    return Promise(now - began, parts, cost=now - started)


def settled(promise: Promise, settings: Settings, checkpoints: Path) -> Promise:
    """Return what was promised when it was chosen what fits into the time; any other promise stays as it is."""
    timings = read_timings(checkpoints / TIMINGS) if promise.at_most else None
    if timings is None:
        return promise
    whole = timings.total(settings.epochs or timings.epochs)
    return Promise(timings.before, {"networks": whole - timings.before})


def seconds_per_image(extractor: FeatureExtractor, engine: Engine, part: Part | None) -> float:
    """Measure how long an engine takes for an image of a part, reading and resizing included; nothing is kept. 0 without a part."""
    if part is None:
        return 0.0
    (samples, sha256), side, done = part.spread(_trial(len(part.samples))), extractor.backbone.image_size, 0
    list(engine.forward([[np.zeros((3, side, side), np.float32)]]))  # compiles the network, which is used again
    started = time.perf_counter()
    for batch in frozen_forward(samples, sha256, extractor.reference, engine, max_pixels=extractor.max_pixels):
        done += len(batch)
        if time.perf_counter() - started > TRIAL_S:
            break
    return (time.perf_counter() - started) / done


def slowness() -> float:
    """Return how many times slower this computer is now than the one where the constants were measured."""
    started, total = time.perf_counter(), 0
    for number in range(LOOP):
        total += number * number
    return (time.perf_counter() - started) / LOOP_S


def head_seconds(rows: int, columns: int, classes: int) -> float:
    """Estimate how long it takes to fit a head: a step of its solver is timed, and the number of steps is known by experience.

    Args:
        rows: Training images.
        columns: Features of an image.
        classes: How many there are.
    """
    from threadpoolctl import threadpool_limits

    if rows * classes > MAX_LOGITS:
        return 0.0  # too many for a logistic regression: a class mean is all that is fitted
    width = min(rows, columns) if rows <= MAX_PATH_ROWS else columns
    tried = int(min(TRIAL_ROWS, max(8, TRIAL_WORK / (width * classes))))
    features, weight = np.ones((tried, width), np.float32), np.ones((width, classes), np.float32)
    with threadpool_limits(1, "blas"):
        features.T @ (features @ weight)
        started = time.perf_counter()
        features.T @ (features @ weight)
    step = (time.perf_counter() - started) / tried
    workers = min(threads(), FOLDS)
    if rows <= MAX_PATH_ROWS:
        return step * rows * (STEPS_FOLDS / workers + STEPS_LAST)
    sample = min(rows, max(SAMPLE_ROWS, SAMPLE_PER_CLASS * classes))
    return step * (sample * STEPS_SAMPLE + rows * STEPS_MANY) / workers


def about(seconds: float) -> str:
    """Write a time in words, no more exact than it is known: ``8 s``, ``45 s``, ``3.5 min``, ``1.5 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds) if seconds < 20 else 5 * round(seconds / 5))} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def epochs_done(checkpoints: Path) -> int:
    """Return how many epochs an earlier start has trained."""
    from seefit.training.checkpoint import LAST, checkpoint_names, load_checkpoint

    return int(load_checkpoint(checkpoints, LAST)[1]["epochs_done"]) if LAST in checkpoint_names(checkpoints) else 0


def _trial(images: int) -> int:
    """Return how many of a number of images are tried: whole batches of the fast engine."""
    return min(max(8 * round(images / TRIAL_SHARE / 8), TRIAL_LEAST), TRIAL_MOST)


def _probe_parts(settings: Settings, extractor: FeatureExtractor, work: Work, answer: float, slow: float) -> dict[str, float]:
    """Return the time for features, and for head, check of the engine and temperature; what is kept takes none."""
    train, val = work.train, work.val
    differs = extractor.engine is not extractor.reference
    checked = (val if val.samples else train).spread(ENGINE_CHECK_IMAGES[0])[1] if differs else []
    computed = extractor.kept([*train.sha256, *(checked if val.samples else [])]).count(False)
    answered = extractor.kept(val.sha256 or checked, exact=True).count(False)
    views = count_views(settings.augment, settings.probe_views)
    if views > 1 and work.tried:
        missing = share_missing(extractor, train.samples, train.sha256, settings.augment, views, seed=settings.seed)
        computed += round(missing * (views - 1) * len(train.samples))
    return {
        "features": computed * seconds_per_image(extractor, extractor.engine, work.tried) if computed else 0.0,
        "head": head_seconds(views * len(train.samples), extractor.width, work.classes) + answered * answer + FITTING_S * slow,
    }


def _insight_parts(work: Work, answer: float, slow: float) -> dict[str, float]:
    images = len(work.train.samples) + len(work.val.samples) + work.judged
    looked_at = POINT_S * min(images, MOST_POINTS) + LOOKED_S * images
    return {"insights": (EXPLAINED * answer if work.judged else 0.0) + looked_at * slow}


def _tuning_parts(
    settings: Settings, extractor: FeatureExtractor, work: Work, answer: float, slow: float, checkpoints: Path
) -> dict[str, float]:
    """Return the time for activations, training, and writing and calibrating the trained network; what is done already takes none."""
    from seefit.finetuning import cut_to_fit, distinct_views, share_missing
    from seefit.measuring import WRITING_S, seconds_of_sweep, seconds_per_epoch, seconds_per_step, seconds_per_view

    train, val, done = len(work.train.samples), len(work.val.samples), epochs_done(checkpoints)
    cut = cut_to_fit(settings, extractor, work.train, work.val)
    tried, images = work.tried or work.train, _trial(train)
    view = seconds_per_view(settings, extractor, tried, work.teacher, images=images, forward=not cut.streamed)
    missing = 0.0 if cut.streamed else share_missing(settings, extractor, cut, work.train)
    small = settings.model_copy(update={"batch": min(settings.batch, max(TRIAL_LEAST, min(train // STEP_SHARE, STEP_MOST)))})
    step = seconds_per_step(small, extractor, cut, work.classes) * settings.batch / small.batch
    epoch = seconds_per_epoch(settings, step, train=train, val=val, streaming=view if cut.streamed else 0.0)
    before = seconds_of_sweep(settings, step) + PRECISION_STEPS * step  # and the choice of the precision
    return {
        "activations": missing * view * (train * distinct_views(settings) + val),
        "training": (0.0 if done else before) + max(0, settings.planned_epochs - done) * epoch,
        "writing the network": (LOADING_S + WRITING_S) * slow + (val + compared(train, val)) * answer,
    }
