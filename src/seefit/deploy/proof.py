"""The proof of an export: its answers are held against a second way from pixels to probabilities, image by image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.runtime import in_batches
from seefit.console import QUIET, Console
from seefit.data.image import Undecodable, Unreadable, decode
from seefit.deploy.finished import Finished
from seefit.deploy.odd_images import odd_images
from seefit.errors import ArtefactError, RunError
from seefit.parts import Part
from seefit.training.engine import read_image

TOLERANCE = 1e-3  # of a probability. Where all are within it, the likeliest class is the same wherever the margin is over twice that
TRAINING_IMAGES = 500  # that stand in where there is no validation part
BATCH = 16
NAMED = 5

Answer = Callable[[Sequence[NDArray[np.uint8]]], NDArray[Any]]


@dataclass(frozen=True)
class Proof:
    """What the proof found.

    Attributes:
        images: How many images of the run were compared.
        part: ``val``, or ``train`` where the run has no validation part.
        golden: How many odd images made by a script.
        gone: How many images of the run could not be compared, since their file is gone or changed.
        largest: The largest difference of a probability.
        off: The images beyond the tolerance, with their difference.
    """

    images: int
    part: str
    golden: int
    gone: int
    largest: float
    off: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return it as the manifest of an export has it."""
        return {**{key: value for key, value in asdict(self).items() if key != "off"}, "tolerance": TOLERANCE}

    def sentence(self) -> str:
        """Return it in one sentence."""
        kind = {"val": "validation", "train": "training", "all": ""}[self.part]
        missing = f"; {self.gone:,} are gone or changed since" if self.gone else ""
        return (
            f"Proven on {self.images:,} {kind} images{missing} and {self.golden} odd ones: no probability is off by more than "
            f"{self.largest:.1e} ({TOLERANCE:g} is allowed)"
        ).replace("  ", " ")


def prove(finished: Finished, export: Answer, independent: Answer, *, console: Console = QUIET) -> Proof:
    """Compare two ways from decoded images to probabilities.

    The images are all of the validation part, or without one up to 500 of the training part, and those of every odd kind.

    Args:
        finished: The run.
        export: What was written.
        independent: What it is held against.
        console: Where to show progress.

    Raises:
        ArtefactError: A probability differs by more than 0.001; the images are named.
    """
    name, part = ("val", finished.part("val")) if finished.part("val").samples else ("train", finished.part("train"))
    samples, digests = (part.samples, part.sha256) if name == "val" else part.spread(TRAINING_IMAGES)
    proof = compare(Part(samples, digests, part.units), name, export, independent, max_pixels=finished.settings.max_pixels, console=console)
    if proof.off:
        shown = ", ".join(f"{image!r} by {off:.4f}" for image, off in list(proof.off.items())[:NAMED])
        more = f" and {len(proof.off) - NAMED:,} more" if len(proof.off) > NAMED else ""
        raise ArtefactError(
            "The export answers differently",
            where=f"{len(proof.off):,} of {proof.images + proof.golden:,} images",
            expected=f"the probabilities of an independent computation within {TOLERANCE:g}",
            got=shown + more,
            hint="Report it with the versions that `seefit export --debug` shows; nothing was written",
        )
    if not proof.images:
        console.warn(f"none of the {proof.gone:,} {name} images is there unchanged: the export is proven on the odd ones alone")
    return proof


def compare(part: Part, name: str, export: Answer, independent: Answer, *, max_pixels: int, console: Console = QUIET) -> Proof:
    """Compare two ways on the images of a part and on those of every odd kind, and raise nothing.

    Args:
        part: The images.
        name: What they are called.
        export: What was written.
        independent: What it is held against.
        max_pixels: As in `seefit.data.image.decode`.
        console: Where to show progress.
    """
    odd = odd_images()
    gone, largest, off = 0, 0.0, dict[str, float]()

    def images() -> Iterator[tuple[str, NDArray[np.uint8]]]:
        nonlocal gone
        for title, data in odd.items():
            yield f"odd {title}", decode(data)
        for sample, digest in zip(part.samples, part.sha256, strict=True):
            try:
                yield sample.name, read_image(sample, digest, max_pixels)
            except (RunError, Undecodable, Unreadable):
                gone += 1

    with console.bar("Proving", len(odd) + len(part.samples)) as advance:
        for batch in in_batches(images(), BATCH):
            pictures = [image for _, image in batch]
            differences = np.abs(export(pictures) - independent(pictures)).max(axis=1)
            for (title, _), difference in zip(batch, differences.tolist(), strict=True):
                if not difference <= TOLERANCE:  # NaN is beyond it, too
                    off[title] = difference
            largest = max(largest, float(differences.max()))
            advance(len(batch))
    return Proof(len(part.samples) - gone, name, len(odd), gone, largest, off)
