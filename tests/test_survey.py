"""The page about a data set before any training."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from english import english
from seefit.data.scan import Scan, check_usable, scan
from seefit.data.sources import read_dataset
from seefit.errors import DataError
from seefit.report.survey import build_survey, draw_spread
from seefit.report.words import Words

EN, ZH = Words("en"), Words("zh")
SCRIPT = "<script>alert(1)\n\U0001f408"


def page(root: Path, words: Words = EN, stop: DataError | None = None) -> tuple[str, Scan]:
    dataset = read_dataset(str(root))
    found = scan(dataset)
    return build_survey(found, dataset, stop, words), found


def make(root: Path, classes: int, each: int, *, side: int = 24) -> Path:
    rng = np.random.default_rng(0)
    for c in range(classes):
        (root / f"class {c}").mkdir(parents=True)
        for i in range(each):
            Image.fromarray(rng.integers(0, 60 + 15 * (i % 12), (side, side + i % 3, 3), np.uint8)).save(root / f"class {c}" / f"{i}.png")
    return root


def headings(html: str) -> list[str]:
    return re.findall(r"<h2 id=[^>]*>([^<]+)</h2>", html)


def test_a_sound_folder(tmp_path: Path) -> None:
    html, _ = page(make(tmp_path / "d", 2, 12))
    assert "Training can start: 24 pictures in 2 classes." in html
    assert "Nothing odd was found" in html
    assert "seefit train" in html
    assert headings(html) == ["How many pictures each class has", "Some of the pictures", "What the pictures are like", "Copies"]
    assert html.count("data:image/webp") == 18, "nine of each of two classes"
    assert str(tmp_path) not in html


def test_everything_wrong_is_there(tmp_path: Path) -> None:
    root = make(tmp_path / "d", 2, 12)
    first, second = (root / "class 0" / f"{i}.png" for i in (0, 1))
    shutil.copy(first, root / "class 0" / "copy.png")
    shutil.copy(second, root / "class 1" / "conflict.png")
    (root / "class 1" / "bad.jpg").write_bytes(b"<html>")
    stop = DataError("Too many", where=str(root), expected="few", got="many", hint="Repair them (`seefit check` lists them)")
    html, found = page(root, stop=stop)
    assert "Training cannot start yet." in html
    assert "Expected few, got many." in html
    assert "Repair them (seefit check lists them)." in html
    assert str(root) not in html
    for words in (
        "The same picture under several labels",
        "Groups of the same bytes: 1; groups of nearly the same picture: 0.",
        "Files that are left out: 3.",
        "The same bytes under several labels (1)",
        "HTML page, not an image",
    ):
        assert words in html
    assert headings(html)[-2:] == ["Copies", "Files that are left out"]
    conflict, copies = re.findall(
        r'<h3>The same bytes[^<]*</h3>\s*<ul class="cards pairs"><li><ul class="pair">(.*?)</ul>', html, re.DOTALL
    )
    assert re.findall(r'alt="([^"]+)"', conflict) == ["class 0/1.png", "class 1/conflict.png"]
    assert re.findall(r'class="is">([^<]+)<', conflict) == ["class 0", "class 1"], "the same picture under both of its labels"
    assert re.findall(r'alt="([^"]+)"', copies) == ["class 0/0.png", "class 0/copy.png"]
    assert (conflict + copies).count('src="data:image/webp;base64,') == 4
    assert len(found.skips) == 3


def test_no_english_is_left_in_chinese(tmp_path: Path) -> None:
    """Why training cannot start, what to do about it, what is odd and why files are skipped."""
    root = make(tmp_path / "d", 2, 12)
    shutil.copy(root / "class 0" / "1.png", root / "class 1" / "conflict.png")
    (root / "class 1" / "bad.jpg").write_bytes(b"<html>")
    (root / "empty").mkdir()
    (root / "empty" / "cut.png").write_bytes((root / "class 0" / "2.png").read_bytes()[:90])
    dataset = read_dataset(str(root))
    found = scan(dataset)
    with pytest.raises(DataError) as caught:
        check_usable(found, dataset, parts=20)
    html = build_survey(found, dataset, caught.value, ZH)
    assert english(html) == []
    assert len(re.findall("。应为：.*；实际：", html)) == len(caught.value.message.splitlines()) > 3
    for said in (
        "有空的类别",
        "每个类别都有可用的图片",
        "请修复或删除它们（seefit check 会列出全部）",
        "是网页，不是图片",
        "PNG 文件不完整",
    ):
        assert said in html
    assert "Empty classes" in build_survey(found, dataset, caught.value, EN)


def test_given_parts_are_shown_and_leaks_are_said(tmp_path: Path) -> None:
    root = tmp_path / "d"
    for part in ("train", "test"):
        make(root / part, 2, 6, side=24 if part == "train" else 30)
    shutil.copy(root / "train" / "class 0" / "0.png", root / "test" / "class 0" / "leak.png")
    shutil.copy(root / "train" / "class 0" / "0.png", root / "train" / "class 0" / "zz.png")
    html, _ = page(root)
    assert "The parts are those that the data gives." in html
    leak = html.partition("<h3>The same bytes on several sides of the split</h3>")[2].partition("</ul>")[0]
    assert sorted(re.findall(r'class="small">([^<]+)<', leak)) == ["Test", "Training"], "two sides, though one of them has it twice"
    assert "Groups of the same bytes on several sides of the given split: 1; of nearly the same picture: 0." in html


def test_pictures_of_many_classes_are_few(tmp_path: Path) -> None:
    html, _ = page(make(tmp_path / "d", 60, 1))
    assert html.count("data:image/webp") == 36
    assert len(html) < 1_000_000


@pytest.mark.parametrize("words", [EN, ZH], ids=["en", "zh"])
def test_hostile_names_run_nowhere(tmp_path: Path, words: Words) -> None:
    root = make(tmp_path / "d", 2, 4)
    (root / "class 0").rename(root / SCRIPT)
    (root / SCRIPT / "0.png").rename(root / SCRIPT / f"{SCRIPT}.png")
    html, _ = page(root, words)
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)\\n\U0001f408" in html


def test_the_same_data_give_the_same_page_in_the_other_language_another(tmp_path: Path) -> None:
    root = make(tmp_path / "d", 3, 5)
    assert page(root)[0] == page(root)[0]
    html, _ = page(root, ZH)
    assert '<html lang="zh' in html
    assert "可以开始训练：15 张图片，3 个类别。" in html


def test_no_usable_image_gives_a_page_too(tmp_path: Path) -> None:
    (tmp_path / "d" / "a").mkdir(parents=True)
    (tmp_path / "d" / "a" / "bad.jpg").write_bytes(b"<html>")
    html, _ = page(tmp_path / "d")
    assert "What the pictures are like" not in html
    assert "HTML page, not an image" in html


def test_spread() -> None:
    figure = draw_spread(np.r_[np.zeros(500), 1.0], x_label="size")
    assert figure.axes[0].get_xlim() == (0, 1), "nearly all are alike, the rest is seen all the same"
