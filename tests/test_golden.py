"""Golden images: the same bytes and pixels each time."""

from __future__ import annotations

from seefit.bundle.golden import golden_images


def test_the_same_bytes_each_time() -> None:
    assert golden_images() == golden_images()
