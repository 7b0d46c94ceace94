"""Copies, look-alikes and strangers of a run, and what is proposed about them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conftest import copy_photos
from seefit.data.fixes import Fix
from seefit.evaluation.lookalikes import Pair
from seefit.insights import likeness
from seefit.insights.likeness import find_copies, find_strangers
from seefit.training.features import FeatureExtractor


@pytest.fixture
def photos(tmp_path: Path, elpv_cells: dict[str, list[Path]]) -> Path:
    return copy_photos(elpv_cells, tmp_path / "photos", 30)


def said(fixes: list[Fix]) -> list[tuple[str, str, str]]:
    return [(fix.path, fix.action, fix.reason) for fix in fixes]


def parts(material: Any) -> dict[str, str]:
    return {sample.name: part for sample, part in zip(material.scan.samples, material.split.parts, strict=True)}


def test_no_copies_is_nothing(seen: Any) -> None:
    assert find_copies(seen()) == (None, [])


def test_exact_copies_are_to_be_removed_and_torn_near_copies_to_be_looked_at(seen: Any, warm: Path, photos: Path) -> None:
    first, second = sorted((photos / "defective").iterdir())[:2]
    shutil.copy(first, photos / "defective" / "zcopy.png")
    Image.open(second).resize((290, 290)).save(photos / "functional" / "znear.png")
    material = seen(data=photos, test=0)
    found, fixes = find_copies(material)
    assert found is not None
    assert {kind: found[kind]["groups"] for kind in found} == {"exact": 1, "near": 1}
    part = parts(material)
    judged = {name for name in part if part[name] == material.part}
    expected = {
        (f"defective/{first.name}", "defective/zcopy.png"): "the same bytes as ",
        (f"defective/{second.name}", "functional/znear.png"): "nearly the same picture as ",
    }
    assert {fix.path for fix in fixes} <= {name for pair in expected for name in pair} - judged
    for fix in fixes:
        assert any(fix.reason.startswith(start) for pair, start in expected.items() if fix.path in pair)


def test_a_copy_across_the_split_is_kept_where_the_model_is_judged(seen: Any, warm: Path, tmp_path: Path) -> None:
    given = tmp_path / "given"
    for part, start, count in (("train", 0, 20), ("test", 20, 8)):
        for label in ("defective", "functional"):
            for path in sorted((warm / label).iterdir())[start : start + count]:
                (given / part / label).mkdir(parents=True, exist_ok=True)
                shutil.copy(path, given / part / label)
    twin = sorted((given / "test" / "defective").iterdir())[0]
    shutil.copy(twin, given / "train" / "defective" / "again.png")
    found, fixes = find_copies(seen(data=given, allow_leak=True))
    assert found is not None
    assert found["exact"]["across_parts"] == 1
    reason = f"the same bytes as test/defective/{twin.name}, which is in the test part"
    assert said(fixes) == [("train/defective/again.png", "remove", reason)]


def test_pairs_across_parts_or_labels_are_told_and_judged_labels_are_not(seen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    material = seen()
    part = parts(material)
    label = {sample.name: sample.label for sample in material.scan.samples}
    order = [name for kind in ("train", "val", "test") for name in part if part[name] == kind]
    train = [i for i, name in enumerate(order) if part[name] == "train"]
    same = next((i, j) for i in train for j in train if i < j and label[order[i]] == label[order[j]])
    torn = next((i, j) for i in train for j in train if i < j and label[order[i]] != label[order[j]])
    test = next(i for i, name in enumerate(order) if part[name] == "test")
    tests = [i for i, name in enumerate(order) if part[name] == "test"][:2]
    pairs = [Pair(*torn, 0.99), Pair(train[0], test, 0.98), Pair(*same, 0.97), Pair(tests[0], tests[1], 0.96)]
    monkeypatch.setattr(likeness, "find_lookalikes", lambda points, clusters: pairs)
    monkeypatch.setattr(likeness, "find_outliers", lambda points, labels: (np.array([3]), np.array([5.25])))
    found, fixes = find_strangers(material)
    assert found is not None
    alike = found["lookalikes"]
    assert [(row["across"], row["similarity"]) for row in alike["rows"]] == [("labels", 0.99), ("parts", 0.98)]
    assert alike["rows"][1]["images"][1] == {"path": order[test], "sha256": alike["rows"][1]["images"][1]["sha256"], "part": "test"}
    assert alike["compared"] == len(order)
    assert [(row["path"], row["z"]) for row in found["outliers"]["rows"]] == [(order[3], 5.25)]
    assert said(fixes) == [
        (order[torn[0]], "look", f"very like {order[torn[1]]} (in the train part, labelled {label[order[torn[1]]]!r})"),
        (order[torn[1]], "look", f"very like {order[torn[0]]} (in the train part, labelled {label[order[torn[0]]]!r})"),
        (order[train[0]], "look", f"very like {order[test]} (in the test part)"),
        (order[3], "look", "least like the other pictures of its class"),
    ]


def test_a_judged_part_whose_files_and_features_are_gone_is_left_out(
    seen: Any, photos: Path, warm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    material = seen(data=photos)
    for sample, part in zip(material.scan.samples, material.split.parts, strict=True):
        if part == "test":
            sample.path.unlink()
    monkeypatch.setattr(FeatureExtractor, "kept", lambda self, sha256, **_: [False] * len(sha256))
    found, _ = find_strangers(material)
    assert found is not None
    assert found["lookalikes"]["compared"] == sum(part != "test" for part in material.split.parts)
