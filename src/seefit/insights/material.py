"""What insights are drawn from: the parts as training saw them, the models, and the scores of images that no model was fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.bundle import Bundle
from seefit.bundle.trusted import Trust
from seefit.data.scan import Scan
from seefit.data.split import Split
from seefit.data.splitfile import read_split
from seefit.data.tables import read_table
from seefit.evaluation.calibrate import softmax
from seefit.evaluation.evaluate import group_numbers, read_probabilities
from seefit.fitting import Fitted
from seefit.parts import Part
from seefit.settings import Settings
from seefit.training.cache import kept_features
from seefit.training.features import FeatureExtractor, reference_recipe


@dataclass(frozen=True)
class Scores:
    """What was said of images that were not learnt from.

    Attributes:
        names: Of the N images, relative to the root of the dataset.
        sha256: Of their content.
        labels: (N,) class numbers.
        probabilities: (N, C), calibrated.
        weights: (N,) at least 0.
        groups: (N,) numbers of their groups; None without groups.
        source: ``test``, ``val``, or ``folds`` for out-of-fold scores of the training part.
    """

    names: list[str]
    sha256: list[str]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    weights: NDArray[np.float64]
    groups: NDArray[np.int64] | None
    source: str


@dataclass(frozen=True)
class Material:
    """A run that was fitted, saved and judged.

    Attributes:
        run: Its folder.
        settings: What the user chose.
        classes: Names, in the order of the outputs.
        train: The training part.
        val: The validation part; may be empty.
        scan: What the files are.
        split: The part of each usable image.
        probe: The probe; from scratch, the network as it began.
        fitted: What was saved: the probe, or what was trained from it.
        bundle: As it was saved.
        part: What it was judged on: ``test``, ``val`` or, with neither, an empty text.
        trust: What was fitted for sets and "none of these".
    """

    run: Path
    settings: Settings
    classes: tuple[str, ...]
    train: Part
    val: Part
    scan: Scan
    split: Split
    probe: Fitted
    fitted: Fitted
    bundle: Bundle
    part: str
    trust: Trust = Trust()  # noqa: RUF009  # frozen

    @cached_property
    def judged(self) -> Scores | None:
        """The reference's answers on the judged part, as ``evaluate_part`` wrote them down; None where nothing was judged."""
        if not self.part:
            return None
        rows = {row.path: row for row in read_split(self.run / "split.csv") if row.split == self.part}
        table = read_table(self.run / "predictions.csv")
        chosen, position = [rows[row["path"]] for row in table], {name: i for i, name in enumerate(self.classes)}
        return Scores(
            [row.path for row in chosen],
            [row.sha256 for row in chosen],
            np.array([position[row.label] for row in chosen], np.int64),
            read_probabilities(self.run, table, self.classes),
            np.array([row.weight for row in chosen]),
            group_numbers([row.group for row in chosen]),
            self.part,
        )

    @cached_property
    def judged_features(self) -> NDArray[np.float32]:
        """What the linear head sees of the judged images (N, D), by the reference, as judging kept it.

        Raises:
            ValueError: Nothing was judged, or what was kept is gone.
        """
        if self.judged is None:
            raise ValueError("nothing was judged")
        found = [features for features in kept_features(self.judged.sha256, reference_recipe(self.bundle)) if features is not None]
        if len(found) < len(self.judged.sha256):
            raise ValueError("features of judged images are not kept any more")
        return np.stack(found)

    @cached_property
    def folds(self) -> Scores | None:
        """Out-of-fold scores of the probe on the training part; None where there were no folds."""
        head, rows = self.probe.head, self.probe.head.fold_rows
        if not len(rows):
            return None
        probabilities = softmax(head.fold_logits, self.probe.temperature)
        return _scores(self.train, rows, self.classes, probabilities, "folds")

    @cached_property
    def held_out(self) -> Scores | None:
        """Scores that thresholds may be chosen on: those of the validation part, or without one out-of-fold scores of a probe."""
        if not self.val.samples:
            return self.folds if self.fitted is self.probe and self.probe.folds is not None else None
        exact = self.fitted.extractor.extract(self.val.samples, self.val.sha256, exact=True)
        probabilities = softmax(self.fitted.head.logits(exact), self.fitted.temperature)
        return _scores(self.val, np.arange(len(self.val.samples)), self.classes, probabilities, "val")

    def features(self, part: Part, *, extractor: FeatureExtractor | None = None) -> NDArray[np.float32]:
        """Return the features (N, D) of a part by the engine that fitting used, kept or computed.

        Args:
            part: Of the images that training may see.
            extractor: Of another network than the probe's.
        """
        return (extractor or self.probe.extractor).extract(part.samples, part.sha256)


def _scores(part: Part, rows: NDArray[np.intp], classes: tuple[str, ...], probabilities: NDArray[np.float64], source: str) -> Scores:
    samples = [part.samples[i] for i in rows]
    return Scores(
        [sample.name for sample in samples],
        [part.sha256[i] for i in rows],
        part.labels(classes)[rows],
        probabilities,
        part.weights()[rows],
        group_numbers([sample.group for sample in samples]),
        source,
    )
