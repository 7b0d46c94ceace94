"""The page in a real browser: nothing is fetched, nothing overflows, nothing keeps a reader out.

Needs Chromium at one of `PLACES` (on Debian the package ``chromium``); without it everything here is skipped.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from command import seefit
from conftest import copy_photos
from made_insights import add_insights
from made_rivals import make_rival
from made_run import make_run
from seefit.report.comparison import build_comparison
from seefit.report.report import build_report
from seefit.report.words import Words
from seefit.studies.compare import compare_runs

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
A4 = 718  # pixels of 190 mm: the paper without its margins
PLACES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((found for found in map(shutil.which, PLACES) if found), None)
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason=f"no Chromium: none of {', '.join(PLACES)}")]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, elpv_cells: dict[str, list[Path]], trained: Path, tiny_bundle: Path) -> dict[str, Path]:
    """Return pages in each language: of runs made by hand, of two classes and of twelve with long names, of one that was trained, and of
    several side by side, and of data with all that is wrong with data.
    """
    home = tmp_path_factory.mktemp("pages")
    root = elpv_cells["functional"][0].parents[1]
    two = {name: paths[: 60 if name == "functional" else 30] for name, paths in elpv_cells.items()}
    cells = elpv_cells["functional"]
    twelve = {f"a class with a rather long name {i}": cells[8 * i : 8 * i + 8] for i in range(12)}
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEEFIT_CACHE", str(home / "cache"))
        for count, photos in (("two", two), ("twelve", twelve)):
            run = add_insights(make_run(home / count, photos, root=root), list(photos))
            for lang in ("en", "zh"):
                found[f"{count}-{lang}"] = build_report(run, lang=lang).rename(home / f"{count}-{lang}.html")
        own = shutil.copytree(trained, home / "trained")
        for lang in ("en", "zh"):
            found[f"trained-{lang}"] = build_report(own, lang=lang).rename(home / f"trained-{lang}.html")
        names = [f"a run with a rather long name {i}" for i in range(9)]
        rivals = [make_rival(home / name, elpv_cells, tiny_bundle, wrong=0.1 + 0.05 * i, seed=i) for i, name in enumerate(names)]
        compared = compare_runs(rivals)
        for lang in ("en", "zh"):
            found[f"rivals-{lang}"] = home / f"rivals-{lang}.html"
            found[f"rivals-{lang}"].write_text(build_comparison(compared, Words(lang)), encoding="utf-8")
        data = _spoilt_data(elpv_cells, home / "data")
        for lang in ("en", "zh"):
            found[f"check-{lang}"] = home / f"check-{lang}.html"
            assert seefit("check", data, "--html", found[f"check-{lang}"], "--lang", lang).code == 3, "too many files cannot be used"
    return found


def _spoilt_data(cells: dict[str, list[Path]], root: Path) -> Path:
    """Write photographs under long names, with copies, a copy under another label, and files that are no pictures."""
    classes = [f"a_class_with_a_rather_long_name_{name}" for name in cells]
    copy_photos(dict(zip(classes, cells.values(), strict=True)), root, 12)
    first, second, *_ = sorted((root / classes[0]).iterdir())
    shutil.copy(first, first.with_stem("a_copy_of_this_photograph_under_a_rather_long_name"))
    shutil.copy(second, root / classes[1] / "the_same_photograph_under_another_label.png")
    for number in range(3):
        (root / classes[0] / f"a_page_that_was_saved_as_a_picture_{number}.jpg").write_bytes(b"<html>")
    return root


def opened(browser: Any, page: Path, width: int = 1400, **context: Any) -> tuple[Any, list[str], list[str]]:
    """Open a page; return it, what the console said, and what was asked for."""
    view = browser.new_context(viewport={"width": width, "height": 900}, **context).new_page()
    said: list[str] = []
    asked: list[str] = []
    view.on("console", lambda message: said.append(message.text))
    view.on("pageerror", lambda error: said.append(str(error)))
    view.on("request", lambda request: asked.append(request.url))
    view.goto(page.as_uri())
    return view, said, asked


@pytest.mark.parametrize(
    "name", ["two-en", "two-zh", "twelve-en", "twelve-zh", "trained-en", "trained-zh", "rivals-en", "rivals-zh", "check-en", "check-zh"]
)
@pytest.mark.parametrize("width", [360, 1400])
def test_nothing_is_fetched_said_or_wider_than_the_screen(browser: Any, pages: dict[str, Path], name: str, width: int) -> None:
    view, said, asked = opened(browser, pages[name], width)
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [pages[name].as_uri()]
    view.evaluate("document.querySelectorAll('details').forEach(found => found.open = true)")
    outside = "found => found.getBoundingClientRect().right > innerWidth + 1 && !found.closest('.scroll')"
    wide = f"[...document.querySelectorAll('main *')].filter({outside}).map(found => found.outerHTML.slice(0, 200))"
    assert view.evaluate(wide) == []
    assert view.evaluate("document.documentElement.scrollWidth") <= width
    view.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["two-en", "twelve-zh", "trained-en", "rivals-en", "check-en"])
def test_nothing_keeps_a_reader_out(browser: Any, pages: dict[str, Path], name: str, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    view, _, _ = opened(browser, pages[name], color_scheme=scheme)
    view.evaluate("document.querySelectorAll('details').forEach(found => found.open = true)")
    found = axe.Axe().run(view).response["violations"]
    grave = {rule["id"]: [node["html"][:160] for node in rule["nodes"][:3]] for rule in found if rule["impact"] in {"serious", "critical"}}
    assert grave == {}
    view.context.close()


def test_the_keyboard_reaches_everything(browser: Any, pages: dict[str, Path]) -> None:
    view, _, _ = opened(browser, pages["two-en"])
    focused = "document.activeElement.outerHTML.slice(0, 60)"
    view.keyboard.press("Tab")
    assert 'class="skip"' in view.evaluate(focused)
    assert view.evaluate("document.activeElement.getBoundingClientRect().left") >= 0, "what has the focus is seen"
    there, reached = view.evaluate("document.querySelectorAll('a, summary, [tabindex]').length"), set()
    for _ in range(there):
        view.keyboard.press("Tab")
        if view.evaluate("document.activeElement.tagName") == "SUMMARY" and "SUMMARY" not in reached:
            view.keyboard.press("Enter")
            assert view.evaluate("document.activeElement.parentElement.open") is True
        reached.add(view.evaluate("document.activeElement.tagName"))
    assert reached >= {"A", "SUMMARY", "DIV"}, "links, folded tables, and tables that scroll"
    view.context.close()


def test_a_picture_of_the_map_is_opened_and_closed_by_keyboard(browser: Any, pages: dict[str, Path]) -> None:
    view, _, _ = opened(browser, pages["trained-en"])
    link, peek = view.locator("#map .matter > p > a"), view.locator("#map-1")
    link.focus()
    before = view.evaluate("scrollY")
    assert before > 0
    view.keyboard.press("Enter")
    assert peek.is_visible()
    for word in ("previous", "next", "close"):
        view.keyboard.press("Tab")
        assert view.evaluate("document.activeElement.textContent") == word
    view.keyboard.press("Enter")
    assert not peek.is_visible()
    assert view.evaluate("scrollY") == before, "the reader stays where the map is"
    view.keyboard.press("Tab")
    assert link.evaluate("found => found === document.activeElement"), "the next step starts from the map, not from the top of the page"
    assert view.evaluate("scrollY") == before
    view.context.close()


@pytest.mark.parametrize("name", ["two-en", "twelve-zh", "rivals-en"])
def test_it_can_be_printed(browser: Any, pages: dict[str, Path], name: str) -> None:
    view, _, _ = opened(browser, pages[name], 1000, color_scheme="dark")
    view.emulate_media(media="print")
    view.set_viewport_size({"width": A4, "height": 1000})
    assert view.evaluate("document.documentElement.scrollWidth") <= A4
    assert view.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert view.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert view.pdf(format="A4").count(b"/Type /Page\n") < 40
    view.context.close()
