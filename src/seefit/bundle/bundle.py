"""The bundle: everything that prediction needs in one folder, and nothing that can run code.

``model.onnx`` the one graph · ``head.safetensors`` · ``golden/`` odd images with ``golden.safetensors``, their
answers · ``bundle.json`` the manifest: format number, classes, what went in, and the sha256 of every file.
``README.md``, the model card, is written later and is outside the hash.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seefit.bundle import graph
from seefit.bundle.golden import golden_images
from seefit.bundle.runtime import Reference
from seefit.data.image import DECODER_VERSION, MAX_PIXELS, SHRINK_ABOVE, decode
from seefit.errors import ArtefactError
from seefit.files import resource_error, to_json, write_bytes, write_text

if TYPE_CHECKING:
    from onnx import ModelProto

    from seefit.bundle.predict import Prediction

FORMAT = 1
MANIFEST = "bundle.json"
MAX_MANIFEST_BYTES = 64 * 2**20
MAX_MODEL_BYTES = 2**31 - 1  # what a protobuf can hold
TOLERANCE = 1e-3  # of a probability, on golden images
PICKLE_KINDS = {".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt", ".bin", ".npy", ".h5", ".keras"}
DECODER_RULES = (
    "first frame; EXIF orientation applied; 16-bit grey divided by 65535; CMYK, palette, grey and 1-bit to RGB; "
    f"alpha composed on white; over {SHRINK_ABOVE // 10**6} megapixels the mean of whole k x k boxes with the smallest k that suffices"
)


@dataclass(frozen=True)
class Parts:
    """What a bundle is made of.

    Attributes:
        preprocess: The ``preprocess`` part of the graph.
        features: The ``network`` part up to ``features``.
        weight: (C, D) float32 of the head.
        bias: (C,) float32 of the head.
        temperature: Divides the logits.
        classes: C names, in the order of the outputs.
        about: Further facts for the manifest: backbone, image_size, fit, features, mean, std, data_sha256 …
    """

    preprocess: ModelProto
    features: ModelProto
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    temperature: float
    classes: Sequence[str]
    about: dict[str, Any]


def save_bundle(folder: Path, parts: Parts) -> str:
    """Write a bundle; the manifest comes last, so that a folder without one is no bundle.

    Args:
        folder: Where to write; made when absent.
        parts: What it is made of.

    Returns:
        The bundle's hash.

    Raises:
        ResourceError: The disk is full or the place cannot be written to.
    """
    from safetensors.numpy import save

    try:
        (folder / "golden").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise resource_error(error, folder) from error
    network = graph.network_model(parts.features, parts.weight, parts.bias, parts.temperature)
    merged = graph.merge(parts.preprocess, network, _metadata(parts))
    golden = golden_images()
    files = {f"golden/{name}": data for name, data in golden.items()}
    files["model.onnx"] = merged.SerializeToString()
    files["head.safetensors"] = save({"weight": parts.weight, "bias": parts.bias})
    answers = _answers(Reference(parts.preprocess, network), golden.values())
    files["golden.safetensors"] = save({"probabilities": answers})
    for name, data in files.items():
        write_bytes(folder / name, data)
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "task": "image-classification",
        "classes": list(parts.classes),
        "temperature": parts.temperature,
        **parts.about,
        "decoder": {"version": DECODER_VERSION, "max_pixels": MAX_PIXELS, "rules": DECODER_RULES},
        "golden": list(golden),
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())},
    }
    manifest["hash"] = _hash(manifest)
    write_text(folder / MANIFEST, to_json(manifest))
    return str(manifest["hash"])


class Bundle:
    """A bundle that was checked and is ready to predict.

    Args:
        folder: The bundle's folder.
        manifest: What its ``bundle.json`` says.
        model: The one graph.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any], model: ModelProto) -> None:
        self.folder, self.manifest = folder, manifest
        self.classes: tuple[str, ...] = tuple(manifest["classes"])
        self.hash: str = manifest["hash"]
        self.reference = Reference(*graph.split(model))

    def predict(self, images: str | Path | Iterable[str | Path]) -> list[list[dict[str, Any]]]:
        """Predict files and folders.

        Args:
            images: One path, or several; folders are searched.

        Returns:
            Per image, in natural order within a folder: ``[{"label", "score"}, …]``, calibrated, best first.

        Raises:
            Undecodable: An image cannot be decoded; use `predictions` to go on past it.
        """
        found = []
        for prediction in self.predictions(images):
            if prediction.error is not None:
                raise prediction.error
            found.append(prediction.ranked())
        return found

    def predictions(self, images: str | Path | Iterable[str | Path]) -> Iterator[Prediction]:
        """Yield a `Prediction` per image; nothing grows with their number."""
        from seefit.bundle.predict import predict
        from seefit.data.sources import list_images

        return predict(self, list_images([images] if isinstance(images, (str, Path)) else list(images)))

    def verify(self) -> None:
        """Ask for the golden images again and compare with the kept answers.

        Raises:
            ArtefactError: A probability differs by more than 0.001; the images are named.
        """
        from safetensors.numpy import load_file

        kept = load_file(self.folder / "golden.safetensors")["probabilities"]
        names: list[str] = self.manifest["golden"]
        found = _answers(self.reference, ((self.folder / "golden" / name).read_bytes() for name in names))
        off = np.abs(found - kept).max(1)
        if (off > TOLERANCE).any():
            wrong = ", ".join(f"{name} by {d:.4f}" for name, d in zip(names, off, strict=True) if d > TOLERANCE)
            raise ArtefactError(
                "The bundle answers differently here",
                where=self.folder,
                expected=f"the kept answers to its golden images within {TOLERANCE}",
                got=wrong,
                hint="Compare the versions of onnxruntime and Pillow with those in bundle.json",
            )

    def __repr__(self) -> str:
        return f"<Bundle {self.folder}: {len(self.classes)} classes, {self.manifest.get('backbone')}>"


