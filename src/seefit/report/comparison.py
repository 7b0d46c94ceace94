"""The page of ``seefit compare --html``: models side by side on the same test images, with the pieces of the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from seefit.drawing import shown, svg
from seefit.evaluation.intervals import Estimate
from seefit.report.axes import Floats
from seefit.report.comparison_figures import MOST_CURVES, draw_curves, draw_front
from seefit.report.decide import cost_text
from seefit.report.difference import short_names, tell_pair, write_p
from seefit.report.figures import draw_intervals
from seefit.report.page import Picture, Problem, Section, Step, Table, Verdict, render
from seefit.report.record import as_figure, as_floats, public_name
from seefit.report.words import Words

MOST_PAIRS = 200
MOST_SETTINGS = 30
LONGEST_LINE = 22  # letters of a name in a legend
ENDS = ("value", "low", "high")
FIGURES = ("balanced_accuracy", "accuracy", "auc")


def build_comparison(found: dict[str, Any], words: Words) -> str:
    """Return the page as HTML: one file without scripts that asks for nothing from a network.

    Args:
        found: As `seefit.studies.compare.compare_runs` gives it.
        words: The language.
    """
    names = short_names([row["run"] for row in found["runs"]])
    sections = [
        _board(found, names, words),
        _pairs(found, words),
        _cost(found, names, words),
        _stability(found, names, words),
        _benefit(found, names, words),
        _settings(found, names, words),
    ]
    return render(
        words,
        run=words("compare.count", count=len(names)),
        data="",
        verdict=_verdict(found, names, words),
        notes=[],
        sections=[section for section in sections if section is not None],
        title=words("compare.page"),
        footer=words("compare.footer"),
    )


def _verdict(found: dict[str, Any], names: dict[str, str], words: Words) -> Verdict:
    leader, others = found["runs"][0]["run"], len(names) - 1
    own = [pair for pair in found["pairs"] if pair["first"] == leader]
    better = sum(pair["verdict"] == "helps" for pair in own)
    key = "all" if better == others else "some" if better else "none"
    grade = "better" if better == others else "unsure"
    groups = words("compare.in_groups", groups=f"{found['groups']:,}") if found["groups"] else ""
    lines = [words("compare.about", images=f"{found['images']:,}", groups=groups)]
    lines += [tell_pair(pair, found["images"], words, names) for pair in own[:1]]
    title = words(f"compare.title_{key}", name=shown(names[leader], 60), better=better, others=others)
    return Verdict(grade, title, lines, problems=_problems(own, names, words), steps=_steps(words))


def _problems(own: Sequence[dict[str, Any]], names: dict[str, str], words: Words) -> list[Problem]:
    problems = []
    for pair in own:
        if pair["verdict"] == "hurts":
            values = {side: shown(names[pair[side]], 60) for side in ("first", "second")}
            problems.append(Problem("serious", words("compare.turned"), words("compare.turned_text", **values)))
    return [*problems, Problem("note", words("compare.used_up"), words("compare.used_up_text"))]


def _steps(words: Words) -> list[Step]:
    return [
        Step(words("compare.step_study"), "seefit study DATA --vary backbone=lite0,lite1"),
        Step(words("compare.step_report"), "seefit report RUN"),
    ]


def _ends(rows: Sequence[dict[str, Any]], name: str) -> tuple[Floats, Floats, Floats]:
    value, low, high = (as_floats([row["figures"][name][end] for row in rows]) for end in ENDS)
    return value, low, high


def _named(rows: Sequence[dict[str, Any]], names: dict[str, str]) -> list[str]:
    return [f"{place} · {shown(names[row['run']], 48)}" for place, row in enumerate(rows, 1)]


def _board(found: dict[str, Any], names: dict[str, str], words: Words) -> Section:
    rows, labels = found["runs"], _named(found["runs"], names)
    drawn = draw_intervals(labels, *_ends(rows, "balanced_accuracy"), x_label=words("compare.axis_balanced"))
    first, last = (words.value("balanced_accuracy", as_figure(rows[i]["figures"]["balanced_accuracy"])) for i in (0, -1))
    told = {"first": labels[0], "last": labels[-1], "best": first, "worst": last}
    cells = [[label, *(_figure(words, name, row["figures"][name]) for name in FIGURES)] for label, row in zip(labels, rows, strict=True)]
    table = Table([words("compare.model"), *(words(f"metric.{name}") for name in FIGURES)], cells)
    picture = Picture("board", svg(drawn, "board", words("compare.board_alt", **told)), words("compare.board_says", **told), None)
    return Section("board", words("compare.board"), [words("compare.board_lead")], [picture], [(words("compare.figures"), table)])


def _figure(words: Words, name: str, figure: dict[str, float | None]) -> str:
    known = as_figure(figure)
    return words("format.bracket", first=words.value(name, known), second=words.interval(name, known)) if known else "–"


def _pairs(found: dict[str, Any], words: Words) -> Section:
    pairs = found["pairs"][:MOST_PAIRS]
    lead = [words("compare.pairs_lead"), words("compare.pairs_groups" if found["groups"] else "compare.pairs_images")]
    if len(found["pairs"]) > 1:
        lead.append(words("compare.pairs_holm", count=len(found["pairs"])))
    places = {row["run"]: place for place, row in enumerate(found["runs"], 1)}
    cells = [
        [
            words("compare.against", first=places[pair["first"]], second=places[pair["second"]]),
            _difference(words, pair["difference"]["accuracy"]),
            write_p(pair["p_holm"]).removeprefix("p = ").removeprefix("p "),
            _said(words, pair),
            *(_difference(words, pair["difference"][name]) for name in ("balanced_accuracy", "auc")),
        ]
        for pair in pairs
    ]
    others = [words(f"metric.{name}") for name in ("balanced_accuracy", "auc")]
    header = [words("compare.pair"), words("metric.accuracy"), words("compare.p"), words("compare.said"), *others]
    return Section("pairs", words("compare.pairs"), lead, tables=[(words("compare.pairs_table"), Table(header, cells))])


def _said(words: Words, pair: dict[str, Any]) -> str:
    said = pair["verdict"].replace(" ", "_")
    return words(f"difference.images.{said}")


def _difference(words: Words, difference: dict[str, float | None]) -> str:
    known = as_figure(difference)
    return words("format.bracket", first=words.signed(known.value, 1), second=words.interval("gain", known)) if known else "–"


def _cost(found: dict[str, Any], names: dict[str, str], words: Words) -> Section:
    rows, labels = found["runs"], _named(found["runs"], names)
    speed = [1000 / row["images_per_second"] for row in rows]
    pictures = [_front(rows, labels, speed, "images_per_second", words)]
    times = [row["seconds"] for row in rows]
    if all(times):
        pictures.append(_front(rows, labels, times, "seconds", words))
    cells = [
        [label, _duration(words, row["seconds"]), f"{row['bytes'] / 1e6:,.1f}", f"{row['images_per_second']:,.0f}"]
        for label, row in zip(labels, rows, strict=True)
    ]
    table = Table([words("compare.model"), *(words(f"compare.head_{key}") for key in ("seconds", "bytes", "speed"))], cells)
    return Section("cost", words("compare.cost"), [words("compare.cost_lead")], pictures, [(words("compare.costs"), table)])


def _front(rows: Sequence[dict[str, Any]], labels: Sequence[str], costs: Sequence[float], kind: str, words: Words) -> Picture:
    front = [row["front"][kind] for row in rows]
    worth = [label for label, on in zip(labels, front, strict=True) if on]
    drawn = draw_front(
        np.array(costs, np.float64),
        *_ends(rows, "balanced_accuracy"),
        front,
        x_label=words(f"compare.axis_{kind}"),
        y_label=words("compare.axis_balanced"),
    )
    told = {"worth": words("format.comma").join(worth), "numbers": words("format.comma").join(labels)}
    says = words(f"compare.front_{kind}", **told)
    name = f"front-{'speed' if kind == 'images_per_second' else 'time'}"
    table = Table(
        [words("compare.model"), words(f"compare.axis_{kind}"), words("metric.balanced_accuracy"), words("compare.worth")],
        [
            [label, f"{cost:,.3g}", _figure(words, "balanced_accuracy", row["figures"]["balanced_accuracy"]), _yes(words, on)]
            for label, cost, row, on in zip(labels, costs, rows, front, strict=True)
        ],
    )
    return Picture(name, svg(drawn, name, words("compare.front_alt", **told)), says, table)


def _yes(words: Words, true: bool) -> str:
    return words("format.yes" if true else "format.no")


def _duration(words: Words, seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return words("compare.seconds", value=f"{seconds:.0f}") if seconds < 120 else words("compare.minutes", value=f"{seconds / 60:.1f}")


def _stability(found: dict[str, Any], names: dict[str, str], words: Words) -> Section | None:
    rows = found["runs"]
    if not any(row["stability"] for row in rows):
        return None
    cells = []
    for label, row in zip(_named(rows, names), rows, strict=True):
        gap = row["stability"]
        told = ["–", "–", "–"] if gap is None else [f"{gap['loss']:.3f}", f"{100 * gap['accuracy']:.1f}", _over(words, gap)]
        cells.append([label, *told])
    header = [words("compare.model"), *(words(f"compare.head_{key}") for key in ("loss_gap", "accuracy_gap", "over"))]
    return Section("stability", words("compare.stability"), [words("compare.stability_lead")], tables=[("", Table(header, cells))])


def _over(words: Words, gap: dict[str, Any]) -> str:
    over = gap["over"]
    return words(f"compare.over_{over}", count=gap["count"])


def _benefit(found: dict[str, Any], names: dict[str, str], words: Words) -> Section | None:
    curves = found["curves"]
    if not curves:
        return None
    labels = dict(zip([row["run"] for row in found["runs"]], _named(found["runs"], names), strict=True))
    drawn = curves["runs"][:MOST_CURVES]
    lines = [(shown(labels[one["run"]], LONGEST_LINE), 100 * as_floats(one["model"])) for one in drawn]
    thresholds, everything = np.array(curves["thresholds"], np.float64), 100 * as_floats(curves["everything"])
    sides = words("benefit.all"), words("benefit.none")
    options = {"x_label": words("axis.weight"), "y_label": words("axis.benefit")}
    figure = draw_curves(thresholds, lines, everything, names=sides, **options)
    best = max(curves["runs"], key=lambda one: float(one["area"]))
    told = {"name": labels[best["run"]], "area": f"{100 * best['area']:.1f}", "count": len(drawn)}
    places = range(0, len(thresholds), 10)
    cells = [[words.percent(thresholds[i], 0), *(_plain(line[i]) for line in (*(y for _, y in lines), everything)), "0"] for i in places]
    numbers = Table([words("axis.weight"), *(name for name, _ in lines), *sides], cells)
    picture = Picture("curves", svg(figure, "curves", words("compare.curves_alt", **told)), words("compare.curves_says", **told), numbers)
    areas = [[labels[one["run"]], _plain(100 * one["area"]), cost_text(words, Estimate(**one["gain"]))] for one in curves["runs"]]
    table = Table([words("compare.model"), words("compare.head_area"), words("head.gain")], areas)
    looked_for = curves["class"]
    whose = words("benefit.lead_mean") if looked_for is None else words("compare.curves_lead", name=shown(looked_for, 48))
    lead = [whose, words("benefit.lead")]
    return Section("curves", words("compare.curves"), lead, [picture], [(words("compare.areas"), table)])


def _plain(value: float) -> str:
    return f"{value:.1f}".replace("-", "−")


def _settings(found: dict[str, Any], names: dict[str, str], words: Words) -> Section | None:
    rows = found["runs"]
    keys = list(rows[0]["settings"])[:MOST_SETTINGS]
    if not keys:
        return None
    cells = [[key, *(shown(public_name(str(row["settings"][key])), 40) for row in rows)] for key in keys]
    table = Table([words("compare.setting"), *_named(rows, names)], cells, prose=True)
    return Section("settings", words("compare.settings"), [words("compare.settings_lead")], tables=[("", table)])
