"""Running the graph: order, bounds and memory."""

from __future__ import annotations

from seefit.bundle.runtime import in_batches


def test_batches_keep_the_order_and_the_last_may_be_shorter() -> None:
    assert list(in_batches("abcde", 2)) == [["a", "b"], ["c", "d"], ["e"]]
