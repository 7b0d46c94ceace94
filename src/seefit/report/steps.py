"""What to try next in training, and why: what the table of the diagnosis lists and the first screen says."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from typing import Any

from seefit.drawing import shown
from seefit.evaluation.advice import ALIKE, LARGE, is_done
from seefit.evaluation.diagnosis import FEWEST_EPOCHS
from seefit.report.page import Step
from seefit.report.record import Record
from seefit.report.words import Words

TRAINS_MORE = {"top": "--preset balanced", "everything": "--preset balanced --freeze none"}  # options of what is advised
LONGER = 1.5  # times as many epochs, at least


@dataclass(frozen=True)
class Try:
    """Something to try: its name, whether it is worth it, why, and the command."""

    name: str
    worth: bool
    why: str
    command: str


def training_steps(record: Record, words: Words) -> list[Step]:
    """Return what to try next in training: the first thing that the diagnosis calls for, and what is advised to be trained.

    That the head is enough is said to a run that stopped there.
    """
    advice = record.metrics.get("advice")
    called_for = [] if advice and advice["done"] == "head" else [step for step in tries(record, words) if step.worth][:1]
    steps = [Step(f"{step.name}. {step.why}", step.command) for step in called_for]
    if not advice or (is_done(advice) and advice["done"] != "head"):
        return steps
    return [*steps, Step(advice_sentence(advice, words), _advised_command(record, advice))]


def tries(record: Record, words: Words) -> list[Try]:
    """Return what may be tried in training, in order: longer, augmentation, another network. Of several networks the first counts."""
    found = record.insight("diagnosis") or {}
    networks = found.get("networks") or []
    if networks:
        diagnosis = networks[0]["diagnosis"]
    elif found.get("probe"):
        diagnosis = found["probe"]["diagnosis"]
    else:
        return []
    rows = [_try(record, words, diagnosis, step, probe=not networks) for step in diagnosis["tries"]]
    advice = record.metrics.get("advice")
    if not networks and advice:  # training the layers of a probe is what shows it changed pictures
        worth = advice["strategy"] != "head"
        rows[1] = Try(words("try.layers"), worth, advice_sentence(advice, words), _advised_command(record, advice))
    return rows


def advice_sentence(advice: dict[str, Any], words: Words) -> str:
    """Return what is advised and why.

    Args:
        advice: The entry of ``metrics.json``, as in `seefit.evaluation.advice.Advice`.
        words: The language.
    """
    size = "large" if advice["images_per_class"] >= LARGE else "small"
    likeness = "alike" if advice["reach"] >= ALIKE else "unlike"
    values = {"images": f"{advice['images_per_class']:,}", "large": f"{LARGE:,}", "reach": words.percent(advice["reach"], 0)}
    return words(f"advice.{size}_{likeness}", **values)


def command_path(record: Record) -> str:
    """Return the run folder as a command takes it, without folders of this machine."""
    return shlex.quote(shown(str(record.run if not record.run.is_absolute() else record.run.name)))


def trend_text(trend: dict[str, Any], words: Words, *, loss: bool = False) -> str:
    """Write the slope of a curve with its interval; a dash where it is unknown."""
    if trend["slope"] is None:
        return "–"
    ends = [f"{trend[key]:+.3f}".replace("-", "−") if loss else words.signed(trend[key], 1) for key in ("slope", "low", "high")]
    return words("diagnosis.trend_loss" if loss else "diagnosis.trend", slope=ends[0], low=ends[1], high=ends[2], epochs=trend["epochs"])


def _try(record: Record, words: Words, diagnosis: dict[str, Any], step: dict[str, Any], *, probe: bool) -> Try:
    way, why = step["way"], step["why"]
    curve = "accuracy" if why in {"level", "flat"} else "val_accuracy"
    values = {
        "train": words.percent(diagnosis["train"] or 0.0, 0),
        "gap": words.signed(diagnosis["gap"] or 0.0),
        "images": f"{sum(record.counts('train').values()):,}",
        "enough": diagnosis["epochs"],
        "fewest": FEWEST_EPOCHS,
        "patience": record.config.get("patience"),
        "trend": trend_text(diagnosis["trends"][curve], words) if curve in diagnosis["trends"] else "–",
    }
    command = _command(record, way, diagnosis["epochs"], probe=probe) if step["worth"] else ""
    return Try(words(f"try.{way}"), step["worth"], words(f"why.{way}.{why}", **values), command)


def _command(record: Record, way: str, enough: int | None, *, probe: bool) -> str:
    run = command_path(record)
    if way == "longer":
        return f"seefit resume {run} --epochs {max(enough or 0, math.ceil(LONGER * len(record.history)))}"
    again = f"seefit train --config {run}/config.yaml"
    options = {"augmentation": "--preset balanced" if probe else "--augment strong", "model": "--backbone NAME", "rate": "--lr auto"}
    return f"{again} {options[way]}"


def _advised_command(record: Record, advice: dict[str, Any]) -> str:
    options = TRAINS_MORE.get(advice["strategy"])
    return f"seefit train {shlex.quote(shown(record.data or 'DATA'))} {options}" if options else ""
