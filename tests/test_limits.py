"""Limits: defaults, and what is given by hand."""

from __future__ import annotations

import pytest

from seefit.deploy.serve.limits import Limits, make_limits
from seefit.errors import UsageError


def test_what_is_given_wins_and_a_body_always_has_room() -> None:
    assert make_limits() == make_limits(body_bytes=None) == Limits()
    found = make_limits(body_bytes=2**30, pixels=5, seconds=0.5)
    assert (found.body_bytes, found.held_bytes, found.pixels, found.seconds) == (2**30, 2**30, 5, 0.5)


def test_all_bad_ones_are_named() -> None:
    with pytest.raises(UsageError) as caught:
        make_limits(body_bytes=0, pixels=-1, seconds=float("nan"))
    assert caught.value.message.splitlines() == [
        "Bad limit: --max-bytes. Expected a number above 0, got 0.",
        "Bad limit: --max-pixels. Expected a number above 0, got -1.",
        "Bad limit: --timeout. Expected a number above 0, got nan.",
    ]
