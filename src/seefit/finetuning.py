"""Fine-tuning, from a fitted probe to a network whose upper layers were trained too; and training from scratch.

probe → boundary → kept activations (or streamed images) → the one loop → the whole network as ONNX again → temperature

What comes out has the form of a fitted probe, a frozen network and a linear head, so that everything after it is the same. From
scratch, what goes in is the network as it begins (`seefit.fitting.begin`), and all of it lies above the boundary.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from seefit.bundle.bundle import Bundle
from seefit.console import QUIET, Console
from seefit.errors import UsageError, unknown_name
from seefit.fitting import Fitted, calibrate
from seefit.memory import Memory
from seefit.models.architecture import FLAT
from seefit.models.backbone import Backbone
from seefit.models.cut import PIXELS, boundaries, trained_layers, upper_part, whole_state
from seefit.models.tuned import tuned_backbone
from seefit.parts import Part
from seefit.plans import Choice, Rates, choose_precision, find_rates, is_sought, make_plan, promise, rates_text
from seefit.settings import Settings
from seefit.teaching import check_same_teacher, taught
from seefit.training.activations import Activations, room, shape_of
from seefit.training.augment import AUGMENTATIONS, Augmentation, parse_augmentation
from seefit.training.batches import KeptBatches, Order, PixelBatches
from seefit.training.features import FeatureExtractor
from seefit.training.finetune import Batch, Batches, Plan, finetune
from seefit.training.head import balanced_weights, class_shares, without_prior
from seefit.training.heads import new_head, told
from seefit.training.history import Epoch
from seefit.training.network import TrainedNetwork, unscaled
from seefit.training.optimisers import zero_gamma
from seefit.training.solver import Standardised
from seefit.training.views import View, make_view

ALL, NONE = "all", "none"
LOOKED_AT = 100  # views that tell how many are kept
_EFFECTS = {  # of working on fewer images at once
    "frozen": "steps, rates and results stay those of whole batches",
    "trained": "steps and rates stay those of whole batches, but the norms see fewer images",
}


@dataclass(frozen=True)
class Cut:
    """Where the network is cut: what is kept of an image, and what is trained.

    Attributes:
        boundary: The stage whose map is kept; ``pixels`` when the whole network is trained, None when the head alone is.
        below: Feature stages up to the boundary.
        above: Feature stages above it.
        streamed: Whether the network begins with pixels, since nothing is frozen or what is would not fit on the disk.
    """

    boundary: str | None
    below: tuple[str, ...]
    above: tuple[str, ...]
    streamed: bool = False

    @property
    def trained(self) -> str:
        """What is trained, for the console."""
        return {None: "the head", PIXELS: "the whole network"}.get(self.boundary, f"the layers above {self.boundary} and the head")


@dataclass(frozen=True)
class Prepared:
    """What the loop needs, made from a fitted probe.

    Attributes:
        settings: With as many views as there are different ones.
        augmentation: Of the training images.
        cut: Where the network is cut.
        network: What is trained.
        training: Its batches.
        validation: Gives the batches to validate on; None without a validation part.
        choice: Of the precision.
        memory: How many images fit at once.
    """

    settings: Settings
    augmentation: Augmentation
    cut: Cut
    network: TrainedNetwork
    training: Batches
    validation: Callable[[], Iterable[Batch]] | None
    choice: Choice
    memory: Memory

    def plan(self, rates: Rates | None = None) -> Plan:
        """Return how to train, with rates that were found or, without, those of the settings."""
        made = self.settings, self.network, self.augmentation, len(self.training), self.choice
        return replace(make_plan(*made, validated=self.validation is not None, rates=rates), memory=self.memory)


def finetune_probe(
    settings: Settings,
    fitted: Fitted,
    classes: tuple[str, ...],
    train: Part,
    val: Part | None,
    *,
    teacher: Bundle | None = None,
    enough: Callable[[Sequence[Epoch]], str | None] = lambda history: None,
    checkpoints: Path | None = None,
    console: Console = QUIET,
) -> tuple[Fitted, list[Epoch]]:
    """Train the upper layers of a fitted probe's network, and its head; from scratch, all of a network.

    Args:
        settings: What the user chose.
        fitted: The probe; from scratch, the network as it begins.
        classes: Names, in the order of the outputs.
        train: What is trained on.
        val: Tells the best epoch and gives the temperature; without one the last epoch counts and the temperature stays 1: the
            out-of-fold scores of the probe say nothing of the network that was trained since, which has seen every image.
        teacher: Its answers are learnt too, beside the labels.
        enough: As in `seefit.training.finetune.Plan`.
        checkpoints: Where the state after each epoch is kept; training goes on from what is there.
        console: Where to say what happens.

    Returns:
        What fitting made, now with the trained network; and a row per epoch.
    """
    with prepared(settings, fitted, classes, train, val, teacher=teacher, checkpoints=checkpoints, console=console) as ready:
        network, training, plan = ready.network, ready.training, ready.plan()
        trained = trained_layers(fitted.extractor.backbone, network.upper)
        if is_sought(settings):
            plan = ready.plan(find_rates(plan, ready.choice, network, training, checkpoints, console=console))
        console.say(promise(ready.settings, ready.cut.trained, network, plan, ready.choice, len(training)))
        plan.enough = enough
        history = finetune(network, plan, training, ready.validation, checkpoints=checkpoints, every=settings.every, console=console)
    tuned = _tuned_extractor(fitted.extractor, network, settings)
    head = network.learned_head()
    if settings.from_scratch:
        head = replace(head, method="scratch")
    if settings.class_weights == "prior":
        head = without_prior(head, class_shares(train.targets(classes), train.weights()))
    temperature, figures = calibrate(settings, tuned, head, train, val, classes, console)
    found: dict[str, Any] = {"head": head, "temperature": temperature, "val": figures, "rates": rates_text(plan)}
    return replace(fitted, extractor=tuned, folds=None, trained=trained, **found), history


@contextlib.contextmanager
def prepared(
    settings: Settings,
    fitted: Fitted,
    classes: tuple[str, ...],
    train: Part,
    val: Part | None,
    *,
    teacher: Bundle | None = None,
    checkpoints: Path | None = None,
    console: Console = QUIET,
) -> Iterator[Prepared]:
    """Make everything ready for the loop: the cut, the network, kept activations or streamed images, the precision.

    Args:
        settings: As for `finetune_probe`.
        fitted: Likewise.
        classes: Likewise.
        train: Likewise.
        val: Likewise.
        teacher: Likewise.
        checkpoints: Likewise.
        console: Likewise.
    """
    extractor = fitted.extractor
    augmentation = parse_augmentation(settings.augment)
    settings = settings.model_copy(update={"views": distinct_views(settings)})
    cut = cut_to_fit(settings, extractor, train, val, console=console)
    if teacher is not None and checkpoints is not None:
        check_same_teacher(checkpoints, teacher)
    network = _network(settings, fitted, train, cut)
    if sentence := told(network.head, classes, settings.optimiser):
        console.say(sentence)
    with _batches(settings, extractor, cut, augmentation, classes, train, val, console, teacher) as (training, validation):
        memory = Memory("training", _EFFECTS["trained" if settings.trains_norms else "frozen"], console)
        choice = choose_precision(settings, network, next(iter(training.epoch(0))), checkpoints, memory)
        yield Prepared(settings, augmentation, cut, network, training, validation, choice, memory)


def choose_cut(backbone: Backbone, parts: tuple[str, ...], freeze: str) -> Cut:
    """Choose the boundary.

    Args:
        backbone: The network.
        parts: The stages that give the head's features.
        freeze: The name or number (from 0) of the highest stage that stays frozen; ``all``: the head alone is trained; ``none``: the
            whole network is; ``auto``: the highest stage whose map is larger than the last one.

    Raises:
        UsageError: No such stage.
    """
    if freeze == ALL:
        return Cut(None, parts, ())
    places = boundaries(backbone)
    if freeze == NONE:
        return Cut(PIXELS, (), parts, streamed=True)
    maps = [stage for stage in backbone.stages if stage.side]
    if freeze == "auto":
        boundary = next((stage.name for stage in reversed(maps) if stage.side > maps[-1].side), PIXELS)
    elif freeze.isdecimal() and int(freeze) + 1 < len(places):
        boundary = places[int(freeze) + 1]
    elif freeze in places:
        boundary = freeze
    else:
        unknown_name(f"stage of {backbone.name} to freeze up to", freeze, ["auto", ALL, NONE, *places[1:]])
    if boundary == PIXELS:
        return Cut(PIXELS, (), parts, streamed=True)
    names = [stage.name for stage in backbone.stages]
    below = tuple(part for part in parts if names.index(part.removesuffix(FLAT)) <= names.index(boundary))
    return Cut(boundary, below, tuple(part for part in parts if part not in below))


def distinct_views(settings: Settings) -> int:
    """Return how many views of an image are kept: no more than there are different ones."""
    return min(settings.views, parse_augmentation(settings.augment).distinct_views or settings.views)


def cut_to_fit(settings: Settings, extractor: FeatureExtractor, train: Part, val: Part | None, *, console: Console | None = None) -> Cut:
    """Choose the boundary, and to stream the images where the activations of all views would not fit on the disk.

    Args:
        settings: What the user chose.
        extractor: Of the network.
        train: What is trained on.
        val: Told apart from it, in one view; None without one.
        console: Where to say that images are streamed; None where that is said later.

    Raises:
        UsageError: No such stage.
    """
    cut = choose_cut(extractor.backbone, extractor.parts, NONE if settings.from_scratch else settings.freeze)
    images = len(train.samples) * distinct_views(settings) + (len(val.samples) if val is not None else 0)
    if not cut.streamed and (size := images * shape_of(extractor.backbone, cut.boundary, cut.below).bytes) > room():
        if console is not None:
            console.warn(
                f"The activations would take {size / 1e9:,.1f} GB, more than there is room for: the images are streamed in every epoch"
            )
        cut = replace(cut, streamed=True)
    return cut


def _network(settings: Settings, fitted: Fitted, train: Part, cut: Cut) -> TrainedNetwork:
    extractor = fitted.extractor
    from_scratch = settings.from_scratch
    scale = unscaled(extractor.width) if from_scratch else Standardised.of(extractor.extract(train.samples, train.sha256))
    upper = upper_layers(extractor, cut)
    if upper is not None and settings.zero_gamma:
        _start_blocks_at_zero(upper, extractor.backbone.name)
    head = new_head(settings.head, extractor.width, len(fitted.head.bias), units=settings.hidden, dropout=settings.dropout)
    network = TrainedNetwork(upper, scale, head)
    network.begin(fitted.head.weight, fitted.head.bias, seed=settings.seed)
    return network.to(memory_format=torch.channels_last)


def _start_blocks_at_zero(network: nn.Module, name: str) -> None:
    if not zero_gamma(network):
        expected, got = "a network of residual blocks that end with a norm", "one without any"
        hint = "Leave --zero-gamma out"
        raise UsageError("Nothing to start at zero", where=f"--zero-gamma, {name}", expected=expected, got=got, hint=hint)


def upper_layers(extractor: FeatureExtractor, cut: Cut) -> nn.Module | None:
    """Return the part of the network that takes the batches; in a streamed one what lies below the boundary stays frozen."""
    if not cut.streamed:
        return upper_part(extractor.backbone, cut.boundary, cut.above) if cut.boundary and cut.above else None
    whole = upper_part(extractor.backbone, PIXELS, extractor.parts)
    if cut.boundary != PIXELS:
        part = upper_part(extractor.backbone, cut.boundary, cut.above) if cut.boundary and cut.above else nn.Module()
        trained = {name for name, _ in part.named_parameters()}
        for name, parameter in whole.named_parameters():
            parameter.requires_grad_(name in trained)
    return whole


# ---- the data -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _batches(
    settings: Settings,
    extractor: FeatureExtractor,
    cut: Cut,
    augmentation: Augmentation,
    classes: tuple[str, ...],
    train: Part,
    val: Part | None,
    console: Console,
    teacher: Bundle | None = None,
) -> Iterator[tuple[Batches, Callable[[], Iterable[Batch]] | None]]:
    """Give the training batches, and what gives those of the validation part: from kept activations, or streamed."""
    view = make_view(augmentation, seed=settings.seed)

    def make(part: Part, views: int, view_key: str) -> KeptBatches | PixelBatches:
        images, targets, weights = (part.samples, part.sha256), part.targets(classes), _weights(settings, part, classes)
        order = Order(len(part.samples), views, settings.batch, settings.seed, fresh=cut.streamed and views > 1)
        if cut.streamed:
            return PixelBatches(*images, extractor.reference, view, order, targets, weights, max_pixels=settings.max_pixels)
        activations = stack.enter_context(open_activations(settings, extractor, cut, part, view, view_key, console))
        _say_and_fill(activations, order, cut)
        return KeptBatches(activations, order, targets, weights)

    views, epochs, view_key = settings.views, settings.planned_epochs, augmentation.key(seed=settings.seed)
    with contextlib.ExitStack() as stack:
        own = make(train, views, view_key)
        training: Batches = own
        if teacher is not None:
            training = stack.enter_context(
                taught(settings, own, teacher, classes, train, view=view, view_key=view_key, epochs=epochs, console=console)
            )
        validation = make(val, 1, AUGMENTATIONS["none"].key(seed=0)).plain if val is not None and val.samples else None
        yield training, validation


def open_activations(
    settings: Settings, extractor: FeatureExtractor, cut: Cut, part: Part, view: View, view_key: str, console: Console = QUIET
) -> Activations:
    """Open what is kept of a part's images at the boundary of a cut network, in views that ``view_key`` names."""
    return Activations(
        extractor.backbone,
        cut.boundary,
        cut.below,
        extractor.fit,
        part.samples,
        part.sha256,
        view=view,
        view_key=view_key,
        exact=extractor.engine is extractor.reference,
        device=settings.device,
        max_pixels=settings.max_pixels,
        console=console,
    )


