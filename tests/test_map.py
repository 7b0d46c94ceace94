"""The map of a run: which images are shown of which network, and what the report makes of it."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import Train
from made_run import make_run
from seefit.insights import insights
from seefit.insights import map as insight
from seefit.insights.map import find_map
from seefit.insights.material import Material
from seefit.report.map import map_section
from seefit.report.map_figures import spot
from seefit.report.record import Record, read_run
from seefit.report.words import Words

EN = Words("en")


@pytest.fixture
def seen(train_here: Train, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that trains; it gives the material that the map was drawn from, and the map."""

    def train(*data: Path, **given: Any) -> tuple[Any, dict[str, Any] | None]:
        found: list[Any] = []
        monkeypatch.setattr(insights, "INSIGHTS", {"map": lambda material: found.append(material)})
        train_here(*data, **given)
        return found[0], find_map(found[0])

    return train


def test_of_a_probe_all_images_are_shown_judged_ones_first(seen: Any) -> None:
    material, found = seen()
    assert material.judged is not None
    assert [one["space"] for one in found["maps"]] == ["frozen"]
    assert found["names"][: found["judged"]] == material.judged.names
    assert len(found["names"]) == found["candidates"] == 60
    assert set(found["names"]) == {sample.name for sample in material.scan.samples}
    assert found["said"][: found["judged"]] == material.judged.probabilities.argmax(1).tolist()
    assert set(found["said"][found["judged"] :]) == {-1}
    assert [material.classes[i] for i in found["labels"]] == [name.split("/")[0] for name in found["names"]]
    assert found["change"] is None
    assert found["views"] is None
    assert found["groups"] is None
    assert found["told"].startswith("Map: 60 pictures by t-SNE; trustworthiness of their neighbours (1 is perfect): frozen features 0.")
    assert sorted(found["pictured"]) == list(range(60)), "few enough for all"
    json.dumps(found)


def test_mistakes_are_pictured_first_and_their_neighbours_looked_at(seen: Any) -> None:
    material, found = seen()
    said, labels = np.array(found["said"]), np.array(found["labels"])
    wrong = np.flatnonzero((said >= 0) & (said != labels))
    assert set(found["pictured"][: len(wrong)]) == set(wrong.tolist())
    actual = [material.judged.probabilities[i, labels[i]] for i in found["pictured"][: len(wrong)]]
    assert actual == sorted(actual)
    assert 0 <= found["among_others"] <= len(wrong)
    assert sum(row[3] for row in found["table"]) == len(wrong)


@pytest.mark.parametrize(("given", "judged"), [({"test": 0}, 9), ({"test": 0, "val": 0}, 0)])
def test_without_a_test_part_validation_images_are_judged_or_none(seen: Any, given: dict[str, Any], judged: int) -> None:
    _, found = seen(**given)
    assert found["judged"] == judged
    assert len(found["names"]) == 60
    assert found["among_others"] == 0 or judged


def test_only_a_sample_of_many_images_is_shown(seen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insight, "MOST_POINTS", 30)
    _, found = seen()
    assert found["judged"] == 9
    assert len(found["names"]) == 30
    assert found["candidates"] == 60
    assert np.bincount(found["labels"]).tolist() == pytest.approx([15, 15], abs=2)


def trained_on(material: Material, **settings: Any) -> Material:
    """Return the material as if a network had been trained on from the probe."""
    return replace(material, fitted=replace(material.fitted), settings=material.settings.model_copy(update=settings))


def test_of_a_trained_network_only_judged_images_are_shown(seen: Any) -> None:
    material, _ = seen(test=0.5)
    found = find_map(trained_on(material, augment="any-way-up"))
    assert found is not None
    assert [one["space"] for one in found["maps"]] == ["frozen", "trained"]
    assert found["judged"] == len(found["names"]) == found["candidates"] == 30
    assert found["change"]["low"] <= found["change"]["value"] <= found["change"]["high"]
    assert abs(found["change"]["value"]) < 0.1, "the same network by two engines"
    assert len(found["views"]["labels"]) == 4 * 30
    assert [found["labels"][point] for point in found["views"]["points"]] == found["views"]["labels"][::4]
    assert 0 <= found["views"]["own"] <= 1
    assert "mirrored" in found["views"]["augmentation"]
    assert "frozen features" in found["told"]
    assert "trained features" in found["told"]


def test_judged_images_whose_files_are_gone_have_no_map_of_the_network_before(seen: Any, tmp_path: Path, warm: Path) -> None:
    shutil.copytree(warm, tmp_path / "photos")
    material, _ = seen(tmp_path / "photos", test=0.5)
    (tmp_path / "photos" / material.judged.names[0]).unlink()
    found = find_map(trained_on(material, augment="any-way-up"))
    assert found is not None
    assert [one["space"] for one in found["maps"]] == ["trained"]
    assert found["views"] is None
    assert found["change"] is None


