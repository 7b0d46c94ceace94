"""An OpenVINO export taken apart at its seam gives what ONNX Runtime gives, for every size, in batches and in threads."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from seefit.bundle.bundle import load
from seefit.bundle.openvino_runtime import OpenVinoReference
from seefit.deploy.finished import open_finished
from seefit.deploy.openvino_ir import write_openvino_export
from seefit.errors import ResourceError


def test_pixels_and_answers(little: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install seefit[fast]")
    write_openvino_export(open_finished(little), tmp_path)
    ours, theirs = load(little).reference, OpenVinoReference(tmp_path / "model.xml")
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in ((300, 300), (1, 1), (1, 900), (900, 2), (641, 480))]
    pixels = np.stack([ours.pixels(image) for image in images])
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(theirs.pixels, images * 4))
    for number, square in enumerate(found):
        assert np.abs(square - pixels[number % len(images)]).max() < 1e-3
    wanted = ["probabilities", "unknown", "features", "logits"]
    for mine, other in zip(ours.run(pixels, wanted), theirs.run(pixels, wanted), strict=True):
        assert np.allclose(mine, other, atol=1e-3)


def test_without_openvino_there_is_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ResourceError, match="Expected the package openvino, got none"):
        OpenVinoReference(tmp_path / "model.xml")
