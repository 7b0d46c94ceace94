"""A random sample of predictions, and whether the heat maps can be believed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from seefit.report.cards import heat_words, make_cards
from seefit.report.page import Section, Table
from seefit.report.record import Record, as_figure
from seefit.report.words import Words

ALIKE = 0.5  # a rank correlation; a map that keeps more of itself hardly depends on what was shuffled


def sample_section(record: Record, words: Words) -> Section | None:
    """Some predictions that were drawn by chance, right and wrong ones, as the insight ``explain`` chose them."""
    insight = record.insight("explain") or {}
    rows = [row for row in insight.get("sample", []) if row < len(record.predictions)]
    if not rows:
        return None
    cards = [replace(card, lines=[_mark(words, card.right), *card.lines]) for card in make_cards(record, words, rows)]
    right = sum(card.right for card in cards)
    lead = [words("sample.lead", count=len(cards), images=f"{len(record.predictions):,}", right=right), words("sample.how")]
    told_above = any(not row.right for row in record.predictions)
    lead += [words("sample.as_above")] if told_above else heat_words(record, words, cards)
    return Section("sample", words("sample.title"), lead, cards=cards)


def _mark(words: Words, right: bool) -> str:
    return words("sample.right" if right else "sample.wrong")


def heat_section(record: Record, words: Words) -> Section | None:
    """What was checked of the heat maps: that they change with the weights, and that they point at what matters."""
    insight = record.insight("explain") or {}
    checks = insight.get("checks")
    if not checks:
        return None
    rows = [_shuffled(words, key, checks[key]) for key in ("head", "network") if key in checks]
    rows.append(_deleted(words, checks["deletion"]))
    header = [words("heat.head_check"), words("head.figure"), words("head.meaning")]
    lead = [words("heat.lead", count=checks["images"])] + ([] if insight["exact"] else [words("heat.hidden_only")])
    return Section("heat", words("heat.title"), lead, tables=[("", Table(header, rows, prose=True))])


def _shuffled(words: Words, key: str, figure: dict[str, Any]) -> list[str]:
    alike = as_figure(figure)
    told = words("heat.unknown") if alike is None else words("heat.changes" if alike.below(ALIKE) else "heat.stays")
    return [words(f"heat.shuffled.{key}"), _number(words, figure), told]


def _deleted(words: Words, found: dict[str, Any]) -> list[str]:
    gain = as_figure(found["gain"])
    key = "unclear" if gain is None else "points" if gain.above(0) else "misleads" if gain.below(0) else "unclear"
    drops = words("heat.areas", map=f"{found['map']:.3f}", random=f"{found['random']:.3f}")
    return [words("heat.deleted"), f"{_number(words, found['gain'])}\n{drops}", words(f"heat.{key}")]


def _number(words: Words, figure: dict[str, Any]) -> str:
    found = as_figure(figure)
    if found is None:
        return "–"
    value, *ends = (f"{number:.3f}".replace("-", "−") for number in (found.value, found.low, found.high) if number is not None)
    return f"{value}\n{words('format.interval', low=ends[0], high=ends[1])}" if ends else value
