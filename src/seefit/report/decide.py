"""Where to draw the line between two classes, by what mistakes cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from seefit.drawing import blank, colour, place, shown, style, svg
from seefit.errors import UsageError, raise_all
from seefit.evaluation.decide import Blocks, Counts, Given, cheapest, costs_of, finds_enough, give, right_enough
from seefit.evaluation.intervals import Estimate
from seefit.report.axes import WIDTH, Floats, axis_labels, legend_above, share_axis
from seefit.report.page import Picture, Section, Table
from seefit.report.record import Record
from seefit.report.steps import command_path
from seefit.report.words import Words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EQUAL = (1.0, 1.0)  # costs of a false alarm and of a miss where nobody gives any
HALF = 0.5  # from which a class of two is the likelier one
LISTED = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)  # thresholds of the folded table


@dataclass(frozen=True)
class Choice:
    """The table of thresholds of a run, and the line that costs call for.

    Attributes:
        table: The entry of ``insights/decide.json``.
        costs: Of a false alarm and of a miss.
        source: Of the judged images, as in `seefit.insights.material.Scores`.
    """

    table: dict[str, Any]
    costs: tuple[float, float]
    source: str

    @cached_property
    def thresholds(self) -> Floats:
        """(T,) rising."""
        return np.array(self.table["thresholds"], np.float64)

    @cached_property
    def held_out(self) -> Counts | None:
        """What thresholds give on the images they may be chosen on; None without such images."""
        found = self.table["held_out"]
        if found is None:
            return None
        return Counts(np.array(found["tp"]), np.array(found["fp"]), int(found["positives"]), int(found["negatives"]))

    @cached_property
    def judged(self) -> Blocks:
        """The judged images."""
        sides = self.table["blocks"]
        return Blocks(*(np.array([row.split() for row in sides[side]]).astype(np.intp) for side in ("positives", "negatives")))

    @property
    def usual(self) -> int:
        """The place of the threshold that the model's own answers have: one half."""
        return int(np.abs(self.thresholds - HALF).argmin())

    @property
    def place(self) -> int:
        """The place of the threshold to take: by the costs, or one half where nothing may choose it."""
        return self.usual if self.held_out is None else cheapest(self.thresholds, self.held_out, *self.costs)

    @property
    def flatters(self) -> bool:
        """Whether the same images chose the line and show what it gives."""
        return self.held_out is not None and self.source == self.table["chosen_on"]

    def given(self, spot: int) -> Given:
        """Return what a threshold gives on the judged images, its cost against one half."""
        return give(self.judged, spot, self.usual, *self.costs)

    def to_json(self) -> dict[str, Any]:
        """Return the line, what it was chosen on, and what it gives; costs are means per image."""
        given = {name: figure.to_json() for name, figure in vars(self.given(self.place)).items()}
        about = {"class": self.table["class"], "from": float(self.thresholds[self.place]), "chosen_on": self.table["chosen_on"]}
        return {**about, "cost_fp": self.costs[0], "cost_fn": self.costs[1], **given}


def read_costs(cost_fp: float | None, cost_fn: float | None) -> tuple[float, float] | None:
    """Return what mistakes cost, 1 where one is not given; None where none is.

    Raises:
        UsageError: A cost that is no finite number above 0; both are named.
    """
    if cost_fp is None and cost_fn is None:
        return None
    given = {"--cost-fp": 1.0 if cost_fp is None else cost_fp, "--cost-fn": 1.0 if cost_fn is None else cost_fn}
    hint = "Only their ratio matters: --cost-fp 1 --cost-fn 5"
    raise_all(
        [
            UsageError("Bad cost", where=name, expected="a finite number above 0", got=f"{cost:g}", hint=hint)
            for name, cost in given.items()
            if not (math.isfinite(cost) and cost > 0)
        ]
    )
    return given["--cost-fp"], given["--cost-fn"]


def check_choice(record: Record) -> None:
    """Refuse costs where there is no line that they could move.

    Raises:
        UsageError: A run with other than two classes, that was not judged, or without images that a line may be chosen on.
    """
    choice = find_choice(record)
    if choice is None or choice.held_out is None:
        classes = len(record.classes)
        got = f"{classes:,} classes" if classes != 2 else "a run that was not judged" if choice is None else "no pictures kept back (--val)"
        expected = "two classes, and pictures on which the line between them can be chosen"
        hint = "Leave --cost-fp and --cost-fn out"
        raise UsageError("Costs cannot be weighed", where=record.run, expected=expected, got=got, hint=hint)


def find_choice(record: Record) -> Choice | None:
    """Return the line that a reader's costs call for; None for a run with another number of classes, or that was not judged."""
    found = record.insight("decide")
    return Choice(found["table"], record.costs, found["source"]) if found and found["table"] else None


def decide_section(record: Record, words: Words) -> Section | None:
    """The line between two classes, by what mistakes cost."""
    choice = find_choice(record)
    if choice is None:
        return None
    name = shown(choice.table["class"], 40)
    fp, fn = (f"{cost:g}" for cost in choice.costs)
    basis = "same" if choice.flatters else choice.table["chosen_on"] or "none"
    lead = [
        words("decide.lead", name=name),
        words(f"decide.chosen_on.{basis}"),
        words("decide.costs", fp=fp, fn=fn, name=name),
    ]
    tables = [(words("decide.table"), _lines(words, choice))]
    folded = [(words("decide.others"), _others(words, choice))]
    again = f"seefit report {command_path(record)} --cost-fp 1 --cost-fn 5" + ("" if words.lang == "en" else f" --lang {words.lang}")
    command = "" if choice.held_out is None else again
    return Section("decide", words("decide.title"), lead, [_picture(words, choice)], tables, folded, command=command)


