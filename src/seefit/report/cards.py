"""Predictions as cards: the picture, its heat map, what was said and what it is, and the nearest training images."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.runtime import ordered_map
from seefit.data.image import MAX_PIXELS
from seefit.drawing import shown
from seefit.environment import threads
from seefit.report.overlay import overlay, strongest
from seefit.report.page import Card
from seefit.report.record import TINY, Prediction, Record, read_split
from seefit.report.thumbnails import Small, address, small_picture
from seefit.report.words import Words

NEAREST_PX = 72

Float = NDArray[np.float32]


def make_cards(record: Record, words: Words, rows: Sequence[int]) -> list[Card]:
    """Make a card for each of some rows of predictions.csv, counted from 0.

    Args:
        record: The run; its insight ``explain``, where there is one, gives heat maps and nearest training images.
        words: The language.
        rows: Which.
    """
    explained = explained_rows(record)
    paths = {record.predictions[row].path for row in rows}
    paths |= {alike["path"] for row in rows for alike in explained.get(row, {}).get("nearest", [])}
    split = read_split(record.run, paths) if (record.run / "split.csv").is_file() else {}

    def make(row: int) -> Card:
        return _card(record, words, record.predictions[row], explained.get(row), split)

    return list(ordered_map(make, rows, workers=threads()))


def explained_rows(record: Record) -> dict[int, dict[str, Any]]:
    """Return what the insight ``explain`` holds of single predictions, by their row; nothing without it."""
    insight = record.insight("explain") or {}
    return {picture["row"]: picture for picture in insight.get("pictures", [])}


def heat_words(record: Record, words: Words, cards: Sequence[Card]) -> list[str]:
    """Return the sentences that tell what the heat maps and the nearest training images of some cards are."""
    insight = record.insight("explain") or {}
    told = []
    if any(card.heat for card in cards):
        told.append(words("heat.how_exact" if insight["exact"] else "heat.how_hidden"))
        without = sum(bool(card.address) and not card.heat for card in cards)
        told += [words("heat.some", count=len(cards) - without, shown=len(cards))] if without else []
    if any(card.alike for card in cards):
        told.append(words("heat.alike"))
    return told


def _card(record: Record, words: Words, row: Prediction, explained: dict[str, Any] | None, split: dict[str, dict[str, str]]) -> Card:
    small, why = _small(record, split, row.path)
    own = split.get(row.path, {})
    lines = [words("mistakes.loss", loss=loss_text(row))]
    if own.get("weight") not in {None, "", "1", "1.0"}:
        lines.append(words("mistakes.weight", weight=f"{float(own['weight']):.2f}"))
    heat = heat_says = ""
    if small is not None and explained is not None and "map" in explained:
        values = read_map(explained)
        heat = address(overlay(small.pixels, values, record.bundle["fit"], small.size), quality=60)
        down, across = strongest(values)
        heat_says = words("heat.alt", name=shown(explained["label"], 60), place=words(f"place.{down}_{across}"))
    return Card(
        address(small.pixels) if small is not None else "",
        words(f"missing.{why}") if why else "",
        shown(row.path, 90),
        words("mistakes.actual", name=shown(row.label, 60), p=words.chance(row.actual, known=row.known)),
        words("mistakes.predicted", name=shown(row.predicted, 60), p=words.chance(row.confidence)),
        lines,
        row.right,
        heat,
        heat_says,
        _alike(record, split, explained or {}) if small is not None else (),
    )


def _alike(record: Record, split: dict[str, dict[str, str]], explained: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the nearest training images that can still be shown, with their labels."""
    found = []
    for alike in explained.get("nearest", []):
        small, _ = _small(record, split, alike["path"], NEAREST_PX)
        if small is not None:
            found.append((address(small.pixels, quality=60), shown(alike["label"], 40)))
    return found


def _small(record: Record, split: dict[str, dict[str, str]], path: str, largest_px: int | None = None) -> tuple[Small | None, str]:
    root = Path(str(record.config.get("root") or "."))
    limit = int(record.config.get("max_pixels") or MAX_PIXELS)
    sha256 = split.get(path, {}).get("sha256", "")
    return small_picture(root, path, sha256, max_pixels=limit, **({"largest_px": largest_px} if largest_px else {}))


def read_map(explained: dict[str, Any]) -> Float:
    """Return the (G, G) map that the insight keeps as whole numbers of its peak."""
    whole = np.frombuffer(base64.b64decode(explained["map"]), np.int8)
    side = math.isqrt(len(whole))
    return whole.reshape(side, side).astype(np.float32) * np.float32(explained["peak"] / 127)


def loss_text(row: Prediction) -> str:
    """Write the loss, minus the logarithm of the probability of the actual class; "> " where that is a bound."""
    loss = -math.log(max(row.actual, TINY))
    return f"{loss:.1f}" if row.known and row.actual >= TINY else f"> {loss:.1f}"
