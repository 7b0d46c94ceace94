"""Copies and look-alikes side by side, so that a reader sees whether they show the same thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from seefit.report.page import Card
from seefit.report.words import Words

MOST_PAIRS = 3  # of each kind of likeness

T = TypeVar("T")


def show_pairs(
    words: Words, what: str, groups: Sequence[Sequence[T]], *, count: int, kind: Callable[[T], object], card: Callable[[T], Card]
) -> tuple[str, list[list[Card]]]:
    """Return the pictures of the first groups, two of each, under a heading that says of how many.

    Args:
        words: The language.
        what: What the pictures of a group have in common.
        groups: At least two images each.
        count: How many groups there are, listed or not.
        kind: Part or label of an image, or both; where a group has several, the two are of different ones.
        card: What is shown of an image.
    """
    shown = [[card(image) for image in _two_of(group, kind)] for group in groups[:MOST_PAIRS]]
    heading = what if count <= len(shown) else words("page.first_of", what=what, shown=len(shown), count=f"{count:,}")
    return heading, shown


def _two_of(group: Sequence[T], kind: Callable[[T], object]) -> tuple[T, T]:
    first, *others = group
    return first, next((other for other in others if kind(other) != kind(first)), others[0])
