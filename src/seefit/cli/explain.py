"""``seefit explain``: what in a picture made the model say what it said, and the most similar training images; never imports torch."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.box import box_of
from seefit.bundle.bundle import Bundle, load
from seefit.bundle.explanation import Explanation
from seefit.bundle.predict import Prediction
from seefit.bundle.runtime import in_batches
from seefit.console import Console, one_line
from seefit.data.dataset import Sample
from seefit.data.image import MAX_PIXELS, decode
from seefit.data.splitfile import SplitRow, read_split
from seefit.drawing import check_free, save_figure, shown
from seefit.evaluation.nearest import BLOCK, nearest
from seefit.files import sha256_file, to_json
from seefit.report.explained import draw_explained
from seefit.report.record import read_run
from seefit.report.thumbnails import small_picture
from seefit.report.words import Words
from seefit.training.cache import Recipe, kept_features, library_versions
from seefit.training.features import reference_recipe

NEAREST = 4
SHOWN_SCORES = 3
SMALL_PX = 320

Float = NDArray[np.float32]


class Alike(NamedTuple):
    """A training image that is like the picture: its path, or base name in a gallery, and a small copy where it can be shown."""

    path: str
    label: str
    cosine: float
    picture: NDArray[np.uint8] | None


def explain(
    run: Path,
    image: Path,
    *,
    label: str | None,
    out: Path | None,
    lang: str = "en",
    max_pixels: int = MAX_PIXELS,
    json_output: bool = False,
    console: Console,
) -> int:
    """Explain the answer to one picture, and draw it.

    Args:
        run: A run or a bundle.
        image: The picture's file.
        label: The class to explain; None for the predicted one.
        out: A ``.png`` or ``.svg`` that is not there yet; None draws nothing.
        lang: Of the drawing, ``en`` or ``zh``.
        max_pixels: A picture with more pixels is refused.
        json_output: Print the numbers as one object on stdout.
        console: Where to say what cannot be shown.

    Raises:
        Undecodable: The image cannot be decoded.
        UsageError: No class or language of that name, or a file in the way.
    """
    words = Words(lang)
    if out is not None:
        check_free(out, ".png", ".svg")
    bundle = load(run)
    picture = decode(image, max_pixels=max_pixels)
    pixels = bundle.reference.pixels(picture)
    found = bundle.explainer.explain(pixels, label)
    ranked = Prediction(Sample(image, str(image), None), bundle.classes, found.probabilities).ranked()
    alike = _alike(run, bundle, pixels, sha256_file(image), max_pixels, console)
    if out is not None:
        tiles = [(one.picture, shown(one.label, 18)) for one in alike if one.picture is not None]
        drawn = draw_explained(picture, found, bundle.manifest["fit"], words, predictions=ranked[:SHOWN_SCORES], alike=tiles)
        save_figure(drawn, out, "explain", f"{_told(found)} {image.name}")
    if json_output:
        print(to_json(_numbers(image, picture, bundle, found, ranked, alike) | {"out": None if out is None else str(out)}))
    else:
        _print(image, found, ranked, alike, out)
    return 0


def _numbers(
    image: Path,
    picture: NDArray[np.uint8],
    bundle: Bundle,
    found: Explanation,
    ranked: list[dict[str, Any]],
    alike: list[Alike],
) -> dict[str, Any]:
    height, width = picture.shape[:2]
    return {
        "path": str(image),
        "label": found.label,
        "kind": "exact" if found.exact else "occlusion, approximate",
        "logit": found.logit,
        "bias": found.bias,
        "map": found.map.tolist(),
        "box": asdict(box_of(bundle.manifest["fit"], width, height)),
        "predictions": ranked,
        "nearest": [{"path": one.path, "label": one.label, "cosine": one.cosine} for one in alike],
    }


def _told(found: Explanation) -> str:
    kind = "What speaks for" if found.exact else "Approximate: hiding which places speaks against"
    return f"{kind} {one_line(found.label)}:"


def _print(image: Path, found: Explanation, ranked: list[dict[str, Any]], alike: list[Alike], out: Path | None) -> None:
    scores = ", ".join(f"{one_line(entry['label'])} {entry['score']:.1%}" for entry in ranked[:SHOWN_SCORES])
    print(f"{one_line(str(image))}: {scores}")
    if found.bias is None:
        print(f"{one_line(found.label)}: score {found.logit:+.3f}; the head is no sum over places, so the map shows what hiding each does")
    else:
        places = found.logit - found.bias
        print(f"{one_line(found.label)}: score {found.logit:+.3f} = places {places:+.3f} and the fixed number {found.bias:+.3f}")
    for one in alike:
        print(f"similar: {one_line(one.path)}  {one_line(one.label)}  {one.cosine:.3f}")
    if out is not None:
        print(out)


# ---- the most similar training images -------------------------------------------------------------------------


def _alike(run: Path, bundle: Bundle, pixels: Float, sha256: str, max_pixels: int, console: Console) -> list[Alike]:
    """Return the training images with the most similar features: of the run as far as these are kept, else of the bundle's gallery."""
    is_run = (run / "split.csv").is_file() and (run / "metrics.json").is_file()
    features = bundle.reference.run(pixels[np.newaxis], ["features"])[0]
    found = _kept_alike(run, bundle, features, sha256, max_pixels) if is_run else []
    if bundle.gallery is not None and not any(one.picture is not None for one in found):
        near = bundle.gallery.nearest(features[0], NEAREST)
        return [Alike(one.name, bundle.classes[one.label], one.similarity, decode(one.picture)) for one in near]
    if is_run and not found:
        console.say("No similar training images: features of theirs by this network are not kept here")
    return found


def _kept_alike(run: Path, bundle: Bundle, features: Float, sha256: str, max_pixels: int) -> list[Alike]:
    """Return the most similar of the training images whose features are kept; never the picture itself."""
    recipe = _recipe(run, bundle)
    rows = [row for row in read_split(run / "split.csv") if row.split == "train" and row.sha256 != sha256]
    there = [row for row, kept in zip(rows, _kept(rows, recipe), strict=True) if kept is not None] if recipe else []
    if recipe is None or not there:
        return []

    def blocks() -> Iterable[Float]:
        return (np.stack([kept for kept in _kept(chunk, recipe) if kept is not None]) for chunk in in_batches(there, BLOCK))

    places, cosines = nearest(features, blocks, NEAREST)
    root = Path(str(read_run(run, rows=False).config.get("root") or "."))
    return [
        Alike(there[i].path, there[i].label, round(float(cosine), 4), _opened(root, there[i], max_pixels))
        for i, cosine in zip(places[0], cosines[0], strict=True)
    ]


def _opened(root: Path, row: SplitRow, max_pixels: int) -> NDArray[np.uint8] | None:
    small, _ = small_picture(root, row.path, row.sha256, max_pixels=max_pixels, largest_px=SMALL_PX)
    return None if small is None else small.pixels


def _recipe(run: Path, bundle: Bundle) -> Recipe | None:
    """Return how the run's own features were kept: by the engine that it used, which need not be installed here."""
    engine = str(read_run(run, rows=False).config.get("engine"))
    with suppress(PackageNotFoundError):
        return replace(reference_recipe(bundle), engine=engine, libraries=library_versions(engine))
    return None


def _kept(rows: list[SplitRow], recipe: Recipe) -> list[Float | None]:
    return [features for chunk in in_batches(rows, BLOCK) for features in kept_features([row.sha256 for row in chunk], recipe)]
