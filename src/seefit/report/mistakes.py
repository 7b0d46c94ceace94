"""The worst mistakes, with their pictures."""

from __future__ import annotations

from seefit.report.cards import heat_words, make_cards
from seefit.report.page import Section
from seefit.report.record import Prediction, Record
from seefit.report.words import Words

MOST_MISTAKES = 24


def worst_mistakes(predictions: list[Prediction], most: int = MOST_MISTAKES) -> list[Prediction]:
    """Return the wrong predictions with the largest loss, that is the smallest probability for what it really is."""
    wrong = (row for row in predictions if not row.right)
    return sorted(wrong, key=lambda row: (row.actual, -row.confidence, row.path))[:most]


def mistakes_section(record: Record, words: Words) -> Section | None:
    """The wrong predictions that the model was surest of."""
    if not record.predictions:
        return None
    wrong = sum(not row.right for row in record.predictions)
    title = words("mistakes.title")
    if not wrong:
        return Section("mistakes", title, [words("mistakes.none", images=f"{len(record.predictions):,}")])
    number = {row.path: i for i, row in enumerate(record.predictions)}
    cards = make_cards(record, words, [number[row.path] for row in worst_mistakes(record.predictions)])
    lead = [words("mistakes.lead", wrong=f"{wrong:,}", images=f"{len(record.predictions):,}", shown=len(cards)), words("mistakes.how")]
    lead += heat_words(record, words, cards)
    missing = sum(not card.address for card in cards)
    if missing:
        lead.append(words("mistakes.missing", count=missing, shown=len(cards)))
    return Section("mistakes", title, lead, cards=cards)
