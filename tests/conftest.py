"""Fixtures that several test modules share."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import gc
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from command import seefit
from seefit import models, pipeline, promises
from seefit.insights import insights
from seefit.insights.material import Material
from seefit.models.backbone import Backbone, load_backbone
from seefit.pipeline import Run, train
from seefit.settings import make_settings
from tiny import make_backbone, make_bundle, plant_little, plant_tiny

PhotoFolder = Callable[..., Path]
Train = Callable[..., Run]


def pytest_configure() -> None:
    """Collect no garbage while tests are collected: a fifth of that time, for nothing."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Look for garbage seldom, and not among what was imported and collected."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test its own cache folder and the default number of threads; wait for no disk, whose power does not fail here."""
    monkeypatch.setattr(os, "fsync", lambda file: None)
    monkeypatch.setenv("SEEFIT_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("SEEFIT_THREADS", raising=False)


@pytest.fixture(scope="session")
def elpv_cells() -> dict[str, list[Path]]:
    """Return the paths of real photographs of solar cells, 300x300 grey PNG, sure ones only, by class."""
    import elpv_dataset

    root = Path(elpv_dataset.__file__).parent / "data"
    rows = [line.split() for line in (root / "labels.csv").read_text().splitlines()]
    cells: dict[str, list[Path]] = {"functional": [], "defective": []}
    for name, probability, *_ in rows:
        if float(probability) in {0.0, 1.0}:
            cells["defective" if float(probability) else "functional"].append(root / name)
    return cells


@pytest.fixture
def photo_folder(tmp_path: Path, elpv_cells: dict[str, list[Path]]) -> PhotoFolder:
    """Return a function that copies real photographs into ``<root>/<class>/``, a given number per class."""

    def make(per_class: int = 4, *, root: Path | None = None, start: int = 0) -> Path:
        return copy_photos(elpv_cells, root or tmp_path / "photos", per_class, start)

    return make


def copy_photos(cells: dict[str, list[Path]], root: Path, per_class: int, start: int = 0) -> Path:
    """Copy photographs into ``<root>/<class>/``."""
    for label, paths in cells.items():
        folder = root / label
        folder.mkdir(parents=True, exist_ok=True)
        for path in paths[start : start + per_class]:
            (folder / path.name).write_bytes(path.read_bytes())
    return root


@pytest.fixture(scope="session")
def lite0(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """Return a cache folder that keeps the real `lite0` as ONNX: point ``SEEFIT_CACHE`` to it, or copy it.

    With ``SEEFIT_CACHE`` pointing to it, ``load_backbone("lite0")`` returns at once. All processes of pytest-xdist share it: the
    first fills it, the others wait. What a test adds to it stays for others, so add nothing that a copy could catch half written.
    """
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "lite0"
    folder.mkdir(exist_ok=True)
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "backbones").exists():
            with converting("lite0", folder, pytestconfig.cache):
                load_backbone("lite0")
    return folder


@contextlib.contextmanager
def converting(name: str, folder: Path, cache: pytest.Cache | None) -> Iterator[None]:
    """Convert a backbone (some 10 s) into a cache folder, or take over what the last session converted.

    That holds as long as nothing of `seefit.models` changes; what is taken over is checked by its sha256 as ever.
    """
    kept = cache.mkdir(f"{name}-{_converter()}") if cache is not None else folder / "nothing"
    kept.mkdir(exist_ok=True)
    shutil.copytree(kept, folder / "backbones")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEEFIT_CACHE", str(folder))
        yield
    shutil.copytree(folder / "backbones", kept, dirs_exist_ok=True)
    for old in kept.parent.glob(f"{name}-*"):
        if old != kept:
            shutil.rmtree(old)


def _converter() -> str:
    """Return a digest of what turns a backbone into ONNX."""
    digest = hashlib.sha256(" ".join(version(name) for name in ("onnx", "onnxscript", "timm", "torch")).encode())
    for file in sorted(Path(models.__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return Chromium; see `test_browser`."""
    from playwright.sync_api import sync_playwright

    from test_browser import CHROMIUM, OPTIONS

    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """Return a backbone of three small layers at 32 px."""
    return make_backbone(tmp_path_factory.mktemp("tiny") / "tiny.onnx")


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Backbone) -> Path:
    """Return a bundle folder on `tiny_backbone` with the classes of the solar cells; copy it before changing it."""
    return make_bundle(tmp_path_factory.mktemp("bundle") / "bundle", tiny_backbone)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, elpv_cells: dict[str, list[Path]]) -> Path:
    """Return a run folder that `seefit train` made of 60 photographs in ``../photos`` with the tiny backbone; its cache is ``../cache``."""
    home = tmp_path_factory.mktemp("trained")
    photos = copy_photos(elpv_cells, home / "photos", 30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEEFIT_CACHE", str(home / "cache"))
        plant_tiny()
        answer = seefit("train", photos, "--out", home / "run", "--json")
    assert answer.code == 0, answer.err
    return home / "run"


@pytest.fixture
def warm(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work with the cache of `trained`, which keeps the tiny backbone as `lite0`; return its folder of photographs."""
    monkeypatch.setenv("SEEFIT_CACHE", str(trained.parent / "cache"))
    return trained.parent / "photos"


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes most of the time of a tiny run: the report, the insights it shows, a look at how slow the computer is."""
    monkeypatch.setattr(pipeline, "build_report", lambda *_, **__: None)
    monkeypatch.setattr(insights, "INSIGHTS", {})
    monkeypatch.setattr(promises, "slowness", lambda: 1.0)


@pytest.fixture
def train_here(warm: Path, tmp_path: Path, no_page: None) -> Train:
    """Return a function that trains with the tiny backbone and without a page."""

    def run(data: Path | str = warm, out: str = "run", **given: Any) -> Run:
        return train(make_settings({"data": str(data), **given}), out=tmp_path / out)

    return run


@pytest.fixture
def seen(train_here: Train, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that trains and gives the material that the insights were drawn from."""

    def train(**given: Any) -> Material:
        found: list[Material] = []
        monkeypatch.setattr(pipeline, "write_insights", lambda material, **_: found.append(material))
        train_here(**given)
        return found[0]

    return train


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with open(path, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(scope="session")
def little_run(tmp_path_factory: pytest.TempPathFactory, elpv_cells: dict[str, list[Path]]) -> Path:
    """Return a run on timm's little `test_efficientnet`, its pooled output: of 240 photographs in ``../photos``, its cache ``../cache``."""
    home = tmp_path_factory.mktemp("little")
    photos = copy_photos(elpv_cells, home / "photos", 120)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEEFIT_CACHE", str(home / "cache"))
        patch.setenv("SEEFIT_WEIGHTS", str(home))
        patch.setattr(pipeline, "build_report", lambda *_, **__: None)
        name = plant_little(home)
        answer = seefit("train", photos, "--backbone", name, "--features", "pooled", "--val", 0.5, "--out", home / "run", "--json")
    assert answer.code == 0, answer.err
    return home / "run"


@pytest.fixture
def little(little_run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work with the cache and the weights of `little_run`; return it."""
    monkeypatch.setenv("SEEFIT_CACHE", str(little_run.parent / "cache"))
    monkeypatch.setenv("SEEFIT_WEIGHTS", str(little_run.parent))
    return little_run
