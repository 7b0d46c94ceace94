"""``seefit predict``: classes of images, on the console, as JSON or as CSV; never imports torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seefit.bundle.bundle import load
from seefit.bundle.confidence import Confidence, Share
from seefit.bundle.predict import Prediction, trust_columns, write_predictions
from seefit.bundle.predict import predict as predict_samples
from seefit.bundle.trusted import HELD_OUT
from seefit.bundle.unknown import LIMIT
from seefit.console import Console, one_line
from seefit.data.image import MAX_PIXELS
from seefit.data.sources import list_images
from seefit.errors import DataError
from seefit.files import to_json

SHOWN_SCORES = 3
ANSWERED = 0.8  # the share that the sentence about silence speaks of, as in the report


def predict(
    run: Path, images: list[str], *, csv: Path | None, max_pixels: int = MAX_PIXELS, json_output: bool = False, console: Console
) -> int:
    """Predict files and folders.

    Args:
        run: A run, a bundle or an export.
        images: Files and folders.
        csv: Where to write the predictions; None prints them.
        max_pixels: Images with more pixels are left out.
        json_output: Print ``[{"path", "predictions": [{"label", "score"}, …]}, …]`` on stdout, with what `Prediction.trust` tells beside
            the predictions where the bundle tells it.
        console: Where to say what was left out.

    Raises:
        DataError: No image could be decoded; the first reason is named.
    """
    bundle = load(run)
    told = _Told(console)
    predictions = told.pass_on(predict_samples(bundle, list_images(images), max_pixels=max_pixels))
    if csv is not None:
        write_predictions(csv, bundle.classes, predictions, trust=trust_columns(bundle))
        print(
            to_json({"csv": str(csv), "images": told.good, "skipped": told.bad}) if json_output else f"{told.good:,} predictions in {csv}"
        )
    elif json_output:
        _print_json(predictions)
    else:
        _print_lines(predictions)
    if bundle.confidence is not None and not json_output:
        console.say(_worth(bundle.confidence, bundle.manifest["trust"]))
    return 0


class _Told:
    """Counts predictions as they pass, warns of images that have none, and fails at the end when none passed."""

    def __init__(self, console: Console) -> None:
        self.console, self.good, self.bad = console, 0, 0
        self.first: DataError | None = None

    def pass_on(self, predictions: Iterator[Prediction]) -> Iterator[Prediction]:
        for prediction in predictions:
            if prediction.error is None:
                self.good += 1
                yield prediction
            else:
                self.bad += 1
                self.first = self.first or prediction.error
                self.console.warn(f"left out {one_line(prediction.sample.name)}: {prediction.error.reason}")
        if not self.good:  # raised here and not by the caller, so that no empty CSV gets its final name
            raise self.first or _nothing()


def _worth(confidence: Confidence, trust: dict[str, Any]) -> str:
    """Say what held-out images told of the scores."""
    source, point = HELD_OUT[trust["fitted_on"]], confidence.point_for(ANSWERED)
    return (
        f"Scores: on {trust['images']:,} {source} they were off by {confidence.ece.value:.1%}{_ends(confidence.ece)} on average (ECE). "
        f"From {point.score:.0%} on, {point.coverage:.0%} would be answered, "
        f"{point.accuracy.value:.1%}{_ends(point.accuracy)} of these rightly"
    )


def _ends(share: Share) -> str:
    return "" if share.low is None or share.high is None else f" [{share.low:.1%}, {share.high:.1%}]"


def _nothing() -> DataError:
    return DataError(
        "Nothing to predict",
        where="the named paths",
        expected="images",
        got="none",
        hint="Name image files, or folders that hold some",
    )


def _print_json(predictions: Iterator[Prediction]) -> None:
    """Print the list as it comes, so that nothing grows with the number of images."""
    opened = False
    for p in predictions:
        print(("," if opened else "[") + "\n" + to_json({"path": p.sample.name, "predictions": p.ranked(), **p.trust()}), end="")
        opened = True
    if opened:
        print("\n]")


def _print_lines(predictions: Iterator[Prediction]) -> None:
    for prediction in predictions:
        scores = ", ".join(f"{one_line(entry['label'])} {entry['score']:.1%}" for entry in prediction.ranked()[:SHOWN_SCORES])
        print(f"{one_line(prediction.sample.name)}: {scores}{_doubts(prediction)}")


def _doubts(prediction: Prediction) -> str:
    """Return what keeps a reader from believing the first class alone; nothing where nothing does."""
    if prediction.none_of_these:
        return f" (none of these? unlike the training images: {prediction.unknown:.2f}, limit {LIMIT:g})"
    if prediction.members is None or len(prediction.members) < 2:
        return ""
    shown = " or ".join(map(one_line, prediction.members[:SHOWN_SCORES]))
    more = len(prediction.members) - SHOWN_SCORES
    return f" (may be {shown}{f' or {more:,} others' if more > 0 else ''})"
