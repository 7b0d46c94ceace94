from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from command import Answer, seefit
from conftest import PhotoFolder, read_csv
from seefit.models.backbone import Backbone
from tiny import make_bundle

ODD_NAMES = [
    'comma, "quote".png',
    "line\nend.png",
    "tab\t.png",
    "ünï 猫 🐈.png",
    "<script>alert(1)<script>.png",
    "esc\x1b[31m.png",
    " space .png",
]


@pytest.fixture
def odd(tmp_path: Path, elpv_cells: dict[str, list[Path]]) -> Path:
    """Return a folder of photographs with odd names, in two folders."""
    folder = tmp_path / "odd"
    (folder / "below").mkdir(parents=True)
    for i, name in enumerate(ODD_NAMES):
        shutil.copy(elpv_cells["functional"][i], folder / ("below" if i % 2 else "") / name)
    return folder


def check_predictions(body: Any, classes: set[str]) -> None:
    for entry in body:
        assert set(entry) == {"path", "predictions"}
        scores = [item["score"] for item in entry["predictions"]]
        assert {item["label"] for item in entry["predictions"]} == classes
        assert all(set(item) == {"label", "score"} for item in entry["predictions"])
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) == pytest.approx(1, abs=1e-5)


def test_one_file_is_one_line(tiny_bundle: Path, elpv_cells: dict[str, list[Path]]) -> None:
    path = elpv_cells["defective"][0]
    answer = seefit("predict", tiny_bundle, path)
    assert (answer.code, answer.err) == (0, "")
    first = seefit("predict", tiny_bundle, path, "--json").json[0]["predictions"]
    scores = ", ".join(f"{entry['label']} {entry['score']:.1%}" for entry in first)
    assert answer.out == f"{path}: {scores}\n"


def test_files_and_folders_are_taken_together(tiny_bundle: Path, photo_folder: PhotoFolder, elpv_cells: dict[str, list[Path]]) -> None:
    root = photo_folder(2)
    answer = seefit("predict", tiny_bundle, elpv_cells["functional"][9], root, "--json")
    assert answer.code == 0
    expected = [str(elpv_cells["functional"][9]), *sorted(map(str, root.rglob("*.png")))]
    assert [entry["path"] for entry in answer.json] == expected
    check_predictions(answer.json, {"defective", "functional"})


def test_a_run_predicts_as_its_bundle(trained: Path, elpv_cells: dict[str, list[Path]]) -> None:
    run, bundle = (seefit("predict", place, elpv_cells["defective"][50], "--json") for place in (trained, trained / "bundle"))
    assert run.code == 0
    assert run == bundle


