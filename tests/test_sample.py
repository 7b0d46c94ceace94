"""The random sample, and what the checks of heat maps lead to in words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from seefit.report import sections
from seefit.report.record import Record, read_run
from seefit.report.report import build_report
from seefit.report.sample import heat_section, sample_section
from seefit.report.words import Words
from test_report import Page

EN = Words("en")


def changed(trained: Path, tmp_path: Path, **changes: Any) -> Record:
    """Return the run with other explanations."""
    shutil.copytree(trained, tmp_path / "run", dirs_exist_ok=True)
    path = tmp_path / "run" / "insights" / "explain.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return read_run(tmp_path / "run")


def test_the_sample_is_the_one_that_was_drawn_and_says_so(trained: Path) -> None:
    record = read_run(trained)
    insight = record.insight("explain")
    assert insight is not None
    section = sample_section(record, EN)
    assert section is not None
    assert [card.title for card in section.cards] == [record.predictions[row].path for row in insight["sample"]]
    right = sum(record.predictions[row].right for row in insight["sample"])
    count = len(insight["sample"])
    assert section.lead[0] == (
        f"{count} of the {len(record.predictions)} pictures, drawn by chance and not chosen: an ordinary look at ordinary answers. "
        f"{right} of these {count} are right."
    )
    assert [card.lines[0] for card in section.cards] == ["right" if card.right else "wrong" for card in section.cards]


def test_without_explanations_there_is_neither(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("insights"))
    record = read_run(tmp_path / "run")
    assert sample_section(record, EN) is None
    assert heat_section(record, EN) is None
    assert heat_section(changed(trained, tmp_path / "b", checks=None), EN) is None


def figure(value: float, half: float = 0.05) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half}


@pytest.mark.parametrize(
    ("head", "gain", "told"),
    [
        (0.1, 0.2, ["The maps depend on it, as they should.", "The marked places matter more to the answer than others."]),
        (0.8, -0.2, ["The maps hardly depend on it, or these pictures are too few to tell: read little into them."]),
        (0.48, 0.01, ["The maps hardly depend on it, or these pictures are too few to tell: read little into them."]),
    ],
)
def test_the_checks_are_judged_by_their_intervals(trained: Path, tmp_path: Path, head: float, gain: float, told: list[str]) -> None:
    deletion = {"map": 0.5, "random": 0.5 + gain, "gain": figure(gain)}
    checks = {"images": 9, "deletion": deletion, "head": figure(head), "network": figure(0.05)}
    section = heat_section(changed(trained, tmp_path, checks=checks), EN)
    assert section is not None
    _, table = section.tables[0]
    meanings = [row[2] for row in table.rows]
    assert meanings[0] == told[0]
    last = {0.2: "matter more", -0.2: "matter less", 0.01: "do not matter clearly"}[gain]
    assert last in meanings[2]
    assert (
        table.rows[2][1]
        == {
            0.2: "0.200\n0.150 to 0.250\n0.500 against 0.700",
            -0.2: "−0.200\n−0.250 to −0.150\n0.500 against 0.300",
            0.01: "0.010\n−0.040 to 0.060\n0.500 against 0.510",
        }[gain]
    )


def test_one_picture_tells_nothing_and_occlusion_is_checked_once(trained: Path, tmp_path: Path) -> None:
    alone = {"value": 0.2, "low": None, "high": None}
    checks = {"images": 1, "deletion": {"map": 0.5, "random": 0.7, "gain": alone}}
    section = heat_section(changed(trained, tmp_path, checks=checks, exact=False), EN)
    assert section is not None
    assert len(section.lead) == 2
    (row,) = section.tables[0][1].rows
    assert row[1].startswith("0.200\n0.500 against")
    assert "do not matter clearly" in row[2]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_shows_all_of_it(trained: Path, tmp_path: Path, lang: str, monkeypatch: pytest.MonkeyPatch) -> None:
    page = trained / "report.html"
    if lang != "en":
        shutil.copytree(trained, tmp_path / "run")
        monkeypatch.setattr(sections, "SECTIONS", {"sample": sample_section, "heat": heat_section})
        page = build_report(tmp_path / "run", lang=lang)
    parsed = Page(page.read_text(encoding="utf-8"))
    ids = {attrs.get("id") for _, attrs in parsed.tags}
    assert {"sample", "heat"} <= ids
    images = [attrs for tag, attrs in parsed.tags if tag == "img"]
    assert all(attrs["alt"] and str(attrs["src"]).startswith("data:image/webp;base64,") for attrs in images)
    shown = json.loads((trained / "insights" / "explain.json").read_text())
    assert len(images) >= 5 * len(shown["sample"])
    assert page.stat().st_size < 1_000_000
