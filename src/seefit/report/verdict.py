"""The first screen: how good it is, what is wrong, what to do next. Rules on figures, words from the catalogue."""

from __future__ import annotations

from collections import Counter

from seefit.drawing import shown
from seefit.report.doctor import bad_slices, slice_name
from seefit.report.forecast import advice_of_forecast
from seefit.report.page import Problem, Step, Tile, Verdict
from seefit.report.record import Figure, Record
from seefit.report.steps import command_path, data_argument, training_problems, training_steps
from seefit.report.wording import reword
from seefit.report.words import Words

WIDE_INTERVAL = 0.05  # half-width of the headline's interval from which a larger test part is worth it
WEAK_GAP = 0.2  # how far below the average class a recall is called weak whatever its interval
FEWEST_JUDGED = 5  # judged images of a class below which its recall says too little
FEW_IMAGES = 20  # training images of a class from which we call it small
UNEVEN = 10.0  # largest over smallest class
BADLY_CALIBRATED = 0.05  # expected calibration error whose interval lies wholly above
MANY_WRONG = 0.05  # share of labels that look wrong from which it is said first
MOST_PROBLEMS = 8
NOTHING = Figure(0.0)


def find_verdict(record: Record, words: Words) -> Verdict:
    """Return the first screen of a run's report."""
    grade = grade_of(record)
    return Verdict(
        grade,
        _title(record, words, grade),
        _lines(record, words, grade),
        _tiles(record, words),
        find_problems(record, words),
        find_steps(record, words),
    )


def grade_of(record: Record) -> str:
    """Say whether the model beats always answering the commonest class.

    Both are compared on the same images, by the interval of the difference: where images come in groups, the share of the
    commonest class moves both.

    Returns:
        ``better``: the interval of the gain over that baseline lies above 0. ``unsure`` and ``mixed``: it does not, but that
        of balanced accuracy lies above 1 / classes, so the model does tell classes apart; the gain itself lies above 0
        (``unsure``) or not (``mixed``). ``not``: neither interval lies above. ``unknown``: there are no intervals.
        ``unjudged``: there are no figures.
    """
    gain, balanced = record.figure(record.part, "gain"), record.figure(record.part, "balanced_accuracy")
    if balanced is None:
        return "unjudged"
    if gain is None or gain.low is None:
        return "unknown"
    if gain.above(0):
        return "better"
    if not balanced.above(record.chance):
        return "not"
    return "unsure" if gain.value > 0 else "mixed"


def weak_classes(record: Record) -> list[str]:
    """Return classes found clearly or far less often than the average class, or less than half of the time; worst first."""
    average = record.figure(record.part, "balanced_accuracy") or NOTHING
    judged = {name: entry for name, entry in (record.metrics.get("per_class") or {}).items() if entry.get("n", 0) >= FEWEST_JUDGED}
    found = {name: record.per_class(name, "recall") for name in judged}
    poor = max(0.5, average.value - WEAK_GAP)
    weak = {name: recall for name, recall in found.items() if recall and (recall.below(average.value) or recall.value < poor)}
    return sorted(weak, key=lambda name: weak[name].value)


def leaks(record: Record) -> list[str]:
    """Return what the run found to stand on several sides of the split."""
    return [str(sentence) for sentence in record.metrics.get("leaks") or []]


def find_problems(record: Record, words: Words) -> list[Problem]:
    """Return the biggest problems, the gravest first."""
    found = [
        *_leaks(record, words),
        *_against_baseline(record, words),
        *_headline_part(record, words),
        *training_problems(record, words),
        *_weak(record, words),
        *_small_part(record, words),
        *_uneven(record, words),
        *_calibration(record, words),
        *_wrong_labels(record, words),
        *_bad_slice(record, words),
        *_skips(record, words),
        *_few_images(record, words),
    ]
    found.sort(key=lambda problem: problem.grade != "serious")
    return found[:MOST_PROBLEMS]


def find_steps(record: Record, words: Words) -> list[Step]:
    """Return what to do next, in order, each with its command where there is one."""
    data = data_argument(record)
    return [
        *([Step(words("step.leak"), f"seefit train {data} --group-by COLUMN")] if leaks(record) else []),
        *(
            [Step(words("step.labels"), f"seefit check {'DATA' if data.startswith('--') else data}")]
            if grade_of(record) in {"mixed", "not"}
            else []
        ),
        *([Step(words("step.test_part"), f"seefit train {data} --test 0.15")] if record.part != "test" else []),
        *_look_at_mistakes(record, words),
        *_apply_fixes(record, words),
        *_more_images(record, words),
        *_forecast(record, words),
        *training_steps(record, words),
        Step(words("step.predict"), f"seefit predict {command_path(record)} photo.jpg"),
    ]


