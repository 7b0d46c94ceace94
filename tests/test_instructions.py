"""What stands beside an export: the card, and in a real browser the page.

The page needs onnxruntime-web, which is not installed with Python packages: `npm pack onnxruntime-web`, unpack it, and name its folder
`dist` in the variable SEEFIT_ORT_WEB.
"""

from __future__ import annotations

import functools
import http.server
import io
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conftest import read_csv
from seefit.bundle.bundle import load
from seefit.bundle.golden import golden_images
from seefit.data.image import decode
from seefit.deploy.export import export
from seefit.deploy.finished import open_finished
from seefit.deploy.instructions import write_instructions
from seefit.deploy.odd_images import odd_images

ORT = Path(os.environ.get("SEEFIT_ORT_WEB") or "none")
CHROMIUM = next((found for found in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if found), None)
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]
in_browser = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium"),
    pytest.mark.skipif(not (ORT / "ort.wasm.min.js").is_file(), reason="SEEFIT_ORT_WEB does not name the folder dist of onnxruntime-web"),
]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(little: Path, tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Serve an export with onnxruntime-web beside its page."""
    folder = export(little, "onnx", out=tmp_path / "out").path
    (folder / "ort").symlink_to(ORT)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(served: tuple[Path, str]) -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        view = browser.new_page()
        view.goto(f"{served[1]}/predict.html")
        view.get_by_text("Ready.").wait_for(timeout=120_000)
        yield view
        browser.close()


def asked(page: Any, data: bytes, kind: str = "image/png") -> dict[str, Any]:
    code = "async ([bytes, type]) => await classify(new Blob([new Uint8Array(bytes)], { type }))"
    answer: dict[str, Any] = page.evaluate(code, [list(data), kind])
    return answer


class TestInChromium:
    pytestmark = in_browser

    def test_the_page_reproduces_predictions_csv(self, page: Any, little: Path) -> None:
        rows = read_csv(little / "predictions.csv")[:20]
        photos = [little.parent / "photos" / row["path"] for row in rows]
        unknown = {row["path"]: told.unknown for row, told in zip(rows, load(little).predictions(photos), strict=True)}
        for row in rows:
            told = asked(page, (little.parent / "photos" / row["path"]).read_bytes())
            assert np.allclose(told["probabilities"], [float(row["p:defective"]), float(row["p:functional"])], atol=1e-4)
            assert told["unknown"] == pytest.approx(unknown[row["path"]], abs=1e-3)

    def test_it_decodes_as_seefit_does(self, page: Any, little: Path) -> None:
        """PNG without alpha and 16 bits: the same bytes. Alpha and 16 bits: a grey level, through rounding. JPEG: a few."""
        code = (
            "async bytes => { const d = await decode(new Blob([new Uint8Array(bytes)])); return [Array.from(d.rgb), d.width, d.height]; }"
        )
        allowed = {"alpha.png": 1, "grey-16-bit.png": 1}
        images = {name: data for name, data in golden_images().items() if name.endswith(".png")}
        photo = Image.open(next((little.parent / "photos" / "functional").iterdir())).convert("RGB")
        stream = io.BytesIO()
        photo.save(stream, "JPEG", quality=90)
        for name, data in {**images, "photo.jpg": stream.getvalue()}.items():
            rgb, width, height = page.evaluate(code, list(data))
            own = decode(data)
            assert (height, width) == own.shape[:2], name
            off = np.abs(np.reshape(rgb, own.shape).astype(int) - own).max()
            assert off <= (6 if name == "photo.jpg" else allowed.get(name, 0)), (name, off)

    def test_above_16_megapixels_it_averages_boxes(self, page: Any) -> None:
        code = """async ([w, h]) => {
          const rgba = new Uint8Array(4 * w * h);
          for (let i = 0; i < rgba.length; i++) rgba[i] = (i * 7 + (i >> 9)) % 256;
          const found = boxes(rgba, w, h);
          return [found.width, found.height, Array.from(found.rgb.slice(0, 3000)), Array.from(found.rgb.slice(-30))];
        }"""
        width, height = 4101, 4003
        found_width, found_height, start, end = page.evaluate(code, [width, height])
        index = np.arange(4 * width * height, dtype=np.int64)
        picture = Image.fromarray(((index * 7 + (index >> 9)) % 256).astype(np.uint8).reshape(height, width, 4)[..., :3].copy())
        own = np.array(picture.reduce(2))
        assert own.shape[:2] == (found_height, found_width)
        assert np.array_equal(own.ravel()[:3000], start)
        assert np.array_equal(own.ravel()[-30:], end)

    def test_choosing_a_file_shows_the_answer(self, page: Any, little: Path) -> None:
        photo = next((little.parent / "photos" / "functional").iterdir())
        page.get_by_label("Pictures:").set_input_files(str(photo))
        page.get_by_role("img", name=photo.name).wait_for(timeout=60_000)
        best = next(iter(load(little).predictions(photo))).ranked()[0]
        assert page.get_by_role("listitem").first.inner_text().startswith(f"{best['label']}: {100 * best['score']:.1f} %")


def test_the_cards_python_is_python_and_the_page_fetches_nothing_from_elsewhere(little: Path, tmp_path: Path) -> None:
    finished = open_finished(little)
    for kind in ("onnx", "openvino", "int8", "hub"):
        (tmp_path / kind).mkdir()
        write_instructions(finished, tmp_path / kind, kind, finished.bundle.manifest, "Found.\n")
        card = (tmp_path / kind / "README.md").read_text()
        assert "Found." in card
        for code in re.findall(r"```python\n(.*?)```", card, re.DOTALL):
            compile(code, kind, "exec")
    text = (tmp_path / "onnx" / "predict.html").read_text()
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", text)


def test_class_names_cannot_break_out_of_the_page(little: Path, tmp_path: Path) -> None:
    finished = open_finished(little)
    about = finished.bundle.manifest | {"classes": ["</script><script>alert(1)</script>", "\x1b[31mred"]}
    write_instructions(finished, tmp_path, "onnx", about, "")
    text = (tmp_path / "predict.html").read_text()
    assert text.count("<script>") == 1
    assert "\x1b" not in text
    assert "\\u003c/script>" in text


def test_the_card_of_openvino_runs(little: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install seefit[fast]")
    folder = export(little, "openvino", out=tmp_path / "out").path
    code = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)[0]
    (folder / "own.py").write_text(code)
    for name in ("alpha.png", "grey-16-bit.png", "orientation-6.png"):
        (folder / "photo.jpg").write_bytes(odd_images()[name])
        told = subprocess.run([sys.executable, "own.py"], cwd=folder, capture_output=True, text=True, check=True).stdout.split()
        best = next(iter(load(little).predictions(folder / "photo.jpg"))).ranked()[0]
        assert told[0] == best["label"], name
        assert float(told[1]) == pytest.approx(best["score"], abs=1e-4), name
