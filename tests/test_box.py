"""The box follows from the shapes of the images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seefit.bundle.box import Box, box_of, choose_fit, on_picture
from seefit.bundle.bundle import load, save_bundle
from seefit.bundle.graph import FITS, Fit
from seefit.models.backbone import Backbone, Stage
from tiny import SIDE, make_backbone, make_parts


@pytest.mark.parametrize(
    ("sizes", "fit", "why"),
    [
        ([(300, 300)] * 5, "crop", "the images are square or nearly so"),
        ([(1, 1)], "crop", "the images are square or nearly so"),
        ([(300, 310), (310, 300)] * 5, "crop", "the images are square or nearly so"),
        ([(640, 480)] * 5, "squash", "the images lie between 3:4 and 4:3"),
        ([(640, 480), (480, 640), (500, 500)] * 9, "squash", "the images lie between 3:4 and 4:3"),
        ([(1920, 1080)] * 5, "squash", "the images all have one shape, about 1.78:1"),
        ([(1080, 1920)] * 5, "squash", "the images all have one shape, about 1:1.78"),
        ([(1000, 500)] * 5, "squash", "the images all have one shape, about 2.00:1"),
        ([(1920, 1080), (1080, 1920)] * 5, "pad", "the images have different shapes, up to 1.8:1"),
        ([(300, 300), (600, 300), (300, 500)] * 5, "pad", "the images have different shapes, up to 2.0:1"),
        ([(3000, 1000)] * 5, "pad", "the images all have one long shape, about 3.0:1"),
        ([(300, 300)] * 99 + [(5000, 1)], "crop", "the images are square or nearly so"),
    ],
)
def test_the_box_follows_from_the_shapes(sizes: list[tuple[int, int]], fit: Fit, why: str) -> None:
    assert choose_fit(np.array(sizes)) == (fit, why)


def seeing(folder: Path) -> Backbone:
    """Return a backbone whose only map is the brightness of an 8 x 8 grid."""
    from onnx import parser

    model = parser.parse_model(f"""
    <ir_version: 10, opset_import: ["" : 20]>
    network (float[N, 3, {SIDE}, {SIDE}] pixels) => (float[N, 3, 8, 8] seen) {{
      seen = AveragePool<kernel_shape = [4, 4], strides = [4, 4]>(pixels)
    }}""")
    (folder / "seeing.onnx").write_bytes(model.SerializeToString())
    return replace(make_backbone(folder / "tiny.onnx"), stages=(Stage("seen", 3, 8),), onnx=folder / "seeing.onnx")


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(200, 200), (300, 200), (200, 301), (97, 640)])
@pytest.mark.parametrize("turned", [False, True])
def test_a_bright_spot_lights_up_where_it_is(tmp_path: Path, fit: Fit, size: tuple[int, int], turned: bool) -> None:
    """From a file with its EXIF turn over box, resize, network and map back to the upright picture."""
    weight = np.array([[1, 1, 1, 0, 0, 0], [0] * 6], np.float32)
    save_bundle(tmp_path / "bundle", make_parts(seeing(tmp_path), fit=fit, stages=("seen",), weight=weight))
    bundle = load(tmp_path / "bundle")
    width, height = size
    spot_x, spot_y = width * 0.5 + min(size) * 0.3, height * 0.5 - min(size) * 0.3  # inside the box of every fit
    picture = np.zeros((height, width, 3), np.uint8)
    radius = max(3, min(size) // 16)
    picture[int(spot_y) - radius : int(spot_y) + radius, int(spot_x) - radius : int(spot_x) + radius] = 255
    image, exif = Image.fromarray(picture), Image.Exif()
    if turned:
        image, exif[274] = image.transpose(Image.Transpose.ROTATE_90), 6
    image.save(tmp_path / "spot.png", exif=exif)
    found = bundle.explain(tmp_path / "spot.png", "defective")
    heat, seen = on_picture(found.map, fit, size, (height, width))
    row, column = np.unravel_index(np.where(seen, heat, -np.inf).argmax(), heat.shape)
    box = box_of(fit, width, height)
    assert abs(row + 0.5 - spot_y) <= box.height / 8
    assert abs(column + 0.5 - spot_x) <= box.width / 8
    assert seen.all() == (fit != "crop" or width == height)


def test_the_map_is_laid_between_its_places_and_nowhere_else() -> None:
    values = np.arange(16, dtype=np.float32).reshape(4, 4)
    heat, seen = on_picture(values, "squash", (40, 40), (4, 4))
    np.testing.assert_allclose(heat, values, atol=1e-5)
    heat, seen = on_picture(values, "crop", (60, 40), (40, 60))
    assert seen.sum() == 40 * 40
    assert not heat[~seen].any()
    assert heat.min() >= 0
    assert heat.max() <= 15
    heat, seen = on_picture(values, "pad", (40, 20), (20, 40))
    assert seen.all()
    np.testing.assert_allclose(heat[10, 20], 7.5, atol=0.5)


@pytest.mark.parametrize(("fit", "box"), [("crop", Box(1, 0, 7, 7)), ("pad", Box(0, -1, 10, 10)), ("squash", Box(0, 0, 10, 7))])
def test_an_odd_pixel_lies_where_the_graph_leaves_it(fit: Fit, box: Box) -> None:
    assert box_of(fit, 10, 7) == box
