"""What a manifest says of trust is doubted before it is used, and bundles without it still work."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from command import seefit
from conftest import read_csv
from forged import change_model, damage, refusal, reseal
from seefit.bundle.bundle import load
from seefit.bundle.confidence import TOLD
from seefit.bundle.manifest import MANIFEST
from seefit.bundle.sets import SetRule
from seefit.bundle.trusted import METHOD, Trust, is_usable, read_confidence, read_sets, refuses
from seefit.models.backbone import Backbone
from test_confidence import CONFIDENCE
from test_unknown import made
from tiny import CLASSES, make_bundle, make_parts

if TYPE_CHECKING:
    from onnx import ModelProto

RULE = SetRule(0.9, np.array([0.7, 0.8]), np.array([False, True]))
WHOLE = Trust("val", 80, RULE, made(2), 0.05, CONFIDENCE)


@pytest.fixture(scope="session")
def sealed(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Backbone) -> Path:
    from dataclasses import replace

    from seefit.bundle.bundle import save_bundle

    folder = tmp_path_factory.mktemp("trusted") / "bundle"
    save_bundle(folder, replace(make_parts(tiny_backbone), trust=WHOLE))
    return folder


@pytest.fixture
def bundle(sealed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sealed, tmp_path / "bundle"))


def test_what_was_fitted_is_read_back() -> None:
    manifest: dict[str, Any] = {"classes": list(CLASSES), "trust": WHOLE.to_json(CLASSES)}
    assert manifest["trust"]["unknown"] == {"threshold": 1.0, "rate": 0.05, "method": METHOD}
    assert is_usable(manifest)
    assert refuses(manifest)
    rule = read_sets(manifest)
    assert rule is not None
    assert rule.limits.tolist() == [0.7, 0.8]
    told = read_confidence(manifest)
    assert told is not None
    assert told.of(0.7) == CONFIDENCE.of(0.7)


@pytest.mark.parametrize("trust", [None, {}, Trust().to_json(CLASSES)])
def test_a_bundle_may_say_nothing_of_it(trust: Any) -> None:
    manifest = {"classes": list(CLASSES)} | ({} if trust is None else {"trust": trust})
    assert is_usable(manifest)
    assert (read_sets(manifest), refuses(manifest), read_confidence(manifest)) == (None, False, None)


def spoil(*keys: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(said: Any) -> None:
        for key in keys[:-1]:
            said = said[key]
        said[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        spoil("sets", value="all"),
        spoil("sets", "coverage", value=1.0),
        spoil("sets", "coverage", value="0.9"),
        spoil("sets", "penalty", value=-1),
        spoil("sets", "free_ranks", value=None),
        spoil("sets", "limit", value=None),
        spoil("sets", "limit", value=float("nan")),
        spoil("sets", "class_limits", value={"functional": "x"}),
        spoil("sets", "class_limits", value={"functional": 10**400}),
        spoil("unknown", value=[]),
        spoil("unknown", value={"threshold": 0.5, "rate": 0.05}),
        spoil("unknown", value={"threshold": 1.0, "rate": 1}),
        spoil("fitted_on", value="nowhere"),
        spoil("images", value="many"),
        spoil("confidence", value="high"),
        spoil("confidence", "ece", "value", value=float("nan")),
        spoil("confidence", "ece", "more", value=1),
        spoil("confidence", "bins", 0, "low", value="0.6"),
        spoil("confidence", "bins", 0, "images", value=None),
        spoil("confidence", "bins", 0, "accuracy", "low", value=-0.1),
        spoil("confidence", "selective", value=[]),
        spoil("confidence", "selective", 0, "score", value=0.1),
        spoil("confidence", "selective", 0, "coverage", value=None),
        spoil("confidence", "selective", 0, "accuracy", value=None),
    ],
)
def test_what_cannot_be_used_is_refused(change: Callable[[dict[str, Any]], None], bundle: Path) -> None:
    said = copy.deepcopy(WHOLE.to_json(CLASSES))
    change(said)
    reseal(bundle, trust=said)
    assert refusal(bundle).startswith(f"The bundle is damaged: {bundle / MANIFEST}. Expected trust as a model has it, got ")


def test_a_graph_without_the_output_that_the_manifest_promises_is_refused(bundle: Path) -> None:
    def lose(model: ModelProto) -> None:
        kept = [output for output in model.graph.output if output.name != "unknown"]
        del model.graph.output[:]
        model.graph.output.extend(kept)

    change_model(bundle, lose)
    assert refusal(bundle).startswith(damage(bundle / "model.onnx", "Expected a graph from image over pixels to probabilities"))


def test_a_graph_whose_output_has_another_shape_is_refused(bundle: Path) -> None:
    def swap(model: ModelProto) -> None:
        next(node for node in model.graph.node if "unknown" in node.output).input[0] = "logits"

    change_model(bundle, swap)
    assert refusal(bundle) == damage(bundle / "model.onnx", "Expected one number per image as unknown, got another shape.")


def test_the_console_says_what_stands_against_a_class(bundle: Path, elpv_cells: dict[str, list[Path]]) -> None:
    photo = elpv_cells["defective"][0]
    (found,) = load(bundle).predictions(photo)
    (entry,) = seefit("predict", bundle, photo, "--json").json
    assert entry["none_of_these"] == found.none_of_these
    assert entry["unknown"] == found.unknown
    assert entry["set"] == list(found.members or ())
    assert {key: entry[key] for key in TOLD} == CONFIDENCE.of(entry["predictions"][0]["score"])
    scores = ", ".join(f"{item['label']} {item['score']:.1%}" for item in entry["predictions"])
    answer = seefit("predict", bundle, photo)
    line = answer.out
    assert answer.err == (
        "Scores: on 80 validation images they were off by 3.0% [1.0%, 6.0%] on average (ECE). "
        "From 80% on, 75% would be answered, 90.0% [70.0%, 98.0%] of these rightly\n"
    )
    if found.none_of_these:
        assert line == f"{photo}: {scores} (none of these? unlike the training images: {found.unknown:.2f}, limit 1)\n"
    else:
        doubt = f" (may be {' or '.join(entry['set'])})" if len(entry["set"]) > 1 else ""
        assert line == f"{photo}: {scores}{doubt}\n"


def test_the_table_has_them_as_columns(bundle: Path, elpv_cells: dict[str, list[Path]], tmp_path: Path) -> None:
    photos = elpv_cells["functional"][:3]
    assert seefit("predict", bundle, *photos, "--csv", tmp_path / "out.csv").code == 0
    rows = read_csv(tmp_path / "out.csv")
    assert list(rows[0]) == ["path", "predicted", *(f"p:{name}" for name in CLASSES), "none_of_these", "unknown", "set", *TOLD]
    entries = seefit("predict", bundle, *photos, "--json").json
    import json

    for row, entry in zip(rows, entries, strict=True):
        assert json.loads(row["set"]) == entry["set"]
        assert json.loads(row["none_of_these"]) is entry["none_of_these"]
        assert float(row["selective_accuracy"]) == entry["selective_accuracy"]
        assert float(row["unknown"]) == pytest.approx(entry["unknown"])


def test_the_same_picture_always_gets_the_same_set(bundle: Path, elpv_cells: dict[str, list[Path]], tmp_path: Path) -> None:
    photo = elpv_cells["functional"][0]
    shutil.copy(photo, tmp_path / "copy.png")
    one, two = load(bundle).predictions([photo, tmp_path / "copy.png"])
    assert one.members == two.members


def test_without_them_nothing_is_added(tiny_backbone: Backbone, tmp_path: Path, elpv_cells: dict[str, list[Path]]) -> None:
    plain = make_bundle(tmp_path / "plain", tiny_backbone)
    (entry,) = seefit("predict", plain, elpv_cells["functional"][0], "--json").json
    assert set(entry) == {"path", "predictions"}
