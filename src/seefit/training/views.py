"""Views: changed images, for training.

A view is drawn from the seed, the sha256 of the image and the number of the view alone: whatever the order or the thread, the
same three give the same view. Number 0 is the image itself. Views are made of decoded pixels, before ``preprocess``,
so training sees what production sees.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

import numpy as np
from torch import Tensor

from seefit.training import changes
from seefit.training.augment import Augmentation, Pair, combined
from seefit.training.changes import Pixels

ERASED_SHARE = (0.02, 1 / 3)  # of the area, and its shape: torchvision's, after Zhong et al. 2020, section 4
ERASED_RATIO = (0.3, 1 / 0.3)
STRENGTHS = 31  # of TrivialAugment, from none to the most

View = Callable[[Pixels, str, int], Pixels]

# One number each is drawn for every view, whether its part is on or not: to switch one part leaves the others as they were.
_DRAWN = (
    *("turn", "horizontal", "vertical", "angle", "zoom", "area", "ratio", "down", "right", "trivial", "strength", "sign"),
    *("brightness", "contrast", "saturation", "hue", "greyscale", "erasing", "patch", "shape", "patch-down", "patch-right"),
)


def make_view(augmentation: Augmentation, *, seed: int) -> View:
    """Return the function that makes views of images: ``view(pixels, sha256, number)``.

    Args:
        augmentation: What may change; mixing is left out.
        seed: Another seed gives other views, but of turns and flips alone: these are as many as there are.

    Returns:
        A function from (H, W, 3) uint8 RGB, the sha256 of the image and the number of the view, from 0, to (H', W', 3) uint8.
        It is safe in any thread, and leaves what it is given as it is. Images of over 1.5 megapixels come out
        smaller where their views are more than turns and flips.
    """

    def view(pixels: Pixels, sha256: str, number: int) -> Pixels:
        if number == 0:
            return pixels
        drawn = dict(zip(_DRAWN, _chances(len(_DRAWN), seed, sha256, number), strict=True))
        orientation = _orientation(augmentation, drawn, sha256, number)
        if augmentation.only_orients:
            return changes.turned(pixels, *orientation)
        image = changes.to_tensor(changes.turned(changes.shrunk(pixels), *orientation))
        image = _placed(image, augmentation, drawn)
        return changes.to_pixels(_erased(_coloured(image, augmentation, drawn), augmentation, drawn))

    return view


def _chances(count: int, *words: object) -> list[float]:
    """Return numbers from 0 up to 1 that the words alone decide."""
    digest = hashlib.sha256(" ".join(map(str, words)).encode()).digest()
    drawn: list[float] = np.random.default_rng(int.from_bytes(digest, "big")).random(count).tolist()
    return drawn


def _between(pair: Pair, chance: float) -> float:
    return pair[0] + (pair[1] - pair[0]) * chance


def _between_ratios(pair: Pair, chance: float) -> float:
    return math.exp(_between((math.log(pair[0]), math.log(pair[1])), chance))


def _orientation(augmentation: Augmentation, drawn: dict[str, float], sha256: str, number: int) -> tuple[int, bool]:
    """Return how a view is turned: by lot; or, where all orientations are as likely, each in its turn, so that few views show many.

    Each image has an order of its own, which begins with the image as it is and is the same whatever the seed.
    """
    even = augmentation.orientations()
    if even is None:
        turns = int(4 * drawn["turn"]) if augmentation.quarter_turns else 0
        return combined(drawn["horizontal"] < augmentation.horizontal_flip, drawn["vertical"] < augmentation.vertical_flip, turns)
    own, *others = even
    order: list[int] = np.argsort(_chances(len(others), sha256)).tolist()
    return [own, *(others[i] for i in order)][number % len(even)]


def _placed(image: Tensor, augmentation: Augmentation, drawn: dict[str, float]) -> Tensor:
    """Rotate, zoom and crop at once, so that nothing is resampled twice."""
    angle, zoom = _between(augmentation.rotation, drawn["angle"]), _between(augmentation.zoom, drawn["zoom"])
    box = _box(image, augmentation.crop, augmentation.ratio, [drawn[name] for name in ("area", "ratio", "down", "right")])
    if angle == 0 and zoom == 1:
        return changes.cropped(image, box)
    return changes.warped(image, changes.rotation(angle, zoom), box)


def _box(image: Tensor, share: Pair, ratio: Pair, chances: list[float]) -> changes.Box:
    _, height, width = image.shape
    area, shape, down, right = chances
    return changes.box_of(_between(share, area), _between_ratios(ratio, shape), down, right, height, width)


def _coloured(image: Tensor, augmentation: Augmentation, drawn: dict[str, float]) -> Tensor:
    if augmentation.trivial:
        name = list(changes.TRIVIAL)[int(len(changes.TRIVIAL) * drawn["trivial"])]
        strength = int(STRENGTHS * drawn["strength"]) / (STRENGTHS - 1)
        image = changes.TRIVIAL[name](image, strength if drawn["sign"] < 0.5 else -strength)
    on = augmentation.parts()
    for name, change in changes.COLOURS.items():
        if name in on:
            image = change(image, _between(on[name], drawn[name]))
    return changes.grey(image) if drawn["greyscale"] < augmentation.greyscale else image


def _erased(image: Tensor, augmentation: Augmentation, drawn: dict[str, float]) -> Tensor:
    if drawn["erasing"] >= augmentation.erasing:
        return image
    chances = [drawn[name] for name in ("patch", "shape", "patch-down", "patch-right")]
    return changes.erased(image, _box(image, ERASED_SHARE, ERASED_RATIO, chances))
