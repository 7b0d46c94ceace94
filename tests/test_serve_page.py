"""The page of a served model: whole, escaped, in both languages, and with nothing in it that its own policy forbids."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import seefit.deploy.serve as package
from seefit.deploy.serve.corrections import Corrections
from seefit.deploy.serve.page import FILES, POLICY, Facts, Serving, choose_language, mount_page, read_file, render_page, sentences
from seefit.deploy.serve.refusals import Refusal
from seefit.report.words import Words

pytest.importorskip("fastapi", reason="fastapi is not installed")
pytest.importorskip("httpx", reason="httpx is not installed")

ASSETS = Path(package.__file__).parent / "assets"
TRUST = {"sets": {"coverage": 0.9}, "unknown": {"rate": 0.05}}
FACTS = Facts("cells", "0123456789abcdef" * 4, ("defective", "functional"), {"trust": TRUST})
HOSTILE = Facts("</script><b>", "0" * 64, ("<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>", "{name}", "\x1b[31m"), {})


def told(page: str) -> Any:
    """What the modules of a page are told."""
    found = re.search(r'<script type="application/json" id="told">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


@pytest.mark.parametrize(
    ("asked", "accepted", "lang"),
    [
        (None, "", "en"),
        (None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        (None, "de,en;q=0.7,zh;q=0.8", "zh"),
        (None, "zh;q=0,fr", "en"),
        (None, "zh;q=nan,;;,=,\x00", "zh"),
        ("zh", "en", "zh"),
        ("fr", "en", "en"),
        ("en", "zh", "en"),
    ],
)
def test_the_language_is_the_browsers_unless_one_is_asked_for(asked: str | None, accepted: str, lang: str) -> None:
    assert choose_language(asked, accepted) == lang


@pytest.mark.parametrize(("lang", "tag", "headline"), [("en", "en", "What is in your picture?"), ("zh", "zh-Hans", "图片里是什么？")])
def test_the_page_is_there_before_any_script_runs(lang: str, tag: str, headline: str) -> None:
    page = render_page(FACTS, lang)
    assert f'<html lang="{tag}">' in page
    assert headline in page
    assert "{" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL), "every place is filled"
    assert told(page)["facts"] == {"name": "cells", "hash": "0123456789ab", "count": "2", "coverage": "90", "rate": "5", "size": "32"}


def test_what_the_model_cannot_do_is_not_explained() -> None:
    assert FACTS.helps() == ["help_score", "help_set", "help_none", "help_heat", "help_doubt"]
    assert Facts("m", "0", ("a", "b"), {"calibrated": False, "trust": None}).helps() == ["help_uncalibrated", "help_heat", "help_doubt"]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_hostile_names_are_harmless(lang: str) -> None:
    page = render_page(HOSTILE, lang)
    outside = re.sub(r'<script type="application/json" id="told">.*?</script>', "", page, count=1, flags=re.DOTALL)
    assert told(page)["classes"] == list(HOSTILE.classes)
    assert len(re.findall("<script", page)) == 2
    assert not re.search(r"<img|<b>|\x1b", outside)


def test_behind_a_key_the_page_tells_nothing_of_the_model() -> None:
    page = render_page(FACTS, "en", Serving(key=True))
    assert not re.search("defective|functional|cells|0123456789", page)
    assert told(page)["classes"] == []
    assert "This server asks for a key" in page.split("</script>")[-1]


def test_nothing_inline_and_nothing_from_elsewhere() -> None:
    page = render_page(FACTS, "en", Serving(key=True))
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)
    assert re.findall(r"<script([^>]*)>", page) == [
        ' type="application/json" id="told"',
        ' type="module" src="static/page.js"',
    ]
    everything = page + "".join(read_file(name).decode() for name in FILES)
    addresses = set(re.findall(r"https?://[\w./]+", everything)) - {"http://www.w3.org/2000/svg"}
    assert addresses == set()
    assert "unsafe" not in POLICY
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", everything)


def test_the_package_holds_every_file_and_no_other() -> None:
    assert {path.name for path in ASSETS.iterdir()} == {*FILES, "page.html"}
    style = read_file("page.css").decode()
    assert "{{" not in style.split("*/", 1)[1]
    assert "--sf-accent: #1f5f8b" in style


def test_every_sentence_of_the_page_is_used_and_every_used_one_exists() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in [*ASSETS.iterdir(), ASSETS.parent / "page.py"])
    spoken = set(re.findall(r"""(?:\bt|say)\(\s*["'](\w+)["']|data-t="(\w+)\"""", source))
    used = {name for pair in spoken for name in pair if name}
    quoted = set(re.findall(r"""["'](\w+)["']""", source))
    shaped = {f"error_{name}" for name in quoted} | {f"filter_{name}" for name in ("all", "doubtful", "failed")}
    assert used <= set(sentences("en"))
    assert set(Words("en").under("serve.")) - quoted - shaped - used == set()
    for failure in re.findall(r'Failure\("(\w+)"', source):
        assert f"error_{failure}" in sentences("zh")


def serve(serving: Serving) -> Any:
    from fastapi import FastAPI
    from starlette.testclient import TestClient

    app = FastAPI()
    mount_page(app, lambda: FACTS, serving)
    return TestClient(app)


def test_the_page_and_its_files_are_served_under_the_policy() -> None:
    client = serve(Serving())
    page = client.get("/", headers={"accept-language": "zh-CN"})
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert (page.headers["content-security-policy"], page.headers["content-language"]) == (POLICY, "zh")
    for name in FILES:
        found = client.get(f"/static/{name}")
        assert (found.status_code, found.content) == (200, read_file(name))
        assert found.headers["content-type"].split(";")[0] in {"text/css", "text/javascript", "image/svg+xml"}
        assert found.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["page.html", "..%2fpage.py", "%2e%2e/page.py", "a%00b", ""])
def test_nothing_else_is_served(path: str) -> None:
    answer = serve(Serving()).get(f"/static/{path}")
    assert answer.status_code == 404
    assert "mount_page" not in answer.text


def test_corrections_are_announced_where_they_are_wanted_and_only_there(tmp_path: Path) -> None:
    page = render_page(FACTS, "en")
    assert "it keeps none of them" in page
    assert told(page)["corrections"] is False
    assert serve(Serving()).post("/corrections").status_code == 404
    wanted = Serving(corrections=Corrections(tmp_path / "kept", FACTS.classes))
    page = render_page(FACTS, "en", wanted)
    assert "It keeps only those whose answer you correct" in page
    assert "Kept so far: 0 of at most 1,000 pictures." in page
    assert "it keeps none of them" not in page.split("</script>")[-1]
    with pytest.raises(Refusal, match="Cannot keep the correction"):
        serve(wanted).post("/corrections")
