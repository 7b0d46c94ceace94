"""How many more pictures: the learning curve, where it leads, and advice only where its interval supports it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seefit.drawing import blank, colour, place, shown, style, svg
from seefit.report.axes import WIDTH, Floats, axis_labels, legend_in_two, share_axis
from seefit.report.page import Picture, Section, Table
from seefit.report.record import Record
from seefit.report.words import Words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HARDLY = 0.01  # fewer mistakes than this by four times as many pictures are called hardly any
MOST_DRAWN = 6  # classes whose curves are drawn
MOST_ADVICE = 3  # classes that sentences are written about; the table holds all


def forecast_section(record: Record, words: Words) -> Section | None:
    """What two and four times as many pictures would do, overall and class by class."""
    found = record.insight("forecast")
    if found is None:  # where nothing else was looked at, either, nothing is to be said
        return Section("forecast", words("forecast.title"), [words("forecast.absent")]) if record.insight("trust") else None
    lead = [words("forecast.lead", repeats=found["repeats"], images=f"{found['images']:,}", engine=shown(found["engine"]))]
    lead.append(words("forecast.groups" if found["groups"] else "forecast.alike", groups=f"{found['groups']:,}"))
    if found.get("sampled"):
        lead.append(words("forecast.sampled", some=f"{found['sampled']:,}", all=f"{found['all']:,}"))
    if found["way"] != "probe":
        lead.append(words("forecast.frozen"))
    tables = [(words("forecast.ahead"), _ahead_table(found, words))]
    if len(found["classes"]) > 1:
        lead += [words("forecast.classes", count=len(found["classes"])), *_class_advice(found, record, words)]
        tables.append((words("forecast.by_class"), _class_table(found, record, words)))
    pictures = [_picture(found, words), *_class_pictures(found, record, words)]
    return Section("forecast", words("forecast.title"), lead, pictures, tables)


def advice_of_forecast(found: dict[str, Any], words: Words) -> str:
    """Say whether more pictures would help, as far as the curve tells.

    Args:
        found: The insight.
        words: The language.
    """
    helped = next((outlook for outlook in found["ahead"] if outlook["sure"]), None)
    if helped is not None:
        return words("forecast.helps", **_spoken(found, helped))
    last = found["ahead"][-1]
    least = last["change"]["low"]
    return words("forecast.hardly" if least is not None and least > -HARDLY else "forecast.open", **_spoken(found, last))


def _spoken(found: dict[str, Any], outlook: dict[str, Any]) -> dict[str, str]:
    """Return the numbers of an outlook as sentences take them: mistakes of 100 now, and now less the ends of the change."""
    now, change = found["now"]["value"], outlook["change"]
    low, high = (now if change[end] is None else max(now + change[end], 0.0) for end in ("low", "high"))
    return {
        "more": f"{outlook['images'] - found['present']:,}",
        "times": _times(found, outlook),
        "now": f"{100 * now:.1f}",
        "low": f"{100 * low:.1f}",
        "high": f"{100 * high:.1f}",
        "fall": f"{100 * (now - low):.1f}",
    }


def _times(found: dict[str, Any], outlook: dict[str, Any]) -> str:
    return str(round(outlook["images"] / found["present"]))


def _class_advice(found: dict[str, Any], record: Record, words: Words) -> list[str]:
    """Return a sentence for each of the classes whose mistakes are shown to become fewer, those with most mistakes first."""
    advised = []
    for one in found["classes"]:
        helped = next((outlook for outlook in one["ahead"] if outlook["sure"]), None)
        if helped is not None:
            times, error = _times(found, helped), helped["error"]
            numbers = {"now": f"{100 * one['now']['value']:.1f}", "low": f"{100 * error['low']:.1f}", "high": f"{100 * error['high']:.1f}"}
            more = f"{one['trained'] * (int(times) - 1):,}"
            name = shown(record.classes[one["class"]], 40)
            advised.append(words("forecast.helps_class", name=name, more=more, times=times, **numbers))
    return advised[:MOST_ADVICE] or [words("forecast.no_class")]


def _picture(found: dict[str, Any], words: Words) -> Picture:
    points, line = (np.array(found[key], np.float64) for key in ("points", "line"))
    marks = [found["present"], *(outlook["images"] for outlook in found["ahead"])]
    labels = [words("forecast.mark_now"), *(words("forecast.mark_times", times=_times(found, outlook)) for outlook in found["ahead"])]
    drawn = draw_forecast(points, line, marks, labels, x_label=words("forecast.axis_images"), y_label=words("forecast.axis_error"))
    rows = [[f"{size:,.0f}", *(words.percent(share) for share in rest)] for size, *rest in found["points"]]
    header = [words("head.train_images"), words("forecast.wrong"), words("head.low"), words("head.high")]
    alt = words("forecast.alt", count=len(points), first=f"{points[0, 0]:,.0f}", last=f"{points[-1, 0]:,.0f}")
    return Picture("forecast", svg(drawn, "forecast", alt), advice_of_forecast(found, words), Table(header, rows))


def _class_pictures(found: dict[str, Any], record: Record, words: Words) -> list[Picture]:
    """Return the curves of the classes with most mistakes in one picture; none of runs that did not keep them."""
    drawn = [one for one in found["classes"] if one.get("points")][:MOST_DRAWN]
    if len(found["classes"]) < 2 or not drawn:
        return []
    curves = [
        (shown(record.classes[one["class"]], 24), np.array(one["points"], np.float64), np.array(one["line"], np.float64)) for one in drawn
    ]
    marks = [found["present"], *(outlook["images"] for outlook in found["ahead"])]
    axes = {"x_label": words("forecast.axis_images"), "y_label": words("forecast.axis_error")}
    figure = svg(draw_class_forecasts(curves, marks, **axes), "forecast-classes", words("forecast.classes_alt", count=len(drawn)))
    rows = [[name, *(words.percent(error) for error in points[:, 1])] for name, points, _ in curves]
    header = [words("head.class"), *(f"{size:,.0f}" for size in curves[0][1][:, 0])]
    return [Picture("forecast-classes", figure, words("forecast.classes_says", count=len(drawn)), Table(header, rows))]


def _ahead_table(found: dict[str, Any], words: Words) -> Table:
    rows = [[words("forecast.mark_now"), f"{found['present']:,}", _share(found["now"], words), "–"]]
    for outlook in found["ahead"]:
        cells = [f"{outlook['images']:,}", _share(outlook["error"], words), _points(outlook["change"], words)]
        rows.append([words("forecast.mark_times", times=_times(found, outlook)), *cells])
    return Table([words("forecast.pictures"), words("head.train_images"), words("forecast.wrong"), words("forecast.change")], rows)


def _class_table(found: dict[str, Any], record: Record, words: Words) -> Table:
    rows = [
        [
            shown(record.classes[one["class"]], 48),
            f"{one['trained']:,}",
            _share(one["now"], words),
            *(_share(outlook["error"], words) for outlook in one["ahead"]),
        ]
        for one in found["classes"]
    ]
    header = [words("head.class"), words("head.train_images"), words("forecast.mark_now")]
    return Table([*header, *(words("forecast.mark_times", times=_times(found, outlook)) for outlook in found["ahead"])], rows)


def _share(error: dict[str, Any], words: Words) -> str:
    if error["low"] is None:
        return words.percent(error["value"])
    return f"{words.percent(error['value'])} ({100 * error['low']:.1f}–{100 * error['high']:.1f})"


def _points(change: dict[str, Any], words: Words) -> str:
    if change["low"] is None:
        return words.signed(change["value"], 1)
    span = words("format.interval", low=words.signed(change["low"], 1), high=words.signed(change["high"], 1))
    return words("format.bracket", first=words.signed(change["value"], 1), second=span)


def draw_forecast(
    points: Floats, line: Floats, marks: list[int], labels: list[str], *, x_label: str = "training images", y_label: str = "named wrong"
) -> Figure:
    """Draw a learning curve: what was measured, and where it leads with its band.

    Args:
        points: (S, 4) images, error in [0, 1], low and high end; NaN for ends that are unknown.
        line: (L, 4) the same along the curve.
        marks: Numbers of images to mark, rising: now, and those that the forecast is about.
        labels: What is written at each.
        x_label: Words below the axis.
        y_label: Words above the axis.
    """
    figure = blank(WIDTH, 280)
    with style():
        axes = place(figure, left=48, bottom=44, right=16, top=34)
        axes.set_xscale("log", base=2)
        ahead = line[:, 0] >= points[-1, 0]
        axes.fill_between(line[:, 0], line[:, 2], line[:, 3], color=colour("accent"), alpha=0.16, linewidth=0)
        axes.plot(line[~ahead, 0], line[~ahead, 1], color=colour("accent"), linewidth=2)
        axes.plot(line[ahead, 0], line[ahead, 1], "--", color=colour("accent"), linewidth=2)
        axes.vlines(points[:, 0], points[:, 2], points[:, 3], color=colour("accent"), linewidth=2.5, alpha=0.45)
        axes.plot(points[:, 0], points[:, 1], "o", color=colour("accent"), markersize=6)
        top = float(np.nanmax([points[:, 3], points[:, 1]])) * 1.12
        axes.set_ylim(0, min(1.0, top) or 1.0)
        for mark, label in zip(marks, labels, strict=True):
            axes.axvline(mark, color=colour("muted"), linewidth=1, linestyle=":")
            axes.annotate(
                label, (mark, 1), (0, -4), xycoords=("data", "axes fraction"), textcoords="offset points", ha="right", va="top", size=10
            )
        places = [points[0, 0], *marks] if points[0, 0] * 2 < marks[0] else marks
        axes.set_xticks(places, labels=[f"{x:,.0f}" for x in places])
        axes.minorticks_off()
        share_axis(axes, "y")
        axes.spines["bottom"].set_visible(True)
        axes.set_xlabel(x_label, size=10.5)
        axes.annotate(y_label, (0, 1), (-40, 12), xycoords="axes fraction", textcoords="offset points", color=colour("muted"), size=10.5)
    return figure


def draw_class_forecasts(
    curves: Sequence[tuple[str, Floats, Floats]], marks: Sequence[int], *, x_label: str = "training images", y_label: str = "named wrong"
) -> Figure:
    """Draw the learning curves of a few classes, 400 points wide.

    Args:
        curves: The name, (S, 4) points and (L, 4) line of each, as for `draw_forecast`; their intervals are not drawn.
        marks: Numbers of training images to mark.
        x_label: Words below the axis.
        y_label: Words above it.
    """
    rows = math.ceil(len(curves) / 2)
    figure = blank(WIDTH, 220 + 18 * rows)
    with style():
        axes = place(figure, left=50, bottom=44, right=20, top=40 + 18 * rows)
        axes.set_xscale("log")
        for number, (name, points, line) in enumerate(curves, 1):
            ahead, tint = line[:, 0] >= points[-1, 0], colour(f"class-{number}")
            axes.plot(line[~ahead, 0], line[~ahead, 1], color=tint, linewidth=1.8, label=name)
            axes.plot(line[ahead, 0], line[ahead, 1], "--", color=tint, linewidth=1.8)
            axes.plot(points[:, 0], points[:, 1], "o", color=tint, markersize=4.5)
        for mark in marks:
            axes.axvline(mark, color=colour("muted"), linewidth=1, linestyle=":")
        axes.set_ylim(0, min(1.0, 1.12 * max(float(np.nanmax(points[:, 1])) for _, points, _ in curves)) or 1.0)
        axes.set_xticks(list(marks), labels=[f"{mark:,.0f}" for mark in marks])
        axes.minorticks_off()
        share_axis(axes, "y")
        axes.spines["bottom"].set_visible(True)
        axis_labels(axes, x_label, y_label)
        legend_in_two(axes)
    return figure
