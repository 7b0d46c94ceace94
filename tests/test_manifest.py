"""The manifest of a bundle: whatever stands in it, it loads or is refused in our own words."""

from __future__ import annotations

import json
import pickle
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forged import reseal
from seefit.bundle import manifest as module
from seefit.bundle.manifest import MANIFEST, folder_of, manifest_hash, read_manifest
from seefit.errors import ArtefactError, SeefitError


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """Return a copy that a test may change."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def refusal(path: Path) -> str:
    with pytest.raises(ArtefactError) as caught:
        read_manifest(folder_of(path))
    assert caught.value.exit_code == 5
    return caught.value.message


def said(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / MANIFEST).read_text("utf-8")))


def test_a_run_and_its_bundle_name_one_folder(bundle: Path) -> None:
    assert folder_of(bundle) == bundle
    assert folder_of(bundle.parent) == bundle


def test_places_without_a_bundle(tmp_path: Path) -> None:
    run, empty = tmp_path / "run", tmp_path / "empty"
    (run / "bundle").mkdir(parents=True)
    (run / "config.yaml").touch()
    empty.mkdir()
    for place, got in (
        (run, "an unfinished run"),
        (empty, "a folder without bundle.json"),
        (tmp_path / "none", "nothing there"),
        (tmp_path / "nul\0", "nothing there"),
        (tmp_path / ("long" * 100), "File name too long"),
    ):
        assert refusal(place) == f"Cannot load the model: {place}. Expected a run, bundle or export, got {got}."


class Harm:
    """Creates a file when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.proof,)


@pytest.mark.parametrize(
    "name",
    ["model.pt", "model.PTH", "model.pkl", "model.pickle", "model.joblib", "model.ckpt", "pytorch_model.bin", "bundle", "model.onnx"],
)
def test_a_pickle_is_refused_and_never_run(name: str, tmp_path: Path) -> None:
    path, proof = tmp_path / name, tmp_path / "proof"
    path.write_bytes(pickle.dumps(Harm(proof)))
    assert refusal(path) == (
        f"Cannot load the model: {path}. Expected the folder of a run, bundle or export, "
        "got a file of a kind that can run code when it is loaded (pickle or zip)."
    )
    assert not proof.exists()
    pickle.loads(path.read_bytes())
    assert proof.exists()  # so it would have done harm


@pytest.mark.parametrize("name", ["model.pt", "bundle.seefit", "bundle"])
def test_a_zip_by_any_name_is_refused(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    assert refusal(tmp_path / name).endswith("got a file of a kind that can run code when it is loaded (pickle or zip).")


def test_any_other_file_is_refused_with_what_to_name(bundle: Path) -> None:
    for name in (MANIFEST, "head.safetensors"):
        assert refusal(bundle / name).endswith("Expected the folder of a run, bundle or export, got a single file.")


def test_a_newer_format_is_named_with_both_versions(bundle: Path) -> None:
    reseal(bundle, format=2, seefit_version="3.1.4", files={}, classes="moved elsewhere")
    with pytest.raises(ArtefactError) as caught:
        read_manifest(bundle)
    assert caught.value.message == (
        f"The bundle is of a newer format: {bundle / MANIFEST}. Expected format 1 or older, got format 2, written by seefit 3.1.4."
    )
    assert caught.value.hint == "Run `pip install --upgrade seefit`."


@pytest.mark.parametrize(("number", "got"), [(0, "0"), (-1, "-1"), (1.0, "1.0"), (True, "True"), ("1", "'1'"), (None, "None")])
def test_a_format_that_is_no_number(number: object, got: str, bundle: Path) -> None:
    reseal(bundle, format=number)
    assert refusal(bundle) == f"The bundle is damaged: {bundle / MANIFEST}. Expected a format number of at least 1, got {got}."


@pytest.mark.parametrize(
    ("text", "got"),
    [
        (b"", "JSONDecodeError"),
        (b'{"format": 1', "JSONDecodeError"),
        (b"\xff\xfe\x00", "UnicodeDecodeError"),
        (b"PK\x03\x04", "JSONDecodeError"),
        (b"[" * 100_000, "RecursionError"),
        (b'{"format": ' + b"9" * 5_000 + b"}", "ValueError"),
        (b"[1]", "a list"),
        (b"null", "a NoneType"),
    ],
)
def test_what_is_no_manifest(text: bytes, got: str, bundle: Path) -> None:
    (bundle / MANIFEST).write_bytes(text)
    assert refusal(bundle) == f"The bundle is damaged: {bundle / MANIFEST}. Expected JSON with a format number, got {got}."


def test_a_huge_manifest_is_not_read(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MANIFEST_BYTES", 1000)
    size = (bundle / MANIFEST).stat().st_size
    assert refusal(bundle) == f"The bundle is damaged: {bundle / MANIFEST}. Expected at most 1,000 bytes, got {size:,}."


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "/etc/hostname",
        "golden/../../outside",
        "..",
        "..\\outside",
        "C:\\outside",
        "C:outside",
        "golden/\0",
        "\\\\server\\share",
    ],
)
def test_paths_that_leave_the_bundle(name: str, bundle: Path) -> None:
    (bundle.parent / "outside").write_bytes(b"")
    reseal(bundle, files=said(bundle)["files"] | {name: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"})
    assert refusal(bundle) == f"The bundle is damaged: {bundle / MANIFEST}. Expected files inside the bundle, got {name!r}."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": None}, "Expected a list of at least two different class names, got None."),
        ({"classes": ["one"]}, "Expected a list of at least two different class names, got ['one']."),
        ({"classes": ["a", "a"]}, "Expected a list of at least two different class names, got ['a', 'a']."),
        ({"classes": ["a", 1]}, "Expected a list of at least two different class names, got ['a', 1]."),
        ({"classes": ["a", "\ud800"]}, "Expected a list of at least two different class names, got ['a', '\\ud800']."),
        ({"classes": ["\x1b[31m"]}, "Expected a list of at least two different class names, got ['\\x1b[31m']."),
        ({"files": []}, "Expected the sha256 of model.onnx, head.safetensors, golden.safetensors, got a manifest without them."),
        ({"golden": None}, "Expected golden images among its files, got None."),
        ({"golden": []}, "Expected golden images among its files, got []."),
        ({"golden": ["../../secret.png"]}, "Expected golden images among its files, got ['../../secret.png']."),
        ({"temperature": 0}, "Expected temperature as a model has it, got 0."),
        ({"temperature": float("nan")}, "Expected temperature as a model has it, got nan."),
        ({"temperature": "1"}, "Expected temperature as a model has it, got '1'."),
        ({"temperature": 10**400}, "Expected temperature as a model has it, got 1" + "0" * 78 + "…."),
        ({"image_size": True}, "Expected image_size as a model has it, got True."),
        ({"image_size": 0}, "Expected image_size as a model has it, got 0."),
        ({"features": "pooled"}, "Expected features as a model has it, got 'pooled'."),
        ({"backbone": 1}, "Expected backbone as a model has it, got 1."),
        ({"fit": None}, "Expected fit as a model has it, got None."),
        ({"hidden": -1}, "Expected hidden as a model has it, got -1."),
        ({"hidden": 1.5}, "Expected hidden as a model has it, got 1.5."),
        ({"head": "hidden"}, "Expected hidden as a model has it, got None."),
        ({"trained": "blocks"}, "Expected trained as a model has it, got 'blocks'."),
    ],
)
def test_what_later_code_relies_on(changes: dict[str, Any], message: str, bundle: Path) -> None:
    reseal(bundle, **changes)
    assert refusal(bundle) == f"The bundle is damaged: {bundle / MANIFEST}. {message}"


