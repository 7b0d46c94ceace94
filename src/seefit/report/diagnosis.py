"""Did it learn too little or too much: the curves of training, what they say, and what to try next."""

from __future__ import annotations

from typing import Any

import numpy as np

from seefit.drawing import svg
from seefit.report.axes import Floats
from seefit.report.figures import draw_intervals
from seefit.report.page import Picture, Section, Table
from seefit.report.record import Figure, Record, as_figure
from seefit.report.steps import found_sentence, number, trend_text, tries
from seefit.report.training_figures import Panel, draw_training
from seefit.report.words import Words


def diagnosis_section(record: Record, words: Words) -> Section | None:
    """The curves of training with a diagnosis; for a probe the path of strengths and the folds."""
    found = record.insight("diagnosis") or {}
    networks, probe = found.get("networks") or [], found.get("probe")
    lead, pictures = [words("diagnosis.lead")], list[Picture]()
    if networks:
        lead.append(words("diagnosis.lead_epochs"))
        pictures = [_epochs(record, words, i, network) for i, network in enumerate(networks)]
    else:
        path = _path(record, words, probe)
        pictures = [picture for picture in (path, _folds(words, probe)) if picture is not None]
        lead += [_probe_says(words, probe)] if probe and path is None else []
        lead += [words("path.lead")] if path is not None else []
    rows = [[step.name, words("format.yes" if step.worth else "format.no"), step.why] for step in tries(record, words)]
    if not pictures and not rows:
        return None
    table = Table([words(f"head.{key}") for key in ("try", "worth", "why")], rows, prose=True)
    evidence = [(words("diagnosis.evidence"), _evidence(words, networks))] if networks else []
    return Section(
        "diagnosis", words("diagnosis.title"), lead, pictures, [(words("diagnosis.tries"), table)] if rows else [], folded=evidence
    )


# ---- epochs -----------------------------------------------------------------------------------------------------