def test_a_network_from_scratch_has_a_map_of_its_own_alone(seen: Any) -> None:
    material, _ = seen(test=0.5)
    found = find_map(trained_on(material, augment="none", method="scratch"))
    assert found is not None
    assert [one["space"] for one in found["maps"]] == ["trained"]
    assert found["views"] is None


def test_too_few_images_or_lost_features_are_no_map(seen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    material, _ = seen()
    monkeypatch.setattr(insight, "kept_features", lambda digests, _: [None for _ in digests])
    assert find_map(material) is None
    monkeypatch.undo()
    monkeypatch.setattr("seefit.evaluation.embedding.FEWEST_POINTS", 61)
    assert find_map(material) is None


def test_the_classes_with_most_mistakes_have_the_colours() -> None:
    labels = np.repeat(np.arange(12), 5)
    said = labels.copy()
    said[labels == 11] = 3
    said[-20:-15] = -1
    assert insight._coloured(labels, said, 12) == [3, 11, 0, 1, 2, 4, 5, 6]
    assert insight._coloured(labels[:35], said[:35], 7) == [0, 1, 2, 3, 4, 5, 6]


# ---- the section -----------------------------------------------------------------------------------------------


def made(photos: dict[str, list[Path]], root: Path, **changes: Any) -> dict[str, Any]:
    names = [path.relative_to(root).as_posix() for paths in photos.values() for path in paths]
    labels = [i for i, paths in enumerate(photos.values()) for _ in paths]
    rng = np.random.default_rng(0)
    count = len(names)
    one = {
        "space": "frozen",
        "x": rng.random(count).round(4).tolist(),
        "y": rng.random(count).round(4).tolist(),
        "trustworthiness": 0.97,
        "flat": 0.84,
        "silhouette": 0.06,
        "same": 0.8,
        "by_chance": 0.5,
    }
    said = [1 - label if i % 4 == 0 else label for i, label in enumerate(labels)]
    said[-1] = -1
    found = {
        "candidates": count,
        "judged": count - 1,
        "perplexity": 30.0,
        "neighbours": 10,
        "coloured": [0, 1],
        "names": names,
        "labels": labels,
        "said": said,
        "sure": [0.9] * count,
        "maps": [one],
        "pictured": [0, 4, count - 1],
        "among_others": 1,
        "table": [[0, count // 2, count // 2, 2, 0.7], [1, count // 2, count // 2, 2, 0.9]],
        "groups": None,
        "change": None,
        "views": None,
    }
    return found | changes


@pytest.fixture
def record(tmp_path: Path, elpv_cells: dict[str, list[Path]]) -> Record:
    root = elpv_cells["functional"][0].parents[1]
    photos = {name: paths[:6] for name, paths in elpv_cells.items()}
    run = make_run(tmp_path / "run", photos, root=root)
    (run / "insights").mkdir()
    (run / "insights" / "map.json").write_text(json.dumps(made(photos, root)))
    return read_run(run)


def change(record: Record, **changes: Any) -> Record:
    path = record.run / "insights" / "map.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return record


def test_the_section_draws_classes_and_mistakes_and_opens_pictures(record: Record) -> None:
    section = map_section(record, EN)
    assert section is not None
    classes, mistakes = section.pictures
    assert classes.says.startswith(
        "As the network sees them before any training: of the 10 pictures that are most like a picture, 80 of 100"
    )
    assert mistakes.says.startswith("Crosses are the 3 of 11 judged pictures that were named wrong. 1 of them lie mostly among")
    assert "0.97, where 1 would mean" in section.lead[2]
    assert "(PCA) reaches 0.84" in section.lead[2]
    assert classes.spots == mistakes.spots
    assert [dot.key for dot in classes.spots] == [peek.key for peek in section.peeks] == ["map-1", "map-2", "map-3"]
    assert all(0 < dot.left < 100 and 0 < dot.top < 100 for dot in classes.spots)
    assert [(peek.before, peek.after) for peek in section.peeks] == [("map-3", "map-2"), ("map-1", "map-3"), ("map-2", "map-1")]
    assert [peek.wrong for peek in section.peeks] == [True, True, False]
    assert section.peeks[0].address.startswith("data:image/webp;base64,")
    assert list(section.peeks[0].lines) == ["said defective (90\u00a0%)", "really functional"]
    assert list(section.peeks[2].lines) == ["really defective", "not judged: it was learnt from"]
    assert classes.table is not None
    assert [row[1] for row in classes.table.rows] == ["0.970", "0.840", "80.0\u00a0%", "50.0\u00a0%", "0.060", "70.0\u00a0%", "90.0\u00a0%"]


def test_thousands_of_dots_are_few_elements(record: Record) -> None:
    count = 3_000
    found = json.loads((record.run / "insights" / "map.json").read_text())
    rng = np.random.default_rng(0)
    one = found["maps"][0] | {"x": rng.random(count).tolist(), "y": rng.random(count).tolist()}
    labels, said = rng.integers(2, size=count).tolist(), rng.integers(-1, 2, size=count).tolist()
    names = [found["names"][i % 12] for i in range(count)]
    section = map_section(change(record, maps=[one], labels=labels, said=said, names=names, sure=[0.5] * count, candidates=9_000), EN)
    assert section is not None
    for picture in section.pictures:
        assert picture.svg.count("<path") < 15
        assert len(picture.svg) < 250_000
    assert "Shown are 3,000 of 9,000 pictures" in section.lead[2]


def test_a_trained_network_is_compared_with_what_it_was(record: Record) -> None:
    found = json.loads((record.run / "insights" / "map.json").read_text())
    maps = [found["maps"][0], found["maps"][0] | {"space": "trained", "same": 0.9, "x": found["maps"][0]["y"], "y": found["maps"][0]["x"]}]
    views = found["maps"][0] | {
        "labels": [0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0],
        "views": 3,
        "points": [0, 7, 4],
        "own": 0.7,
        "augmentation": "turned by quarters",
    }
    more = change(
        record,
        maps=maps,
        views=views,
        change={"value": 0.1, "low": 0.04, "high": 0.16},
        groups={"same": 0.6, "by_chance": 0.02, "count": 45},
    )
    section = map_section(more, EN)
    assert section is not None
    assert [picture.name for picture in section.pictures] == ["map-frozen", "map-trained", "map-mistakes", "map-views"]
    frozen, trained, mistakes, changed = (picture.spots for picture in section.pictures)
    keys = [[dot.key for dot in dots] for dots in (frozen, trained, mistakes, changed)]
    assert keys == [["map-1", "map-2", "map-3"]] * 3 + [["map-1", "map-2"]], "every dot with a picture opens it, on every map"
    assert mistakes == trained
    for i, one, (dot, *_) in ((0, maps[0], frozen), (0, maps[1], trained), (0, views, changed)):
        assert (dot.left, dot.top) == spot(one["x"][i], one["y"][i])
    assert (changed[1].left, changed[1].top) == spot(views["x"][8], views["y"][8]), "the third image, after four views of each before it"
    lead = "\n".join(section.lead)
    assert "Only judged pictures are shown" in lead
    assert "The pictures come in 45 groups." in lead
    assert "changed by +10.0 points (+4.0 to +16.0)" in lead
    assert "70 of 100 versions still are most like" in section.pictures[3].says
    chinese = map_section(more, Words("zh"))
    assert chinese is not None
    assert chinese.pictures[3].table is not None
    assert chinese.pictures[3].table.rows[0] == ["作了哪些变化", "旋转 90° 的整数倍"]
    unsure = map_section(change(more, change={"value": 0.1, "low": -0.04, "high": 0.16}), EN)
    assert unsure is not None
    assert any(line.startswith("These pictures do not show that training") for line in unsure.lead)
    less = map_section(change(more, change={"value": -0.1, "low": -0.16, "high": -0.04}), EN)
    assert less is not None
    assert any("further apart" in line for line in less.lead)


def test_a_run_without_judged_images_has_no_map_of_mistakes(record: Record) -> None:
    section = map_section(change(record, judged=0, said=[-1] * 12), EN)
    assert section is not None
    assert [picture.name for picture in section.pictures] == ["map-frozen"]
    none_wrong = map_section(change(record, judged=12, said=json.loads((record.run / "insights" / "map.json").read_text())["labels"]), EN)
    assert none_wrong is not None
    assert none_wrong.pictures[1].says == "None of the 12 judged pictures was named wrong."


def test_dots_of_long_names_say_little(record: Record) -> None:
    section = map_section(change(record, names=["&" * 240 + str(i) for i in range(12)]), EN)
    assert section is not None
    assert {len(dot.title) for picture in section.pictures for dot in picture.spots} == {120}
    assert section.pictures[0].spots[0].title.startswith("said defective (90\u00a0%) · really functional · &&&")


def test_pictures_that_are_gone_are_said_to_be(record: Record) -> None:
    gone = change(record, names=["gone/" + str(i) for i in range(12)])
    section = map_section(gone, EN)
    assert section is not None
    assert {(peek.address, peek.missing) for peek in section.peeks} == {("", "picture no longer there")}


def test_no_map_is_no_section(record: Record) -> None:
    (record.run / "insights" / "map.json").unlink()
    assert map_section(record, EN) is None


def test_every_dot_of_the_page_leads_somewhere(record: Record) -> None:
    from seefit.report.report import build_report

    page = build_report(record.run, lang="zh").read_text(encoding="utf-8")
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    targets = set(re.findall(r'href="#([^"]+)"', page))
    assert {"map-1", "map-2", "map-3", "map-closed"} <= targets <= set(ids)
    assert "<script" not in page
