"""``seefit check`` as a user sees it: the table, the JSON object, the folder of findings, the exit code."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from seefit.cli.check import check
from seefit.console import Console
from seefit.errors import UsageError

PhotoFolder = Callable[..., Path]
HOSTILE = "\x1b[31m<script>alert('1,2')\n\t\u202e\U0001f408\"[red]"


@pytest.fixture
def hurt(photo_folder: PhotoFolder) -> Path:
    """Four images per class, a broken one, a copy, a recompressed copy and the same bytes under two labels."""
    root = photo_folder(4)
    cells = sorted((root / "defective").iterdir())
    (root / "defective" / "broken.jpg").write_bytes(b"<html>404</html>")
    shutil.copy(cells[0], root / "defective" / "copy.png")
    Image.open(cells[1]).convert("L").resize((290, 290)).save(root / "defective" / "near.jpg", quality=90)
    shutil.copy(cells[2], root / "functional" / "conflict.png")
    return root


def test_a_sound_folder_exits_0_and_shows_the_balance(photo_folder: PhotoFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(str(photo_folder(3)), console=Console()) == 0
    shown = capsys.readouterr()
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert "class images share skipped" in lines
    assert "defective 3 50.0 % 0" in lines
    assert any(line.startswith("6 images can be used (PNG; all 300x300 pixels), checked in") for line in lines)
    assert shown.err == ""


def test_the_balance_is_shown_for_each_given_part(photo_folder: PhotoFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part, number, start in (("train", 3, 0), ("val", 2, 5), ("test", 1, 9)):
        photo_folder(number, root=tmp_path / "given" / part, start=start)
    assert check(str(tmp_path / "given")) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "class images share train val test skipped" in lines
    assert "functional 6 50.0 % 3 2 1 0" in lines


def test_everything_wrong_is_shown_before_the_error(hurt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(str(hurt)) == 3
    shown = capsys.readouterr()
    for line in (
        "Skipped, for they cannot be used: 3",
        "    defective/broken.jpg: HTML page, not an image",
        "The same bytes under several labels, all left out, for one label must be wrong: 1",
        "Exact duplicates, which an automatic split keeps on one side: 1",
        "Near-duplicates, which an automatic split keeps on one side: 1",
    ):
        assert line in shown.out.splitlines()
    assert shown.err.startswith("error: Too many images cannot be used: ")
    assert shown.err.splitlines()[-1] == "Repair or remove them (`seefit check` lists them all), or raise --max-skipped."


def test_the_json_object_holds_what_the_contract_says(hurt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(str(hurt), max_skipped=0.5, json_output=True) == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert shown.err == ""
    assert list(found) == ["images", "classes", "skipped", "duplicates", "near_duplicates", "label_conflicts", "leaks", "warnings"]
    assert found["images"] == 9
    assert found["classes"] == {"defective": 5, "functional": 4}
    assert found["skipped"][0] == {"path": "defective/broken.jpg", "reason": "HTML page, not an image", "bytes": 16}
    assert [len(found[kind]) for kind in ("skipped", "duplicates", "near_duplicates", "label_conflicts", "leaks")] == [3, 1, 1, 1, 0]
    assert found["duplicates"][0][1] == "defective/copy.png"


def test_the_json_object_says_why_training_cannot_start(hurt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(str(hurt), json_output=True) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["images"] == 9
    assert found["error"]["code"] == 3
    assert "Too many images cannot be used" in found["error"]["message"]


def test_unreadable_files_are_in_the_json_object(
    photo_folder: PhotoFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from seefit.data import findings
    from seefit.data.image import Unreadable

    def refuse(path: Path) -> bytes:
        raise Unreadable(path, PermissionError(13, "Permission denied"))

    monkeypatch.setattr(findings, "read_file", refuse)
    assert check(str(photo_folder(1)), json_output=True) == 3
    assert [skip["reason"] for skip in json.loads(capsys.readouterr().out)["skipped"]] == ["Permission denied"] * 2


def test_out_writes_the_findings_and_nothing_else_is_written(hurt: Path, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    check(str(hurt))
    assert set(tmp_path.rglob("*")) == before
    out = tmp_path / "deep" / "findings"
    check(str(hurt), out=out)
    assert set(tmp_path.rglob("*")) - before == {
        out.parent,
        out,
        *(out / name for name in ("findings.json", "skipped.csv", "duplicates.csv")),
    }
    with open(out / "skipped.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert rows[0] == {"path": "defective/broken.jpg", "reason": "HTML page, not an image", "bytes": "16"}
    with open(out / "duplicates.csv", newline="") as handle:
        kinds = [row["kind"] for row in csv.DictReader(handle)]
    assert kinds == ["duplicates"] * 2 + ["near_duplicates"] * 2 + ["label_conflicts"] * 2
    assert json.loads((out / "findings.json").read_text())["images"] == 9


def test_hostile_names_reach_terminal_json_and_csv_unharmed(
    photo_folder: PhotoFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = photo_folder(3)
    name = HOSTILE.replace("/", "")
    (root / "defective").rename(root / name)
    (root / name / f"{name}.jpg").write_bytes(b"")
    assert check(str(root), max_skipped=0.3, out=tmp_path / "out") == 0
    shown = capsys.readouterr().out
    assert not {"\x1b", "\t", "\u202e"} & set(shown)
    assert f"    {_safe(name)}/{_safe(name)}.jpg: 0 bytes" in shown.splitlines()
    with open(tmp_path / "out" / "skipped.csv", newline="", encoding="utf-8") as handle:
        assert next(csv.DictReader(handle))["path"] == f"{name}/{name}.jpg"
    check(str(root), max_skipped=0.3, json_output=True)
    assert set(json.loads(capsys.readouterr().out)["classes"]) == {name, "functional"}


def _safe(text: str) -> str:
    return text.replace("\x1b", "\\x1b").replace("\n", "\\n").replace("\t", "\\t").replace("\u202e", "\\u202e")


def test_no_colour_is_printed_into_a_pipe(photo_folder: PhotoFolder, capsys: pytest.CaptureFixture[str]) -> None:
    check(str(photo_folder(3)))
    assert "\x1b" not in capsys.readouterr().out


def test_many_classes_are_cut_short_on_the_console(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(45):
        (tmp_path / f"{i}").mkdir()
        Image.new("L", (4, 4), i).save(tmp_path / f"{i}" / "1.png")
    assert check(str(tmp_path)) == 3
    shown = capsys.readouterr()
    assert "… and 5 more" in shown.out
    assert "'44' with 1" in shown.err


def test_the_limit_of_pixels_is_passed_on(photo_folder: PhotoFolder, capsys: pytest.CaptureFixture[str]) -> None:
    root = photo_folder(3)
    assert check(str(root), max_pixels=300 * 300) == 0
    assert check(str(root), max_pixels=300 * 300 - 1, max_skipped=1.0) == 3
    assert "300x300 = 0.09 megapixels, over the limit of 0.09 megapixels (--max-pixels)" in capsys.readouterr().out


def test_html_writes_a_page_and_nothing_else(hurt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = set(tmp_path.rglob("*"))
    assert check(str(hurt), html=tmp_path / "page.html", json_output=True) == 3, "the exit code is what it was"
    assert set(tmp_path.rglob("*")) - before == {tmp_path / "page.html"}
    assert "images" in json.loads(capsys.readouterr().out)
    assert "Training cannot start yet." in (tmp_path / "page.html").read_text("utf-8")
    assert check(str(hurt), max_skipped=0.5, html=tmp_path / "zh.html", lang="zh") == 0
    assert "可以开始训练" in (tmp_path / "zh.html").read_text("utf-8")


def test_a_page_that_cannot_be_written_is_refused_before_any_image_is_read(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("mine")
    for options, message in (
        ({"html": tmp_path / "page.html"}, "The page would take the place of something"),
        ({"html": tmp_path / "page.pdf"}, "Expected .html or .htm, got '.pdf'"),
        ({"html": tmp_path / "new.html", "lang": "fr"}, "Unknown language: fr"),
    ):
        with pytest.raises(UsageError, match=message):
            check(str(tmp_path / "nothing"), **options)
    assert (tmp_path / "page.html").read_text() == "mine"
