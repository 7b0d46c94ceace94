"""Is the data right? Labels that look wrong, copies, look-alikes and odd pictures; and kinds of pictures that the model does badly on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seefit.data.image import MAX_PIXELS
from seefit.drawing import shown, svg
from seefit.report.figures import draw_intervals
from seefit.report.page import Card, Picture, Section, Table
from seefit.report.pairs import show_pairs
from seefit.report.record import Record
from seefit.report.thumbnails import thumbnail
from seefit.report.words import Words

MOST_ERRORS = 18  # cards of labels that look wrong
MOST_ODD = 6  # cards of pictures unlike their class
MOST_ROWS = 100
LONGEST = 90  # letters of a path
MOST_DRAWN = 8
SMALL_P = 0.001
Row = Mapping[str, Any]


def doctor_section(record: Record, words: Words) -> Section | None:
    """What may be wrong with the data, as proposals, and how to correct it."""
    found = record.insight("doctor")
    if found is None:
        return None
    errors = found.get("label_errors")
    listed = (
        [(words("doctor.errors", count=f"{errors['count']:,}"), _errors_table(words, errors["rows"]))] if errors and errors["rows"] else []
    )
    cards = _error_cards(record, words, errors)
    cards += _odd_cards(record, words, found.get("outliers"), {card.title for card in cards})
    folded = [*listed, *_likeness_tables(words, found)]
    pairs = _pairs(record, words, found)
    return Section("doctor", words("doctor.title"), _lead(words, found), folded=folded, cards=cards, pairs=pairs)


def slices_section(record: Record, words: Words) -> Section | None:
    """Which kinds of pictures the model does badly on, if any."""
    slices = (record.insight("doctor") or {}).get("slices")
    if not slices:
        return None
    return Section("slices", words("slices.title"), [words("slices.lead")], [_slices_picture(words, slices)])


def slice_name(words: Words, row: Row) -> str:
    """Return what a slice is called in a sentence."""
    trait, value = row["trait"], row["value"]
    key = f"slices.{trait}.{value}"
    return words(key) if words.has(key) else words(f"slices.{trait}", name=shown(str(value), 40))


def bad_slices(found: Row | None) -> list[Row]:
    """Return the slices that an insight found worse than the other pictures by more than chance, the worst first."""
    slices = (found or {}).get("slices") or {}
    return [row for row in slices.get("rows", ()) if row["bad"]]


def _lead(words: Words, found: Row) -> list[str]:
    errors, copies = found.get("label_errors"), found.get("copies") or {}
    lead = [_errors_sentence(words, errors)]
    if errors and errors["count"]:
        lead.append(words("doctor.expect"))
    for kind in ("exact", "near"):
        if copies.get(kind, {}).get("groups"):
            lead.append(words(f"doctor.{kind}", groups=f"{copies[kind]['groups']:,}", across=f"{copies[kind]['across_parts']:,}"))
    alike, outliers = found.get("lookalikes") or {}, found.get("outliers") or {}
    if alike.get("count"):
        lead.append(words("doctor.lookalikes", count=f"{alike['count']:,}"))
    if not (copies or alike.get("count")):
        lead.append(words("doctor.no_copies"))
    if outliers.get("count"):
        lead.append(words("doctor.outliers", count=f"{outliers['count']:,}", looked=f"{outliers['looked']:,}"))
    if found.get("fixes"):
        lead.append(words("doctor.fixes", count=f"{found['fixes']:,}"))
    return lead


def _errors_sentence(words: Words, errors: Row | None) -> str:
    if errors is None:
        return words("doctor.not_looked")
    values = {"count": f"{errors['count']:,}", "looked": f"{errors['looked']:,}"}
    return words("doctor.lead" if errors["count"] else "doctor.none", **values)


def _error_cards(record: Record, words: Words, errors: Row | None) -> list[Card]:
    cards = []
    for row in (errors or {}).get("rows", ())[:MOST_ERRORS]:
        lines = [words(f"part.{row['part']}")]
        if row["weight"] != 1:
            lines.append(words("mistakes.weight", weight=f"{row['weight']:.2f}"))
        actual = words("doctor.labelled", name=shown(row["label"], 60), p=words.chance(row["p_label"]))
        cards.append(
            _card(
                record,
                words,
                row,
                words("doctor.looks", name=shown(row["suggested"], 60), p=words.chance(row["p_suggested"])),
                actual,
                lines,
            )
        )
    return cards


def _odd_cards(record: Record, words: Words, outliers: Row | None, shown_before: Collection[str]) -> list[Card]:
    rows = [row for row in (outliers or {}).get("rows", ()) if shown(row["path"], LONGEST) not in shown_before]
    return [
        _card(
            record,
            words,
            row,
            words("doctor.odd"),
            words("doctor.labelled_only", name=shown(row["label"], 60)),
            [words(f"part.{row['part']}")],
        )
        for row in rows[:MOST_ODD]
    ]


def _pairs(record: Record, words: Words, found: Row) -> list[tuple[str, list[list[Card]]]]:
    """Return the pictures of the first copies and look-alikes of each kind, side by side."""
    copies, alike = found.get("copies") or {}, found.get("lookalikes") or {}
    kinds = {kind: (copies[kind]["groups"], copies[kind]["rows"]) for kind in ("exact", "near") if kind in copies}
    if alike:
        kinds["lookalikes"] = alike["count"], [row["images"] for row in alike["rows"]]

    def card(image: Row) -> Card:
        label = words("doctor.labelled_only", name=shown(image["label"], 60)) if image.get("label") else ""
        return _card(record, words, image, "", label, [words(f"part.{image['part']}")])

    def kind_of(image: Row) -> object:
        return image["part"], image.get("label")

    return [
        show_pairs(words, words(f"doctor.{name}_list"), groups, count=count, kind=kind_of, card=card)
        for name, (count, groups) in kinds.items()
        if groups
    ]


def _card(record: Record, words: Words, row: Row, said: str, actual: str, lines: Sequence[str]) -> Card:
    root, limit = Path(str(record.config.get("root") or ".")), int(record.config.get("max_pixels") or MAX_PIXELS)
    address, why = thumbnail(root, row["path"], row["sha256"], max_pixels=limit)
    return Card(
        address=address,
        missing=words(f"missing.{why}") if why else "",
        title=shown(row["path"], LONGEST),
        actual=actual,
        predicted=said,
        lines=lines,
    )


def _errors_table(words: Words, rows: Sequence[Row]) -> Table:
    cells = [
        [
            shown(row["path"], LONGEST),
            shown(row["label"], 40),
            words.chance(row["p_label"]),
            shown(row["suggested"], 40),
            words.chance(row["p_suggested"]),
        ]
        for row in rows[:MOST_ROWS]
    ]
    return Table([words(f"head.{key}") for key in ("file", "label", "said_of_label", "looks_like", "said_of_that")], cells, prose=True)


def _likeness_tables(words: Words, found: Row) -> list[tuple[str, Table]]:
    """Return the lists of copies, look-alikes and outliers that are there."""
    tables = []
    for kind in ("exact", "near"):
        groups = (found.get("copies") or {}).get(kind, {}).get("rows", ())
        if groups:
            cells = [["\n".join(_with_part(words, image) for image in group)] for group in groups[:MOST_ROWS]]
            tables.append((words(f"doctor.{kind}_list"), Table([words("head.file")], cells, prose=True)))
    alike = (found.get("lookalikes") or {}).get("rows", ())
    if alike:
        cells = [[*(_with_part(words, image) for image in row["images"]), f"{row['similarity']:.2f}"] for row in alike[:MOST_ROWS]]
        tables.append(
            (words("doctor.lookalikes_list"), Table([words(f"head.{key}") for key in ("file", "like", "similarity")], cells, prose=True))
        )
    odd = (found.get("outliers") or {}).get("rows", ())
    if odd:
        cells = [[shown(row["path"], LONGEST), shown(row["label"], 40), f"{row['z']:.1f}"] for row in odd[:MOST_ROWS]]
        tables.append(
            (words("doctor.outliers_list"), Table([words(f"head.{key}") for key in ("file", "label", "strange")], cells, prose=True))
        )
    return tables


def _with_part(words: Words, image: Row) -> str:
    label = words("format.comma") + words("format.quoted", name=shown(image["label"], 40)) if image.get("label") else ""
    return words("format.bracket", first=shown(image["path"], LONGEST), second=words(f"part.{image['part']}") + label)


def _slices_picture(words: Words, slices: Row) -> Picture:
    rows = slices["rows"][:MOST_DRAWN]
    names = [slice_name(words, row) for row in rows]
    accuracy, others, low, high = (np.array([row[key] for row in rows]) for key in ("accuracy", "others", "low", "high"))
    ends = np.clip(others + low, 0, 1), np.clip(others + high, 0, 1)
    drawn = draw_intervals(
        names, accuracy, *ends, references=others, x_label=words("axis.share_right"), reference_label=words("axis.others")
    )
    picture = svg(drawn, "slices", words("slices.alt", count=len(rows)))
    return Picture("slices", picture, _slices_say(words, slices), _slices_table(words, slices["rows"]))


def _slices_say(words: Words, slices: Row) -> str:
    """Name the worst slice that is no chance; or say that none is shown to be worse."""
    bad = bad_slices({"slices": slices})
    values = {"compared": f"{slices['compared']:,}", "images": f"{slices['images']:,}"}
    if not bad:
        return words("slices.none_groups" if slices["groups"] else "slices.none", groups=f"{slices['groups']:,}", **values)
    row = bad[0]
    shares = {"right": words.of_100(row["accuracy"]), "others": words.of_100(row["others"])}
    return words("slices.bad", name=slice_name(words, row), count=f"{row['n']:,}", **shares, **values)


def _slices_table(words: Words, rows: Sequence[Row]) -> Table:
    header = [words(f"head.{key}") for key in ("slice", "range", "images", "slice_right", "others_right", "interval", "p")]
    cells = [
        [
            slice_name(words, row),
            "–" if row["range"] is None else f"{_number(row['range'][0])}–{_number(row['range'][1])}",
            f"{row['n']:,}",
            words.percent(row["accuracy"]),
            words.percent(row["others"]),
            words("format.interval", low=words.signed(row["low"], 1), high=words.signed(row["high"], 1)),
            f"{row['p']:.3f}" if row["p"] >= SMALL_P else words("format.under", value=f"{SMALL_P}"),
        ]
        for row in rows
    ]
    return Table(header, cells)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.2f}"
