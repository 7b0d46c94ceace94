"""The manifest of a bundle, ``bundle.json``: finding it, reading it, and doubting what it says before any other file is opened."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from seefit.bundle.trusted import is_usable
from seefit.errors import ArtefactError

FORMAT = 1
MANIFEST = "bundle.json"
MAX_MANIFEST_BYTES = 16 * 2**20  # some 400,000 class names; JSON takes up to twenty times that in memory
ONNX, OPENVINO = ("model.onnx",), ("model.xml", "model.bin")  # the files of the graph
TENSORS = ("head.safetensors", "golden.safetensors")
EXPORTS = {"onnx": ONNX, "openvino": OPENVINO, "int8": ONNX}  # the kinds of exports that are bundles, too
PICKLE_KINDS = {".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt", ".bin", ".npy", ".h5", ".keras"}
_PICKLE_STARTS = (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_RELIED_ON = ("classes", "files", "golden", "hash", "backbone", "fit", "image_size", "features", "temperature")
_SHA256 = re.compile("[0-9a-f]{64}")


def damaged(where: Path, expected: str, got: str) -> ArtefactError:
    """Return the error of a bundle that is not what its manifest says."""
    return ArtefactError("The bundle is damaged", where=where, expected=expected, got=got, hint="Copy the bundle again, or train again")


def folder_of(path: Path) -> Path:
    """Return the folder of the bundle that a path names: itself, or ``bundle/`` below a run.

    Raises:
        ArtefactError: There is none; a file that could run code when it is loaded is never opened further than its first bytes.
    """
    try:
        if path.is_file():
            raise _refused(path)
        for folder in (path, path / "bundle"):
            if (folder / MANIFEST).is_file():
                return folder
        if not path.exists():
            got = "nothing there"
        else:
            got = "an unfinished run" if (path / "config.yaml").is_file() else "a folder without bundle.json"
    except OSError as error:
        got = error.strerror or str(error)
    raise ArtefactError(
        "Cannot load the model",
        where=path,
        expected="a run, bundle or export",
        got=got,
        hint="Name a run that `seefit runs` lists as finished",
    )


def _refused(path: Path) -> ArtefactError:
    with open(path, "rb") as handle:
        start = handle.read(8)
    if path.suffix.lower() in PICKLE_KINDS or start.startswith(_PICKLE_STARTS):
        got = "a file of a kind that can run code when it is loaded (pickle or zip)"
    else:
        got = "a single file"
    return ArtefactError(
        "Cannot load the model", where=path, expected="the folder of a run, bundle or export", got=got, hint="Name the run folder"
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a bundle and check everything that later code takes for granted.

    Raises:
        ArtefactError: It is damaged, of a newer format, or names files outside the bundle.
    """
    path = folder / MANIFEST
    try:
        manifest = _parse(path)
        _check_format(path, manifest)
        for expected, got in _faults(manifest):
            raise damaged(path, expected, got)
    except OSError as error:
        raise damaged(path, "a readable file", error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise damaged(path, "JSON with a format number", type(error).__name__) from error
    return manifest


def _parse(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    if size > MAX_MANIFEST_BYTES:
        raise damaged(path, f"at most {MAX_MANIFEST_BYTES:,} bytes", f"{size:,}")
    manifest = json.loads(path.read_text("utf-8"))
    if not isinstance(manifest, dict):
        raise damaged(path, "JSON with a format number", f"a {type(manifest).__name__}")
    return manifest


def _check_format(path: Path, manifest: dict[str, Any]) -> None:
    number = manifest.get("format")
    if type(number) is not int or number < 1:  # True is an int, too
        raise damaged(path, "a format number of at least 1", _shown(number))
    if number > FORMAT:
        raise ArtefactError(
            "The bundle is of a newer format",
            where=path,
            expected=f"format {FORMAT} or older",
            got=f"format {_shown(number)}, written by seefit {str(manifest.get('seefit_version', 'unknown'))[:40]}",
            hint="Run `pip install --upgrade seefit`",
        )


def _faults(manifest: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong: what was expected, and what is there. Each check may rely on those before it."""
    said: dict[str, Any] = dict.fromkeys(_RELIED_ON) | manifest
    classes, files, golden = said["classes"], said["files"], said["golden"]
    if not _texts(classes) or len(classes) < 2 or len(set(classes)) < len(classes):
        yield "a list of at least two different class names", _shown(classes)
    if export_kind(said) not in {None, *EXPORTS}:
        yield f"an export of the kind {', '.join(EXPORTS)}", _shown(said["export"])
    needed = (*model_files(said), *TENSORS)
    if not isinstance(files, dict) or not set(needed) <= set(files):
        yield f"the sha256 of {', '.join(needed)}", "a manifest without them"
    for name, digest in files.items():
        if not _inside(name):
            yield "files inside the bundle", _shown(name)
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            yield f"the sha256 of {_shown(name)}", _shown(digest)
    if not _texts(golden) or not golden or not all(f"golden/{name}" in files for name in golden):
        yield "golden images among its files", _shown(golden)
    for key, good in _usable(said).items():
        if not good:
            yield f"{key} as a model has it", _shown(said.get(key))
    if said["hash"] != manifest_hash(manifest):
        yield "a manifest that matches its own hash", "another content"


def export_kind(manifest: dict[str, Any]) -> str | None:
    """Return what kind of export a manifest is of, an empty text where it says nothing usable; None for the bundle of a run."""
    said = manifest.get("export")
    if said is None:
        return None
    kind = said.get("format") if isinstance(said, dict) else None
    return kind if isinstance(kind, str) else ""


def model_files(manifest: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of the files that hold the graph."""
    return EXPORTS.get(export_kind(manifest) or "", ONNX)


def _usable(said: dict[str, Any]) -> dict[str, bool]:
    size, temperature, hidden, class_map = said["image_size"], said["temperature"], said.get("hidden", 0), said.get("class_map", 0)
    return {
        "backbone": isinstance(said["backbone"], str),
        "fit": isinstance(said["fit"], str),
        "image_size": type(size) is int and size > 0,
        "features": _texts(said["features"]),
        "hidden": type(hidden) is int and hidden >= (said.get("head") == "hidden"),
        "trained": _texts(said.get("trained", [])),
        "class_map": type(class_map) is int and class_map >= 0,
        "temperature": isinstance(temperature, (int, float)) and 0 < temperature < 1e9,
        "trust": is_usable(said),
    }


def _texts(value: Any) -> bool:
    """Whether a value is a list of strings that can be written as UTF-8: half a surrogate pair, which JSON can hold, cannot."""
    return isinstance(value, list) and all(isinstance(item, str) and not any("\ud800" <= c <= "\udfff" for c in item) for item in value)


def _inside(name: str) -> bool:
    """Whether a name stays below the bundle on every system: no root, drive, step up, backslash or NUL."""
    return not (PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or any(c in name for c in "\\:\0"))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"


def manifest_hash(manifest: dict[str, Any]) -> str:
    """Return the hash of a bundle: of all that its manifest says, the sha256 of every file too, but the hash itself."""
    content = {key: value for key, value in manifest.items() if key != "hash"}
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