def share_missing(settings: Settings, extractor: FeatureExtractor, cut: Cut, train: Part) -> float:
    """Return the share of the training views whose activations are not kept yet, 0 to 1; a few of them tell.

    Args:
        settings: As for `finetune_probe`.
        extractor: Of the network.
        cut: Where it is cut.
        train: What is trained on.
    """
    augmentation = parse_augmentation(settings.augment)
    rows = Order(len(train.samples), distinct_views(settings), settings.batch).every_row()
    some = rows[:: len(rows) // LOOKED_AT | 1]  # an odd step: all numbers of views come
    view, key = make_view(augmentation, seed=settings.seed), augmentation.key(seed=settings.seed)
    with open_activations(settings, extractor, cut, train, view, key) as activations:
        return len(activations.kept.missing(some)) / len(some)


def _say_and_fill(activations: Activations, order: Order, cut: Cut) -> None:
    """Keep what is missing; say size and time first."""
    rows = order.every_row()
    size = activations.shape.bytes * len(rows) / 1e6
    views = f" in {order.views:,} views" if order.views > 1 else ""
    what = f"Keeping the activations at {cut.boundary or 'the head'} of {order.images:,} images{views}"
    activations.kept.fill_and_tell(rows, f"{what}: {math.ceil(size):,} MB in the cache folder")


def _weights(settings: Settings, part: Part, classes: tuple[str, ...]) -> NDArray[np.float32]:
    """Return sample weights, balanced over classes when asked for, with a mean of 1."""
    weights = part.weights()
    if settings.class_weights == "balanced":
        weights = balanced_weights(part.targets(classes), part.labels(classes), weights)
    return np.asarray(weights / max(weights.mean(), 1e-12), np.float32)


# ---- the network as one graph again ---------------------------------------------------------------------------


def _tuned_extractor(extractor: FeatureExtractor, network: TrainedNetwork, settings: Settings) -> FeatureExtractor:
    """Return the extractor of the trained network; without trained layers, the one there was."""
    if network.upper is None:
        return extractor
    backbone = tuned_backbone(extractor.backbone, whole_state(extractor.backbone, network.upper))
    return FeatureExtractor(backbone, extractor.parts, extractor.fit, device=settings.device, max_pixels=settings.max_pixels)
