"""Exports: proven, loaded again, refused, never partial."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command import ENTRY, seefit, seefit_process
from conftest import read_csv
from forged import change_model, refusal, reseal
from seefit.bundle.bundle import load
from seefit.bundle.confidence import TOLD
from seefit.deploy import export as module
from seefit.deploy.export import FORMATS, export
from seefit.deploy.finished import open_finished
from seefit.deploy.odd_images import odd_images
from seefit.deploy.onnx_file import write_onnx_export
from seefit.errors import ArtefactError, ResourceError, RunError, SeefitError

needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed: pip install seefit[fast]")
LOADABLE = ["onnx", pytest.param("openvino", marks=needs_openvino), "int8"]
KINDS = [*LOADABLE, "hub"]


@pytest.mark.parametrize("kind", LOADABLE)
def test_an_export_is_loaded_verified_and_predicts(little: Path, kind: str, tmp_path: Path) -> None:
    done = export(little, kind, out=tmp_path / kind, max_drop=100)
    exported, own = load(done.path), load(little)
    exported.verify()
    photos = little.parent / "photos" / "functional"
    ours, theirs = (list(bundle.predictions(sorted(photos.iterdir())[:20])) for bundle in (own, exported))
    off = np.abs([a.probabilities - b.probabilities for a, b in zip(ours, theirs, strict=True)]).max()
    assert off < (0.2 if kind == "int8" else 1e-5)
    assert [b.members is None for b in theirs] == [a.members is None for a in ours] == [False] * 20
    assert all(b.unknown is not None for b in theirs)
    if kind != "int8":
        assert np.allclose([a.unknown or 0 for a in ours], [b.unknown or 0 for b in theirs], atol=1e-3)
    assert exported.hash != own.hash
    assert exported.manifest["export"]["of"] == own.hash
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("kind", LOADABLE)
def test_seefit_predict_takes_an_export(little: Path, kind: str, tmp_path: Path) -> None:
    export(little, kind, out=tmp_path / kind, max_drop=100)
    answer = seefit("predict", tmp_path / kind, little.parent / "photos" / "defective", "--csv", tmp_path / "out.csv")
    assert answer.code == 0, answer.err
    rows = read_csv(tmp_path / "out.csv")
    assert len(rows) == 120
    assert set(rows[0]) == {"path", "predicted", "p:defective", "p:functional", "none_of_these", "unknown", "set", *TOLD}


def test_the_onnx_file_is_the_very_graph_that_was_judged(little: Path, tmp_path: Path) -> None:
    export(little, "onnx", out=tmp_path / "out")
    assert (tmp_path / "out" / "model.onnx").read_bytes() == (little / "bundle" / "model.onnx").read_bytes()
    assert load(tmp_path / "out").explain(next((little.parent / "photos" / "functional").iterdir())).exact


def test_the_metadata_is_what_users_expect(little: Path, tmp_path: Path) -> None:
    import onnx

    export(little, "onnx", out=tmp_path / "out")
    model = onnx.load(tmp_path / "out" / "model.onnx")
    told = {entry.key: entry.value for entry in model.metadata_props}
    wanted = "task imgsz names mean std interpolation resize_mode crop color_order temperature reject_threshold seefit_version data_sha256"
    assert set(wanted.split()) <= set(told)
    assert told["names"] == '{"0": "defective", "1": "functional"}'
    assert {value.name for value in model.graph.output} >= {"probabilities", "unknown", "map", "map_bias"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_failed_proof_leaves_nothing(little: Path, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ArtefactError("The export answers differently", where="here", expected="x", got="y", hint="z")

    monkeypatch.setattr(module, "write_instructions", fail)
    with pytest.raises(ArtefactError, match="answers differently"):
        export(little, kind, out=tmp_path / "out", max_drop=100)
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_differs_from_the_trained_model_is_refused_and_the_images_named(little: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(little, tmp_path / "run"))

    def spoil(model: Any) -> None:
        bias = next(tensor for tensor in model.graph.initializer if tensor.name == "head/bias")
        bias.raw_data = (np.frombuffer(bias.raw_data, np.float32) + np.array([0.1, 0], np.float32)).tobytes()

    change_model(run / "bundle", spoil)
    error = seefit("export", run, "--out", tmp_path / "out", "--json").error()
    assert error["code"] == 5
    assert "The export answers differently" in error["message"]
    assert "'odd rgb.png' by 0.0" in error["message"]
    assert not list(tmp_path.glob("*out*"))


@pytest.mark.parametrize("there", ["folder", "file", "link"])
def test_nothing_is_overwritten(little: Path, there: str, tmp_path: Path) -> None:
    target = tmp_path / "out"
    if there == "folder":
        target.mkdir()
        (target / "mine.txt").write_text("mine")
    elif there == "file":
        target.write_text("mine")
    else:
        target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ArtefactError) as caught:
        export(little, "onnx", out=target)
    got = "a folder with files" if there == "folder" else "a file"
    assert caught.value.message == f"Cannot export: {target}. Expected nothing there, got {got}."
    assert (target / "mine.txt").exists() if there == "folder" else target.is_symlink() or target.read_text() == "mine"


def test_an_empty_folder_is_taken(little: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert export(little, "onnx", out=tmp_path / "out").path == tmp_path / "out"


def test_a_full_disk_is_exit_6_and_leaves_nothing_at_any_write(little: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = 0

    def full(handle: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    for n in range(60):
        left = n
        try:
            write_onnx_export(open_finished(little), fresh(tmp_path / f"w{n}"))
        except ResourceError as error:
            assert "The disk is full" in error.message
            continue
        break
    assert n > 10
    left = 3
    with pytest.raises(ResourceError, match="The disk is full"):
        export(little, "onnx", out=tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def fresh(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_place_is_exit_6(little: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(ResourceError, match="Cannot write"):
            export(little, "onnx", out=tmp_path / "out")
    finally:
        tmp_path.chmod(0o700)


def test_a_place_below_a_file_is_exit_6(little: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="Cannot write"):
        export(little, "onnx", out=tmp_path / "file" / "out")


def test_what_a_killed_process_left_goes_and_what_a_living_one_writes_stays(little: Path, tmp_path: Path) -> None:
    dead, alive = fresh(tmp_path / ".out.4194305.partial"), fresh(tmp_path / f".out.{os.getppid()}.partial")
    (dead / "model.onnx").write_text("half")
    export(little, "onnx", out=tmp_path / "out")
    assert (dead.exists(), alive.exists()) == (False, True)


@pytest.mark.slow
def test_kill_9_before_the_last_rename_leaves_nothing_under_the_name(little: Path, tmp_path: Path) -> None:
    code = f"""
