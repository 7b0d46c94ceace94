"""Kept values of views: computed once, found again, and computed anew where they are damaged or gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from seefit.training.cache import Recipe, open_store
from seefit.training.kept import CHUNK, KeptViews, Row
from test_cache import Listener

RECIPE = Recipe("tiny", 32, "squash", ("answers",), "made up", "0" * 64, "none")
SHA256 = [f"{i:064x}" for i in range(40)]


class Counted:
    """Values that say which row they are of; counts how often each is computed."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def __call__(self, rows: Sequence[Row]) -> Iterator[bytes]:
        for image, view in rows:
            self.rows.append((image, view))
            yield bytes([image, view, 7, 7])


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def heard() -> Listener:
    return Listener()


@pytest.fixture
def kept(counted: Counted, heard: Listener) -> Iterator[KeptViews]:
    opened = KeptViews(RECIPE, SHA256, 4, counted, title="answers", console=heard)
    yield opened
    opened.close()


def test_what_is_kept_is_not_computed_again(kept: KeptViews, counted: Counted) -> None:
    assert kept.fill([(0, 0), (0, 1), (3, 0)]) == 3
    assert kept.missing([(0, 1), (0, 2), (3, 0)]) == [(0, 2)]
    assert kept.fill([(0, 1), (0, 2), (3, 0)]) == 1
    assert kept.read([(3, 0), (0, 2)]) == [bytes([3, 0, 7, 7]), bytes([0, 2, 7, 7])]
    assert counted.rows == [(0, 0), (0, 1), (3, 0), (0, 2)]


def test_what_was_dropped_is_computed_when_it_is_read(kept: KeptViews, counted: Counted) -> None:
    rows = [(i, 0) for i in range(5)]
    kept.fill(rows)
    with open_store() as store:
        store.clear([RECIPE.shelf])
    assert kept.read(rows) == [bytes([i, 0, 7, 7]) for i in range(5)]
    assert counted.rows == rows * 2


def test_a_value_of_another_size_counts_as_none(kept: KeptViews) -> None:
    with open_store() as store:
        store.put(RECIPE.shelf, [(kept.key((1, 0)), b"short"), (kept.key((2, 0)), bytes(4))])
    assert kept.missing([(1, 0), (2, 0)]) == [(1, 0)]


def test_what_will_take_long_is_told_with_its_time_once_the_first_are_there(kept: KeptViews, counted: Counted, heard: Listener) -> None:
    rows = [(i, view) for i in range(40) for view in range(3)]
    kept.fill_and_tell(rows, "Asking the teacher")
    assert counted.rows == rows
    assert len(rows) > CHUNK
    assert [text.rpartition(" about ")[0] for text in heard.said] == ["Asking the teacher,"]
    kept.fill_and_tell(rows, "Asking the teacher")
    assert len(heard.said) == 1


def test_a_key_is_the_content_and_the_number_of_the_view(kept: KeptViews) -> None:
    assert kept.key((10, 258)) == bytes(31) + b"\x0a" + b"\x01\x02"
