"""What to try next in training, and why: what the table of the diagnosis lists and the first screen says."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seefit.drawing import shown
from seefit.evaluation.advice import ALIKE, LARGE, is_done
from seefit.evaluation.diagnosis import FEWEST_EPOCHS
from seefit.report.page import Problem, Step
from seefit.report.record import Record, as_figure
from seefit.report.words import Words

TRAINS_MORE = {"top": "--preset balanced", "everything": "--preset balanced --freeze none"}
LONGER = 1.5  # times as many epochs, at least
GRADES = {"diverging": "serious", "over": "note", "under": "note"}  # of what a diagnosis may find


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


def trains_more(strategy: str, began: Mapping[str, Any]) -> str:
    """Return the options that train the layers that are advised; none for the head alone.

    Args:
        strategy: As in `seefit.evaluation.advice.Advice`.
        began: The settings that are repeated, where some are: what they say by hand wins against a preset, so it is said anew.
    """
    options = TRAINS_MORE.get(strategy, "")
    if options and began.get("method"):
        options += " --method finetune"
    if options and began.get("freeze", "auto") != "auto" and "--freeze" not in options:
        options += " --freeze auto"
    return options


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


def data_argument(record: Record) -> str:
    """Return what `seefit train` takes to train on the same data again: its name, or the run's settings where that is a private folder."""
    if record.data.startswith("…"):
        return f"--config {command_path(record)}/config.yaml"
    return shlex.quote(shown(record.data or "DATA"))


def found_sentence(words: Words, diagnosis: dict[str, Any], losses: list[float]) -> str:
    """Write what a diagnosis found in a network's epochs.

    Args:
        words: The language.
        diagnosis: As `seefit.evaluation.diagnosis.Diagnosis.to_json` has it.
        losses: Training loss of each epoch.
    """
    kind, held_out = diagnosis["kind"], as_figure(diagnosis["held_out"])
    return words(
        f"diagnosis.{kind}_alone" if kind == "too_few" and held_out is None else f"diagnosis.{kind}",
        train=words.percent(diagnosis["train"] or 0.0),
        held_out=words.value("accuracy", held_out),
        epochs=len(losses),
        trend=trend_text(diagnosis["trends"]["val_accuracy"], words),
        lowest=f"{min((loss for loss in losses if math.isfinite(loss)), default=math.nan):.2f}",
        loss=f"{losses[-1]:.2f}",
    )


def training_problems(record: Record, words: Words) -> list[Problem]:
    """Return what went wrong in training: of the first network that something went wrong with."""
    for member, network in enumerate((record.insight("diagnosis") or {}).get("networks") or []):
        kind = network["diagnosis"]["kind"]
        if kind in GRADES:
            losses = [number(row.get("loss")) for row in record.history if int(row.get("member") or 0) == member]
            return [Problem(GRADES[kind], words(f"problem.{kind}"), found_sentence(words, network["diagnosis"], losses))]
    return []


def number(text: str | None) -> float:
    """Read a cell of history.csv; NaN where it holds no number."""
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


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
        "train": words.percent(diagnosis["train"] or 0.0),
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
    more = trains_more("top", record.config)
    options = {"augmentation": more if probe else "--augment strong", "model": "--backbone NAME", "rate": "--lr auto"}
    return f"{again} {options[way]}"


def _advised_command(record: Record, advice: dict[str, Any]) -> str:
    data = data_argument(record)
    options = trains_more(advice["strategy"], record.config if data.startswith("--config") else {})
    return f"seefit train {data} {options}" if options else ""
