"""Fixtures that several test modules share."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

PhotoFolder = Callable[..., Path]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test its own cache folder and the default number of threads."""
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
        root = root or tmp_path / "photos"
        for label, paths in elpv_cells.items():
            folder = root / label
            folder.mkdir(parents=True, exist_ok=True)
            for path in paths[start : start + per_class]:
                (folder / path.name).write_bytes(path.read_bytes())
        return root

    return make


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with open(path, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))
