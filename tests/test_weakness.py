"""Slices of the judged part of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from conftest import copy_photos
from seefit.insights.weakness import find_slices


def test_nothing_judged_or_too_few_images_is_nothing(seen: Any) -> None:
    assert find_slices(seen(val=0, test=0)) is None
    assert find_slices(seen(out="few")) is None, "9 judged images cannot be cut into slices of 10"


@pytest.fixture
def varied(tmp_path: Path, elpv_cells: dict[str, list[Path]]) -> Path:
    """Photographs of two sizes and formats, the small ones dark."""
    root = copy_photos(elpv_cells, tmp_path / "photos", 60)
    for path in sorted(root.rglob("*.png"))[::2]:
        Image.open(path).convert("L").point(lambda level: level // 3).resize((100, 150)).save(path.with_suffix(".jpg"))
        path.unlink()
    return root


def test_judged_pictures_are_cut_by_what_they_look_like(seen: Any, warm: Path, varied: Path) -> None:
    material = seen(data=varied, test=0.5)
    found = find_slices(material)
    assert found is not None
    assert (found["images"], found["groups"]) == (60, 0)
    slices = {(row["trait"], row["value"]): row for row in found["rows"]}
    assert {"size", "aspect", "brightness", "sharpness", "format"} == {trait for trait, _ in slices}
    assert found["compared"] == len(slices)
    judged = material.judged
    dark = [i for i, name in enumerate(judged.names) if name.endswith(".jpg")]
    jpeg = slices["format", "JPEG"]
    right = (judged.probabilities.argmax(1) == judged.labels)[dark]
    assert (jpeg["n"], jpeg["accuracy"]) == (len(dark), pytest.approx(right.mean(), abs=1e-4))
    assert slices["size", "low"]["range"] == [pytest.approx(122.4745, abs=1e-3)] * 2
    assert slices["aspect", "high"]["range"] == [1, 1]
    assert slices["brightness", "low"]["range"][1] < 0.4
    assert jpeg["low"] <= jpeg["difference"] <= jpeg["high"]
    assert 0 <= jpeg["p"] <= 1


def test_groups_are_slices_too(seen: Any, warm: Path, varied: Path) -> None:
    found = find_slices(seen(data=varied, test=0.5, group_by=r"(\d)\.\w+$"))
    assert found is not None
    assert found["groups"] > 1
    assert {row["trait"] for row in found["rows"]} >= {"format", "group"}
