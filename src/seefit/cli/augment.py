"""``seefit augment``: nine versions of one image, as training would see them."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.box import choose_fit
from seefit.bundle.graph import Fit, preprocess_model
from seefit.bundle.runtime import open_session
from seefit.console import Console
from seefit.data.dataset import Dataset, Sample
from seefit.data.gallery import draw_tiles
from seefit.data.image import Undecodable, decode
from seefit.data.sources import read_dataset
from seefit.drawing import check_free, save_figure
from seefit.environment import threads
from seefit.errors import DataError, UsageError
from seefit.files import sha256_file, to_json
from seefit.models.backbone import load_backbone
from seefit.settings import Settings, make_settings
from seefit.training.augment import parse_augmentation

VERSIONS = 9
SIZED = 20  # images whose shapes decide on the box

Pixels = NDArray[np.uint8]


def augment(given: dict[str, Any], *, image: str | None, out: Path | None, json_output: bool, console: Console) -> int:
    """Draw one image and eight views of it, and print where the picture is. Nothing of the user's is changed.

    Args:
        given: Settings given by hand, as for ``train``.
        image: A number, 1 for the first image of the source, or a name; the first training image that can be decoded when None.
        out: A ``.png`` that is not there yet; ``augment.png`` here, or the next free number, when None.
        json_output: Print ``{"image", "augmentation", "out"}`` on stdout.
        console: Where to say what may change.

    Raises:
        UsageError: A bad augmentation, an unknown image, or a file in the way.
        DataError: The image cannot be decoded.
    """
    settings = make_settings(given)
    augmentation = parse_augmentation(settings.augment)
    out = _free() if out is None else out
    check_free(out, ".png")
    dataset = _read(settings, console)
    sample, pixels = _chosen(dataset, image, settings.max_pixels)
    preprocess = _Preprocess(settings, _sizes(dataset, pixels, settings), console)
    from seefit.training.views import make_view  # torch: after everything that may be wrong

    view, sha256 = make_view(augmentation, seed=settings.seed), sha256_file(sample.path)
    tiles = [(preprocess(view(pixels, sha256, n)), f"view {n}" if n else "the image itself") for n in range(VERSIONS)]
    console.say(f"Augmentation: {augmentation.describe()}")
    if augmentation.mixing.acts:
        console.say("Blending, swapping and noise act on whole batches while training, and are not drawn here")
    save_figure(draw_tiles(tiles), out, "augment")
    print(to_json({"image": sample.name, "augmentation": augmentation.parts(), "out": str(out)}) if json_output else str(out))
    return 0


def _free() -> Path:
    """Return ``augment.png``, or the first of ``augment-2.png`` and so on that is not there."""
    names = (Path("augment.png" if number == 1 else f"augment-{number}.png") for number in count(1))
    return next(path for path in names if not path.exists())


def _read(settings: Settings, console: Console) -> Dataset:
    return read_dataset(
        settings.data,
        labels=settings.labels,
        root=settings.root,
        follow_links=settings.follow_links,
        sha256=settings.sha256,
        console=console,
    )


def _chosen(dataset: Dataset, image: str | None, max_pixels: int) -> tuple[Sample, Pixels]:
    """Return the image that the user means and its pixels."""
    if image is not None:
        sample = _named(dataset, image)
        return sample, decode(sample.path, max_pixels=max_pixels)
    training = _training(dataset)
    for sample in training:
        try:
            return sample, decode(sample.path, max_pixels=max_pixels)
        except Undecodable:
            continue
    raise DataError(
        "Cannot show an image",
        where=dataset.source,
        expected="at least one training image that can be decoded",
        got=f"none of {len(training):,}",
        hint="Run `seefit check` on the data to see why",
    )


def _training(dataset: Dataset) -> list[Sample]:
    return [sample for sample in dataset.samples if sample.split in {None, "train"}]


def _named(dataset: Dataset, image: str) -> Sample:
    """Return the image of a number, of a name in the source, or at a path."""
    samples = dataset.samples
    if image.isdecimal() and len(image) < 10 and 1 <= int(image) <= len(samples):
        return samples[int(image) - 1]
    path = Path(image).expanduser().absolute()
    for sample in samples:
        if sample.name == image or sample.path.absolute() == path:
            return sample
    raise UsageError(
        "Unknown image",
        where=dataset.source,
        expected=f"a number from 1 to {len(samples)}, or a name such as {samples[0].name!r}",
        got=repr(image),
        hint="Leave out --image for the first one",
    )


def _sizes(dataset: Dataset, pixels: Pixels, settings: Settings) -> NDArray[np.int64]:
    """Return (N, 2) width and height of some training images, where these decide on the box, and of the one that is shown."""
    sizes = [pixels.shape[1::-1]]
    training = _training(dataset) if settings.fit == "auto" else []
    for sample in training[:: max(1, len(training) // SIZED)][:SIZED]:
        try:
            sizes.append(decode(sample.path, max_pixels=settings.max_pixels).shape[1::-1])
        except DataError:
            continue
    return np.array(sizes, np.int64)


class _Preprocess:
    """The graph's own ``preprocess``, and back from its normalised numbers to colours.

    Args:
        settings: Which backbone, size and box.
        sizes: (N, 2) width and height of training images in pixels.
        console: Where to say what was chosen.
    """

    def __init__(self, settings: Settings, sizes: NDArray[np.int64], console: Console) -> None:
        self._backbone = load_backbone(settings.backbone, settings.image_size, console=console)
        fit: Fit = choose_fit(sizes)[0] if settings.fit == "auto" else settings.fit
        size, mean, std = self._backbone.image_size, self._backbone.mean, self._backbone.std
        console.say(f"Pictures: as {self._backbone.name} gets them, {size} x {size} pixels (--fit {fit})")
        self._session = open_session(preprocess_model(size, mean, std, fit), intra_threads=threads())

    def __call__(self, image: Pixels) -> Pixels:
        """Return what (H, W, 3) pixels become, as (S, S, 3) pixels."""
        planes = self._session.run(["pixels"], {"image": image[np.newaxis]})[0][0]
        colours = planes.transpose(1, 2, 0) * np.array(self._backbone.std) + np.array(self._backbone.mean)
        return np.asarray(np.rint(np.clip(colours, 0, 1) * 255), np.uint8)