def _picture(words: Words, choice: Choice) -> Picture:
    thresholds, judged = choice.thresholds, choice.judged.counts()
    lines = {words(f"decide.source.{choice.source}"): 100 * costs_of(judged, *choice.costs)}
    if choice.held_out is not None and not choice.flatters:
        source = choice.table["chosen_on"]
        lines[words("decide.source.chosen_on", part=words(f"decide.source.{source}"))] = 100 * costs_of(choice.held_out, *choice.costs)
    drawn = draw_costs(thresholds, lines, choice.place, x_label=words("axis.line"), y_label=words("axis.cost"))
    places = [int(np.abs(thresholds - t).argmin()) for t in LISTED]
    rows = [[words.percent(thresholds[i]), *(f"{line[i]:.1f}" for line in lines.values())] for i in dict.fromkeys(places)]
    return Picture("costs", svg(drawn, "costs", words("decide.alt")), _says(words, choice), Table([words("axis.line"), *lines], rows))


def _says(words: Words, choice: Choice) -> str:
    given, usual = choice.given(choice.place), choice.given(choice.usual)
    values = {
        "name": shown(choice.table["class"], 40),
        "line": words.percent(choice.thresholds[choice.place]),
        "cost": cost_text(words, given.cost),
        "usual": cost_text(words, usual.cost),
        "saved": cost_text(words, given.saved),
    }
    if choice.held_out is None:
        return words("decide.says_none", **values)
    if choice.place == choice.usual:
        return words("decide.says_usual", **values)
    said = words("decide.says", **values)
    saves = "yes" if given.saved.low is not None and given.saved.low > 0 else "unsure"
    return words.sentences(said, words(f"decide.saves_{saves}", **values))


def _lines(words: Words, choice: Choice) -> Table:
    """Return what a few lines give on the judged images."""
    held_out = choice.held_out
    places: dict[str, int | None] = {} if choice.place == choice.usual else {"cheapest": choice.place}
    places["usual"] = choice.usual
    if held_out is not None:
        places |= {"finds": finds_enough(held_out), "right": right_enough(held_out)}
    name = shown(choice.table["class"], 40)
    rows = []
    for key, spot in places.items():
        if spot is not None:
            given = choice.given(spot)
            shares = [_percents(words, figure) for figure in (given.found, given.alarmed, given.right)]
            rows.append(
                [words(f"decide.line.{key}", name=name), words.percent(choice.thresholds[spot]), *shares, cost_text(words, given.cost)]
            )
    header = [
        words("head.line"),
        words("head.from"),
        words("head.recall"),
        words("head.alarmed"),
        words("head.precision"),
        words("head.cost"),
    ]
    return Table(header, rows, prose=True)


def _others(words: Words, choice: Choice) -> Table:
    """Return what other lines give, in images."""
    sides = [counts for counts in (choice.held_out, choice.judged.counts()) if counts is not None]
    names = [words(f"decide.source.{source}") for source in (choice.table["chosen_on"], choice.source) if source]
    places = dict.fromkeys(int(np.abs(choice.thresholds - t).argmin()) for t in LISTED)
    rows = [
        [
            words.percent(choice.thresholds[i]),
            *(cell for side in sides for cell in (f"{side.tp[i]:,} / {side.positives:,}", f"{side.fp[i]:,} / {side.negatives:,}")),
        ]
        for i in places
    ]
    header = [f"{words(f'head.{what}')}\n{name}" for name in names for what in ("found_images", "alarm_images")]
    return Table([words("axis.line"), *header], rows)


def _percents(words: Words, figure: Estimate) -> str:
    if figure.value is None:
        return "–"
    ends = "" if figure.low is None or figure.high is None else f" ({100 * figure.low:.0f}–{100 * figure.high:.0f})"
    return f"{words.percent(figure.value, 0)}{ends}"


def cost_text(words: Words, figure: Estimate) -> str:
    """Write a mean cost per image as one per 100 images."""
    if figure.value is None:
        return "–"
    if figure.low is None or figure.high is None:
        return f"{100 * figure.value:.1f}"
    return words("decide.cost", value=f"{100 * figure.value:.1f}", low=f"{100 * figure.low:.1f}", high=f"{100 * figure.high:.1f}").replace(
        "-", "−"
    )


def draw_costs(thresholds: Floats, lines: dict[str, Floats], marked: int, *, x_label: str = "", y_label: str = "") -> Figure:
    """Draw the cost of 100 images at each threshold, the chosen one marked, 400 points wide.

    Args:
        thresholds: (T,) rising.
        lines: Name of the images → (T,) cost; the first is drawn strongest.
        marked: Place of the threshold that was chosen.
        x_label: Words below the axis.
        y_label: Words above it.
    """
    figure = blank(WIDTH, 258)
    with style():
        axes = place(figure, left=50, bottom=44, right=20, top=56)
        axes.axvline(thresholds[marked], color=colour("line"), linewidth=6)
        for (name, costs), tint in zip(lines.items(), ("accent", "middle"), strict=False):
            axes.step(
                thresholds, costs, color=colour(tint), linewidth=2, linestyle="-" if tint == "accent" else "--", label=name, where="mid"
            )
        axes.plot(thresholds[marked], next(iter(lines.values()))[marked], "o", color=colour("bad"), markersize=8)
        axes.set_xlim(0, 1)
        axes.set_ylim(0)
        share_axis(axes, "x", "")
        axes.grid(axis="y")
        axis_labels(axes, x_label, y_label)
        legend_above(axes, 1.12)
    return figure
