"""The chapters of the report, in order. Each is one function of the run's files that may find nothing to say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from seefit.drawing import shown, svg
from seefit.report.axes import Floats
from seefit.report.benefit import benefit_section
from seefit.report.choice import choice_sentence, choice_table
from seefit.report.confusion import confusion_section
from seefit.report.curves import curves_section
from seefit.report.decide import decide_section
from seefit.report.diagnosis import diagnosis_section
from seefit.report.doctor import doctor_section, slices_section
from seefit.report.figures import draw_balance, draw_balance_ranks, draw_intervals
from seefit.report.forecast import forecast_section
from seefit.report.map import map_section
from seefit.report.mistakes import mistakes_section
from seefit.report.page import Picture, Section, Table
from seefit.report.record import Figure, Record, public_name
from seefit.report.sample import heat_section, sample_section
from seefit.report.trust import reliability_section, trust_section
from seefit.report.wording import reword
from seefit.report.words import Words

MOST_CLASSES = 30  # drawn one by one; beyond that a figure shows the worst, a list the rest
MOST_ROWS = 10_000
PARTS = ("train", "val", "test")
METRICS = ("balanced_accuracy", "accuracy", "gain", "weighted_accuracy", "macro_f1", "auc", "nll", "brier", "ece")


def scores_section(record: Record, words: Words) -> Section | None:
    """All metrics of all parts, with what they mean in plain words."""
    parts = [part for part in ("test", "val", "cross_validation") if record.metrics.get(part)]
    if not parts:
        return None
    rows = []
    for name in METRICS:
        figures = [record.figure(part, name) for part in parts]
        if any(figures):
            cells = [f"{words.value(name, figure)}\n{words.interval(name, figure)}" if figure else "–" for figure in figures]
            rows.append([words(f"metric.{name}"), words(f"about.{name}"), *cells])
    header = [words("head.figure"), words("head.meaning"), *(words(f"part.{part}") for part in parts)]
    lead = [words("scores.lead", part=words(f"part.{record.part}"))]
    if "cross_validation" in parts:
        held = record.metrics["cross_validation"]
        lead.append(
            words("scores.cross_validation", folds=held.get("folds", "–"), engine=held.get("engine", record.metrics.get("engine", "–")))
        )
    return Section(
        "scores",
        words("scores.title"),
        lead,
        [_scores_picture(record, words, parts)],
        folded=[(words("scores.all"), Table(header, rows, prose=True))],
    )


def balance_section(record: Record, words: Words) -> Section | None:
    """How many images each class has in each part."""
    counts = {part: record.counts(part) for part in PARTS if record.counts(part)}
    if not counts:
        return None
    return Section("balance", words("balance.title"), [words("balance.lead")], [balance_picture(record.classes, counts, words)])


def balance_picture(classes: Sequence[str], counts: Mapping[str, Mapping[str, int]], words: Words) -> Picture:
    """Draw how many images each class has.

    Args:
        classes: All of them.
        counts: Of each part, ``train``, ``val``, ``test`` or ``all``: images per class.
        words: The language.
    """
    sums = {name: sum(part.get(name, 0) for part in counts.values()) for name in classes}
    ordered = sorted(classes, key=lambda name: -sums[name])
    listed = ordered if len(classes) <= MOST_CLASSES else ordered[:15] + ordered[-15:]
    rows = [[shown(name, 60), *(f"{part.get(name, 0):,}" for part in counts.values()), f"{sums[name]:,}"] for name in listed]
    table = Table([words("head.class"), *(words(f"part.{part}") for part in counts), words("head.sum")], rows)
    large, small = ordered[0], ordered[-1]
    values = {
        "large": shown(large, 40),
        "most": f"{sums[large]:,}",
        "small": shown(small, 40),
        "least": f"{sums[small]:,}",
        "count": f"{len(classes):,}",
    }
    if len(classes) <= MOST_CLASSES:
        numbers = {words(f"part.{part}"): np.array([part_counts.get(name, 0) for name in ordered]) for part, part_counts in counts.items()}
        figure = draw_balance(ordered, numbers, x_label=words("axis.images"))
        says = words("balance.says", **values)
    else:
        figure = draw_balance_ranks(np.array([sums[name] for name in ordered]), x_label=words("axis.ranks"), y_label=words("axis.images"))
        says = words("balance.says_many", **values)
    return Picture("balance", svg(figure, "balance", words("balance.alt", **values)), says, table)


def classes_section(record: Record, words: Words) -> Section | None:
    """Recall and precision of every class; of many, the worst first and the rest folded."""
    ordered = _worst_first(record)
    if not ordered:
        return None
    trained = record.counts("train")
    header = [words(f"head.{key}") for key in ("class", "recall", "precision", "f1", "auc", "judged_images", "train_images")]
    table, rest = (
        Table(header, [_class_row(record, words, name, trained.get(name, 0)) for name in part])
        for part in (ordered[:MOST_CLASSES], ordered[MOST_CLASSES:MOST_ROWS])
    )
    worst = ordered[:MOST_CLASSES]
    low = record.per_class(worst[0], "recall")
    says = words("classes.says", worst=shown(worst[0], 40), found=words.of_100(low.value if low else 0.0))
    figure = _recall_picture(record, words, worst, says)
    lead = [words("classes.lead" if len(ordered) <= MOST_CLASSES else "classes.lead_many", count=f"{len(ordered):,}", shown=MOST_CLASSES)]
    if len(ordered) > MOST_ROWS:
        lead.append(words("classes.cut", shown=f"{MOST_ROWS:,}"))
    folded = [(words("classes.rest", count=f"{len(rest.rows):,}"), rest)] if rest.rows else []
    return Section("classes", words("classes.title"), lead, [figure], [("", table)], folded)


def method_section(record: Record, words: Words) -> Section:
    """How the run was made and what its figures rest on."""
    metrics = record.metrics
    made = [
        [words("made.backbone"), shown(str(record.bundle.get("backbone", "–")))],
        *([[words("made.views"), str(len(record.bundle["views"]))]] if record.bundle.get("views") else []),
        [words("made.image_size"), f"{record.bundle.get('image_size', '–')} px, {record.bundle.get('fit', '–')}"],
        [words("made.temperature"), _plain(metrics.get("temperature")) if record.calibrated else words("made.uncalibrated")],
        [words("made.engine"), shown(str(metrics.get("engine") or "–"))],
        [words("made.rate"), _whole(metrics.get("images_per_second"))],
        [words("made.memory"), f"{_whole(metrics.get('peak_memory_mb'))} MB"],
        [words("made.hash"), shown(str(record.bundle.get("hash", "–")))],
    ]
    seconds = [
        [words(f"seconds.{key}") if words.has(f"seconds.{key}") else shown(key), f"{float(value):.1f} s"]
        for key, value in sorted((metrics.get("seconds") or {}).items(), key=lambda entry: entry[0] == "total")
    ]
    versions = [[shown(str(key)), shown(str(value))] for key, value in (metrics.get("versions") or {}).items()]
    pair = [words("head.what"), words("head.value")]
    skipped = [[shown(row.get("path", ""), 120), shown(reword(words, "skip", row.get("reason", "")), 160)] for row in record.skipped[:50]]
    folded = [
        (words("method.settings"), Table(pair, _settings(record, words), prose=True)),
        (words("method.versions"), Table(pair, versions, prose=True)),
    ]
    if skipped:
        folded.append(
            (
                words("method.skipped", count=f"{len(record.skipped):,}"),
                Table([words("head.file"), words("head.reason")], skipped, prose=True),
            )
        )
    choice = record.metrics.get("choice")
    if choice and (compared := choice_table(choice, words)):
        folded.insert(0, (words("choice.table"), compared))
    tables = [(words("method.made"), Table(pair, made, prose=True)), (words("method.seconds"), Table(pair, seconds))]
    return Section("method", words("method.title"), _method_lead(record, words), tables=tables, folded=folded)


SECTIONS: dict[str, Callable[[Record, Words], Section | None]] = {
    "scores": scores_section,
    "classes": classes_section,
    "curves": curves_section,
    "confusion": confusion_section,
    "mistakes": mistakes_section,
    "sample": sample_section,
    "heat": heat_section,
    "slices": slices_section,
    "map": map_section,
    "decide": decide_section,
    "benefit": benefit_section,
    "reliability": reliability_section,
    "trust": trust_section,
    "forecast": forecast_section,
    "diagnosis": diagnosis_section,
    "doctor": doctor_section,
    "balance": balance_section,
    "method": method_section,
}


def _scores_picture(record: Record, words: Words, parts: list[str]) -> Picture:
    rows: list[tuple[str, Figure, float]] = []
    for name in ("balanced_accuracy", "accuracy"):
        for part in parts:
            figure = record.figure(part, name)
            baseline = record.figure(part, "majority_baseline") if name == "accuracy" else Figure(record.chance)
            if figure:
                rows.append((f"{words(f'short.{name}')} · {words(f'short.{part}')}", figure, baseline.value if baseline else np.nan))
    names, figures, references = [row[0] for row in rows], [row[1] for row in rows], np.array([row[2] for row in rows])
    drawn = draw_intervals(
        names, *_ends(figures), references=references, x_label=words("axis.share_right"), reference_label=words("axis.baseline")
    )
    cells = [[n, *("–" if x is None else words.percent(x) for x in (f.value, f.low, f.high, r))] for n, f, r in rows]
    table = Table([words("head.figure"), *(words(f"head.{key}") for key in ("value", "low", "high", "baseline"))], cells)
    return Picture("scores", svg(drawn, "scores", words("scores.alt", count=len(rows))), words("scores.says"), table)


def _ends(figures: list[Figure]) -> tuple[Floats, Floats, Floats]:
    """Return values, low and high ends; NaN where an end is unknown."""
    value, low, high = ([getattr(figure, end) for figure in figures] for end in ("value", "low", "high"))
    return np.array(value, np.float64), np.array(low, np.float64), np.array(high, np.float64)


def _worst_first(record: Record) -> list[str]:
    recall = {name: record.per_class(name, "recall") for name in record.metrics.get("per_class") or {}}
    return sorted(recall, key=lambda name: figure.value if (figure := recall[name]) else 2.0)


def _class_row(record: Record, words: Words, name: str, trained: int) -> list[str]:
    cells = []
    for score in ("recall", "precision", "f1"):
        figure = record.per_class(name, score)
        cells.append(f"{words.percent(figure.value, 0)} ({words.interval_short(figure)})" if figure else "–")
    auc = record.per_class(name, "auc")
    ends = "" if auc is None or auc.low is None else f" ({auc.low:.2f}–{auc.high:.2f})"
    cells.append("–" if auc is None else f"{auc.value:.3f}{ends}")
    judged = int(record.metrics["per_class"][name].get("n", 0))
    return [shown(name, 48), *cells, f"{judged:,}", f"{trained:,}"]


def _recall_picture(record: Record, words: Words, worst: list[str], says: str) -> Picture:
    figures = [record.per_class(name, "recall") or Figure(0.0) for name in worst]
    drawn = draw_intervals(worst, *_ends(figures), x_label=words("axis.recall"))
    return Picture("classes", svg(drawn, "classes", words("classes.alt", count=len(worst))), says, None)


def _settings(record: Record, words: Words) -> list[list[str]]:
    """Return each setting as the run used it, and in brackets what was asked for where that is something else."""
    rows = []
    for key, value in record.config.items():
        asked = record.asked.get(key)
        used = _setting(key, value, words)
        if asked is not None and asked != value:
            used = words("format.bracket", first=used, second=_setting(key, asked, words))
        if key != "root":  # a path of this machine; the report may be passed on
            rows.append([shown(str(key)), shown(used, 200)])
    return rows


def _setting(key: str, value: object, words: Words) -> str:
    if isinstance(value, bool):
        return words("format.yes" if value else "format.no")
    if isinstance(value, int) and key != "seed":
        return f"{value:,}"
    return f"{value:.3g}" if isinstance(value, float) else public_name(_plain(value))


def _method_lead(record: Record, words: Words) -> list[str]:
    lead = [words(f"method.rests.{record.part}", images=f"{int(record.headline['n']):,}")] if record.headline else []
    if record.metrics.get("choice"):
        lead.append(choice_sentence(record.metrics["choice"], words))
    if record.config.get("group_by") not in {None, "", "none"}:
        lead.append(words("method.groups", name=shown(str(record.config["group_by"]), 80)))
    if record.bundle.get("method") == "scratch":
        lead.append(words("method.scratch", backbone=shown(str(record.bundle.get("backbone", "–")))))
    lead.append(words("method.seed", seed=_plain(record.config.get("seed"))))
    return lead


def _whole(value: object) -> str:
    return f"{value:,.0f}" if isinstance(value, (int, float)) else "–"


def _plain(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(item) for item in value)
    return str(value)
