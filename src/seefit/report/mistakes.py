"""The worst mistakes, with their pictures."""

from __future__ import annotations

import math
from pathlib import Path

from seefit.data.image import MAX_PIXELS
from seefit.drawing import shown
from seefit.report.page import Card, Section
from seefit.report.record import TINY, Prediction, Record, read_split
from seefit.report.thumbnails import thumbnail
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
    worst = worst_mistakes(record.predictions)
    split = read_split(record.run, {row.path for row in worst}) if (record.run / "split.csv").is_file() else {}
    cards = [_card(record, words, row, split.get(row.path, {})) for row in worst]
    lead = [words("mistakes.lead", wrong=f"{wrong:,}", images=f"{len(record.predictions):,}", shown=len(cards)), words("mistakes.how")]
    missing = sum(not card.address for card in cards)
    if missing:
        lead.append(words("mistakes.missing", count=missing, shown=len(cards)))
    return Section("mistakes", title, lead, cards=cards)


def _card(record: Record, words: Words, row: Prediction, split: dict[str, str]) -> Card:
    root = Path(str(record.config.get("root") or "."))
    limit = int(record.config.get("max_pixels") or MAX_PIXELS)
    address, why = thumbnail(root, row.path, split.get("sha256", ""), max_pixels=limit)
    lines = [words("mistakes.loss", loss=loss_text(row))]
    if split.get("weight") not in {None, "", "1", "1.0"}:
        lines.append(words("mistakes.weight", weight=f"{float(split['weight']):.2f}"))
    return Card(
        address,
        words(f"missing.{why}") if why else "",
        shown(row.path, 90),
        words("mistakes.actual", name=shown(row.label, 60), p=words.chance(row.actual, known=row.known)),
        words("mistakes.predicted", name=shown(row.predicted, 60), p=words.chance(row.confidence)),
        lines,
    )


def loss_text(row: Prediction) -> str:
    """Write the loss, minus the logarithm of the probability of the actual class; "> " where that is a bound."""
    loss = -math.log(max(row.actual, TINY))
    return f"{loss:.1f}" if row.known and row.actual >= TINY else f"> {loss:.1f}"
