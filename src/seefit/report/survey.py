"""The page of ``seefit check --html``: a data set before any training, with the pieces of the report."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from seefit.data.dataset import SPLITS, Dataset, Sample
from seefit.data.image import MAX_PIXELS
from seefit.data.looks import measure_sharpness
from seefit.data.scan import Scan
from seefit.drawing import blank, colour, place, shown, style, svg
from seefit.errors import SeefitError
from seefit.report.axes import WIDTH, Floats
from seefit.report.page import Card, Picture, Problem, Section, Step, Table, Verdict, render
from seefit.report.pairs import show_pairs
from seefit.report.record import public_name
from seefit.report.sections import balance_picture
from seefit.report.thumbnails import thumbnail
from seefit.report.wording import reword
from seefit.report.words import Words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PER_CLASS = 9  # pictures of a class that are shown, where there are few classes
MOST_PICTURES = 36
MOST_ROWS = 100
MOST_NAMES = 5
BARS = 24
MOST_MEASURED = 500  # pictures whose sharpness is measured, for which they are decoded again
LONGEST = 90  # letters of a path


def build_survey(
    found: Scan, dataset: Dataset, stop: SeefitError | None, words: Words, *, max_pixels: int = MAX_PIXELS, seed: int = 0
) -> str:
    """Return the page about a data set as HTML: one file without scripts that asks for nothing from a network.

    Args:
        found: The scan of the data set.
        dataset: What was scanned.
        stop: Why training could not start; None when it could.
        words: The language.
        max_pixels: Larger images are not shown.
        seed: Of the pictures that are shown.
    """
    sections = [
        _balance(found, dataset, words),
        _pictures(found, dataset, words, max_pixels, seed),
        _looks(found, words, max_pixels),
        _copies(found, dataset, words, max_pixels),
        _skipped(found, words),
    ]
    return render(
        words,
        run=shown(public_name(dataset.source), 80),
        data="",
        verdict=_verdict(found, dataset, stop, words),
        notes=[shown(reword(words, "note", note)) for note in found.warnings],
        sections=[section for section in sections if section is not None],
        title=words("survey.page"),
        footer=words("survey.footer"),
    )


def _verdict(found: Scan, dataset: Dataset, stop: SeefitError | None, words: Words) -> Verdict:
    values = {"images": f"{len(found.samples):,}", "classes": f"{len(dataset.classes):,}"}
    problems = [*_stops(stop, dataset, words), *_findings(found, words)]
    return Verdict(
        "better" if stop is None else "not",
        words("survey.can" if stop is None else "survey.cannot", **values),
        [words("survey.about", **values)],
        problems=problems,
        steps=_steps(found, dataset, stop, words),
        fine=words("survey.fine"),
    )


def _stops(stop: SeefitError | None, dataset: Dataset, words: Words) -> list[Problem]:
    """Return each reason why training cannot start, in the words of the error; the page may be passed on, so without folders."""
    lines = [] if stop is None else stop.message.replace(dataset.source, public_name(dataset.source)).splitlines()
    parts = (line.partition(": ") for line in lines)
    return [Problem("serious", *(shown(reword(words, "fault", part)) for part in (title, text))) for title, _, text in parts]


def _findings(found: Scan, words: Words) -> list[Problem]:
    numbers = {
        "conflicts": (len(found.label_conflicts), 0),
        "leaks": (len(found.leaks), len(found.near_leaks)),
        "copies": (len(found.duplicates), len(found.near_duplicates)),
        "skipped": (len(found.skips) + len(found.unreadable), 0),
    }
    return [
        Problem("note", words(f"survey.{name}"), words(f"survey.{name}.text", exact=f"{exact:,}", near=f"{near:,}"))
        for name, (exact, near) in numbers.items()
        if exact or near
    ]


def _steps(found: Scan, dataset: Dataset, stop: SeefitError | None, words: Words) -> list[Step]:
    data = shlex.quote(shown(public_name(dataset.source)))
    if stop is not None:
        return [
            *(Step(shown(reword(words, "hint", hint).replace("`", ""))) for hint in stop.hint.splitlines()),
            Step(words("survey.again"), f"seefit check {data}"),
        ]
    grouped = dataset.has_groups or not found.near_duplicates
    return [
        *([] if grouped else [Step(words("survey.group"), f"seefit train {data} --group-by COLUMN")]),
        Step(words("survey.train"), f"seefit train {data}"),
    ]


def _balance(found: Scan, dataset: Dataset, words: Words) -> Section | None:
    parts = [part for part in SPLITS if any(sample.split == part for sample in found.samples)] or ["all"]
    counted = Counter((sample.split or "all", sample.label or "") for sample in found.samples)
    counts = {part: {name: counted[part, name] for name in dataset.classes} for part in parts}
    if not dataset.classes:
        return None
    lead = [words("survey.balance_lead" if parts == ["all"] else "survey.balance_parts")]
    return Section("balance", words("survey.balance"), lead, [balance_picture(dataset.classes, counts, words)])


def _pictures(found: Scan, dataset: Dataset, words: Words, max_pixels: int, seed: int) -> Section | None:
    """Show some training pictures of every class, drawn by chance; of many classes one each of some."""
    rng = np.random.default_rng(seed)
    chosen: dict[str, list[int]] = {name: [] for name in dataset.classes}
    for i in rng.permutation(len(found.samples)).tolist():
        if found.samples[i].split in {None, "train"}:
            chosen.setdefault(found.samples[i].label or "", []).append(i)
    classes = [name for name, members in chosen.items() if members]
    if not classes:
        return None
    if len(classes) > MOST_PICTURES:
        classes = [classes[i] for i in sorted(rng.choice(len(classes), MOST_PICTURES, replace=False))]
    each = min(PER_CLASS, max(1, MOST_PICTURES // len(classes)))
    index = [i for name in classes for i in chosen[name][:each]]
    cards = [_card(found.samples[i], found.sha256[i], dataset, words, max_pixels) for i in index]
    lead = [words("survey.pictures_lead", count=len(cards))]
    return Section("pictures", words("survey.pictures"), lead, cards=cards)


def _card(sample: Sample, sha256: str, dataset: Dataset, words: Words, max_pixels: int, lines: Sequence[str] = ()) -> Card:
    address, why = thumbnail(dataset.root, sample.name, sha256, max_pixels=max_pixels)
    missing = words(f"missing.{why}") if why else ""
    return Card(address, missing, shown(sample.name, LONGEST), shown(sample.label or "", 60), "", lines)


def _looks(found: Scan, words: Words, max_pixels: int) -> Section | None:
    """Show how sizes, shapes, brightness and sharpness are spread; what is the same for all is said and not drawn."""
    if not found.samples:
        return None
    sides, looks = found.sizes.astype(np.float64), [found.looks[digest] for digest in found.sha256]
    traits = {
        "size": np.sqrt(sides.prod(1)),
        "aspect": sides[:, 0] / sides[:, 1],
        "brightness": 100 * np.array([look.brightness for look in looks]),
        "sharpness": _known(measure_sharpness(found.samples, MOST_MEASURED, max_pixels=max_pixels)),
    }
    drawn = {name: values for name, values in traits.items() if len(values) and np.ptp(values) > 0}
    same = {name: values for name, values in traits.items() if len(values) and name not in drawn}
    lead = [words("survey.looks_lead"), *(words(f"survey.same.{name}", value=_number(values[0])) for name, values in same.items())]
    formats = words("format.comma").join(f"{shown(name)} {count:,}" for name, count in found.formats.items())
    lead.append(words("survey.formats", formats=formats))
    if len(found.samples) > MOST_MEASURED:
        lead.append(words("survey.measured", count=f"{MOST_MEASURED:,}"))
    pictures = [_spread_picture(name, values, words) for name, values in drawn.items()]
    return Section("looks", words("survey.looks"), lead, pictures)


def _known(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def _spread_picture(name: str, values: Floats, words: Words) -> Picture:
    marks = np.quantile(values, [0, 0.05, 0.5, 0.95, 1])
    least, low, middle, high, most = (_number(mark) for mark in marks)
    told = {"low": low, "middle": middle, "high": high, "least": least, "most": most}
    drawn = draw_spread(values, x_label=words(f"survey.axis.{name}"), y_label=words("axis.images"))
    says = words(f"survey.says.{name}", **told)
    header = [words(f"head.{key}") for key in ("least", "lowest", "middle", "highest", "most")]
    table = Table(header, [[least, low, middle, high, most]])
    return Picture(
        f"spread-{name}", svg(drawn, f"spread-{name}", words("survey.alt", what=words(f"survey.axis.{name}"), **told)), says, table
    )


def draw_spread(values: Floats, *, x_label: str = "value", y_label: str = "images") -> Figure:
    """Draw how many images there are of each value, the rarest 1 % at either end gathered in the outermost bars.

    Args:
        values: (N,) not all the same.
        x_label: Words below the axis.
        y_label: Words above it.

    Returns:
        A figure 400 points wide.
    """
    low, high = np.quantile(values, [0.01, 0.99])
    low, high = (float(low), float(high)) if high > low else (float(values.min()), float(values.max()))
    counts, edges = np.histogram(np.clip(values, low, high), BARS, (low, high))
    figure = blank(WIDTH, 170)
    with style():
        axes = place(figure, left=52, bottom=42, right=20, top=28)
        axes.bar(edges[:-1], counts, np.diff(edges) * 0.92, align="edge", color=colour("accent"))
        axes.set_xlim(low, high)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.3g}" if value < 1000 else f"{value:,.0f}")
        axes.locator_params(axis="both", nbins=5)
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.spines[:].set_visible(False)
        axes.set_xlabel(x_label, size=10.5)
        axes.annotate(y_label, (0, 1), (-40, 10), xycoords="axes fraction", textcoords="offset points", color=colour("muted"), size=10.5)
    return figure


def _copies(found: Scan, dataset: Dataset, words: Words, max_pixels: int) -> Section | None:
    kinds = ("label_conflicts", "leaks", "near_leaks", "duplicates", "near_duplicates")
    known = {sample.name: sample for sample in dataset.samples}
    digests = {sample.name: digest for sample, digest in zip(found.samples, found.sha256, strict=True)}  # not of what is left out

    def card(name: str) -> Card:
        sample = known[name]
        lines = [words(f"part.{sample.split}")] if sample.split else []
        return _card(sample, digests.get(name, ""), dataset, words, max_pixels, lines)

    def kind_of(name: str) -> object:
        return known[name].label, known[name].split

    tables, pairs = [], []
    for kind in kinds:
        groups: list[list[str]] = getattr(found, kind)
        if groups:
            caption = words("survey.groups", what=words(f"survey.kind.{kind}"), count=f"{len(groups):,}")
            tables.append((caption, Table([words("head.file")], [[_joined(group)] for group in groups[:MOST_ROWS]], prose=True)))
            pairs.append(show_pairs(words, words(f"survey.kind.{kind}"), groups, count=len(groups), kind=kind_of, card=card))
    lead = [words("survey.copies_lead" if tables else "survey.no_copies")]
    return Section("copies", words("survey.copies_title"), lead, folded=tables, pairs=pairs)


def _joined(group: Sequence[str]) -> str:
    more = ["…"] if len(group) > MOST_NAMES else []
    return "\n".join([*(shown(name, LONGEST) for name in group[:MOST_NAMES]), *more])


def _skipped(found: Scan, words: Words) -> Section | None:
    skips = [*found.unreadable, *found.skips]
    if not skips:
        return None
    rows = [[shown(skip.name, LONGEST), shown(reword(words, "skip", skip.reason), 160), f"{skip.bytes:,}"] for skip in skips[:MOST_ROWS]]
    table = Table([words("head.file"), words("head.reason"), words("head.bytes")], rows, prose=True)
    return Section("skipped", words("survey.skipped_title"), [words("survey.skipped_lead", count=f"{len(skips):,}")], tables=[("", table)])


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.2f}"
