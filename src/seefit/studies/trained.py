"""Arms whose layers are trained: on every fold anew, by the same loop as `seefit train`, without writing a network out as a graph.

A share of a fold's training images (``--val`` of them) tells the best epoch and the temperature; the held-out images are looked at once,
at the end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from seefit.console import QUIET, Console
from seefit.evaluation.calibrate import fit_temperature, softmax
from seefit.finetuning import Prepared, open_activations, prepared
from seefit.fitting import Fitted, begin
from seefit.parts import Part
from seefit.plans import find_rates, is_sought
from seefit.settings import Settings
from seefit.studies.arms import Arm
from seefit.studies.folds import Fold, cut_validation
from seefit.studies.judging import judge_fold
from seefit.studies.pool import Pool
from seefit.studies.working import Judged, Task, learn_from, prove
from seefit.training.augment import AUGMENTATIONS
from seefit.training.batches import KeptBatches, Order, PixelBatches
from seefit.training.features import FeatureExtractor
from seefit.training.finetune import Plan, finetune, predict_batches
from seefit.training.head import Head, class_shares, fit_head
from seefit.training.solver import Float
from seefit.training.views import make_view


@dataclass(frozen=True)
class Trained:
    """A fold of an arm that was trained.

    Attributes:
        judged: Its row and probabilities.
        features: (H, D) what the head sees of the held-out images.
    """

    judged: Judged
    features: Float


def train_arm(
    arm: Arm, task: Task, folds: list[Fold], extractor: FeatureExtractor, labels: NDArray[np.int64], console: Console
) -> Iterator[Trained]:
    """Train and judge a network on folds.

    Args:
        arm: What is trained.
        task: The images.
        folds: Those still to be done.
        extractor: Of the arm's network.
        labels: That it learns from; -1 for images to leave out.
        console: Where to say what happens.

    Yields:
        Each fold, in order.
    """
    pool = _relabelled(task.pool, labels)
    for fold in folds:
        started, learnt = time.perf_counter(), learn_from(arm, task, labels, fold)
        own, val = cut_validation(learnt, pool.labels, pool.part.units, arm.settings.val, seed=task.seed)
        parts = pool.part.subset(own), pool.part.subset(val)
        begun = _begin(arm.settings, task, extractor, pool, parts[0], console)
        asked = [task.pool.part.subset(index) for index in (fold.held_out, learnt, val)]
        told = console if fold is folds[0] else QUIET  # the first network is told in full, as a run tells it
        (held_out, known, checked), features = _train(arm.settings, begun, pool.classes, parts, asked, told)
        temperature = fit_temperature(checked, pool.labels[val]) if len(val) else 1.0
        seconds = time.perf_counter() - started
        row = judge_fold(arm.name, fold, held_out / temperature, known / temperature, task.pool.labels, learnt, seconds)
        console.say(f"  repeat {fold.repeat + 1}, fold {fold.number + 1}: balanced accuracy {row.balanced_accuracy:.1%} in {seconds:.0f} s")
        yield Trained(Judged(row, softmax(held_out / temperature)), features)


def _relabelled(pool: Pool, labels: NDArray[np.int64]) -> Pool:
    """Return the images with the labels that an arm learns from."""
    samples = [
        sample if number < 0 or pool.classes[number] == sample.label else replace(sample, label=pool.classes[number], target=None)
        for sample, number in zip(pool.part.samples, labels.tolist(), strict=True)
    ]
    return replace(pool, part=replace(pool.part, samples=samples), labels=np.where(labels < 0, pool.labels, labels))


def _begin(settings: Settings, task: Task, extractor: FeatureExtractor, pool: Pool, train: Part, console: Console) -> Fitted:
    """Return the probe that training begins with, its engine checked once; from scratch the network as it is."""
    if settings.from_scratch:
        return begin(settings, extractor, pool.classes, train)

    def fit() -> Head:
        features, targets = extractor.extract(train.samples, train.sha256, console=console), train.one_hot(pool.classes)
        return fit_head(features, targets, weights=train.weights(), units=train.units, balance=settings.class_weights, seed=settings.seed)

    head = prove(task, extractor, fit(), lambda found: found, fit, console)
    return Fitted(extractor, head, 1.0, None, None, None)


def _train(
    settings: Settings, begun: Fitted, classes: tuple[str, ...], parts: tuple[Part, Part], asked: list[Part], console: Console
) -> tuple[list[Float], Float]:
    """Train on the first part, checked on the second; return the logits of the parts that are asked about, and features of the first."""
    own, val = parts
    with prepared(settings, begun, classes, own, val if val.samples else None, console=console) as ready:
        plan = ready.plan()
        if is_sought(settings):
            plan = ready.plan(find_rates(plan, ready.choice, ready.network, ready.training, None, console=console))
        finetune(ready.network, plan, ready.training, ready.validation, console=console)
        answers = [_answer(ready, plan, begun.extractor, classes, part, console) for part in asked]
    shift = np.log(np.maximum(class_shares(own.targets(classes), own.weights()), 1e-12)) if settings.class_weights == "prior" else 0
    return [np.asarray(logits - shift, np.float32) for logits, _ in answers], answers[0][1]


def _answer(
    ready: Prepared, plan: Plan, extractor: FeatureExtractor, classes: tuple[str, ...], part: Part, console: Console
) -> tuple[Float, Float]:
    """Return the logits (N, C) of images as they are, and what the head sees of them (N, D)."""
    if not part.samples:
        return np.empty((0, len(classes)), np.float32), np.empty((0, extractor.width), np.float32)
    seen: list[torch.Tensor] = []
    hook = ready.network.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].float()))
    settings, plain = ready.settings, AUGMENTATIONS["none"]
    view, order = make_view(plain, seed=0), Order(len(part.samples), 1, settings.batch)
    given = order, part.targets(classes), np.ones(len(part.samples), np.float32)
    try:
        if ready.cut.streamed:
            streamed = PixelBatches(part.samples, part.sha256, extractor.reference, view, *given, max_pixels=settings.max_pixels)
            logits = predict_batches(ready.network, plan, streamed.plain())[0]
        else:
            with open_activations(settings, extractor, ready.cut, part, view, plain.key(seed=0), console) as kept:
                kept.kept.fill(order.every_row())
                logits = predict_batches(ready.network, plan, KeptBatches(kept, *given).plain())[0]
    finally:
        hook.remove()
    return logits.numpy(), torch.cat(seen).numpy()
