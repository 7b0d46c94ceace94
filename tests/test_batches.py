"""Order: every image once an epoch, every view once in as many epochs as there are views, the same each time."""

from __future__ import annotations

import pytest

from seefit.training.batches import Order


@pytest.mark.parametrize("views", [1, 3])
def test_each_image_comes_once_an_epoch_and_each_view_in_its_turn(views: int) -> None:
    order = Order(10, views, 4, seed=3)
    seen = [row for epoch in range(views) for row in order.rows(epoch)]
    assert sorted(seen) == order.every_row()
    for epoch in range(2 * views):
        assert sorted(i for i, _ in order.rows(epoch)) == list(range(10))


def test_the_order_follows_from_seed_and_epoch() -> None:
    order = Order(50, 4, 8, seed=1)
    assert order.rows(5) == Order(50, 4, 8, seed=1).rows(5)
    assert order.rows(5) != order.rows(6)
    assert order.rows(5) != Order(50, 4, 8, seed=2).rows(5)


@pytest.mark.parametrize(
    ("images", "batch", "sizes"),
    [(10, 4, [4, 4, 2]), (9, 4, [4, 5]), (3, 4, [3]), (1, 4, [1]), (8, 4, [4, 4]), (5, 4, [5]), (11, 4, [4, 4, 3]), (7, 1, [1] * 7)],
)
def test_a_small_rest_joins_the_batch_before(images: int, batch: int, sizes: list[int]) -> None:
    order = Order(images, 1, batch)
    assert [len(rows) for rows in order.batches(0)] == sizes
    assert len(order) == len(sizes)
    assert [row for rows in order.batches(0) for row in rows] == order.rows(0)


def test_fresh_views_never_come_twice_however_many_epochs_there_are() -> None:
    order = Order(10, 3, 4, seed=3, fresh=True)
    seen = [row for epoch in range(7) for row in order.rows(epoch)]
    assert len(set(seen)) == 70
    assert seen[:30] == [row for epoch in range(3) for row in Order(10, 3, 4, seed=3).rows(epoch)]
    assert (order.views_in(2), order.views_in(7), Order(10, 3, 4).views_in(7)) == (3, 7, 3)
