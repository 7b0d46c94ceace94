"""The whole page, from a run folder of real photographs and from hostile ones."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from english import english
from made_insights import add_insights
from made_run import make_run, write_rows
from seefit.errors import ResourceError, RunError, UsageError
from seefit.fitting import UNCALIBRATED
from seefit.report.report import build_report

VOID = {"meta", "img", "br", "hr", "input", "link"}
HOSTILE = ["<script>alert(1)</script>", "a\x1b[31mred", 'quote" onload="x', "line\nbreak", "猫 🐈", "{{ 7*7 }}", "$\\frac{1}{2}$"]


class Page(HTMLParser):
    """Collects tags, addresses and text, and checks that tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, elpv_cells: dict[str, list[Path]]) -> Iterator[Path]:
    """A run judged on real photographs, and its report in English."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEEFIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        root = elpv_cells["functional"][0].parents[1]
        photos = {name: paths[: 30 if name == "functional" else 12] for name, paths in elpv_cells.items()}
        run = make_run(tmp_path_factory.mktemp("runs") / "cells", photos, root=root)
        assert build_report(run) == run / "report.html"
        yield run


@pytest.fixture
def unjudged(finished: Path, tmp_path: Path) -> Path:
    """A run that nobody judged: its report draws two figures only."""
    run = tmp_path / "cells"
    shutil.copytree(finished, run, ignore=shutil.ignore_patterns("figures", "report.html", "predictions.csv"))
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    nothing: dict[str, object] = {"headline": "cross_validation", "test": None, "val": None, "cross_validation": None, "per_class": {}}
    (run / "metrics.json").write_text(json.dumps(metrics | nothing), encoding="utf-8")
    return run


def test_the_page_is_one_whole_file_that_fetches_nothing(finished: Path) -> None:
    page = Page((finished / "report.html").read_text(encoding="utf-8"))
    assert page.count("script") == page.count("link") == page.count("iframe") == 0
    addresses = [
        value or "" for _, attrs in page.tags for key, value in attrs.items() if key in {"src", "href", "xlink:href", "srcset", "action"}
    ]
    assert addresses
    assert all(address.startswith(("#", "data:image/webp;base64,")) for address in addresses)
    assert not [key for _, attrs in page.tags for key in attrs if key.startswith("on")]


def test_links_and_ids_agree(finished: Path) -> None:
    page = Page((finished / "report.html").read_text(encoding="utf-8"))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = {str(attrs[key])[1:] for _, attrs in page.tags for key in ("href", "xlink:href") if key in attrs}
    labels = {attrs["aria-labelledby"] for _, attrs in page.tags if "aria-labelledby" in attrs}
    assert links | labels <= set(ids)


def test_every_figure_is_named_and_every_picture_described(finished: Path) -> None:
    text = (finished / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.count("figure") == page.count("figcaption") == 6
    assert all(attrs.get("aria-label") for tag, attrs in page.tags if tag == "svg" and "aria-hidden" not in attrs)
    pictures = [attrs for tag, attrs in page.tags if tag == "img"]
    assert pictures
    assert all(attrs["alt"] for attrs in pictures)
    for block in re.findall(r"<figure>.*?</figure>", text, re.DOTALL):
        assert "<table" in block or "Class by class" in text


def test_figures_are_files_too(finished: Path) -> None:
    names = sorted(path.name for path in (finished / "figures").iterdir())
    assert names == ["balance.svg", "classes.svg", "confusion.svg", "reliability.svg", "scores.svg", "strength.svg"]


def test_building_again_gives_the_same_page_and_touches_nothing_else(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "cells"
    shutil.copytree(finished, run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    build_report(run)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_chinese(unjudged: Path) -> None:
    text = build_report(unjudged, lang="zh").read_text(encoding="utf-8")
    page = Page(text)
    assert '<html lang="zh-Hans">' in text
    assert "它学习所用的图片" in page.text
    assert "训练" in (unjudged / "figures" / "balance.svg").read_text(encoding="utf-8")
    assert "What to do next" not in page.text


def test_no_english_is_left_in_chinese(finished: Path, tmp_path: Path) -> None:
    """Whatever the run wrote down: its notes, what leaks, why files are skipped."""
    run = tmp_path / "cells"
    shutil.copytree(finished, run, ignore=shutil.ignore_patterns("figures", "report.html"))
    leak = "Equal images stand on several sides of the given split (3 times, --allow-leak): the figures are too good."
    notes = [leak, UNCALIBRATED, "12 images are over 16 megapixels: averaged down after decoding."]
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    (run / "metrics.json").write_text(json.dumps(metrics | {"notes": notes, "leaks": [leak]}), encoding="utf-8")
    write_rows(run / "skipped.csv", ["path", "reason", "bytes"], [["a.png", "truncated PNG", 9], ["b.jpg", "HTML page, not an image", 9]])
    add_insights(run, list(metrics["counts"]["train"]))
    html = build_report(run, lang="zh").read_text(encoding="utf-8")
    assert english(html) == []
    assert "内容相同的图片出现在给定划分的不同部分（3 处，--allow-leak）" in html
    assert "PNG 文件不完整" in html
    assert any(leak.startswith(found) for found in english(build_report(run).read_text(encoding="utf-8")))


def test_hostile_names_are_shown_and_do_nothing(tmp_path: Path) -> None:
    root = tmp_path / "data"
    photos = {name: [root / f"{i}" / f"{name[:3]}{j}.png" for j in range(3)] for i, name in enumerate(HOSTILE)}
    run = make_run(tmp_path / "<b>run", photos, root=root, wrong=0.6, notes=["<img src=x onerror=alert(1)>\x1b"])
    text = build_report(run).read_text(encoding="utf-8")
    page = Page(text)
    assert page.count("script") == page.count("b") == 0
    assert "\x1b" not in text
    for name in ["<script>alert(1)</script>", "a\\x1b[31mred", 'quote" onload="x', "line\\nbreak", "猫 🐈", "{{ 7*7 }}", "$\\frac{1}{2}$"]:
        assert name in page.text
    assert not [key for _, attrs in page.tags for key in attrs if key.startswith("on")]


def test_ten_thousand_classes_stay_under_five_megabytes(tmp_path: Path) -> None:
    """Long names too: 10,000 of them alone would fill the page."""
    root = tmp_path / "data"
    photos = {f"<{i:05d}> " + "&" * 240: [root / f"{i}.png"] for i in range(10_000)}
    run = _many_classes(tmp_path / "run", photos, root)
    page = build_report(run)
    assert page.stat().st_size < 5_000_000
    assert sum(path.stat().st_size for path in (run / "figures").iterdir()) < 1_000_000


@pytest.mark.slow  # test_browser.py and the test above look at large pages, too; .ci/run runs this one
@pytest.mark.parametrize("classes", [2, 10_000])
def test_ten_thousand_images_with_all_insights_stay_under_five_megabytes(tmp_path: Path, classes: int) -> None:
    root = tmp_path / "data"
    shown = min(classes, 120)
    photos = {f"class {i}": [root / f"{i}" / f"{j}.png" for j in range(10_000 // shown)] for i in range(shown)}
    if classes == 2:
        run = add_insights(make_run(tmp_path / "run", photos, root=root), list(photos))
    else:
        names = [f"class {i}" for i in range(classes)]
        run = add_insights(_many_classes(tmp_path / "run", photos | {name: [root / "x.png"] for name in names[shown:]}, root), names)
    assert all(path.stat().st_size < 1_000_000 for path in (run / "insights").iterdir())
    assert build_report(run).stat().st_size < 5_000_000


def _many_classes(run: Path, photos: dict[str, list[Path]], root: Path) -> Path:
    """Predictions over 10,000 classes need no 10,000 x 10,000 probabilities: make 120 and widen."""
    names = list(photos)
    make_run(run, {name: photos[name] for name in names[:120]}, root=root)
    metrics, bundle = (json.loads((run / name).read_text(encoding="utf-8")) for name in ("metrics.json", "bundle/bundle.json"))
    entry = metrics["per_class"][names[0]]
    metrics["per_class"] = dict.fromkeys(names, entry)
    metrics["counts"] = {part: dict.fromkeys(names, 3) for part in ("train", "val", "test")}
    (run / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    (run / "bundle" / "bundle.json").write_text(json.dumps(bundle | {"classes": names}), encoding="utf-8")
    return run


def test_a_run_that_nobody_judged_has_a_report_too(unjudged: Path) -> None:
    page = Page(build_report(unjudged).read_text(encoding="utf-8"))
    assert "It was not judged." in page.text
    assert page.count("figure") == 2


def test_a_run_that_is_not_finished_is_refused_and_left_alone(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "cells"
    shutil.copytree(finished, run)
    (run / "report.html").write_text("old")
    (run / "metrics.json").unlink()
    with pytest.raises(RunError, match=r"metrics\.json\. Expected the file of a finished run, got no such file\."):
        build_report(run)
    assert (run / "report.html").read_text() == "old"


def test_unknown_language_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Unknown language: de"):
        build_report(tmp_path, lang="de")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_to_is_named(unjudged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(
        ResourceError, match=r"Cannot write: .*strength\.svg\. Expected a place that can be written to, got Permission denied\."
    ):
        build_report(unjudged)
    assert list(unjudged.rglob("*.part")) == []
