"""How well it tells the classes apart at any strictness: ROC and precision-recall curves with their bands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from seefit.drawing import blank, colour, place, shown, style, svg
from seefit.report.axes import WIDTH, Floats, share_axis
from seefit.report.page import Picture, Section, Table
from seefit.report.record import Figure, Record, as_figure, as_floats
from seefit.report.words import Words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

GRID = np.linspace(0, 1, 101)  # as in `seefit.evaluation.curves`
SPOKEN = {"roc": 10, "precision": 80}  # places of the grid that the sentences speak of: 10 % false alarms, 80 % found
LISTED = (0, 1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100)  # places of the grid that the table lists
PANEL = 174.0  # points of a row of small panels
LONGEST_TITLE = 20


@dataclass(frozen=True)
class CurvePanel:
    """One curve: its title, a line below it, (101,) values with their band (NaN without one), and what a blind guess reaches."""

    title: str
    note: str
    value: Floats
    low: Floats
    high: Floats
    guess: Floats


def curves_section(record: Record, words: Words) -> Section | None:
    """ROC and precision-recall curves: of one class for two, of each for up to ten, else of the mean and the worst."""
    found = record.insight("curves")
    if not found or not (found["classes"] or found["mean"]):
        return None
    curves = [*([found["mean"]] if found["mean"] else []), *found["classes"]]
    source, why = found["source"], found["why"]
    lead = [words("curves.lead"), words(f"curves.source.{source}", images=f"{found['images']:,}")]
    if why:
        lead.insert(0, words(f"curves.why.{why}", name=shown(curves[0]["class"], 40)))
    elif found["left_out"]:
        lead.append(words("curves.left_out", shown=len(found["classes"]), count=f"{found['left_out']:,}"))
    if not np.isfinite(as_floats(curves[0]["roc"]["low"])).any():
        lead.append(words("curves.no_band"))
    pictures = [_picture(record, words, found, curves, kind) for kind in ("roc", "precision")]
    return Section("curves", words("curves.title"), lead, pictures)


def _picture(record: Record, words: Words, found: dict[str, Any], curves: list[dict[str, Any]], kind: str) -> Picture:
    panels = [_panel(record, words, found["source"], entry, kind) for entry in curves]
    labels = {"x_label": words(f"axis.{kind}_x"), "y_label": words(f"axis.{kind}_y"), "guess_label": words("axis.baseline")}
    drawn = draw_curve(panels[0], **labels) if len(panels) == 1 else draw_curves(panels, **labels)
    area = as_figure(curves[0]["auc" if kind == "roc" else "average_precision"])
    says = _says(words, curves[0], kind)
    if kind == "roc" and len(panels) > 1 and found["classes"]:
        worst = found["classes"][0]
        told = words("curves.worst", name=shown(worst["class"], 40), area=words.value("auc", as_figure(worst["auc"])))
        says = words.sentences(says, told)
    alt = words(f"curves.{kind}_alt", count=len(panels), area=words.value("auc", area))
    return Picture(kind, svg(drawn, kind, alt), says, _table(words, curves, kind))


def _panel(record: Record, words: Words, source: str, entry: dict[str, Any], kind: str) -> CurvePanel:
    title = words("curves.mean") if "class" not in entry else shown(entry["class"], LONGEST_TITLE)
    figure = _area(record, source, entry, kind)
    note = words(f"curves.{kind}_note", area=words.value("auc", figure), interval=words.interval("auc", figure))
    guess = GRID if kind == "roc" else np.full(len(GRID), float(entry["share"]))
    value, low, high = (as_floats(entry[kind][end]) for end in ("value", "low", "high"))
    return CurvePanel(title, note, value, low, high, guess)


def _area(record: Record, source: str, entry: dict[str, Any], kind: str) -> Figure | None:
    """Return the area under a curve; the ROC's as metrics.json has it where it does, so that a page has one number for it."""
    if kind == "precision":
        return as_figure(entry["average_precision"])
    known = record.per_class(entry["class"], "auc") if "class" in entry else record.figure(record.part, "auc")
    return known if known is not None and source == record.part else as_figure(entry["auc"])


def _says(words: Words, entry: dict[str, Any], kind: str) -> str:
    place = SPOKEN[kind]
    value, low, high = (entry[kind][end][place] for end in ("value", "low", "high"))
    interval = words.interval("accuracy", Figure(value, low, high))
    values = {
        "given": place,
        "value": words.of_100(value),
        "interval": words("format.interval_named", interval=interval) if low is not None else words("format.interval_unknown"),
        "guess": words.of_100(entry["share"]),
        "name": shown(entry.get("class", ""), 40),
    }
    return words(f"curves.{kind}_says" if "class" in entry else f"curves.{kind}_says_mean", **values)