def _epochs(record: Record, words: Words, member: int, network: dict[str, Any]) -> Picture:
    rows = [row for row in record.history if int(row.get("member") or 0) == member]
    columns = {name: _column(rows, name) for name in ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")}
    panels = [
        Panel(words("axis.epoch_accuracy"), columns["accuracy"], columns["val_accuracy"], share=True),
        Panel(words("axis.epoch_loss"), columns["loss"], columns["val_loss"]),
    ]
    names = words("part.train"), words("part.val")
    drawn = draw_training(columns["epoch"], panels, int(network["kept"]) - 1, names=names, x_label=words("axis.epoch"))
    name = "epochs" if not member else f"epochs-{chr(ord('a') + member)}"
    alt = words("diagnosis.alt", epochs=len(rows))
    return Picture(name, svg(drawn, name, alt), _network_says(record, words, member, network, columns), _epochs_table(words, columns))


def _network_says(record: Record, words: Words, member: int, network: dict[str, Any], columns: dict[str, Floats]) -> str:
    said = found_sentence(words, network["diagnosis"], columns["loss"].tolist())
    monitor = record.config.get("monitor", "loss")
    best = network["kept"] == network["best"]
    kept = words(f"diagnosis.kept_{monitor}" if best else "diagnosis.kept_last", kept=network["kept"])
    notes = [words(f"diagnosis.note.{note}") for note in network["diagnosis"]["notes"] if note != "stopped"]
    several = [words("diagnosis.member", number=member + 1)] if "member" in (record.history[0] if record.history else {}) else []
    return words.sentences(*several, said, kept, *notes)


def _epochs_table(words: Words, columns: dict[str, Floats]) -> Table:
    header = [words("head.epoch"), *(words(f"head.{part}_{name}") for part in ("train", "val") for name in ("accuracy", "loss"))]
    rows = [
        [f"{epoch:.0f}", _share(words, accuracy), _loss(loss), _share(words, val_accuracy), _loss(val_loss)]
        for epoch, loss, accuracy, val_loss, val_accuracy in zip(*columns.values(), strict=True)
    ]
    return Table(header, rows)


def _evidence(words: Words, networks: list[dict[str, Any]]) -> Table:
    """Return the numbers that the diagnosis rests on, a column per network."""
    rows = []
    diagnoses = [network["diagnosis"] for network in networks]
    for key in ("train", "held_out", "gap", "epochs"):
        rows.append([words(f"evidence.{key}"), *(_cell(words, key, diagnosis) for diagnosis in diagnoses)])
    for key in ("accuracy", "val_accuracy", "loss", "val_loss"):
        rows.append([words(f"evidence.{key}"), *(trend_text(d["trends"][key], words, loss="loss" in key) for d in diagnoses)])
    header = [words("head.what"), *(words("diagnosis.network", number=i + 1) for i in range(len(networks)))]
    return Table(header if len(networks) > 1 else [words("head.what"), words("head.value")], rows, prose=True)


def _cell(words: Words, key: str, diagnosis: dict[str, Any]) -> str:
    if key == "held_out":
        figure = as_figure(diagnosis["held_out"])
        return f"{words.value('accuracy', figure)}\n{words.interval('accuracy', figure)}" if figure else "–"
    value = diagnosis[key]
    if value is None:
        return "–"
    return words.percent(value) if key == "train" else words("format.points", number=words.signed(value, 1)) if key == "gap" else f"{value}"


# ---- a probe ----------------------------------------------------------------------------------------------------


def _probe_says(words: Words, probe: dict[str, Any]) -> str:
    diagnosis = probe["diagnosis"]
    kind, held_out = diagnosis["kind"], as_figure(diagnosis["held_out"])
    return words(
        f"probe.{kind}",
        train=words.percent(diagnosis["train"], 0),
        held_out=words.value("accuracy", held_out),
        interval=words("format.interval_named", interval=words.interval("accuracy", held_out)),
    )


def _path(record: Record, words: Words, probe: dict[str, Any] | None) -> Picture | None:
    """The path of strengths that a probe tried, when the run kept one."""
    rows = [row for row in record.history if number(row.get("strength")) > 0 and np.isfinite(number(row.get("fold_nll")))]
    if len(rows) < 2:
        return None
    rows.sort(key=lambda row: number(row["strength"]))
    strengths, losses, train_losses = (_column(rows, name) for name in ("strength", "fold_nll", "train_nll"))
    scores, train_scores = (_column(rows, name) for name in ("fold_balanced_accuracy", "train_balanced_accuracy"))
    panels = [Panel(words("axis.loss"), train_losses, losses)]
    if np.isfinite(scores).all():
        panels.append(Panel(words("axis.balanced"), train_scores, scores, share=True))
    chosen = int(losses.argmin())
    names = words("path.train"), words("path.held_out")
    drawn = draw_training(strengths, panels, chosen, names=names, x_label=words("axis.strength"), logarithmic=True)
    values = {"chosen": f"{strengths[chosen]:.3g}", "loss": f"{losses[chosen]:.3f}"}
    says = words("path.says_edge" if chosen in {0, len(rows) - 1} else "path.says", **values)
    said = words.sentences(_probe_says(words, probe), says) if probe else says
    header = [words(f"head.{key}") for key in ("strength", "loss", "train_loss", "held_out_balanced", "train_balanced")]
    cells = [
        [f"{strength:.3g}", _loss(loss), _loss(train_loss), _share(words, score), _share(words, train)]
        for strength, loss, train_loss, score, train in zip(strengths, losses, train_losses, scores, train_scores, strict=True)
    ]
    alt = words("path.alt", count=len(rows), chosen=values["chosen"])
    return Picture("strength", svg(drawn, "strength", alt), said, Table(header, cells))


def _folds(words: Words, probe: dict[str, Any] | None) -> Picture | None:
    folds = (probe or {}).get("folds") or []
    if len(folds) < 2:
        return None
    names = [words("folds.name", number=i + 1, images=f"{fold['images']:,}") for i, fold in enumerate(folds)]
    figures = [as_figure(fold["accuracy"]) or Figure(0.0) for fold in folds]
    value, low, high = (np.array([getattr(figure, end) for figure in figures], np.float64) for end in ("value", "low", "high"))
    drawn = draw_intervals(names, value, low, high, x_label=words("axis.share_right"))
    says = words("folds.says", low=words.percent(value.min(), 0), high=words.percent(value.max(), 0), folds=len(folds))
    rows = [[name, *(words.percent(end) for end in (v, lo, hi))] for name, v, lo, hi in zip(names, value, low, high, strict=True)]
    table = Table([words("head.what"), *(words(f"head.{key}") for key in ("value", "low", "high"))], rows)
    return Picture("folds", svg(drawn, "folds", words("folds.alt", folds=len(folds))), says, table)


def _column(rows: list[dict[str, str]], name: str) -> Floats:
    return np.array([number(row.get(name)) for row in rows])


def _share(words: Words, value: float) -> str:
    return words.percent(value) if np.isfinite(value) else "–"


def _loss(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "–"