import os
from pathlib import Path
rename = Path.replace
def replace(self, target):
    if Path(target).name == "out":
        os.kill(os.getpid(), 9)
    return rename(self, target)
Path.replace = replace
{ENTRY}"""
    assert seefit_process("export", little, "--out", tmp_path / "out", code=code).code == -9
    assert [left.name.startswith(".out.") for left in tmp_path.iterdir()] == [True]
    export(little, "onnx", out=tmp_path / "out")
    assert [left.name for left in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--format", "onxx"], 2, "Unknown format: onxx."),
        (["--push", "me/cells"], 2, "Options that do not go together: --push."),
        (["--max-drop", "-1"], 2, "Bad setting: --max-drop."),
        (["--max-drop", "nan"], 2, "Bad setting: --max-drop."),
    ],
)
def test_options_that_make_no_sense(little: Path, options: list[str], code: int, message: str, tmp_path: Path) -> None:
    error = seefit("export", little, "--out", tmp_path / "out", "--json", *options).error()
    assert (error["code"], error["message"].startswith(message)) == (code, True), error


def test_only_finished_runs_are_exported(little: Path, tmp_path: Path) -> None:
    for place in (little / "bundle", tmp_path):
        with pytest.raises(RunError, match="Not a finished run"):
            export(place, "onnx", out=tmp_path / "out")


def test_an_export_of_an_unknown_kind_or_with_a_flipped_bit_is_refused(little: Path, tmp_path: Path) -> None:
    folder = export(little, "onnx", out=tmp_path / "out").path
    data = bytearray((folder / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    spoilt = Path(shutil.copytree(folder, tmp_path / "spoilt"))
    (spoilt / "model.onnx").write_bytes(data)
    assert "sha256" in refusal(spoilt)
    for wrong in ({"format": "tflite"}, {"format": ["onnx"]}, "onnx", 7):
        other = Path(shutil.copytree(folder, tmp_path / "other", dirs_exist_ok=True))
        reseal(other, export=wrong)
        assert "Expected an export of the kind onnx, openvino, int8" in refusal(other)


@needs_openvino
def test_a_forged_openvino_export_is_refused(little: Path, tmp_path: Path) -> None:
    folder = export(little, "openvino", out=tmp_path / "out").path
    text = (folder / "model.xml").read_text()
    for change in (text[: len(text) // 2], "", text.replace('"image"', '"picture"'), text.replace("pixels", "pix")):
        (folder / "model.xml").write_text(change)
        reseal(folder)
        assert "a graph from image over pixels to probabilities" in refusal(folder)
    (folder / "model.xml").write_text(text)
    (folder / "model.bin").write_bytes(b"")
    reseal(folder)
    assert refusal(folder).startswith("The bundle is damaged")


@needs_openvino
def test_openvino_cannot_explain_and_says_so(little: Path, tmp_path: Path) -> None:
    folder = export(little, "openvino", out=tmp_path / "out").path
    with pytest.raises(ArtefactError, match="No ONNX graph"):
        load(folder).explain(next((little.parent / "photos" / "functional").iterdir()))


def test_the_json_is_one_object(little: Path, tmp_path: Path) -> None:
    told: dict[str, Any] = seefit("export", little, "--out", tmp_path / "out", "--json").json
    assert set(told) == {"export", "format", "bytes", "repository", "proof"}
    assert told["proof"]["images"] == len([row for row in read_csv(little / "split.csv") if row["split"] == "val"])
    assert told["proof"]["golden"] == len(odd_images())
    assert told["proof"]["largest"] < 1e-4


def test_every_format_is_known() -> None:
    assert set(FORMATS) == {"onnx", "openvino", "int8", "hub"}
    with pytest.raises(SeefitError):
        export(Path("nowhere"), "onnx")