@pytest.mark.parametrize("digest", [None, "", "0" * 63, "Z" * 64, 5])
def test_a_digest_that_is_none(digest: object, bundle: Path) -> None:
    reseal(bundle, files=said(bundle)["files"] | {"model.onnx": digest})
    assert refusal(bundle) == f"The bundle is damaged: {bundle / MANIFEST}. Expected the sha256 of 'model.onnx', got {digest!r}."


def test_any_changed_fact_breaks_the_hash(bundle: Path) -> None:
    manifest = said(bundle)
    for key in set(manifest) - {"format", "classes", "files", "golden"}:
        (bundle / MANIFEST).write_text(json.dumps(manifest | {key: "0"}))
        assert refusal(bundle)
    (bundle / MANIFEST).write_text(json.dumps(manifest | {"classes": manifest["classes"][::-1]}))  # each image would get the other label
    message = f"The bundle is damaged: {bundle / MANIFEST}. Expected a manifest that matches its own hash, got another content."
    assert refusal(bundle) == message


def test_the_hash_is_of_the_content_not_of_its_layout(bundle: Path) -> None:
    manifest = said(bundle)
    (bundle / MANIFEST).write_text(json.dumps(dict(reversed(manifest.items())), indent=7))
    assert read_manifest(bundle)["hash"] == manifest["hash"] == manifest_hash(manifest)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=5
)
KEYS = (
    "format",
    "classes",
    "files",
    "golden",
    "temperature",
    "features",
    "image_size",
    "fit",
    "backbone",
    "seefit_version",
    "head",
    "hidden",
    "trained",
    "trust",
)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    changes=st.dictionaries(st.sampled_from(KEYS), JSON, min_size=1, max_size=3),
    files=st.dictionaries(st.text(max_size=8), JSON, max_size=1),
)
def test_no_content_gets_past_with_another_error(tiny_bundle: Path, changes: dict[str, Any], files: dict[str, Any]) -> None:
    manifest = said(tiny_bundle)
    manifest |= {"files": manifest["files"] | files} | changes
    manifest["hash"] = manifest_hash(manifest)
    _read_or_refuse(json.dumps(manifest).encode())


@settings(max_examples=30, deadline=None, derandomize=True)
@given(start=st.integers(0, 2000), cut=st.integers(0, 40), put=st.binary(max_size=20))
def test_no_bytes_get_past_with_another_error(tiny_bundle: Path, start: int, cut: int, put: bytes) -> None:
    text = (tiny_bundle / MANIFEST).read_bytes()
    _read_or_refuse(text[:start] + put + text[start + cut :])


def _read_or_refuse(text: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / MANIFEST).write_bytes(text)
        try:
            manifest = read_manifest(Path(folder))
        except SeefitError:
            return
    assert len(manifest["classes"]) >= 2
    assert manifest["hash"] == manifest_hash(manifest)
