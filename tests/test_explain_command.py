"""``seefit explain``: the numbers, the picture, the most similar training images, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command import seefit, seefit_process
from conftest import read_csv
from seefit.bundle.bundle import load


@pytest.fixture
def photo(warm: Path) -> Path:
    return min(warm.rglob("*.png"))


def test_numbers_that_add_up_and_images_that_are_alike(trained: Path, photo: Path) -> None:
    answer = seefit("explain", trained, photo, "--json")
    assert answer.code == 0, answer.err
    found = answer.json
    assert (found["path"], found["kind"], found["out"]) == (str(photo), "exact", None)
    assert np.sum(found["map"]) + found["bias"] == pytest.approx(found["logit"], abs=1e-4)
    assert found["box"] == {"left": 0, "top": 0, "width": 300, "height": 300}
    best = load(trained).predict(photo)[0]
    assert found["label"] == best[0]["label"]
    assert [entry["label"] for entry in found["predictions"]] == [entry["label"] for entry in best]
    training = {row["path"]: row["label"] for row in read_csv(trained / "split.csv") if row["split"] == "train"}
    assert len(found["nearest"]) == 4
    assert all(training[alike["path"]] == alike["label"] for alike in found["nearest"])
    assert photo.name not in {Path(alike["path"]).name for alike in found["nearest"]}, "no picture is its own neighbour"


def test_a_class_by_its_name_in_words(trained: Path, photo: Path) -> None:
    answer = seefit("explain", trained, photo, "--class", "functional")
    lines = answer.out.splitlines()
    assert answer.code == 0, answer.err
    assert lines[0].startswith(f"{photo}: ")
    assert lines[1].startswith("functional: score ")
    assert " = places " in lines[1]
    assert len(lines) == 6
    assert all(line.startswith("similar: ") for line in lines[2:])


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_a_picture_is_drawn(trained: Path, photo: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / f"why.{kind}"
    answer = seefit("explain", trained, photo, "--out", out)
    assert answer.code == 0, answer.err
    assert answer.out.splitlines()[-1] == str(out)
    if kind == "png":
        with Image.open(out) as image:
            assert image.width == 1040
            colours = np.asarray(image.convert("RGB")).reshape(-1, 3).astype(int)
        assert (np.ptp(colours, axis=1) > 60).sum() > 1000, "heat on grey photographs"
    else:
        text = out.read_text(encoding="utf-8")
        assert "defective" in text
        assert "functional" in text
    again = seefit("explain", trained, photo, "--out", out, "--json")
    assert again.code == 2
    assert again.error()["message"].startswith(f"The picture would take the place of something: {out}.")


def test_the_drawing_speaks_chinese(trained: Path, photo: Path, tmp_path: Path) -> None:
    answer = seefit("explain", trained, photo, "--out", tmp_path / "why.svg", "--lang", "zh")
    assert answer.code == 0, answer.err
    assert "最相似的训练图片" in (tmp_path / "why.svg").read_text(encoding="utf-8")


def test_what_cannot_be_is_refused(trained: Path, photo: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(photo.read_bytes()[:200])
    answers = {
        2: seefit("explain", trained, photo, "--class", "defectve", "--json"),
        3: seefit("explain", trained, bad, "--json"),
        5: seefit("explain", tmp_path, photo, "--json"),
    }
    for code, answer in answers.items():
        assert answer.code == code
    assert answers[2].error() == {
        "code": 2,
        "message": "Unknown class: defectve. Expected a known class, got 'defectve'.",
        "hint": "Did you mean 'defective'? Choose one of: defective, functional.",
    }
    assert answers[3].error()["message"].startswith(f"Cannot decode the image: {bad}. Expected a whole")
    missing = seefit("explain", trained, tmp_path / "none.png", "--json")
    assert missing.code == 3
    assert missing.error()["message"].endswith("got no such file.")
    kind = seefit("explain", trained, photo, "--out", tmp_path / "why.jpg", "--json")
    assert (kind.code, kind.error()["hint"]) == (2, "Name a file that ends in .png or .svg.")


def test_a_bundle_alone_explains_without_neighbours(trained: Path, photo: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "bundle", tmp_path / "bundle")
    found = seefit("explain", tmp_path / "bundle", photo, "--json").json
    assert found["nearest"] == []


def test_features_that_are_not_kept_are_said(trained: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEEFIT_CACHE", str(tmp_path / "empty"))
    answer = seefit("explain", trained, photo)
    assert answer.code == 0
    assert answer.err.splitlines() == ["No similar training images: features of theirs by this network are not kept here"]
    assert "similar:" not in answer.out


def test_torch_is_never_imported(trained: Path, photo: Path, tmp_path: Path) -> None:
    code = """
import sys
from seefit.cli.main import main
code = main(sys.argv[1:])
print(code, *(name for name in ("torch", "timm", "openvino", "torchvision") if name in sys.modules), file=sys.stderr)"""
    answer = seefit_process("explain", trained, photo, "--out", tmp_path / "why.png", "--quiet", code=code)
    assert answer.err.strip() == "0"
    assert (tmp_path / "why.png").is_file()
