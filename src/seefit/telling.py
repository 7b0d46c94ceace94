"""What a run tells on the console besides its progress: what it runs on, its parts, its folds, and what to train next."""

from __future__ import annotations

import platform
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from seefit.console import Console, one_line
from seefit.data.dataset import SPLITS
from seefit.data.split import Split
from seefit.environment import threads
from seefit.evaluation.advice import Strategy, advise, is_done
from seefit.fitting import Fitted
from seefit.report.steps import advice_sentence, trains_more
from seefit.report.words import Words
from seefit.settings import Settings

SHOWN_CLASSES = 20


def environment_line() -> str:
    """Return what the run runs on."""
    return (
        f"seefit {version('seefit')} · Python {platform.python_version()} · {platform.system()} {platform.machine()} · {threads()} threads"
    )


def say_counts(counts: dict[str, dict[str, int]], classes: tuple[str, ...], split: Split, console: Console) -> None:
    """Print a table of images per class and part, and what is to be noted of the split.

    Args:
        counts: For each part, the number of images of each class.
        classes: Names, in order; the first 20 are shown.
        split: With its notes.
        console: Where to print.
    """
    shown = [part for part in SPLITS if sum(counts[part].values())]
    width = max(12, *(min(len(one_line(name)), 32) for name in classes[:SHOWN_CLASSES]))
    console.say(f"{'class':<{width}}" + "".join(f"{part:>9}" for part in shown))
    for name in classes[:SHOWN_CLASSES]:
        console.say(f"{one_line(name)[:32]:<{width}}" + "".join(f"{counts[part][name]:>9,}" for part in shown))
    if len(classes) > SHOWN_CLASSES:
        console.say(f"… and {len(classes) - SHOWN_CLASSES:,} more classes: see split.csv")
    console.say(f"{'in all':<{width}}" + "".join(f"{sum(counts[part].values()):>9,}" for part in shown))
    for sentence in split.notes:
        console.say(f"  note: {sentence}")


def say_folds(folds: dict[str, Any], console: Console) -> None:
    """Print the figures over the folds of the training part."""
    figures = ", ".join(
        f"{name.replace('_', ' ')} {interval(folds[name])}" for name in ("balanced_accuracy", "accuracy") if folds.get(name)
    )
    console.say(f"Cross-validation on the training part ({folds['folds']} folds, {folds['engine']}): {figures}")


def say_advice(settings: Settings, probe: Fitted, counts: dict[str, int], console: Console) -> dict[str, Any] | None:
    """Print which layers are advised to be trained, and why.

    Args:
        settings: What the user chose.
        probe: Fitted on the training part.
        counts: Training images of each class.
        console: Where to print.

    Returns:
        The fields of `seefit.evaluation.advice.Advice`, with ``done``, what the run itself trains, and ``text``; None where no
        figure tells how far the probe gets.
    """
    reached = ((probe.folds or probe.val or {}).get("balanced_accuracy") or {}).get("value")
    if reached is None:
        return None
    advice = asdict(advise(counts.values(), reached)) | {"done": _trained(settings)}
    advice["text"] = advice_sentence(advice, Words("en")).replace("\N{NO-BREAK SPACE}", " ")
    follow = trains_more(advice["strategy"], settings.model_dump(include={"method", "freeze"}))
    if follow and advice["done"] == advice["strategy"]:
        follow = "this run does so"
    elif advice["done"] != advice["strategy"] and is_done(advice):
        follow = "this run trains more than that"
    console.say(f"Advice: {advice['text']}" + (f" ({follow})" if follow else ""))
    return advice


def interval(figure: dict[str, float | None]) -> str:
    """Write a share with its interval in percent; a dash for what is unknown."""
    value, low, high = ("–" if figure[key] is None else f"{figure[key]:.1%}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _trained(settings: Settings) -> Strategy:
    if settings.way == "probe" or settings.freeze == "all":
        return "head"
    return "everything" if settings.freeze == "none" else "top"