def _table(words: Words, curves: list[dict[str, Any]], kind: str) -> Table:
    """Return the points of one curve, or of several their area and three points."""
    if len(curves) == 1:
        band = curves[0][kind]
        rows = [[words.percent(GRID[i], 0), *(_share(words, band[end][i]) for end in ("value", "low", "high"))] for i in LISTED]
        return Table([words(f"axis.{kind}_x"), words(f"axis.{kind}_y"), words("head.low"), words("head.high")], rows)
    places = (5, 10, 20) if kind == "roc" else (50, 80, 95)
    rows = []
    for entry in curves:
        area = as_figure(entry["auc" if kind == "roc" else "average_precision"])
        name = shown(entry["class"], 48) if "class" in entry else words("curves.mean")
        points = [_share(words, entry[kind]["value"][i]) for i in places]
        rows.append([name, f"{entry['positives']:,}", words.value("auc", area), words.interval("auc", area), *points])
    header = [words("head.class"), words("head.images"), words(f"head.{kind}_area"), words("head.interval")]
    return Table([*header, *(words(f"head.{kind}_at", given=i) for i in places)], rows)


def _share(words: Words, value: float | None) -> str:
    return "–" if value is None else words.percent(value)


# ---- drawings ---------------------------------------------------------------------------------------------------


def draw_curve(panel: CurvePanel, *, x_label: str = "", y_label: str = "", guess_label: str = "blind guess") -> Drawing:
    """Draw one curve with its band, 400 points wide.

    Args:
        panel: The curve.
        x_label: Words below the axis.
        y_label: Words above it.
        guess_label: Words beside the line of a blind guess.
    """
    figure = blank(WIDTH, 388)
    with style():
        axes = place(figure, left=50, bottom=44, right=20, top=56)
        _draw(axes, panel)
        share_axis(axes, "x", x_label)
        share_axis(axes, "y")
        axes.annotate(panel.note, (0, 1), (-42, 32), xycoords="axes fraction", textcoords="offset points", size=12, color=colour("ink"))
        axes.annotate(y_label, (0, 1), (-42, 10), xycoords="axes fraction", textcoords="offset points", size=10.5, color=colour("muted"))
        spot = 0.62, float(np.interp(0.62, GRID, panel.guess))
        axes.annotate(guess_label, spot, (4, -6), textcoords="offset points", color=colour("bad"), size=10, va="top")
    return figure


def draw_curves(panels: Sequence[CurvePanel], *, x_label: str = "", y_label: str = "", guess_label: str = "blind guess") -> Drawing:
    """Draw several curves as small panels, two in a row.

    Args:
        panels: The curves, in order.
        x_label: As for `draw_curve`, said once below the last row.
        y_label: Said once above the first row.
        guess_label: Said once, in the first panel.
    """
    rows = math.ceil(len(panels) / 2)
    height = PANEL * rows + 84
    figure = blank(WIDTH, height)
    with style():
        for i, panel in enumerate(panels):
            left, top = 44 + (i % 2) * 182.0, 62 + (i // 2) * PANEL
            axes = place(figure, left=left, bottom=height - top - 132, right=WIDTH - left - 150, top=top)
            _draw(axes, panel)
            share_axis(axes, "x")
            share_axis(axes, "y")
            axes.set_xticks([0, 0.5, 1], labels=["0", "50\u00a0%", "100\u00a0%"] if i + 2 >= len(panels) else [])
            axes.set_yticks([0, 0.5, 1], labels=[] if i % 2 else ["0", "50\u00a0%", "100\u00a0%"])
            axes.annotate(panel.title, (0, 1), (0, 21), xycoords="axes fraction", textcoords="offset points", size=12, color=colour("ink"))
            axes.annotate(
                panel.note, (0, 1), (0, 7), xycoords="axes fraction", textcoords="offset points", size=10.5, color=colour("muted")
            )
            if i == 0:
                spot = 0.55, float(np.interp(0.55, GRID, panel.guess))
                axes.annotate(guess_label, spot, (3, -4), textcoords="offset points", color=colour("bad"), size=9.5, va="top")
        figure.text(8 / WIDTH, 1 - 16 / height, f"↑ {y_label}", color=colour("muted"), size=10.5, va="center")
        figure.text(1 - 20 / WIDTH, 12 / height, f"{x_label} →", color=colour("muted"), size=10.5, ha="right", va="center")
    return figure


def _draw(axes: Axes, panel: CurvePanel) -> None:
    axes.plot(GRID, panel.guess, "--", color=colour("bad"), linewidth=1)
    axes.fill_between(GRID, panel.low, panel.high, color=colour("accent"), alpha=0.2, linewidth=0)
    axes.plot(GRID, panel.value, color=colour("accent"), linewidth=2)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.01)
