"""Bundles changed by hand, for the tests of what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from numpy.typing import NDArray

from seefit.bundle.bundle import load
from seefit.bundle.manifest import MANIFEST, manifest_hash
from seefit.errors import ArtefactError
from seefit.files import sha256_file

if TYPE_CHECKING:
    from onnx import ModelProto

Spoil = Callable[["ModelProto"], None]


def reseal(folder: Path, **changes: Any) -> None:
    """Make a changed bundle agree with itself again, as somebody who means harm would: every sha256, then the hash.

    Args:
        folder: The bundle.
        changes: What its manifest shall say instead; None takes the entry out.
    """
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    manifest["files"] = {name: sha256_file(folder / name) for name in manifest["files"]}
    manifest = {key: value for key, value in (manifest | changes).items() if value is not None}
    manifest["hash"] = manifest_hash(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def refusal(folder: Path) -> str:
    with pytest.raises(ArtefactError) as caught:
        load(folder)
    assert caught.value.exit_code == 5
    return caught.value.message


def damage(path: Path, rest: str) -> str:
    return f"The bundle is damaged: {path}. {rest}"


def change_model(folder: Path, change: Spoil) -> None:
    """Change the graph and make the bundle agree with itself again."""
    import onnx

    model = onnx.load(folder / "model.onnx")
    change(model)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    reseal(folder)


def save_tensors(path: Path, **tensors: NDArray[Any]) -> None:
    from safetensors.numpy import save_file

    save_file(tensors, path)