def _look_at_mistakes(record: Record, words: Words) -> list[Step]:
    weak = weak_classes(record)
    if weak:
        return [Step(words("step.weak", names=words.names(weak)))]
    return [Step(words("step.mistakes"))] if any(not row.right for row in record.predictions) else []


def _more_images(record: Record, words: Words) -> list[Step]:
    if _half_width(record) <= WIDE_INTERVAL and grade_of(record) != "unknown":
        return []
    return [Step(words("step.more_groups" if record.groups else "step.more_test"))]


def _forecast(record: Record, words: Words) -> list[Step]:
    """Advise more images to learn from, where the learning curve shows that they would help."""
    found = record.insight("forecast")
    if found is None or not any(outlook["sure"] for outlook in found["ahead"]):
        return []
    advice = advice_of_forecast(found, words)
    return [Step(words("step.forecast" if found["way"] == "probe" else "step.forecast_frozen", advice=advice))]


def _title(record: Record, words: Words, grade: str) -> str:
    accuracy = record.figure(record.part, "accuracy") or NOTHING
    balanced = record.figure(record.part, "balanced_accuracy") or NOTHING
    first, second = words.of_100(accuracy.value), words.of_100(balanced.value)
    if grade != "better":
        gain = record.figure(record.part, "gain") or NOTHING
        return words(f"verdict.{grade}.title", name=shown(record.baseline_class, 40), right=first, gain=words.of_100(gain.value))
    return words("verdict.better.title_one" if first == second else "verdict.better.title", right=first, balanced=second)


def _lines(record: Record, words: Words, grade: str) -> list[str]:
    if grade == "unjudged":
        return [words("verdict.unjudged.line")]
    accuracy = record.figure(record.part, "accuracy") or NOTHING
    baseline = record.figure(record.part, "majority_baseline") or NOTHING
    gain = record.figure(record.part, "gain") or NOTHING
    rests = words(
        f"verdict.rests.{record.part}",
        right=words.of_100(accuracy.value),
        range=_range(accuracy, words),
        images=f"{int(record.headline.get('n', 0)):,}",
    )
    compared = words(
        f"verdict.{grade}.compared",
        name=shown(record.baseline_class, 40),
        baseline=words.of_100(baseline.value),
        gain=words.signed(gain.value),
        range=_lead_range(gain, words),
    )
    return [rests, compared, *_folds_agree(record, words)]


def _range(figure: Figure, words: Words) -> str:
    """Write the interval of a share as a sentence."""
    if figure.low is None or figure.high is None:
        return words("verdict.range_unknown")
    return words("verdict.range", low=words.of_100(figure.low), high=words.of_100(figure.high))


def _lead_range(gain: Figure, words: Words) -> str:
    """Write the interval of a gain, to stand in brackets."""
    if gain.low is None or gain.high is None:
        return words("format.interval_unknown")
    return words("format.interval_named", interval=words("format.interval", low=words.signed(gain.low), high=words.signed(gain.high)))


def _folds_agree(record: Record, words: Words) -> list[str]:
    """Say that cross-validation shows the lead that the judged part alone is too small to show."""
    gain = record.figure("cross_validation", "gain")
    if grade_of(record) != "unsure" or record.part == "cross_validation" or gain is None or not gain.above(0):
        return []
    images = f"{int(record.metrics['cross_validation'].get('n', 0)):,}"
    return [words("verdict.folds_agree", images=images, gain=words.signed(gain.value), range=_lead_range(gain, words))]


def _tiles(record: Record, words: Words) -> list[Tile]:
    references = {
        "balanced_accuracy": Figure(record.chance),
        "accuracy": record.figure(record.part, "majority_baseline"),
        "auc": Figure(0.5),
    }
    names = ("balanced_accuracy", "accuracy", "weighted_accuracy", "macro_f1", "auc")
    figures = {name: record.figure(record.part, name) for name in names}
    return [_tile(name, figure, references.get(name), words) for name, figure in figures.items() if figure]


def _tile(name: str, figure: Figure, reference: Figure | None, words: Words) -> Tile:
    ends = None if figure.low is None or figure.high is None else (100 * figure.low, 100 * figure.high)
    mark = None if reference is None else 100 * reference.value
    return Tile(
        words(f"metric.{name}"),
        words.value(name, figure),
        words.interval(name, figure),
        words(f"about.{name}"),
        100 * figure.value,
        ends,
        mark,
    )


def _half_width(record: Record) -> float:
    balanced = record.figure(record.part, "balanced_accuracy")
    return balanced.half_width if balanced else 0.0


def _leaks(record: Record, words: Words) -> list[Problem]:
    told = [shown(reword(words, "note", sentence)) for sentence in leaks(record)]
    return [Problem("serious", words("problem.leak"), words.sentences(*told))] if told else []


