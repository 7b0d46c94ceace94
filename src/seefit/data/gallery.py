"""A look at the data: a grid of images with their labels."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from seefit.data.dataset import Dataset, Sample
from seefit.data.image import decode
from seefit.drawing import blank, place, shown, style
from seefit.errors import DataError, UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TILE = 150.0  # points
GAP = 10.0
TITLE = 20.0
LINE = 13.0  # of a title with several
LONGEST_LABEL = 22
SIDE_PX = 320  # larger images are made smaller before they are drawn
WIDE_FONTS = (
    "Noto Sans CJK SC",
    "PingFang SC",
    "Microsoft YaHei",
    "WenQuanYi Micro Hei",
    "SimHei",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
)

Pixels = npt.NDArray[np.uint8]


def draw_gallery(dataset: Dataset, n: int, *, seed: int) -> Figure:
    """Draw ``n`` training images of a dataset, chosen at random; see `Dataset.show_batch`."""
    if n < 1:
        raise UsageError("Bad number of images", where="n", expected="a whole number of at least 1", got=str(n), hint="Leave n out for 9")
    training = [sample for sample in dataset.samples if sample.split in {None, "train"}]
    order = np.random.default_rng(seed).permutation(len(training))
    tiles = _decoded([training[i] for i in order], n)
    if not tiles:
        raise DataError(
            "Cannot show the images",
            where=dataset.source,
            expected="at least one training image that can be decoded",
            got=f"none of {len(training):,}",
            hint="Run `seefit check` on the data to see why",
        )
    return draw_tiles(tiles)


def _decoded(samples: Sequence[Sample], n: int) -> list[tuple[Pixels, str]]:
    tiles: list[tuple[Pixels, str]] = []
    for sample in samples:
        if len(tiles) == n:
            break
        try:
            pixels = Image.fromarray(decode(sample.path))
        except DataError:
            continue
        pixels.thumbnail((SIDE_PX, SIDE_PX))
        tiles.append((np.asarray(pixels), sample.label or ""))
    return tiles


def draw_tiles(tiles: Sequence[tuple[Pixels, *tuple[str, ...]]]) -> Figure:
    """Draw images, each (H, W, 3) uint8 with the lines of its title, in a grid that is about as wide as it is high."""
    columns = math.ceil(math.sqrt(len(tiles)))
    rows = math.ceil(len(tiles) / columns)
    title = TITLE + LINE * (max(len(tile) for tile in tiles) - 2)
    width, height = GAP + columns * (TILE + GAP), GAP + rows * (TILE + title + GAP)
    figure = blank(width, height)
    with style():
        for at, (pixels, *lines) in enumerate(tiles):
            left = GAP + at % columns * (TILE + GAP)
            top = GAP + at // columns * (TILE + title + GAP) + title
            axes = place(figure, left=left, bottom=height - top - TILE, right=width - left - TILE, top=top)
            axes.imshow(pixels, interpolation="antialiased")
            axes.set_anchor("N")  # titles of one row stand on one line, whatever the shapes
            axes.set_title("\n".join(shown(line, LONGEST_LABEL) for line in lines), size=10.5, pad=5, family=fonts())
            axes.set_axis_off()
    return figure


@functools.cache
def fonts() -> list[str]:
    """Return matplotlib's own font and those of this machine that have letters it lacks."""
    from matplotlib.font_manager import get_font_names

    installed = set(get_font_names())
    return ["DejaVu Sans", *(name for name in WIDE_FONTS if name in installed)]
