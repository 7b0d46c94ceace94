"""The templates: everything escaped, nothing fetched."""

from __future__ import annotations

import functools

import pytest

from seefit.report.page import Card, Peek, Picture, Problem, Section, Spot, Step, Table, Tile, Verdict, render
from seefit.report.words import Words

EVIL = "<script>alert(1)</script>\"'&"
SAFE = "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp;"


@functools.cache
def evil_page(lang: str = "en") -> str:
    table = Table([EVIL, EVIL], [[EVIL, EVIL]])
    picture = Picture("x", '<svg role="img"></svg>', EVIL, table, wide=True, spots=[Spot(10, 20, "peek-1", EVIL)])
    card = Card("data:image/webp;base64,AA", "", EVIL, EVIL, EVIL, [EVIL])
    peeks = [Peek(f"peek-{i}", address, EVIL, EVIL, [EVIL], i == 1, "peek-2", "peek-1") for i, address in enumerate(["", card.address], 1)]
    cards = [card, Card("", EVIL, EVIL, EVIL, EVIL, [EVIL])]
    section = Section("key", EVIL, [EVIL], [picture], [(EVIL, table)], [(EVIL, table)], cards, EVIL, peeks, [(EVIL, [cards])])
    tile = Tile(EVIL, EVIL, EVIL, EVIL, 15, (10, 20), 5)
    verdict = Verdict("not", EVIL, [EVIL], [tile], [Problem("serious", EVIL, EVIL)], [Step(EVIL, EVIL)])
    return render(Words(lang), run=EVIL, data=EVIL, verdict=verdict, notes=[EVIL], sections=[section])


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_place_is_escaped(lang: str) -> None:
    page = evil_page(lang)
    assert "<script" not in page
    assert page.count(SAFE) > 25
    assert "{{" not in page
    assert "{%" not in page


def test_the_page_allows_itself_nothing() -> None:
    page = evil_page()
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    assert f'<meta http-equiv="Content-Security-Policy" content="{policy}">' in page
    assert "http://" not in page
    assert "https://" not in page
    assert "url(" not in page


def test_a_spot_opens_its_peek_without_a_script() -> None:
    page = evil_page()
    assert 'href="#peek-1" tabindex="-1" style="left:10.00%;top:20.00%"' in page
    assert '<div class="peek" id="peek-1" role="group"' in page
    assert '<p class="said wrong">' in page
    assert page.count('<a href="#key-closed">close</a>') == 2
    assert page.count('id="key-closed"') == 1
    assert '<a href="#peek-1">Open the 2 pictures one by one</a>' in page, "for those who use a keyboard"


def test_language_is_declared_and_grade_is_in_words() -> None:
    assert '<html lang="en">' in evil_page("en")
    assert '<html lang="zh-Hans">' in evil_page("zh")
    assert '<span class="grade">Serious:</span>' in evil_page("en"), "not by colour alone"


def test_nothing_to_report_is_said() -> None:
    page = render(Words("en"), run="r", data="", verdict=Verdict("better", "Good", []), notes=[], sections=[])
    assert "None of the checks of this report found anything" in page


def test_a_tile_without_an_interval_has_no_bar() -> None:
    tiles = [Tile("a", "1", "unknown", "", 15, None), Tile("b", "2", "1 to 3", "", 15, (10.0, 20.0))]
    page = render(Words("en"), run="r", data="", verdict=Verdict("unknown", "Good", [], tiles), notes=[], sections=[])
    assert page.count('class="span"') == 1
    assert page.count('class="dot"') == 2


def test_lone_surrogates_of_odd_file_names_can_be_written() -> None:
    page = render(Words("en"), run="r\udcff", data="", verdict=Verdict("better", "Good", []), notes=[], sections=[])
    assert page.encode("utf-8")
