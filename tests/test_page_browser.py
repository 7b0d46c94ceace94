"""The page of a served model in a real browser: every way in, every answer, both languages, phone and desktop, keyboard and reader.

Needs Chromium as `test_browser.py` does. The server is one that answers by the names of files (`made_server.py`).
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from made_server import CLASSES, make_app, png, running
from page_view import DROP, PASTE, View
from seefit.deploy.serve.corrections import Corrections
from seefit.deploy.serve.limits import Limits
from seefit.deploy.serve.page import Serving
from test_browser import CHROMIUM

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")]
MANY = tuple(f"a class with a rather long name {i}" for i in range(12))
MAX_BYTES = 2 * 2**20
LIMITS = Limits(body_bytes=MAX_BYTES)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Corrections:
    return Corrections(tmp_path_factory.mktemp("home") / "kept", CLASSES)


@pytest.fixture(scope="module")
def site(kept: Corrections) -> Iterator[str]:
    with running(make_app(CLASSES, Serving(LIMITS, corrections=kept), [])) as address:
        yield address


@pytest.fixture(scope="module")
def site_of_many() -> Iterator[str]:
    with running(make_app(MANY, Serving(LIMITS), [])) as address:
        yield address


@pytest.fixture
def view(browser: Any, site: str) -> Iterator[View]:
    found = View(browser, site, locale="en-GB")
    yield found
    assert found.said == []
    assert [url for url in found.asked if not url.startswith((site, f"blob:{site}", "data:"))] == []
    found.context.close()


# ---- the ways in --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [DROP, PASTE], ids=["drop", "paste"])
def test_a_picture_can_be_dropped_and_pasted(view: View, way: str) -> None:
    import base64

    view.page.evaluate(way, ["one.png", base64.b64encode(png()).decode()])
    assert view.answered() == "defective 93\u00a0%"
    assert view.status() == "one.png: defective, 93\u00a0%."
    assert view.page.inner_text(".set") == "Only “defective” is likely."
    assert view.page.locator("body.over").count() == 0


def test_the_keyboard_does_everything(view: View) -> None:
    page = view.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for _ in range(2):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "choose"
    assert page.evaluate("getComputedStyle(document.querySelector('label[for=choose]')).outlineStyle") == "solid", "the focus is seen"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files([{"name": "unsure.png", "mimeType": "image/png", "buffer": png()}])
    view.answered()
    for text in ("Why this answer?", "This is wrong"):
        while page.evaluate("document.activeElement.textContent") != text:
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        if text.startswith("Why"):
            page.wait_for_selector(".speaks")
            assert page.evaluate("document.activeElement.id") == "speaks", "the focus goes to what came"
            page.evaluate("document.querySelector('#answer h2').focus()")
    assert page.evaluate("document.activeElement.closest('form') !== null")


def test_a_phone_may_take_a_photo(browser: Any, site: str) -> None:
    view = View(browser, site, 360, has_touch=True, is_mobile=True)
    assert view.page.get_attribute("#photo", "capture") == "environment"
    assert view.page.is_visible("label[for=photo]")
    assert not view.page.is_visible("text=Drop pictures here")
    view.page.set_input_files("#photo", {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": png()})
    assert view.answered().startswith("defective")
    view.context.close()


# ---- answers ------------------------------------------------------------------------------------------------------


def test_none_of_these_is_said_in_plain_words(view: View) -> None:
    view.choose("odd.png")
    assert view.answered() == "None of these"
    assert view.page.inner_text(".not-says").startswith("This picture is unlike the ones that the model learnt from")
    assert view.status() == "odd.png: None of these."


def test_several_classes_can_be_meant(view: View) -> None:
    view.choose("unsure.png")
    assert view.answered().startswith("defective")
    assert view.page.inner_text(".set") == "Could be “defective” or “functional”."
    assert [float(width[:-1]) for width in view.page.eval_on_selector_all(".rail i", "bars => bars.map(bar => bar.style.width)")] == [
        pytest.approx(55),
        pytest.approx(45),
    ]


def test_a_single_class_with_a_low_score_is_not_called_likely(view: View) -> None:
    view.choose("low.png")
    assert view.answered() == "defective 58\u00a0%"
    assert view.page.inner_text(".set") == "Could be “defective”, but the score is low: look again."


def test_why_shows_the_heat_map_and_the_nearest_training_pictures(view: View) -> None:
    view.choose("one.png")
    view.answered()
    view.page.click("text=Why this answer?")
    view.page.wait_for_selector(".alike")
    assert view.page.get_attribute(".shot img", "src").startswith("data:image/png")
    assert view.page.inner_text(".shot figcaption").startswith("Orange places speak for “defective”")
    assert view.page.locator(".alike li").count() == 4
    assert view.page.get_attribute(".alike img >> nth=0", "alt") == "Training picture train <0>.png, class “defective”"
    view.page.select_option("#speaks", "functional")
    view.page.wait_for_selector("text=Orange places speak for “functional”")
    view.page.click("button:text-is('Picture')")
    assert view.page.get_attribute(".shot img", "src").startswith("blob:")
    assert view.page.get_attribute(".switch button >> nth=1", "aria-pressed") == "true"


def test_a_map_that_is_approximate_says_so(view: View) -> None:
    view.choose("about.png")
    view.answered()
    view.page.click("text=Why this answer?")
    view.page.wait_for_selector("text=This is approximate.")


def test_a_model_that_explains_nothing_says_so(view: View) -> None:
    view.choose("silent.png")
    view.answered()
    view.page.click("text=Why this answer?")
    view.page.wait_for_selector(".said .fault")
    assert view.page.inner_text(".said .fault") == "This model cannot tell what in the picture its answer rests on."


def test_a_busy_server_is_asked_again(view: View) -> None:
    view.choose("busy.png")
    assert view.answered().startswith("defective")
    assert len([text for text in view.said if "503" in text]) == 2
    view.said.clear()  # the browser tells of every 503 itself


def test_many_scores_are_folded(browser: Any, site_of_many: str) -> None:
    view = View(browser, site_of_many)
    view.choose("one.png")
    view.answered()
    assert view.page.locator(".bars li").count() == 5
    view.page.click("text=Show all 12 scores")
    assert view.page.locator(".bars li").count() == 12
    assert view.page.locator("text=This is wrong").count() == 0, "corrections are not wanted here"
    view.context.close()


# ---- what goes wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("broken.png", png(), "This is no picture that can be read."),
        ("large.png", b"0" * (MAX_BYTES + 1), "This file is larger than the server takes (2 MB)."),
        ("empty.png", b"", "The file is empty."),
    ],
)
def test_errors_are_in_plain_words(view: View, name: str, data: bytes, said: str) -> None:
    view.choose(name, data=data)
    assert view.answered() == "No answer"
    assert view.page.inner_text(".fault").startswith(said)
    assert view.status().startswith(f"{name}: {said}")
    if name == "broken.png":
        view.page.click("text=What the server said")
        assert "<b>here</b>" in view.page.inner_text("details code")
    view.said[:] = [text for text in view.said if "422" not in text]


def test_a_server_that_is_gone_is_said_and_can_be_tried_again(browser: Any) -> None:
    with running(make_app(CLASSES, Serving(), [])) as address:
        view = View(browser, address)
    view.choose("one.png")
    assert view.answered() == "No answer"
    assert view.page.inner_text(".fault") == "The server cannot be reached. Is it still running?"
    assert view.page.is_visible("text=Try again")
    view.context.close()


def test_the_key_is_asked_for_and_sent(browser: Any) -> None:
    with running(make_app(CLASSES, Serving(key=True), [], key="s3cret")) as address:
        view = View(browser, address)
        view.choose("one.png")
        assert view.answered() == "No answer"
        assert view.page.inner_text(".fault").startswith("The server asks for its key.")
        view.page.fill("#key", "s3cret")
        view.page.click("button:text-is('Try again')")
        view.page.wait_for_selector("#answer[data-state=done]")
        assert view.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])") == '[{},{},""]'
        view.context.close()


# ---- many pictures --------------------------------------------------------------------------------------------------

SEVERAL = ("b 2.png", "b 10.png", "a functional.png", "odd.png", "unsure, “quoted”.png", "broken.png")


def names(view: View) -> list[str]:
    return [str(name) for name in view.page.eval_on_selector_all("tbody tr:not([hidden]) .open", "all => all.map(one => one.textContent)")]


def test_a_table_can_be_sorted_filtered_and_opened(view: View) -> None:
    view.choose(*SEVERAL)
    view.all_answered()
    view.said[:] = [text for text in view.said if "422" not in text]
    assert names(view) == list(SEVERAL)
    assert view.page.inner_text("#summary") == view.status() == "5 answered, 2 to look at again, 1 without an answer"
    view.page.click("[data-order=name]")
    assert names(view)[:3] == ["a functional.png", "b 2.png", "b 10.png"]
    assert view.page.get_attribute("th >> nth=0", "aria-sort") == "ascending"
    view.page.click("[data-order=score]")
    assert names(view)[0] == "unsure, “quoted”.png"
    view.page.click("[data-order=score]")
    assert view.page.get_attribute("th >> nth=2", "aria-sort") == "descending"
    view.page.click("[data-filter=doubtful]")
    assert sorted(names(view)) == ["odd.png", "unsure, “quoted”.png"]
    view.page.click("[data-filter=failed]")
    assert names(view) == ["broken.png"]
    view.page.click("tbody tr:not([hidden]) .open")
    assert view.answered() == "No answer"
    assert view.page.evaluate("document.activeElement.tagName") == "H2", "the focus goes to the answer"
    view.page.click("text=Start over")
    assert not view.page.is_visible("#work")
    assert view.page.evaluate("document.activeElement.id") == "choose"


def test_the_table_is_saved_as_csv(view: View) -> None:
    view.choose(*SEVERAL)
    view.all_answered()
    view.said[:] = [text for text in view.said if "422" not in text]
    with view.page.expect_download() as waiting:
        view.page.click("text=Save as CSV")
    data = Path(waiting.value.path()).read_bytes()
    assert waiting.value.suggested_filename == "answers.csv"
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    told = ["none_of_these", "unknown", "set", "reliability", "selective_coverage", "selective_accuracy"]
    assert list(rows[0]) == ["path", "predicted", "p:defective", "p:functional", *told, "error"]
    assert [(row["reliability"], row["selective_accuracy"]) for row in rows] == [("0.91", "0.95")] * 5 + [("", "")]
    assert [row["path"] for row in rows] == list(SEVERAL)
    unsure, broken = rows[4], rows[5]
    assert (unsure["p:defective"], json.loads(unsure["set"])) == ("0.550000", ["defective", "functional"])
    assert [row["none_of_these"] for row in rows[:5]] == ["false", "false", "false", "true", "false"]
    assert (broken["predicted"], broken["error"][:30]) == ("", "This is no picture that can be")


# ---- corrections ----------------------------------------------------------------------------------------------------


def test_a_wrong_answer_is_corrected(view: View, kept: Corrections) -> None:
    before = kept.count()
    picture = png(77, (31, 17))
    view.choose("wrong.png", data=picture)
    view.answered()
    view.page.click("text=This is wrong")
    assert view.page.inner_text(".form .hint") == "The picture and this label will be kept on the server."
    view.page.click(".form .choices button:text-is('functional')")
    view.page.wait_for_selector("text=Kept as “functional”. Thank you.")
    assert (kept.folder / "functional" / f"{hashlib.sha256(picture).hexdigest()}.png").read_bytes() == picture
    assert view.page.inner_text("#collected") == f"Kept so far: {before + 1} of at most 1,000 pictures."
    assert view.page.locator("text=This is wrong").count() == 0


def test_a_new_class_can_be_named_and_a_bad_one_is_told(view: View, kept: Corrections) -> None:
    view.choose("other.png", data=png(78, (30, 17)))
    view.answered()
    view.page.click("text=This is wrong")
    view.page.click("text=Keep this correction")
    assert view.page.inner_text(".fault") == "Choose a class or write one."
    view.page.fill("#right", "../up")
    view.page.keyboard.press("Enter")
    view.page.wait_for_selector("text=This cannot be the name of a class here.")
    view.page.fill("#right", "焊接不良")
    view.page.keyboard.press("Enter")
    view.page.wait_for_selector("text=Kept as “焊接不良”. Thank you.")
    assert len(list((kept.folder / "焊接不良").iterdir())) == 1
    view.said[:] = [text for text in view.said if "400" not in text]


# ---- for everyone ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
@pytest.mark.parametrize("width", [360, 1400])
@pytest.mark.parametrize("many", [False, True])
def test_nothing_is_wider_than_the_screen(browser: Any, site: str, site_of_many: str, width: int, locale: str, many: bool) -> None:
    view = View(browser, site_of_many if many else site, width, locale=locale)
    assert view.page.evaluate("document.documentElement.lang") == ("zh-Hans" if locale == "zh-CN" else "en")
    for files in ((), ("an unusually long name " * 4 + "unsure.png",), SEVERAL):
        if files:
            view.choose(*files)
            view.answered()
            view.page.click(".deeds button >> nth=0")
            view.page.wait_for_selector(".alike")
        assert view.page.evaluate("document.documentElement.scrollWidth") <= width
        outside = "found => found.getBoundingClientRect().right > innerWidth + 1 && !found.closest('.quiet, .skip, option')"
        wide = f"[...document.querySelectorAll('main *')].filter({outside}).map(found => found.outerHTML.slice(0, 200))"
        assert view.page.evaluate(wide) == []
    view.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
def test_nothing_keeps_a_reader_out(browser: Any, site: str, scheme: str, locale: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    view = View(browser, site, locale=locale, color_scheme=scheme, bypass_csp=True)

    def look() -> None:
        view.page.wait_for_timeout(500)  # for colours that fade
        found = axe.Axe().run(view.page).response["violations"]
        grave = {
            rule["id"]: [node["html"][:160] for node in rule["nodes"][:3]] for rule in found if rule["impact"] in {"serious", "critical"}
        }
        assert grave == {}

    look()
    view.choose("unsure.png")
    view.answered()
    view.page.click(".deeds button >> nth=0")
    view.page.wait_for_selector(".alike")
    view.page.click(".deeds [aria-expanded]")
    look()
    view.choose(*SEVERAL)
    view.all_answered()
    look()
    view.page.click("tbody tr:last-child .open")
    view.page.evaluate("document.querySelector('.notes details').open = true")
    look()
    view.context.close()


def test_a_switch_of_the_language_loses_no_answer(view: View) -> None:
    view.choose(*SEVERAL)
    view.all_answered()
    view.said[:] = [text for text in view.said if "422" not in text]
    view.page.click("#language")
    assert view.page.evaluate("document.documentElement.lang") == "zh-Hans"
    assert view.page.inner_text("h1") == "图片里是什么？"
    assert view.page.inner_text("#count") == "6 张图片"
    assert view.page.inner_text("#answer .set") == "只可能是“defective”。"
    assert view.page.url.endswith("?lang=zh")
    view.page.click("#language")
    assert view.page.inner_text("#count") == "6 pictures"


def test_without_scripts_the_page_says_so(browser: Any, site: str) -> None:
    context = browser.new_context(java_script_enabled=False, locale="zh-CN")
    page = context.new_page()
    page.goto(site)
    assert page.inner_text("h1") == "图片里是什么？"
    assert page.inner_text("noscript").startswith("本页面需要 JavaScript")
    context.close()
