"""Which strategy is advised after a probe: the head only, the top stages too, or everything.

Two quantities decide, as in the table of Stanford's CS231n (notes, "Transfer learning", "When and how to fine-tune?"): how many
images there are, and how like the images are to those the network was made from. docs/decisions.md says what is ours in it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from statistics import median_low
from typing import Any, Literal

Strategy = Literal["head", "top", "everything"]
STRATEGIES: tuple[Strategy, ...] = ("head", "top", "everything")  # from what trains the least to what trains the most

LARGE = 1_000  # training images of a class from which they are many: about as many as ImageNet has of one (732 to 1,300)
ALIKE = 0.9  # reach from which images count as alike: what is left to win by training layers is a tenth of the way at most

_TABLE: dict[tuple[bool, bool], Strategy] = {  # (many images, alike)
    (False, True): "head",
    (False, False): "top",
    (True, True): "top",
    (True, False): "everything",
}


@dataclass(frozen=True)
class Advice:
    """A strategy, and what it rests on.

    Attributes:
        strategy: What is advised.
        images_per_class: Training images of a typical class: at least half of the classes have so many.
        reach: How far the frozen features get from guessing (0) to perfect (1): balanced accuracy on images the head was not fitted
            on, less that of guessing, as a share of what guessing leaves (scikit-learn's ``adjusted`` balanced accuracy).
    """

    strategy: Strategy
    images_per_class: int
    reach: float


def advise(counts: Collection[int], balanced_accuracy: float) -> Advice:
    """Advise a strategy from the size of the training part and what a probe reached.

    Args:
        counts: Training images of each class; two classes or more.
        balanced_accuracy: Of the probe on images its head was not fitted on, 0 to 1: out of fold, or of the validation part.
    """
    present = [count for count in counts if count]
    chance = 1 / len(present)
    reach = max(0.0, (balanced_accuracy - chance) / (1 - chance))
    images = median_low(present)
    return Advice(_TABLE[images >= LARGE, reach >= ALIKE], images, reach)


def is_done(advice: dict[str, Any]) -> bool:
    """Return whether a run trained what is advised, or more than that.

    Args:
        advice: The entry of ``metrics.json``: the fields of `Advice`, and ``done``, what the run itself trained.
    """
    return STRATEGIES.index(advice["done"]) >= STRATEGIES.index(advice["strategy"])
