"""One way into matplotlib: palette, settings and SVG."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from seefit.drawing import PALETTE, blank, check_free, colour, matplotlib, place, save_figure, shown, style, svg, svg_file, text_width
from seefit.environment import cache_folder
from seefit.errors import UsageError

HOSTILE = ["$5 $", "<b>&\"'", "#22262b", "url(#x)", '<g id="y">', "暹罗猫", "a{b}"]


def drawn(names: list[str] | None = None) -> str:
    figure = blank(300, 200)
    names = names or ["a", "b"]
    with style():
        axes = place(figure, left=90, bottom=30, right=10, top=10)
        axes.barh(range(len(names)), range(1, len(names) + 1), color=colour("accent"))
        axes.set_yticks(range(len(names)), labels=names, color=colour("ink"))
    return svg(figure, "bars", "Two <bars>")


def texts(element: str) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(element).iter("{http://www.w3.org/2000/svg}text")]


def test_the_same_figure_gives_the_same_svg_without_dates() -> None:
    first, second = drawn(), drawn()
    assert first == second
    assert "<metadata" not in first
    assert "matplotlib" not in first.lower()


def test_colours_follow_the_page() -> None:
    element = drawn()
    assert f"fill: var(--sf-accent, {PALETTE['accent'][0]})" in element
    assert "@media (prefers-color-scheme:dark)" in svg_file(element)
    ElementTree.fromstring(svg_file(element).encode())


def test_words_of_the_user_are_written_as_they_are() -> None:
    """Colours and addresses are rewritten in tags, never in text; mathematics is never read into a name."""
    assert [text for text in texts(drawn(HOSTILE)) if text in HOSTILE] == HOSTILE


def test_every_id_belongs_to_its_figure_and_every_reference_is_met() -> None:
    element = drawn(HOSTILE)
    root = ElementTree.fromstring(element)
    ids = [node.attrib["id"] for node in root.iter() if "id" in node.attrib]
    assert ids
    assert all(name.startswith("bars-") for name in ids)
    assert len(ids) == len(set(ids))
    clips = {node.attrib["clip-path"][5:-1] for node in root.iter() if "clip-path" in node.attrib}
    assert clips <= set(ids)


def test_text_alternative_is_escaped() -> None:
    root = ElementTree.fromstring(drawn())
    assert root.attrib["aria-label"] == "Two <bars>"
    assert root.attrib["role"] == "img"


def test_settings_of_the_user_come_back() -> None:
    module = matplotlib()
    before = dict(module.rcParams)
    drawn(HOSTILE)
    assert dict(module.rcParams) == before


def test_matplotlib_keeps_its_files_in_the_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    matplotlib()
    assert Path(os.environ["MPLCONFIGDIR"]) == cache_folder("matplotlib")


def test_names_are_shown_on_one_line() -> None:
    assert shown("a\nb\x1b[31m\u202e") == "a\\nb\\x1b[31m\\u202e"
    assert shown("abcdef", 4) == "abc…"
    assert shown("abcd", 4) == "abcd"


def test_chinese_is_wider_than_latin() -> None:
    assert text_width("猫猫") == pytest.approx(22.0)
    assert text_width("ab") < text_width("猫猫")


@pytest.mark.parametrize(
    ("name", "got", "hint"),
    [("a.pdf", "'.pdf'", "ends in .png or .svg."), ("a", "''", "ends in .png or .svg."), ("a.png.txt", "'.txt'", "")],
)
def test_only_known_types_are_drawn(tmp_path: Path, name: str, got: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_free(tmp_path / name, ".png", ".svg")
    assert caught.value.message == f"Unknown file type: {tmp_path / name}. Expected .png or .svg, got {got}."
    assert hint in caught.value.hint


def test_a_figure_becomes_a_file_of_either_type(tmp_path: Path) -> None:
    figure = blank(100, 50)
    for name, start in (("a.png", b"\x89PNG"), ("a.SVG", b"<?xml")):
        check_free(tmp_path / name, ".png", ".svg")
        save_figure(figure, tmp_path / name, "a", "nothing")
        assert (tmp_path / name).read_bytes().startswith(start)
        with pytest.raises(UsageError, match=r"Expected a name that is free, got a file of \d+ bytes\."):
            check_free(tmp_path / name, ".png", ".svg")
    (tmp_path / "b.png").mkdir()
    with pytest.raises(UsageError, match=r"Expected a name that is free, got a folder\."):
        check_free(tmp_path / "b.png", ".png")
