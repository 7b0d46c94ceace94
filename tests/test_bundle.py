"""Bundles: what loads, and everything that must be refused before it does harm."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from command import seefit
from forged import change_model, damage, refusal, reseal, save_tensors
from seefit import load as load_from_package
from seefit.bundle import bundle as module
from seefit.bundle.bundle import copy_bundle, load, save_bundle
from seefit.bundle.golden import golden_images
from seefit.bundle.manifest import MANIFEST, manifest_hash
from seefit.errors import ArtefactError, ResourceError
from seefit.models.backbone import Backbone
from tiny import make_bundle, make_parts

if TYPE_CHECKING:
    from onnx import ModelProto

OLD = Path(__file__).parent / "golden" / "format-1"
FILES = ["model.onnx", "head.safetensors", "golden.safetensors", MANIFEST, *(f"golden/{name}" for name in golden_images())]


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """Return a copy that a test may change."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


# What loads


def test_a_bundle_loads_and_answers_as_it_did_when_written(tiny_bundle: Path) -> None:
    bundle = load(tiny_bundle)
    bundle.verify()
    assert bundle.classes == ("defective", "functional")
    assert bundle.hash == json.loads((tiny_bundle / MANIFEST).read_text())["hash"]
    assert repr(bundle) == f"<Bundle {tiny_bundle}: 2 classes, tiny>"


def test_a_run_or_its_bundle_may_be_named(bundle: Path) -> None:
    assert load(bundle.parent).folder == load(str(bundle)).folder == load_from_package(bundle).folder == bundle


def test_the_same_parts_give_the_same_bundle(tiny_backbone: Backbone, tiny_bundle: Path, tmp_path: Path) -> None:
    again = make_bundle(tmp_path / "again", tiny_backbone)
    assert {name: (again / name).read_bytes() for name in FILES} == {name: (tiny_bundle / name).read_bytes() for name in FILES}
    assert {str(path.relative_to(again)) for path in again.rglob("*") if path.is_file()} == set(FILES)


def test_the_model_card_is_outside_the_hash(bundle: Path) -> None:
    before = load(bundle).hash
    (bundle / "README.md").write_text("# A model")
    assert load(bundle).hash == before


def test_a_bundle_of_format_1_still_loads_and_answers_as_then(tmp_path: Path) -> None:
    """The texts were written with the first bundles and are never made again; only what encoders decide is made anew."""
    from onnx import numpy_helper, parser

    manifest = json.loads((OLD / MANIFEST).read_text("utf-8"))
    assert (manifest["format"], manifest["hash"]) == (1, manifest_hash(manifest))
    model = parser.parse_model((OLD / "model.onnx.txt").read_text("utf-8"))
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    answers = np.array(json.loads((OLD / "answers.json").read_text())["probabilities"], np.float32)
    (tmp_path / "golden").mkdir()
    for name, data in golden_images().items():
        (tmp_path / "golden" / name).write_bytes(data)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    save_tensors(tmp_path / "head.safetensors", weight=weights["head/weight"], bias=weights["head/bias"])
    save_tensors(tmp_path / "golden.safetensors", probabilities=answers)
    shutil.copy(OLD / MANIFEST, tmp_path / MANIFEST)
    reseal(tmp_path)
    bundle = load(tmp_path)
    bundle.verify()
    assert bundle.classes == ("Äpfel", "<b>pears</b>", "quinces 10")
    assert not bundle.explain(tmp_path / "golden" / "rgb.png").exact, "there was no class map then"


@pytest.mark.parametrize("classes", [("<script>alert(1)</script>", "\x1b[31mred\x1b[0m"), ("a,b\n\t\"c'", "\0"), ("é 🐈", "2"), ("", " ")])
def test_odd_labels_survive_and_are_harmless_where_shown(
    classes: tuple[str, str], tmp_path: Path, tiny_backbone: Backbone, elpv_cells: dict[str, list[Path]]
) -> None:
    folder = make_bundle(tmp_path / "odd", tiny_backbone, classes)
    bundle = load(folder)
    assert bundle.classes == classes
    assert bundle.predict(elpv_cells["defective"][0])[0][0]["label"] in classes
    shown = seefit("predict", folder, elpv_cells["defective"][0])
    assert shown.code == 0
    assert not set(shown.out.rstrip("\n")) & set("\x1b\0\n\t")
    answer = seefit("predict", folder, elpv_cells["defective"][0], "--json").json
    assert {item["label"] for item in answer[0]["predictions"]} == set(classes)


def test_facts_that_json_cannot_hold_do_not_spoil_the_hash(tmp_path: Path, tiny_backbone: Backbone) -> None:
    folder = make_bundle(tmp_path / "bundle", tiny_backbone, note=float("nan"), source="caf\udce9")
    assert (load(folder).manifest["note"], load(folder).manifest["source"]) == (None, "caf\ufffd")


# Damage


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_anywhere_is_refused(name: str, bundle: Path) -> None:
    path = bundle / name
    good = path.read_bytes()
    for place in np.linspace(0, len(good) - 1, 12).astype(int):
        bad = bytearray(good)
        bad[place] ^= 1 << int(place) % 8
        path.write_bytes(bad)
        assert refusal(bundle).startswith(f"The bundle is damaged: {path}. Expected ")
    path.write_bytes(good)
    load(bundle)


