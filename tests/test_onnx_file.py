"""The manifest of an export."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from seefit.bundle.bundle import load
from seefit.bundle.manifest import read_manifest
from seefit.deploy.onnx_file import seal, write_as_bundle


def test_an_export_of_a_bundle_is_a_bundle(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = load(tiny_bundle)
    write_as_bundle(bundle, tmp_path, "onnx", {"model.onnx": (tiny_bundle / "model.onnx").read_bytes()})
    exported = load(tmp_path)
    exported.verify()
    assert exported.manifest["export"] == {"format": "onnx", "of": bundle.hash}
    for key in exported.manifest.keys() - {"hash", "export"}:
        assert exported.manifest[key] == bundle.manifest[key], key


def test_sealing_again_keeps_all_else(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_bundle, tmp_path / "b"))
    before = json.loads((folder / "bundle.json").read_text())
    digest = seal(folder, before, {"format": "onnx", "of": before["hash"], "proof": {"largest": float("nan")}})
    after = read_manifest(folder)
    assert after["hash"] == digest != before["hash"]
    assert after["export"]["proof"] == {"largest": None}
    assert after["classes"] == before["classes"]
