"""Fitting, from images to everything a bundle needs: features → head → proof of the engine → temperature.

`seefit train` and ``ImageClassifier.fit(paths, labels)`` both come through here. Nothing here splits, reads test
labels or writes to a run folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.box import choose_fit
from seefit.bundle.graph import Fit, hidden_model
from seefit.console import QUIET, Console
from seefit.data.dataset import Sample
from seefit.environment import threads
from seefit.errors import UsageError
from seefit.evaluation.calibrate import fit_temperature, softmax
from seefit.evaluation.evaluate import group_numbers
from seefit.evaluation.metrics import judge
from seefit.members import OFFLINE, backbones_here
from seefit.models.architecture import first_head
from seefit.models.backbone import Backbone, check_backbone, load_backbone
from seefit.models.weights import no_weights
from seefit.models.zoo import resolve
from seefit.parts import Part
from seefit.proving import engine_difference, fell_back
from seefit.settings import AUTO, Settings
from seefit.training.engine import check_device
from seefit.training.features import FeatureExtractor, choose_parts
from seefit.training.head import MAX_PATH_ROWS, Head, fit_head
from seefit.training.viewed import count_views, viewed_features

if TYPE_CHECKING:
    from onnx import ModelProto

Phase = Callable[[str], AbstractContextManager[object]]

_FITS: dict[Fit, str] = {"crop": "cropped to a square", "pad": "padded to a square", "squash": "squashed to a square"}
UNCALIBRATED = "The probabilities are not calibrated: no images were kept back that could tell how sure the model may be (--val)."


@dataclass(frozen=True)
class Fitted:
    """What fitting made.

    Attributes:
        extractor: What gave the features, with the engine that passed its check.
        head: On these features.
        temperature: Divides the logits.
        engine_difference: What the engine's check found; None when the reference itself is the engine.
        val: Figures of the validation part, by the reference; None without one.
        folds: Figures over the folds of the training part, by the engine; None where there are no folds.
        trained: The layers of the network that were trained, from `seefit.models.cut.trained_layers`.
        rates: Of the lowest trained layer and of the head, as ``--lr`` takes them; None for a probe.
        members: The networks that were merged into this one, for as long as their files are needed; none when it is one network.
        about: Further facts for the bundle's manifest.
    """

    extractor: FeatureExtractor
    head: Head
    temperature: float
    engine_difference: dict[str, float] | None
    val: dict[str, Any] | None
    folds: dict[str, Any] | None
    trained: tuple[str, ...] = ()
    rates: str | None = None
    members: tuple[Backbone, ...] = ()
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def calibrated(self) -> bool:
        """Whether the temperature was fitted on images that the model had not seen; else it is 1."""
        return self.val is not None or self.folds is not None

    @property
    def network(self) -> ModelProto:
        """The ``network`` part of the graph up to what the linear head sees: the features, or a hidden layer on them."""
        network, hidden = self.extractor.network, self.head.hidden
        return network if hidden is None else hidden_model(network, hidden.weight, hidden.bias)


def check_model(settings: Settings, backbone: Backbone | None = None, *, choosing: bool = False) -> None:
    """Refuse, before any image is read, a model or a device that cannot be.

    Args:
        settings: What the user chose.
        backbone: Loaded already, where the settings cannot name it.
        choosing: Whether the backbone may be chosen later.

    Raises:
        UsageError: An unknown backbone, a size that it cannot take, or a head that a probe cannot have.
        ResourceError: No weights, or no GPU where one was asked for.
    """
    check_device(settings.device)
    if settings.backbone == AUTO:
        _check_choice(choosing)
    elif backbone is None:
        for name in dict.fromkeys(settings.backbones):
            check_backbone(name, settings.image_size, seed=settings.weights_seed)
    if backbone is not None and settings.preset == "best":
        hint = "Use another preset, or name a function that returns the module as file.py:function"
        raise UsageError("Cannot average the network", where=backbone.name, expected="names of networks", got="a module", hint=hint)
    if settings.way == "probe" and settings.head != "linear":
        hint = "Add --method finetune --freeze all, which trains the head alone"
        raise UsageError("A probe has a linear head", where="--head", expected="linear for a probe", got=settings.head, hint=hint)


def _check_choice(choosing: bool) -> None:
    if not choosing:
        hint = "Name one; `seefit train DATA --backbone auto` chooses one"
        raise UsageError("Nothing chooses the network here", where="--backbone", expected="a name", got=AUTO, hint=hint)
    if not backbones_here():
        raise no_weights(resolve(OFFLINE[0]), "none here")


def check_head(settings: Settings, classes: Sequence[str]) -> None:
    """Refuse one logit for more than two classes.

    Raises:
        UsageError: So many classes cannot have the head that was asked for.
    """
    if settings.head == "logit" and len(classes) != 2:
        hint = "Use --head linear or --head hidden"
        raise UsageError(
            "One logit tells two classes apart", where="--head logit", expected="2 classes", got=f"{len(classes):,}", hint=hint
        )


def open_extractor(
    settings: Settings,
    sizes: NDArray[np.int64],
    *,
    backbone: Backbone | None = None,
    state: Path | None = None,
    console: Console = QUIET,
) -> FeatureExtractor:
    """Open the backbone, choose the box and the stages, and say so.

    Args:
        settings: What the user chose.
        sizes: (N, 2) width and height of the training images in pixels.
        backbone: As in `check_model`.
        state: The weights of a network that was fine-tuned before, as a bundle has them; None for those of the backbone.
        console: Where to say what was chosen.

    Raises:
        UsageError: An unknown backbone or device, or a size the backbone cannot take.
        ResourceError: No weights, or no GPU where one was asked for.
    """
    backbone = backbone or load_backbone(settings.backbone, settings.image_size, seed=settings.weights_seed, console=console)
    if state is not None and not settings.from_scratch:
        backbone = _tuned_before(backbone, state, console)
    fit: Fit
    if settings.fit == "auto":
        fit, why = choose_fit(sizes)
        console.say(f"Pictures: {_FITS[fit]}, since {why} (--fit)")
    else:
        fit = settings.fit
    parts = choose_parts(backbone, "pooled" if settings.from_scratch else settings.features)
    extractor = FeatureExtractor(backbone, parts, fit, device=settings.device, max_pixels=settings.max_pixels)
    console.say(f"Model: {backbone.name} at {backbone.image_size} px, {_described(extractor, settings)}")
    return extractor


def _tuned_before(backbone: Backbone, state: Path, console: Console) -> Backbone:
    from safetensors.torch import load_file

    from seefit.models.tuned import tuned_backbone  # brings torch

    console.say(f"Converting {backbone.name} to ONNX with the weights in {state} …")
    return tuned_backbone(backbone, load_file(state))


def _described(extractor: FeatureExtractor, settings: Settings) -> str:
    if settings.from_scratch:
        return "with the weights that it comes with" if extractor.backbone.module else f"with random weights of seed {settings.seed}"
    engine = f"{extractor.engine.name} on {threads()} threads"
    return f"frozen: {extractor.width:,} features per image, computed once by {engine} and kept"


def begin(
    settings: Settings,
    extractor: FeatureExtractor,
    classes: tuple[str, ...],
    train: Part,
    val: Part | None = None,
    *,
    proof: Part | None = None,
    phase: Phase = nullcontext,
    console: Console = QUIET,
) -> Fitted:
    """Do what comes before any layer is trained: fit the probe; or, from scratch, take the network as it begins.

    Args:
        settings: What the user chose.
        extractor: As for `fit_probe`; from scratch with the weights to begin with.
        classes: Names, in the order of the outputs.
        train: As for `fit_probe`.
        val: Likewise.
        proof: Likewise.
        phase: Called with ``features`` and ``fit``; gives what is entered while that is done.
        console: Where to say what happens.

    Returns:
        What fitting made; from scratch the network's own first head, without a temperature or figures.
    """
    if settings.from_scratch:
        return _unfitted(settings, extractor, len(classes))
    with phase("features"):
        features = extractor.extract(train.samples, train.sha256, console=console)
    with phase("fit"):
        return fit_probe(settings, extractor, features, classes, train, val, proof=proof, console=console)


def _unfitted(settings: Settings, extractor: FeatureExtractor, classes: int) -> Fitted:
    backbone = extractor.backbone
    extractor.use_reference()
    drawn: dict[str, Any] = {"seed": settings.seed, "image_size": backbone.image_size, "module": backbone.module}
    weight, bias = first_head(backbone.name, classes, extractor.width, **drawn)
    return Fitted(extractor, Head(weight, bias, "scratch", 0.0), 1.0, None, None, None)


def fit_probe(
    settings: Settings,
    extractor: FeatureExtractor,
    features: NDArray[np.float32],
    classes: tuple[str, ...],
    train: Part,
    val: Part | None = None,
    *,
    proof: Part | None = None,
    console: Console = QUIET,
) -> Fitted:
    """Fit the head, prove the engine, fit the temperature.

    Folds say nothing of a network that was fine-tuned before, on these very images perhaps: then there are no figures over them, nor a
    temperature from them.

    Args:
        settings: What the user chose.
        extractor: What gave the features; falls back to the reference when its engine differs too much.
        features: (N, D) float32 of the training part.
        classes: Names, in the order of the outputs.
        train: What the head is fitted on.
        val: What the temperature is fitted on; out-of-fold scores of the training part when None or empty.
        proof: Images that the engine is checked on; of the validation part, or without one of the training part, when None.
        console: Where to say what happens.
    """
    val = val if val is not None and val.samples else None
    head = _fit_head(settings, extractor, features, train, classes, console)
    difference = engine_difference(extractor, head, proof or val or train, console)
    if difference is not None and fell_back(extractor, difference, console):  # what the reference computed is kept and used again
        features = extractor.extract(train.samples, train.sha256, console=console)
        head = _fit_head(settings, extractor, features, train, classes, console)
    unseen = extractor.backbone.state is None
    if val is None:
        temperature, val_metrics = _fold_temperature(head, train, classes) if unseen else 1.0, None
    else:
        temperature, val_metrics = calibrate(settings, extractor, head, train, val, classes, console)
    folds = _fold_metrics(head, temperature, train, classes, extractor.engine.name, settings.seed) if unseen else None
    return Fitted(extractor, head, temperature, difference, val_metrics, folds)


def _fit_head(
    settings: Settings, extractor: FeatureExtractor, features: NDArray[np.float32], part: Part, classes: tuple[str, ...], console: Console
) -> Head:
    """Fit the head on the images, or with ``probe_views`` on their views; its folds then tell of the images as they are."""
    views = count_views(settings.augment, settings.probe_views)
    if views > 1:
        made = settings.augment, views
        features = viewed_features(extractor, part.samples, part.sha256, *made, seed=settings.seed, console=console)
    targets, units = np.repeat(part.one_hot(classes), views, axis=0), np.repeat(part.units, views)
    head = fit_head(
        features,
        targets,
        weights=np.repeat(part.weights(), views),
        units=units,
        balance=settings.class_weights,
        seed=settings.seed,
        console=console,
    )
    plain = head.fold_rows % views == 0
    folds = {"fold_rows": head.fold_rows[plain] // views, "fold_logits": head.fold_logits[plain], "fold_numbers": head.fold_numbers[plain]}
    head = replace(head, **folds)
    if head.method == "nearest-mean":
        console.say("Head: nearest class mean, since the classes are too small or too many for cross-validation")
    else:
        where = f"({head.folds} folds)" if len(features) <= MAX_PATH_ROWS else "on a sample of the images"
        console.say(f"Head: logistic regression, strength {head.strength:.3g} chosen by cross-validation {where}")
    return head


def calibrate(
    settings: Settings, extractor: FeatureExtractor, head: Head, train: Part, val: Part | None, classes: tuple[str, ...], console: Console
) -> tuple[float, dict[str, Any] | None]:
    """Fit the temperature on the validation part, by the reference, and judge it there; without one it is 1, and there are no figures."""
    if val is None or not val.samples:
        return 1.0, None
    exact = extractor.extract(val.samples, val.sha256, exact=True, console=console, label="Validation")
    logits, labels = head.logits(exact), val.labels(classes)
    temperature = fit_temperature(logits, labels, val.weights())
    return temperature, _judge(logits, temperature, labels, classes, val.samples, train.majority(classes), settings.seed)


def _fold_temperature(head: Head, part: Part, classes: tuple[str, ...]) -> float:
    rows = head.fold_rows
    return fit_temperature(head.fold_logits, part.labels(classes)[rows], part.weights()[rows]) if len(rows) else 1.0


def _fold_metrics(head: Head, temperature: float, part: Part, classes: tuple[str, ...], engine: str, seed: int) -> dict[str, Any] | None:
    """Return the figures of the out-of-fold scores of the training part."""
    if not len(head.fold_rows):
        return None
    labels = part.labels(classes)[head.fold_rows]
    samples = [part.samples[i] for i in head.fold_rows]
    figures = _judge(head.fold_logits, temperature, labels, classes, samples, part.majority(classes), seed)
    return {**figures, "folds": head.folds, "engine": engine}


def _judge(
    logits: NDArray[np.float32],
    temperature: float,
    labels: NDArray[np.int64],
    classes: tuple[str, ...],
    samples: list[Sample],
    majority: int,
    seed: int,
) -> dict[str, Any]:
    figures = judge(
        softmax(logits, temperature),
        labels,
        classes,
        weights=np.array([sample.weight for sample in samples]),
        groups=group_numbers([sample.group for sample in samples]),
        majority=majority,
        seed=seed,
    ).to_json()
    return {key: value for key, value in figures.items() if key not in {"per_class", "confusion"}}