def _against_baseline(record: Record, words: Words) -> list[Problem]:
    grade = grade_of(record)
    if grade in {"better", "unjudged"}:
        return []
    gain, agree = record.figure(record.part, "gain") or NOTHING, _folds_agree(record, words)
    text = words(f"problem.{grade}.text", name=shown(record.baseline_class, 40), range=_lead_range(gain, words))
    return [Problem("note" if agree else "serious", words(f"problem.{grade}"), text)]


def _headline_part(record: Record, words: Words) -> list[Problem]:
    if record.part == "test":
        return []
    kind = "unjudged" if grade_of(record) == "unjudged" else record.part
    return [Problem("note" if kind == "cross_validation" else "serious", words(f"problem.{kind}"), words("problem.no_test"))]


def _weak(record: Record, words: Words) -> list[Problem]:
    weak = weak_classes(record)
    if not weak:
        return []
    recall = record.per_class(weak[0], "recall") or NOTHING
    text = words("problem.weak.text", names=words.names(weak), worst=shown(weak[0], 40), found=words.of_100(recall.value))
    grade = "serious" if recall.value < 0.5 else "note"
    return [Problem(grade, words("problem.weak_one" if len(weak) == 1 else "problem.weak", count=f"{len(weak):,}"), text)]


def _small_part(record: Record, words: Words) -> list[Problem]:
    half = _half_width(record)
    if half <= WIDE_INTERVAL:
        return []
    values = {"points": f"{100 * half:.0f}", "images": f"{int(record.headline.get('n', 0)):,}"}
    groups = record.groups
    text = words("problem.wide.groups", groups=f"{groups:,}", **values) if groups else words("problem.wide.text", **values)
    return [Problem("note", words("problem.wide"), text)]


def _uneven(record: Record, words: Words) -> list[Problem]:
    counts = {name: count for name, count in record.counts("train").items() if count}
    if not counts:
        return []
    large, small = max(counts, key=lambda name: counts[name]), min(counts, key=lambda name: counts[name])
    ratio = counts[large] / counts[small]
    if ratio < UNEVEN:
        return []
    text = words(
        "problem.uneven.text",
        large=shown(large, 40),
        most=f"{counts[large]:,}",
        small=shown(small, 40),
        least=f"{counts[small]:,}",
        ratio=f"{ratio:,.0f}",
    )
    return [Problem("note", words("problem.uneven"), text)]


def _calibration(record: Record, words: Words) -> list[Problem]:
    ece, text = record.figure(record.part, "ece"), []
    if not record.calibrated:
        text.append(words("problem.uncalibrated"))
    if ece is not None and ece.above(BADLY_CALIBRATED):
        text.append(words("problem.calibration.text", points=f"{100 * ece.value:.0f}"))
    return [Problem("note", words("problem.calibration"), " ".join(text))] if text else []


def _wrong_labels(record: Record, words: Words) -> list[Problem]:
    errors = (record.insight("doctor") or {}).get("label_errors")
    if not errors or errors["count"] < MANY_WRONG * errors["looked"]:
        return []
    text = words("problem.labels.text", count=f"{errors['count']:,}", looked=f"{errors['looked']:,}")
    return [Problem("note", words("problem.labels"), text)]


def _bad_slice(record: Record, words: Words) -> list[Problem]:
    bad = bad_slices(record.insight("doctor"))
    if not bad:
        return []
    worst = bad[0]
    shares = {"right": words.of_100(worst["accuracy"]), "others": words.of_100(worst["others"])}
    text = words("problem.slice.text", name=slice_name(words, worst), **shares)
    return [Problem("serious" if worst["accuracy"] < 0.5 else "note", words("problem.slice"), text)]


def _apply_fixes(record: Record, words: Words) -> list[Step]:
    count = (record.insight("doctor") or {}).get("fixes")
    return [Step(words("step.fixes", count=f"{count:,}"), f"seefit apply-fixes {command_path(record)} --out labels.csv")] if count else []


def _skips(record: Record, words: Words) -> list[Problem]:
    count = int(record.metrics.get("skipped") or len(record.skipped))
    if not count:
        return []
    reasons = Counter(row.get("reason") or "?" for row in record.skipped).most_common(1)
    text = (
        words("problem.skipped.text", reason=shown(reword(words, "skip", reasons[0][0]), 160)) if reasons else words("problem.skipped.bare")
    )
    return [Problem("note", words("problem.skipped_one" if count == 1 else "problem.skipped", count=f"{count:,}"), text)]


def _few_images(record: Record, words: Words) -> list[Problem]:
    counts = record.counts("train")
    few = sorted((name for name, count in counts.items() if count < FEW_IMAGES), key=lambda name: counts[name])
    if not few:
        return []
    return [
        Problem(
            "note",
            words("problem.few_one" if len(few) == 1 else "problem.few", count=f"{len(few):,}", limit=FEW_IMAGES),
            words("problem.few.text", names=words.names(few)),
        )
    ]