def test_odd_names_round_trip(tiny_bundle: Path, odd: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    names = {str(path) for path in odd.rglob("*.png")}
    assert len(names) == len(ODD_NAMES)
    assert {entry["path"] for entry in seefit("predict", tiny_bundle, odd, "--json").json} == names
    answer = seefit("predict", tiny_bundle, odd, "--csv", out)
    assert answer == Answer(0, f"{len(names)} predictions in {out}\n", "")
    rows = read_csv(out)
    assert list(rows[0]) == ["path", "predicted", "p:defective", "p:functional"]
    assert {row["path"] for row in rows} == names
    printed = seefit("predict", tiny_bundle, odd).out
    assert len(printed.splitlines()) == len(names)
    assert "\x1b" not in printed


def test_a_name_that_is_no_text_round_trips_through_csv(tiny_bundle: Path, elpv_cells: dict[str, list[Path]], tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff\xfe.png"
    try:
        Path(os.fsdecode(name)).write_bytes(elpv_cells["functional"][0].read_bytes())
    except OSError:
        pytest.skip("this file system takes only text as names")
    assert seefit("predict", tiny_bundle, os.fsdecode(name), "--csv", tmp_path / "out.csv").code == 0
    with open(tmp_path / "out.csv", encoding="utf-8", errors="surrogateescape", newline="") as handle:
        assert [os.fsencode(row["path"]) for row in csv.DictReader(handle)] == [name]
    assert seefit("predict", tiny_bundle, os.fsdecode(name), "--json").json[0]["path"].endswith("/\ufffd\ufffd.png")


def test_bad_images_are_warned_about_and_left_out(tiny_bundle: Path, photo_folder: PhotoFolder, tmp_path: Path) -> None:
    root = photo_folder(1)
    whole = sorted(root.rglob("*.png"))
    (root / "page.png").write_bytes(b"<html></html>")
    (root / "half.png").write_bytes(whole[0].read_bytes()[:5000])
    (root / "two\nlines.png").write_bytes(b"")
    out = tmp_path / "out.csv"
    answer = seefit("predict", tiny_bundle, root, "--csv", out, "--json")
    assert answer.code == 0
    assert answer.json == {"csv": str(out), "images": 2, "skipped": 3}
    assert [row["path"] for row in read_csv(out)] == list(map(str, whole))
    warnings = sorted(answer.err.splitlines())
    assert [line.split(": ")[:2] for line in warnings] == [
        ["warning", f"left out {root}/{name}"] for name in ("half.png", "page.png", "two\\nlines.png")
    ]


@pytest.mark.parametrize("options", [[], ["--json"], ["--csv", "out.csv"], ["--csv", "out.csv", "--json"]])
def test_nothing_but_bad_images_is_exit_3_and_no_file(
    options: list[str], tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(b"text")
    answer = seefit("predict", tiny_bundle, "a.png", *options)
    message = "Cannot decode the image: a.png. Expected a whole JPEG, PNG, WebP, GIF, BMP or TIFF image, got text, not an image."
    assert answer.code == 3
    assert "warning: left out a.png: text, not an image\n" in answer.err
    if "--json" in options:
        assert answer.error()["message"] == message
    else:
        assert answer.out == ""
        assert f"error: {message}\n" in answer.err
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_an_empty_folder_is_exit_3(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    answer = seefit("predict", tiny_bundle, tmp_path / "empty", "--csv", tmp_path / "out.csv", "--json")
    assert answer.code == 3
    assert answer.error()["message"].endswith("got none.")
    assert not (tmp_path / "out.csv").exists()


def test_a_failed_predict_leaves_the_old_file(
    tiny_bundle: Path, photo_folder: PhotoFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.csv"
    out.write_text("the old one")
    good = sorted(photo_folder(20).rglob("*.png"))
    monkeypatch.setattr("seefit.bundle.predict.Prediction.label", property(lambda self: stop_at(self.sample.name, good[-3])))
    answer = seefit("predict", tiny_bundle, *good, "--csv", out)
    assert answer.code == 130
    assert out.read_text() == "the old one"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out.csv"]


def stop_at(name: str, last: Path) -> str:
    """Interrupt near the end, when most rows are written."""
    if name == str(last):
        raise KeyboardInterrupt
    return "functional"


def test_beyond_100_classes_the_best_five_are_given(tmp_path: Path, tiny_backbone: Backbone, elpv_cells: dict[str, list[Path]]) -> None:
    classes = [f"c{i}" for i in range(101)]
    bundle = make_bundle(tmp_path / "bundle", tiny_backbone, classes)
    image = elpv_cells["functional"][0]
    entries = seefit("predict", bundle, image, "--json").json[0]["predictions"]
    assert len(entries) == 5
    assert seefit("predict", bundle, image, "--csv", tmp_path / "out.csv").code == 0
    row = read_csv(tmp_path / "out.csv")[0]
    assert list(row) == ["path", "predicted", *(name for i in range(1, 6) for name in (f"top{i}", f"p{i}"))]
    assert [row[f"top{i}"] for i in range(1, 6)] == [entry["label"] for entry in entries]
    assert [float(row[f"p{i}"]) for i in range(1, 6)] == pytest.approx([entry["score"] for entry in entries], abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{bundle}", "{tmp}/nothing"], 2, "Cannot find the images: {tmp}/nothing. "),
        (
            ["{tmp}/nothing", "{image}"],
            5,
            "Cannot load the model: {tmp}/nothing. Expected a run, bundle or export, got nothing there.",
        ),
        (
            ["{image}", "{image}"],
            5,
            "Cannot load the model: {image}. Expected the folder of a run, bundle or export, got a single file.",
        ),
        (["{bundle}", "{image}", "--csv", "{tmp}/no/such/folder.csv"], 6, "Cannot write: {tmp}/no/such/folder.csv. "),
        (["{bundle}", "{image}", "--csv", "{tmp}"], 6, "Cannot write: {tmp}. Expected a place that can be written to, got Is a directory."),
        (["{bundle}", "{image}", "--max-pixels", "10"], 3, "Cannot decode the image: {image}. "),
    ],
)
def test_what_cannot_be_done_says_why(
    arguments: list[str], code: int, message: str, tiny_bundle: Path, tmp_path: Path, elpv_cells: dict[str, list[Path]]
) -> None:
    names = {"bundle": tiny_bundle, "tmp": tmp_path, "image": elpv_cells["functional"][0]}
    answer = seefit("predict", *(argument.format(**names) for argument in arguments), "--json")
    assert answer.code == code
    assert answer.error()["message"].startswith(message.format(**names))
    assert list(tmp_path.iterdir()) == []
