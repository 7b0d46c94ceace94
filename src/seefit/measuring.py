"""How long it takes on this computer to train a network: measured with a few images and a few steps, before the start."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from seefit.budget import Cost
from seefit.bundle.bundle import Bundle
from seefit.bundle.runtime import Reference, in_batches, ordered_map
from seefit.environment import threads
from seefit.finetuning import Cut, distinct_views, upper_layers
from seefit.parts import Part
from seefit.plans import choose_precision, is_sought
from seefit.settings import Settings
from seefit.training.activations import shape_of
from seefit.training.augment import parse_augmentation
from seefit.training.batches import Order
from seefit.training.engine import read_image
from seefit.training.features import FeatureExtractor
from seefit.training.finetune import Batch
from seefit.training.heads import new_head
from seefit.training.lr_find import STEPS
from seefit.training.network import TrainedNetwork, unscaled
from seefit.training.views import make_view

TRIAL_IMAGES, TRIAL_ANSWERS = 48, 8  # images by the engine; batches by the reference
WRITING_S = 12.0  # to turn a trained network into ONNX
FORWARD_SHARE = 1 / 3  # of a training step


@dataclass(frozen=True)
class Speed:
    """How fast a network is on this computer, in seconds.

    Attributes:
        view: To read an image, change it, and send it through the frozen network by the engine; and through a teacher.
        answer: To send an image through the network by the reference.
        batch: For a step of training.
    """

    view: float
    answer: float
    batch: float


def measure(settings: Settings, extractor: FeatureExtractor, cut: Cut, classes: int, train: Part, teacher: Bundle | None = None) -> Speed:
    """Measure with a few images and a few steps; nothing is kept.

    Args:
        settings: Of the network.
        extractor: Of the network.
        cut: Where it is cut.
        classes: How many there are.
        train: What is trained on.
        teacher: Is asked about every view; None without one.
    """
    side = extractor.backbone.image_size
    answer = seconds_per_answer(extractor.reference, np.zeros((3, side, side), np.float32))
    return Speed(seconds_per_view(settings, extractor, train, teacher), answer, seconds_per_step(settings, extractor, cut, classes))


def seconds_per_view(
    settings: Settings,
    extractor: FeatureExtractor,
    train: Part,
    teacher: Bundle | None = None,
    *,
    images: int = TRIAL_IMAGES,
    forward: bool = True,
) -> float:
    """Measure how long a view of an image takes.

    Args:
        settings: Give the views.
        extractor: Of the network.
        train: Its images are tried.
        teacher: Is asked about every view; None without one.
        images: How many are tried.
        forward: Also send it through the frozen network by the engine.
    """
    reference, engine = extractor.reference, extractor.engine
    samples, sha256 = train.spread(images)
    view, views = make_view(parse_augmentation(settings.augment), seed=settings.seed), distinct_views(settings)

    def pixels(i: int) -> NDArray[np.float32]:
        decoded = read_image(samples[i], sha256[i], settings.max_pixels)
        return reference.pixels(view(decoded, sha256[i], i % views))

    if forward:
        list(engine.forward([[pixels(0)]]))  # compiles the network
    started = time.perf_counter()
    batches = in_batches(ordered_map(pixels, range(len(samples)), workers=threads()), engine.batch)
    deque(engine.forward(batches) if forward else batches, maxlen=0)
    per_view = (time.perf_counter() - started) / len(samples)
    if teacher is not None:
        side = teacher.manifest["image_size"]
        per_view += seconds_per_answer(teacher.reference, np.zeros((3, side, side), np.float32))
    return per_view


def seconds_per_step(settings: Settings, extractor: FeatureExtractor, cut: Cut, classes: int) -> float:
    """Measure how long a step of training takes, of the settings' number of images, in the precision that is chosen for it."""
    network, batch = _blank(settings, extractor, cut, classes), _blank_batch(settings, extractor, cut, classes)
    return choose_precision(settings, network, batch, None).seconds_per_batch


def cost_of(
    speed: Speed, settings: Settings, *, train: int, val: int, judged: int, views: int, streamed: bool, probe: float | None
) -> Cost:
    """Return what a network takes.

    Nothing is taken for kept already: the same command then makes the same choice whatever the cache holds.

    Args:
        speed: Of the network.
        settings: Of the network.
        train: Images that are trained on.
        val: Images of the validation part.
        judged: Images that the merged network is judged on.
        views: Test-time views.
        streamed: Whether images are streamed in every epoch.
        probe: Seconds that fitting the first network's head took; None for the first network, which has its probe already.
    """
    kept = 0 if streamed else train * distinct_views(settings) + val
    own_probe = 0.0 if probe is None else probe + train * speed.view
    return Cost(
        once=own_probe + kept * speed.view + seconds_of_sweep(settings, speed.batch) + val * speed.answer + WRITING_S,
        epoch=seconds_per_epoch(settings, speed.batch, train=train, val=val, streaming=speed.view if streamed else 0.0),
        answers=(val + judged) * views * speed.answer,
    )


def seconds_of_sweep(settings: Settings, batch: float) -> float:
    """Return how long looking for a rate takes before training, from the seconds of a step; 0 where none is sought."""
    return STEPS * settings.accumulate * batch if is_sought(settings) else 0.0


def seconds_per_epoch(settings: Settings, batch: float, *, train: int, val: int, streaming: float) -> float:
    """Return how long an epoch takes.

    Args:
        settings: Of the network.
        batch: Seconds of a step of training.
        train: Images that are trained on.
        val: Images of the validation part.
        streaming: Seconds to read a view of an image in every epoch; 0 where activations are kept.
    """
    steps = len(Order(train, 1, settings.batch)) + FORWARD_SHARE * val / settings.batch
    return steps * batch + (train + val) * streaming


def _blank(settings: Settings, extractor: FeatureExtractor, cut: Cut, classes: int) -> TrainedNetwork:
    """Return the network as it would be trained, with a new head."""
    head = new_head(settings.head, extractor.width, classes, units=settings.hidden, dropout=settings.dropout)
    return TrainedNetwork(upper_layers(extractor, cut), unscaled(extractor.width), head).to(memory_format=torch.channels_last)


def _blank_batch(settings: Settings, extractor: FeatureExtractor, cut: Cut, classes: int) -> Batch:
    count, side = settings.batch, extractor.backbone.image_size
    inputs: tuple[torch.Tensor, ...] = (torch.zeros(count, 3, side, side),)
    if not cut.streamed:
        shape = shape_of(extractor.backbone, cut.boundary, cut.below)
        inputs = torch.zeros(count, shape.channels, shape.side, shape.side), torch.zeros(count, shape.below)
    first, *rest = inputs
    return Batch((first.contiguous(memory_format=torch.channels_last), *rest), torch.full((count, classes), 1 / classes), torch.ones(count))


def seconds_per_answer(reference: Reference, pixels: NDArray[np.float32]) -> float:
    """Measure how long the reference takes for one of many pictures.

    Args:
        reference: Of the network.
        pixels: (3, S, S) float32, of a picture.
    """
    batches = [[pixels] * reference.batch] * TRIAL_ANSWERS
    list(reference.forward(batches[:1]))
    started = time.perf_counter()
    list(reference.forward(batches))
    return (time.perf_counter() - started) / (len(batches) * reference.batch)
