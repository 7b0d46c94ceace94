"""Cards of predictions: picture, heat map and neighbours where they are known, and nothing that is not."""

from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from seefit.report.cards import explained_rows, heat_words, make_cards, read_map
from seefit.report.record import read_run
from seefit.report.words import Words
from test_thumbnails import opened

EN = Words("en")


def test_a_card_has_picture_heat_map_and_neighbours(trained: Path) -> None:
    record = read_run(trained)
    explained = explained_rows(record)
    rows = list(explained)
    cards = make_cards(record, EN, rows)
    assert [card.title for card in cards] == [record.predictions[row].path for row in rows]
    assert [card.right for card in cards] == [record.predictions[row].right for row in rows]
    for row, card in zip(rows, cards, strict=True):
        assert opened(card.address).size == opened(card.heat).size == (160, 160)
        grey, heat = (np.ptp(np.asarray(opened(address).convert("RGB"), int), axis=2) for address in (card.address, card.heat))
        assert grey.max() < 20, "the photographs are grey"
        assert (heat > 40).mean() > 0.01
        assert card.heat_says.startswith(f"Heat map: speaks most for “{explained[row]['label']}” ")
        assert [label for _, label in card.alike] == [alike["label"] for alike in explained[row]["nearest"]]
        assert all(max(opened(address).size) == 72 for address, _ in card.alike)
    told = heat_words(record, EN, cards)
    assert len(told) == 2
    assert "This is exact" in told[0]


def test_a_run_without_explanations_has_plain_cards(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("insights"))
    record = read_run(tmp_path / "run")
    cards = make_cards(record, EN, [0, 1])
    assert all(card.address and not card.heat and not card.alike for card in cards)
    assert heat_words(record, EN, cards) == []


def test_pictures_that_are_gone_have_no_heat_map(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    config = (tmp_path / "run" / "config.yaml").read_text()
    (tmp_path / "run" / "config.yaml").write_text(config.replace(str(trained.parent / "photos"), str(tmp_path / "moved")))
    record = read_run(tmp_path / "run")
    cards = make_cards(record, EN, [0, 1])
    assert all(not card.address and not card.heat and not card.alike for card in cards)
    assert heat_words(record, EN, cards) == []


def test_some_pictures_have_a_map_and_that_is_said(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    path = tmp_path / "run" / "insights" / "explain.json"
    kept = json.loads(path.read_text())
    path.write_text(json.dumps(kept | {"exact": False, "pictures": kept["pictures"][:1]}))
    record = read_run(tmp_path / "run")
    row = kept["pictures"][0]["row"]
    told = heat_words(record, EN, make_cards(record, EN, [row, (row + 1) % len(record.predictions)]))
    assert told[0].startswith("The coloured picture is approximate.")
    assert told[1].startswith("1 of the 2 pictures have a heat map")


def test_maps_are_read_as_they_were_written() -> None:
    values = np.array([[127, -127], [64, 0]], np.int8)
    kept = {"map": base64.b64encode(values.tobytes()).decode(), "peak": 2.54}
    np.testing.assert_allclose(read_map(kept), [[2.54, -2.54], [1.28, 0]], atol=1e-6)


def test_heat_maps_are_small(trained: Path) -> None:
    record = read_run(trained)
    for card in make_cards(record, EN, list(explained_rows(record))):
        sizes = [len(base64.b64decode(address.split(",")[1])) for address in (card.heat, *(address for address, _ in card.alike))]
        assert sizes[0] < 8_000
        assert max(sizes[1:]) < 3_000
        assert Image.open(io.BytesIO(base64.b64decode(card.heat.split(",")[1]))).format == "WEBP"
