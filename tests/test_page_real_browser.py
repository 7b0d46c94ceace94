"""The page, the server, the bundle and the next run together, in a real browser."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from command import seefit
from conftest import PhotoFolder, Train, read_csv
from made_server import running
from page_view import View
from seefit.bundle.bundle import load
from seefit.deploy.serve.app import create_app
from seefit.deploy.serve.corrections import Corrections
from test_browser import CHROMIUM

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")]


def test_from_a_run_to_a_better_one(browser: Any, train_here: Train, photo_folder: PhotoFolder, tmp_path: Path) -> None:
    """The real server: what the page shows is what the bundle says, and what is corrected is what the next run learns from."""
    run = train_here(gallery=True).path
    bundle, folder = load(run), tmp_path / "corrected"
    known = {row["sha256"] for row in read_csv(run / "split.csv")}
    photos = [path for path in sorted(photo_folder(34).rglob("*.png")) if hashlib.sha256(path.read_bytes()).hexdigest() not in known][:3]
    with running(create_app(bundle, "cells", corrections=Corrections(folder, bundle.classes))) as address:
        view = View(browser, address)
        for path in photos:
            view.choose(path.name, data=path.read_bytes())
            view.page.wait_for_selector(f"#answer[data-state=done] p:text-is('{path.name}')")
            best = bundle.predict(path)[0][0]
            title = "None of these" if next(bundle.predictions(path)).none_of_these else best["label"]
            assert view.answered().startswith(title)
            view.page.click("text=Why this answer?")
            view.page.wait_for_selector(".alike")
            assert view.page.locator(".alike img").count() == 4
            assert view.page.evaluate(
                "[...document.querySelectorAll('.alike img')].every(image => image.complete && image.naturalWidth > 0)"
            )
            view.page.click("text=This is wrong")
            view.page.fill("#right", "defective")
            view.page.keyboard.press("Enter")
            view.page.wait_for_selector("text=Kept as “defective”. Thank you.")
        assert view.said == []
        view.context.close()
    answer = seefit("train", folder, "--extend", run, "--out", tmp_path / "second", "--json")
    assert answer.code == 0, answer.err
    labels = {row["sha256"]: row["label"] for row in read_csv(tmp_path / "second" / "split.csv")}
    assert [labels[hashlib.sha256(path.read_bytes()).hexdigest()] for path in photos] == ["defective"] * 3
