"""The preset ``best``: several networks, each fine-tuned from a probe of its own, then merged into one that gives their mean.

measure → choose how many networks and epochs fit → per network: probe → cut → kept activations → the one loop → merge → temperature

Each network also sees test-time views of a picture: those mirror images that were among its training views. What comes out has
the form of a fitted probe again: one network, one linear head.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from seefit.budget import EXPLAINED, MINUTES, TIMINGS, Cost, Timings, keep_timings, plan_networks, read_timings
from seefit.bundle.averaging import FEATURES, Member, View, average_heads, average_networks
from seefit.bundle.bundle import Bundle
from seefit.bundling import weights_file
from seefit.console import QUIET, Console
from seefit.environment import gone_with, passing_folder
from seefit.evaluation.familiar import compared
from seefit.files import write_bytes
from seefit.finetuning import cut_to_fit, finetune_probe
from seefit.fitting import Fitted, begin, calibrate
from seefit.measuring import cost_of, measure, seconds_per_answer
from seefit.members import member_settings
from seefit.models.backbone import Backbone, Stage, load_backbone
from seefit.parts import Part
from seefit.settings import EPOCHS, Settings
from seefit.training.augment import Augmentation, Orientation, combined, parse_augmentation
from seefit.training.features import FeatureExtractor, choose_parts
from seefit.training.head import Head
from seefit.training.history import Epoch

VIEWS: dict[Orientation, tuple[View, str]] = {  # the orientations that networks are shown, and how
    (0, False): ((), "as it is"),
    (0, True): ((3,), "mirrored left to right"),
    (2, True): ((2,), "mirrored top to bottom"),
    (2, False): ((2, 3), "upside down"),
}


def train_members(
    settings: Settings,
    probe: Fitted,
    classes: tuple[str, ...],
    train: Part,
    val: Part | None,
    *,
    judged: int,
    seconds: Mapping[str, float],
    checkpoints: Path,
    teacher: Bundle | None = None,
    console: Console = QUIET,
) -> tuple[Fitted, list[dict[str, Any]]]:
    """Train as many networks as fit into the time, and merge them.

    Args:
        settings: What the user chose, with all networks named.
        probe: Of the first network.
        classes: Names, in the order of the outputs.
        train: What is trained on.
        val: Tells the best epoch of each network and gives the temperature of the merged one; None without a validation part.
        judged: How many images the merged network will be judged on.
        seconds: Of the run's phases so far, ``fit`` among them.
        checkpoints: Where timings are kept, and below it the state of each network.
        teacher: Every network learns its answers too, beside the labels.
        console: Where to say what happens.

    Returns:
        What fitting made, now with the merged network; and the rows of ``history.csv``.
    """
    views = views_of(parse_augmentation(settings.augment))
    record, minutes = checkpoints / TIMINGS, settings.minutes or MINUTES
    timings = read_timings(record)
    if timings is None:
        timings = _plan(settings, probe, len(classes), train, val, teacher, len(views), judged, seconds, console)
        keep_timings(record, timings)
    asked, epochs = settings.epochs, settings.epochs or timings.epochs
    settings = settings.model_copy(update={"epochs": epochs})
    _say_plan(settings.backbones, timings, epochs, len(views), minutes, console)
    made: list[Fitted] = []
    rows: list[dict[str, Any]] = []
    for number in range(timings.networks):
        if number >= max(1, len(timings.seconds)) and not timings.room_for_next(epochs, minutes):
            console.warn(f"Only {number} of {timings.networks} networks: one more would take longer than {minutes:g} min (--minutes)")
            break
        started, member = time.monotonic(), member_settings(settings, number)
        console.say(f"Network {number + 1} of {timings.networks}: {member.backbone}")
        own = probe
        if number:
            own = begin(member, _open(member, probe.extractor, console), classes, train, val, console=console)
        options: dict[str, Any] = {"teacher": teacher, "checkpoints": checkpoints / f"member-{number}", "console": console}
        if asked is None:  # a number of epochs that was asked for stays
            options["enough"] = _out_of_time(timings, number, minutes)
        fitted, history = finetune_probe(member, own, classes, train, val, **options)
        made.append(fitted)
        rows += [{"member": number, **asdict(epoch)} for epoch in history]
        if number == len(timings.seconds):
            timings.seconds.append(time.monotonic() - started)
            keep_timings(record, timings)
    return _merge(settings, made, views, classes, train, val, console), rows


def views_of(augmentation: Augmentation) -> list[tuple[View, str]]:
    """Return how networks are shown a picture: in those mirror images that training showed them, too; the picture itself first."""
    shown = {
        combined(mirrored, upturned, turns)
        for mirrored in (False, True)[: 1 + (augmentation.horizontal_flip > 0)]
        for upturned in (False, True)[: 1 + (augmentation.vertical_flip > 0)]
        for turns in (range(4) if augmentation.quarter_turns else range(1))
    }
    return [view for orientation, view in VIEWS.items() if orientation in shown]


# ---- the steps --------------------------------------------------------------------------------------------------


def _plan(
    settings: Settings,
    probe: Fitted,
    classes: int,
    train: Part,
    val: Part | None,
    teacher: Bundle | None,
    views: int,
    judged: int,
    seconds: Mapping[str, float],
    console: Console,
) -> Timings:
    """Measure every network and choose."""
    console.say("Measuring how long each network takes here …")
    started, speeds = time.monotonic(), {}
    costs: list[Cost] = []
    learnt, kept = len(train.samples), len(val.samples) if val is not None else 0
    images = {"train": learnt, "val": kept, "judged": judged + compared(learnt, kept) + (EXPLAINED if judged else 0)}
    for number, name in enumerate(settings.backbones):
        member = member_settings(settings, number)
        if name not in speeds:
            extractor = _open(member, probe.extractor, console) if number else probe.extractor
            cut = cut_to_fit(member, extractor, train, val)
            speeds[name] = measure(member, extractor, cut, classes, train, teacher), cut.streamed
        speed, streamed = speeds[name]
        costs.append(cost_of(speed, member, **images, views=views, streamed=streamed, probe=seconds["fit"] if number else None))
    before = sum(seconds.values()) + time.monotonic() - started
    return plan_networks(costs, before, settings.minutes or MINUTES, usual=EPOCHS, asked=settings.epochs)


def _out_of_time(timings: Timings, number: int, minutes: float) -> Callable[[Sequence[Epoch]], str | None]:
    """Return what ends the training of a network when one more epoch would end too late, and says so."""

    def enough(history: Sequence[Epoch]) -> str | None:
        late = timings.late(number, [epoch.seconds for epoch in history], minutes)
        return f"One more epoch would take longer than {minutes:g} min (--minutes): training ends" if late else None

    return enough


def _say_plan(names: Sequence[str], timings: Timings, epochs: int, views: int, minutes: float, console: Console) -> None:
    """Say before the start what will be trained and how long the whole run will take on this computer."""
    kept, left_out = names[: timings.networks], names[timings.networks :]
    without = f"; there is no time for {', '.join(left_out)}" if left_out else ""
    needed = timings.total(epochs) / 60
    console.say(
        f"Best: {', '.join(kept)}, {_counted(epochs, 'epoch')} each, and {_counted(views, 'view')} of every picture: "
        f"about {needed:.1f} min in all{without} (--minutes {minutes:g})"
    )
    if needed > minutes:
        console.warn(f"One network with {_counted(epochs, 'epoch')} takes longer than {minutes:g} min (--minutes)")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _open(settings: Settings, first: FeatureExtractor, console: Console) -> FeatureExtractor:
    """Open a further network; pictures are framed as for the first."""
    backbone = load_backbone(settings.backbone, settings.image_size, console=console)
    parts = choose_parts(backbone, settings.features)
    return FeatureExtractor(backbone, parts, first.fit, device=settings.device, max_pixels=settings.max_pixels)


def _merge(
    settings: Settings,
    made: Sequence[Fitted],
    views: Sequence[tuple[View, str]],
    classes: tuple[str, ...],
    train: Part,
    val: Part | None,
    console: Console,
) -> Fitted:
    """Merge trained networks and fit one temperature."""
    extractor, head = merge(made, [axes for axes, _ in views])
    _say_size_and_speed(extractor, len(made), len(views), console)
    temperature, figures = calibrate(settings, extractor, head, train, val, classes, console)
    if figures is not None:
        alone = ", ".join(f"{fitted.val['accuracy']['value']:.1%}" for fitted in made if fitted.val)
        console.say(f"Accuracy on the validation part: {alone} each by itself, {figures['accuracy']['value']:.1%} together")
    about = {"members": [_about(fitted, number) for number, fitted in enumerate(made)], "views": [words for _, words in views]}
    fitted = replace(made[0], extractor=extractor, head=head, temperature=temperature, val=figures, folds=None, about=about)
    members = tuple(own.extractor.backbone for own in made)
    return replace(fitted, members=members, trained=(), rates=None)  # what was trained, and how fast, is said of each


def merge(made: Sequence[Fitted], views: Sequence[View]) -> tuple[FeatureExtractor, Head]:
    """Merge trained networks into one whose logits are the mean of theirs over the views.

    Args:
        made: What training made of each; all take pictures of one size.
        views: What each sees of a picture.

    Returns:
        The merged network as an extractor, and its head.
    """
    tuned = [fitted.extractor for fitted in made]
    members = [
        Member(fitted.network, fitted.extractor.backbone.mean, fitted.extractor.backbone.std, fitted.head.weight, fitted.head.bias)
        for fitted in made
    ]
    data = average_networks(members, views).SerializeToString(deterministic=True)
    weight, bias = average_heads(members)
    identity = hashlib.sha256(data).hexdigest()
    folder = passing_folder()
    write_bytes(folder / "members.onnx", data)
    first, name = tuned[0].backbone, "+".join(extractor.backbone.name for extractor in tuned)
    stage = Stage(FEATURES, weight.shape[1], 0)
    backbone = Backbone(name, first.image_size, first.mean, first.std, (stage,), identity, folder / "members.onnx", identity)
    gone_with(backbone, folder)  # as the files of each network
    extractor = FeatureExtractor(backbone, [FEATURES], tuned[0].fit, device="cpu", max_pixels=tuned[0].max_pixels)
    return extractor, Head(weight, bias, "finetuned", 0.0)


def _about(fitted: Fitted, number: int) -> dict[str, Any]:
    backbone = fitted.extractor.backbone
    return {
        "backbone": backbone.name,
        "weights": backbone.weights,
        "file": weights_file(number) if backbone.state else None,
        "features": list(fitted.extractor.parts),
        "trained": list(fitted.trained),
        "lr": fitted.rates,
        "mean": list(backbone.mean),
        "std": list(backbone.std),
    }


def _say_size_and_speed(extractor: FeatureExtractor, networks: int, views: int, console: Console) -> None:
    side = extractor.backbone.image_size
    seconds = seconds_per_answer(extractor.reference, np.zeros((3, side, side), np.float32))
    size = extractor.backbone.onnx.stat().st_size / 1e6
    console.say(
        f"One model of {_counted(networks, 'network')} with {_counted(views, 'view')} of a picture: "
        f"{size:,.0f} MB, about {1 / seconds:,.0f} pictures/s here"
    )
