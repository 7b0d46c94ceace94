"""What a bundle tells of a score: how often images with such a score were right, and how often all that scored so high were.

Both come from images that the model knows but did not learn from: what they say holds for new images of the same kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

TOLD = ("reliability", "reliability_low", "reliability_high", "selective_coverage", "selective_accuracy", "selective_low", "selective_high")


class Share(NamedTuple):
    """A share of images with its 95 % interval, all in [0, 1]; no interval where there are too few images or groups for one."""

    value: float
    low: float | None = None
    high: float | None = None


class ScoreBin(NamedTuple):
    """Held-out images whose highest probability is in (low, high].

    Attributes:
        low: From where on.
        high: Up to where, above ``low``.
        images: How many there are.
        confidence: Their mean score.
        accuracy: How many of them were right.
    """

    low: float
    high: float
    images: int
    confidence: float
    accuracy: Share


class Point(NamedTuple):
    """What answering only from a score on gives.

    Attributes:
        score: The least score that is answered.
        coverage: The share of held-out images that are answered, in (0, 1].
        accuracy: How many of these were right.
    """

    score: float
    coverage: float
    accuracy: Share


@dataclass(frozen=True)
class Confidence:
    """What held-out images tell of scores.

    Attributes:
        ece: The expected calibration error over bins of equal width (Guo et al. 2017, equation 3).
        bins: Those with images, rising.
        curve: Points of selective prediction (El-Yaniv & Wiener 2010), falling in score and rising in coverage up to 1.
    """

    ece: Share
    bins: Sequence[ScoreBin]
    curve: Sequence[Point]

    def of(self, score: float) -> dict[str, float | None]:
        """Return what held-out images tell of the score of a prediction.

        Args:
            score: The highest probability of an image.

        Returns:
            The keys of `TOLD`: how many of the held-out images in the same bin were right, None for a bin without images; and how
            many of them are answered and right when everything is answered that is at least as sure as this one.
        """
        alike = next((one.accuracy for one in self.bins if one.low < score <= one.high), (None, None, None))
        as_sure = sum(point.score >= score for point in self.curve)
        point = self.curve[max(as_sure - 1, 0)]
        return dict(zip(TOLD, (*alike, point.coverage, *point.accuracy), strict=True))

    def point_for(self, coverage: float) -> Point:
        """Return the point whose coverage is nearest to the one wanted."""
        return min(self.curve, key=lambda point: abs(point.coverage - coverage))

    def to_json(self) -> dict[str, Any]:
        """Return what a manifest says of scores."""
        return {
            "ece": self.ece._asdict(),
            "bins": [one._asdict() | {"accuracy": one.accuracy._asdict()} for one in self.bins],
            "selective": [point._asdict() | {"accuracy": point.accuracy._asdict()} for point in self.curve],
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Confidence:
        """Read what `to_json` wrote."""
        bins = [ScoreBin(**one | {"accuracy": Share(**one["accuracy"])}) for one in said["bins"]]
        return cls(Share(**said["ece"]), bins, [Point(**one | {"accuracy": Share(**one["accuracy"])}) for one in said["selective"]])

    def is_sound(self) -> bool:
        """Whether the numbers can be used: shares within 0 and 1, and a curve that falls in score."""
        shares = [self.ece, *(one.accuracy for one in self.bins), *(point.accuracy for point in self.curve)]
        numbers = [number for share in shares for number in share if number is not None]
        numbers += [number for one in self.bins for number in (one.low, one.high, one.confidence)]
        numbers += [number for point in self.curve for number in (point.score, point.coverage)]
        scores = [point.score for point in self.curve]
        counted = all(type(one.images) is int and one.images > 0 for one in self.bins)
        bounded = all(0 <= number <= 1 + 1e-9 for number in numbers)
        return counted and bounded and bool(scores) and scores == sorted(scores, reverse=True)
