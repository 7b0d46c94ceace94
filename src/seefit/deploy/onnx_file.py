"""``--format onnx``: the very graph that was judged, byte for byte, in a folder that seefit loads as it loads a bundle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seefit.bundle.bundle import Bundle
from seefit.bundle.manifest import MANIFEST, manifest_hash
from seefit.deploy.finished import Finished
from seefit.files import to_json, write_bytes, write_text


def write_onnx_export(finished: Finished, folder: Path) -> None:
    """Write the graph of a run with what seefit needs to load and to verify it.

    Args:
        finished: The run.
        folder: Where to write; it is there and empty.

    Raises:
        ResourceError: The disk is full or the place cannot be written to.
    """
    write_as_bundle(finished.bundle, folder, "onnx", {"model.onnx": (finished.bundle.folder / "model.onnx").read_bytes()})


def write_as_bundle(bundle: Bundle, folder: Path, kind: str, model: Mapping[str, bytes]) -> None:
    """Write an export that is a bundle, too: the graph in other files, all else as it is in the run's; weights for torch stay there.

    Args:
        bundle: Of the run.
        folder: Where to write.
        kind: The format, as the manifest names it.
        model: The files of the graph.
    """
    kept = ["head.safetensors", "golden.safetensors", *(f"golden/{name}" for name in bundle.manifest["golden"])]
    files = {**{name: (bundle.folder / name).read_bytes() for name in kept}, **model}
    (folder / "golden").mkdir()
    for name, data in files.items():
        write_bytes(folder / name, data)
    about = {key: value for key, value in bundle.manifest.items() if key not in {"hash", "files", "export"}}
    about |= {"files": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}}
    if kind == "openvino":
        about["class_map"] = 0  # its graph has none
    seal(folder, about, {"format": kind, "of": bundle.hash})


def seal(folder: Path, manifest: Mapping[str, Any], export: Mapping[str, Any]) -> str:
    """Write the manifest of an export.

    Args:
        folder: Of the export.
        manifest: All that it says but what kind of export it is.
        export: The format, the hash of the run's bundle, and what was found about it.

    Returns:
        Its hash.
    """
    said = json.loads(to_json({**{key: value for key, value in manifest.items() if key != "hash"}, "export": dict(export)}))
    said["hash"] = manifest_hash(said)
    write_text(folder / MANIFEST, to_json(said))
    return str(said["hash"])