@pytest.mark.parametrize("name", FILES[:-1])
def test_a_cut_or_missing_file_is_refused(name: str, bundle: Path) -> None:
    path = bundle / name
    path.write_bytes(path.read_bytes()[:-1])
    assert refusal(bundle).startswith(f"The bundle is damaged: {path}. ")
    path.unlink()
    if name != MANIFEST:
        assert refusal(bundle) == damage(path, "Expected a readable file, got No such file or directory.")
    else:
        assert refusal(bundle).endswith("Expected a run, bundle or export, got a folder without bundle.json.")


def test_the_digest_of_a_changed_file_is_told(bundle: Path) -> None:
    digest = json.loads((bundle / MANIFEST).read_text())["files"]["model.onnx"]
    (bundle / "model.onnx").write_bytes(b"")
    rest = f"Expected sha256 {digest[:16]}… as the manifest says, got e3b0c44298fc1c14…."
    assert refusal(bundle) == damage(bundle / "model.onnx", rest)


def test_a_pipe_or_folder_in_place_of_a_file_does_not_keep_us_waiting(bundle: Path) -> None:
    for make in (os.mkfifo, os.mkdir):
        path = bundle / "golden" / ("dot.png" if make is os.mkfifo else "tall.png")
        path.unlink()
        make(path)
        assert refusal(bundle) == damage(path, "Expected a regular file, got something else.")
        (path.unlink if make is os.mkfifo else path.rmdir)()
        path.write_bytes(golden_images()[path.name])
    load(bundle)


# Golden images


def test_altered_answers_are_told_with_the_image(bundle: Path) -> None:
    from safetensors.numpy import load_file

    answers = load_file(bundle / "golden.safetensors")["probabilities"].copy()
    answers[3] += [0.25, -0.25]
    answers[9] += np.float32(0.0005)  # within the tolerance
    save_tensors(bundle / "golden.safetensors", probabilities=answers)
    reseal(bundle)
    altered = load(bundle)
    with pytest.raises(ArtefactError) as caught:
        altered.verify()
    assert caught.value.message == (
        f"The bundle answers differently here: {bundle}. "
        "Expected the kept answers to its golden images within 0.001, got alpha.png by 0.2500."
    )
    answers[:] = np.nan
    save_tensors(bundle / "golden.safetensors", probabilities=answers)
    reseal(bundle)
    with pytest.raises(ArtefactError, match=r"rgb\.png by nan, grey\.png by nan, .* dot\.png by nan"):
        load(bundle).verify()


def test_altered_weights_are_seen_by_the_golden_images(bundle: Path) -> None:
    def louder(model: ModelProto) -> None:
        from onnx import numpy_helper

        (weight,) = (tensor for tensor in model.graph.initializer if tensor.name == "head/weight")
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 2, weight.name))

    change_model(bundle, louder)
    with pytest.raises(ArtefactError, match=r"The bundle answers differently here: .* got rgb\.png by 0\.\d{4}, "):
        load(bundle).verify()


def test_golden_images_that_changed(bundle: Path) -> None:
    path = bundle / "golden" / "grey.png"
    loaded = load(bundle)
    path.write_bytes(golden_images()["rgb.png"])
    with pytest.raises(ArtefactError, match=r"grey\.png\. Expected sha256 "):
        loaded.verify()
    reseal(bundle)
    with pytest.raises(ArtefactError, match=r"got grey\.png by 0\.\d{4}\.") as caught:
        load(bundle).verify()
    path.write_bytes(b"<html>")
    reseal(bundle)
    with pytest.raises(ArtefactError) as caught:
        load(bundle).verify()
    assert caught.value.message == damage(path, "Expected a golden image, got HTML page, not an image.")
    shutil.rmtree(bundle)
    with pytest.raises(ArtefactError, match="Expected a readable file, got No such file or directory"):
        loaded.verify()


# Writing


def test_a_bundle_that_was_not_finished_is_none(tmp_path: Path, tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_text", stop)
    with pytest.raises(KeyboardInterrupt):
        make_bundle(tmp_path / "bundle", tiny_backbone)
    assert refusal(tmp_path / "bundle").endswith("got a folder without bundle.json.")


def test_a_place_that_cannot_be_written_to(tmp_path: Path, tiny_backbone: Backbone, tiny_bundle: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError) as caught:
        save_bundle(tmp_path / "file" / "bundle", make_parts(tiny_backbone))
    place = tmp_path / "file" / "bundle"
    assert caught.value.message == f"Cannot write: {place}. Expected a place that can be written to, got Not a directory."
    with pytest.raises(ResourceError):
        copy_bundle(tiny_bundle, place)


def test_a_copy_is_the_same_bundle_and_takes_the_place_of_nothing(bundle: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "place"
    copy_bundle(bundle, target)
    assert load(target).hash == load(bundle).hash
    assert {path.relative_to(target) for path in target.rglob("*")} == {path.relative_to(bundle) for path in bundle.rglob("*")}
    (tmp_path / "file").touch()
    for taken, got in ((target, "a folder with files"), (tmp_path / "file", "a file")):
        with pytest.raises(ArtefactError) as caught:
            copy_bundle(bundle, taken)
        assert caught.value.message == f"Cannot save the model: {taken}. Expected a new or empty folder, got {got}."


def test_a_copy_that_breaks_off_is_no_bundle(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(module, "write_bytes", full)
    with pytest.raises(ResourceError, match="The disk is full"):
        copy_bundle(bundle, tmp_path / "copy")
    assert refusal(tmp_path / "copy").endswith("got a folder without bundle.json.")
