"""The script beside an export: with onnxruntime or OpenVINO, numpy and pillow alone it says what seefit says."""

from __future__ import annotations

import ast
import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import read_csv
from seefit.bundle.golden import golden_images
from seefit.data.image import decode
from seefit.deploy.export import export
from seefit.deploy.howto import standalone
from test_export import LOADABLE

STANDARD = {"csv", "json", "math", "os", "sys", "collections.abc", "pathlib", "typing", "__future__"}
ALLOWED = STANDARD | {"numpy", "PIL", "onnxruntime", "openvino"}


def test_it_imports_nothing_else() -> None:
    tree = ast.parse(Path(standalone.__file__).read_text("utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names == ALLOWED


@pytest.mark.parametrize("kind", LOADABLE[:2])
def test_it_reproduces_predictions_csv(little: Path, kind: str, tmp_path: Path) -> None:
    folder, rows = export(little, kind, out=tmp_path / "out").path, read_csv(little / "predictions.csv")
    photos = little.parent / "photos"
    for name, data in golden_images().items():
        (tmp_path / name).write_bytes(data)
    odd = [tmp_path / name for name in golden_images()]
    paths = [*(photos / row["path"] for row in rows), *odd]
    command = [sys.executable, "-I", "-W", "error", str(folder / "predict.py"), *map(str, paths)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    told = list(csv.DictReader(io.StringIO(answer.stdout)))
    assert [row["predicted"] for row in told[: len(rows)]] == [row["predicted"] for row in rows]
    off = [abs(float(mine[name]) - float(row[name])) for mine, row in zip(told, rows, strict=False) for name in row if name[:2] == "p:"]
    assert len(off) == 2 * len(rows)
    assert max(off) <= (2e-6 if kind == "onnx" else 1e-4)
    assert all(float(row["unknown"]) for row in told)
    kept = [float(row["p:defective"]) for row in told[len(rows) :]]
    from safetensors.numpy import load_file

    kept_names = json.loads((folder / "bundle.json").read_text())["golden"]
    answers = dict(zip(kept_names, load_file(folder / "golden.safetensors")["probabilities"], strict=True))
    assert np.allclose(kept, [answers[path.name][0] for path in odd], atol=2e-6 if kind == "onnx" else 1e-4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_decodes_every_orientation_as_seefit_does(orientation: int, tmp_path: Path) -> None:
    picture = Image.fromarray(np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3))
    exif = Image.Exif()
    exif[274] = orientation
    picture.save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(standalone.decode(str(tmp_path / "a.png")), decode(tmp_path / "a.png"))


def test_it_decodes_odd_kinds_as_seefit_does(tmp_path: Path) -> None:
    for name, data in golden_images().items():
        (tmp_path / name).write_bytes(data)
        assert np.array_equal(standalone.decode(str(tmp_path / name)), decode(data)), name
    wide = np.random.default_rng(0).integers(0, 256, (41, 61, 4), dtype=np.uint8)
    for mode in ("RGBA", "LA", "CMYK", "P", "1", "L"):
        image = Image.fromarray(wide).convert(mode)
        file = tmp_path / f"{mode}.{'tiff' if mode == 'CMYK' else 'png'}"
        image.save(file)
        assert np.array_equal(standalone.decode(str(file)), decode(file)), mode


def test_above_16_megapixels_it_averages_boxes(tmp_path: Path) -> None:
    big = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((4101, 4003))
    big.save(tmp_path / "big.png", compress_level=1)
    assert np.array_equal(standalone.decode(str(tmp_path / "big.png")), decode(tmp_path / "big.png"))


def test_a_float_image_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((3, 3), np.float32)).save(tmp_path / "f.tiff")
    with pytest.raises(ValueError, match="a float image"):
        standalone.decode(str(tmp_path / "f.tiff"))
