"""Whether acting on the model pays: decision curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seefit.drawing import blank, colour, place, shown, style, svg
from seefit.evaluation.intervals import Estimate
from seefit.report.axes import WIDTH, Floats, axis_labels, legend_above, share_axis
from seefit.report.decide import cost_text
from seefit.report.page import Picture, Section, Table
from seefit.report.record import Record, as_figure, as_floats
from seefit.report.words import Words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CLASSES = 30


def benefit_section(record: Record, words: Words) -> Section | None:
    """The decision curve of the class that is looked for, or the mean over classes."""
    found = record.insight("decide")
    if not found:
        return None
    lead, tables = [words("benefit.lead")], []
    if found["classes"]:
        lead.append(words("benefit.lead_mean"))
        tables = [(words("benefit.classes"), _gains(words, found["classes"]))]
    return Section("benefit", words("benefit.title"), lead, [_picture(record, words, found)], tables)


def _picture(record: Record, words: Words, found: dict[str, Any]) -> Picture:
    curve = found["curve"]
    thresholds = np.array(curve["thresholds"], np.float64)
    model, low, high, everything = (100 * as_floats(curve[name]) for name in ("model", "low", "high", "everything"))
    marked = record.costs[0] / sum(record.costs) if found["table"] else None
    names = words("benefit.model"), words("benefit.all"), words("benefit.none")
    drawn = draw_benefit(
        thresholds, model, low, high, everything, marked=marked, names=names, x_label=words("axis.weight"), y_label=words("axis.benefit")
    )
    gain = as_figure(curve["gain"])
    values = {"gain": cost_text(words, Estimate(*curve["gain"].values())), "area": f"{100 * curve['area']:.1f}"}
    certain = "yes" if gain is not None and gain.above(0) else "no" if gain is not None and gain.below(0) else "unsure"
    says = words(f"benefit.says_{certain}", **values)
    places = range(0, len(thresholds), 10)
    rows = [[words.percent(thresholds[i], 0), *(_plain(line[i]) for line in (model, low, high, everything)), "0"] for i in places]
    header = [words("axis.weight"), names[0], words("head.low"), words("head.high"), *names[1:]]
    return Picture("benefit", svg(drawn, "benefit", words("benefit.alt", **values)), says, Table(header, rows))


def _gains(words: Words, classes: Sequence[dict[str, Any]]) -> Table:
    """Return what acting on the model gains for each class, the least first."""
    ordered = sorted(classes, key=lambda entry: float(entry["gain"]["value"]))[:MOST_CLASSES]
    rows = [[shown(entry["class"], 48), cost_text(words, Estimate(*entry["gain"].values()))] for entry in ordered]
    return Table([words("head.class"), words("head.gain")], rows)


def _plain(value: float) -> str:
    return f"{value:.1f}".replace("-", "−") if np.isfinite(value) else "–"


def draw_benefit(
    thresholds: Floats,
    model: Floats,
    low: Floats,
    high: Floats,
    everything: Floats,
    *,
    marked: float | None = None,
    names: tuple[str, str, str] = ("the model", "all", "none"),
    x_label: str = "",
    y_label: str = "",
) -> Figure:
    """Draw a decision curve, 400 points wide.

    Args:
        thresholds: (T,) rising.
        model: (T,) net benefit of acting on the model.
        low: (T,) lower ends of its interval, NaN where there is none.
        high: (T,) upper ends.
        everything: (T,) of acting on all images.
        marked: The threshold that the reader's costs stand for; None for none.
        names: Of the three lines.
        x_label: Words below the axis.
        y_label: Words above it.
    """
    figure = blank(WIDTH, 288)
    with style():
        axes = place(figure, left=50, bottom=44, right=20, top=56)
        if marked is not None and thresholds[0] <= marked <= thresholds[-1]:
            axes.axvline(marked, color=colour("line"), linewidth=6)
        axes.fill_between(thresholds, low, high, color=colour("accent"), alpha=0.2, linewidth=0)
        axes.plot(thresholds, model, color=colour("accent"), linewidth=2, label=names[0])
        axes.plot(thresholds, everything, "--", color=colour("bad"), linewidth=1.5, label=names[1])
        axes.axhline(0, color=colour("muted"), linewidth=1.5, linestyle=":", label=names[2])
        top = max(float(np.nanmax(np.concatenate([model, everything]))), 1e-9)
        axes.set_ylim(-0.35 * top, 1.12 * top)
        axes.set_xlim(thresholds[0], thresholds[-1])
        share_axis(axes, "x", "")
        axes.grid(axis="y")
        axis_labels(axes, x_label, y_label)
        legend_above(axes, 1.1)
    return figure
