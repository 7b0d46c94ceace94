"""What a model said of labelled images, for notebooks: figures, mistakes and pictures, with fastai's names."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seefit.data.dataset import Sample
from seefit.data.image import Undecodable, Unreadable, decode
from seefit.data.tables import read_table
from seefit.drawing import shown
from seefit.errors import RunError
from seefit.evaluation.confusion import confused_pairs, confusion_matrix
from seefit.evaluation.evaluate import group_numbers, read_probabilities
from seefit.evaluation.metrics import NAMES, judge
from seefit.report.confusion import draw_confusion, readable_part
from seefit.report.record import TINY, Figure, as_figure, read_run
from seefit.report.sections import METRICS
from seefit.report.words import Words

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

GREY = 232  # of a tile whose picture is not there any more


@dataclass(frozen=True)
class TopLoss:
    """One of the images with the largest loss.

    Attributes:
        path: Its file.
        actual: What it really is.
        predicted: What the model said.
        loss: Minus the logarithm of the probability that the model gave to what it really is.
        probability: Of what the model said.
    """

    path: Path
    actual: str
    predicted: str
    loss: float
    probability: float


@dataclass(frozen=True, repr=False)
class Evaluation:
    """What a model said of labelled images.

    Figures are attributes, each with ``value``, ``low`` and ``high`` (95 % interval): ``accuracy``, ``balanced_accuracy``,
    ``weighted_accuracy``, ``macro_f1``, ``auc``, ``nll``, ``brier``, ``ece``, ``majority_baseline``, ``gain``; None where there is none.

    Attributes:
        paths: Of the N images.
        labels: (N,) class numbers.
        probabilities: (N, C).
        classes: C names.
        metrics: As in ``metrics.json``: of the part, and ``per_class``.
        part: ``test``, ``val``, or an empty text for images that were given by hand.
    """

    paths: list[Path]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    classes: list[str]
    metrics: dict[str, Any] = field(default_factory=dict)
    part: str = ""

    @classmethod
    def read(cls, run: str | Path) -> Evaluation:
        """Read how a finished run was judged.

        Args:
            run: The run folder.

        Raises:
            RunError: Files are missing or damaged, or nothing was judged.
        """
        record = read_run(Path(run), rows=False)
        if record.part not in {"test", "val"}:
            hint = "Train with --val or --test, or call ImageClassifier.evaluate(paths, labels)"
            raise RunError("Nothing was judged", where=run, expected="a test or a validation part", got="neither", hint=hint)
        table, place = read_table(Path(run) / "predictions.csv"), {name: i for i, name in enumerate(record.classes)}
        root = Path(str(record.config.get("root") or "."))
        return cls(
            [root / row["path"] for row in table],
            np.array([place[row["label"]] for row in table], np.int64),
            read_probabilities(Path(run), table, record.classes),
            record.classes,
            {**record.headline, "per_class": record.metrics.get("per_class") or {}},
            record.part,
        )

    @classmethod
    def judge(
        cls, samples: Sequence[Sample], probabilities: NDArray[np.float64], labels: Sequence[int], classes: list[str], *, seed: int = 0
    ) -> Evaluation:
        """Judge probabilities of labelled images.

        Args:
            samples: N images, with weights and groups.
            probabilities: (N, C).
            labels: (N,) class numbers.
            classes: C names.
            seed: Of the bootstrap.
        """
        weights, groups = np.array([sample.weight for sample in samples]), group_numbers([sample.group for sample in samples])
        figures = judge(probabilities, labels, classes, weights=weights, groups=groups, seed=seed).to_json()
        return cls([sample.path for sample in samples], np.array(labels, np.int64), probabilities, classes, figures)

    def __len__(self) -> int:
        return len(self.labels)

    def __getattr__(self, name: str) -> Figure | None:
        """Return a figure by its name."""
        if name in NAMES:
            return as_figure(self.metrics.get(name))
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(N,) the likeliest class of each image."""
        return np.asarray(self.probabilities.argmax(axis=1), np.int64)

    @property
    def losses(self) -> NDArray[np.float64]:
        """(N,) minus the logarithm of the probability of what each image really is."""
        own = self.probabilities[np.arange(len(self)), self.labels]
        return np.asarray(-np.log(np.maximum(own, TINY)), np.float64)

    def confusion_matrix(self) -> NDArray[np.int64]:
        """Return (C, C) numbers of images; row: what they really are, column: what the model said."""
        return confusion_matrix(self.labels, self.predicted, len(self.classes))

    def most_confused(self, min_val: int = 1) -> list[tuple[str, str, int]]:
        """Return ``(actual, predicted, images)`` of every pair that is mixed up at least ``min_val`` times, the commonest first."""
        return [(self.classes[a], self.classes[p], count) for a, p, count in confused_pairs(self.labels, self.predicted, min_val)]

    def top_losses(self, k: int = 9) -> list[TopLoss]:
        """Return the ``k`` images with the largest loss, the largest first; right answers given without confidence are among them."""
        losses, predicted = self.losses, self.predicted
        return [
            TopLoss(
                self.paths[i],
                self.classes[self.labels[i]],
                self.classes[predicted[i]],
                float(losses[i]),
                float(self.probabilities[i, predicted[i]]),
            )
            for i in np.argsort(-losses, kind="stable")[:k]
        ]

    def plot_top_losses(self, k: int = 9) -> Drawing:
        """Draw the ``k`` images with the largest loss: what the model said, what it really is, loss and probability.

        Returns:
            A matplotlib figure; a picture that is gone or cannot be read leaves an empty tile.
        """
        from seefit.data.gallery import draw_tiles

        return draw_tiles([(_pixels(top.path), *_title(top)) for top in self.top_losses(max(1, k))])

    def plot_confusion_matrix(self) -> Drawing:
        """Draw the confusion matrix, of more than 40 classes that of the 30 with the most mistakes.

        Returns:
            A matplotlib figure; beyond ten classes, those that are taken for each other stand side by side.
        """
        drawn, counts = readable_part(self.labels, self.predicted, len(self.classes))
        totals = np.bincount(self.labels, minlength=len(self.classes))
        return draw_confusion(counts, [self.classes[i] for i in drawn], totals[drawn])

    def __repr__(self) -> str:
        told = "" if self.balanced_accuracy is None else f", balanced accuracy {self.balanced_accuracy.value:.1%}"
        return f"<Evaluation of {len(self):,} images in {len(self.classes):,} classes{told}>"

    def _repr_html_(self) -> str:
        """Return the figures with their intervals as a small table for notebooks."""
        words = Words("en")
        figures = {name: as_figure(self.metrics.get(name)) for name in METRICS}
        rows = [
            [words(f"metric.{name}"), words.value(name, figure), words.interval(name, figure)] for name, figure in figures.items() if figure
        ]
        cells = "".join(f"<tr><td>{'</td><td>'.join(html.escape(cell) for cell in row)}</td></tr>" for row in rows)
        return f"<p>{html.escape(repr(self))}</p><table><tr><th>Figure</th><th>Value</th><th>95 % interval</th></tr>{cells}</table>"


def _title(top: TopLoss) -> list[str]:
    return [f"said {shown(top.predicted)}", f"is {shown(top.actual)}", f"loss {top.loss:.2f}, p {top.probability:.2f}"]


def _pixels(path: Path) -> NDArray[np.uint8]:
    from seefit.data.gallery import SIDE_PX

    try:
        picture = Image.fromarray(decode(path))
    except (Undecodable, Unreadable, OSError):
        return np.full((8, 8, 3), GREY, np.uint8)
    picture.thumbnail((SIDE_PX, SIDE_PX))
    return np.asarray(picture)