def load(path: str | Path) -> Bundle:
    """Load a run or a bundle and check every byte of it.

    Args:
        path: A run folder, or a bundle folder.

    Raises:
        ArtefactError: Not a bundle, damaged, of a newer format, or of a kind that can run code.
    """
    folder = _folder_of(Path(path))
    manifest = _read_manifest(folder)
    contents = {name: _read_checked(folder, name, digest) for name, digest in manifest["files"].items() if not name.startswith("golden")}
    model = _read_model(folder / "model.onnx", contents["model.onnx"])
    _check_outputs(folder, manifest, model)
    return Bundle(folder, manifest, model)


def _folder_of(path: Path) -> Path:
    if path.is_file():
        raise _refused(path)
    for folder in (path, path / "bundle"):
        if (folder / MANIFEST).is_file():
            return folder
    if not path.exists():
        got = "nothing there"
    else:
        got = "an unfinished run" if (path / "config.yaml").is_file() else "a folder without bundle.json"
    raise ArtefactError(
        "Cannot load the model", where=path, expected="a run or a bundle", got=got, hint="Name a run that `seefit runs` lists as finished"
    )


def _refused(path: Path) -> ArtefactError:
    with open(path, "rb") as handle:
        start = handle.read(8)
    if path.suffix.lower() in PICKLE_KINDS or start[:2] in {b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"}:
        got = "a file of a kind that can run code when it is loaded (pickle or zip)"
    else:
        got = "a single file"
    return ArtefactError(
        "Cannot load the model", where=path, expected="the folder of a run or a bundle", got=got, hint="Name the run folder"
    )


def _damaged(where: Path, expected: str, got: str) -> ArtefactError:
    return ArtefactError("The bundle is damaged", where=where, expected=expected, got=got, hint="Copy the bundle again, or train again")


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise _damaged(path, f"at most {MAX_MANIFEST_BYTES:,} bytes", f"{path.stat().st_size:,}")
    try:
        manifest = json.loads(path.read_text("utf-8"))
        number = manifest["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path, "JSON with a format number", type(error).__name__) from error
    if not isinstance(number, int) or number < 1:
        raise _damaged(path, "a format number of at least 1", repr(number))
    if number > FORMAT:
        raise ArtefactError(
            "The bundle is of a newer format",
            where=path,
            expected=f"format {FORMAT} or older",
            got=f"format {number}, written by seefit {manifest.get('seefit_version', 'unknown')}",
            hint="Run `pip install --upgrade seefit`",
        )
    _check_manifest(path, manifest)
    return dict(manifest)


def _check_manifest(path: Path, manifest: dict[str, Any]) -> None:
    classes, files = manifest.get("classes"), manifest.get("files")
    if not isinstance(classes, list) or len(classes) < 2 or not all(isinstance(name, str) for name in classes):
        raise _damaged(path, "a list of at least two class names", repr(classes)[:80])
    if not isinstance(files, dict) or not {"model.onnx", "head.safetensors"} <= set(files):
        raise _damaged(path, "the sha256 of model.onnx and head.safetensors", "a manifest without them")
    outside = [name for name in files if Path(name).is_absolute() or ".." in Path(name).parts or "\\" in name]
    if outside:
        raise _damaged(path, "files inside the bundle", repr(outside[0]))
    if manifest.get("hash") != _hash({key: value for key, value in manifest.items() if key != "hash"}):
        raise _damaged(path, "a manifest that matches its own hash", "another content")


def _read_checked(folder: Path, name: str, digest: str) -> bytes:
    path = folder / name
    try:
        if path.stat().st_size > MAX_MODEL_BYTES:
            raise _damaged(path, "a file under 2 GiB", f"{path.stat().st_size:,} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise _damaged(path, "a readable file", error.strerror or str(error)) from error
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise _damaged(path, f"sha256 {digest[:16]}… as the manifest says", f"{found[:16]}…")
    return data


def _read_model(path: Path, data: bytes) -> ModelProto:
    from google.protobuf.message import DecodeError
    from onnx import ModelProto, TensorProto

    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise _damaged(path, "an ONNX model", "bytes that are none") from error
    if any(tensor.data_location == TensorProto.EXTERNAL or tensor.external_data for tensor in model.graph.initializer):
        raise _damaged(path, "all weights inside the file", "external data")
    return model


def _check_outputs(folder: Path, manifest: dict[str, Any], model: ModelProto) -> None:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    count = len(manifest["classes"])
    seams = [node for node in model.graph.node if "pixels" in node.output]
    outputs = {value.name: value.type.tensor_type.shape.dim for value in model.graph.output}
    if len(seams) != 1 or "probabilities" not in outputs or [value.name for value in model.graph.input] != ["image"]:
        raise _damaged(folder / "model.onnx", "a graph from image over pixels to probabilities", "another graph")
    if outputs["probabilities"][1].dim_value != count:
        raise _damaged(folder / "model.onnx", f"{count} outputs, one per class", str(outputs["probabilities"][1].dim_value))
    try:
        head = load_file(folder / "head.safetensors")
    except (SafetensorError, ValueError) as error:
        raise _damaged(folder / "head.safetensors", "a readable safetensors file", str(error)) from error
    if set(head) != {"weight", "bias"} or len(head["weight"]) != count:
        raise _damaged(folder / "head.safetensors", f"weight and bias of {count} classes", ", ".join(sorted(head)) or "nothing")


def _hash(manifest: dict[str, Any]) -> str:
    canonical = json.dumps(manifest, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _answers(reference: Reference, images: Iterable[bytes]) -> NDArray[np.float32]:
    pixels = np.stack([reference.pixels(decode(data)) for data in images])
    return reference.run(pixels, ["probabilities"])[0]


def _metadata(parts: Parts) -> dict[str, str]:
    """Return what travels inside the ONNX file, with the keys that users of exported models expect."""
    about = parts.about
    return {
        "task": "classify",
        "imgsz": json.dumps([about["image_size"]] * 2),
        "names": json.dumps(dict(enumerate(parts.classes)), ensure_ascii=False),
        "mean": json.dumps(about["mean"]),
        "std": json.dumps(about["std"]),
        "interpolation": "bilinear, antialiased",
        "resize_mode": about["fit"],
        "color_order": "RGB",
        "temperature": repr(parts.temperature),
        "decoder": DECODER_RULES,
        "seefit_version": about["seefit_version"],
        "data_sha256": about["data_sha256"],
    }


def copy_bundle(source: Path, target: Path) -> None:
    """Copy a bundle folder to a new place, as ``ImageClassifier.save`` does.

    Raises:
        ArtefactError: There is something at the target already.
        ResourceError: The disk is full or the place cannot be written to.
    """
    if target.exists() and any(target.iterdir()):
        raise ArtefactError(
            "Cannot save the model", where=target, expected="a new or empty folder", got="a folder with files", hint="Name another folder"
        )
    try:
        shutil.copytree(source, target, dirs_exist_ok=True)
    except OSError as error:
        raise resource_error(error, target) from error
