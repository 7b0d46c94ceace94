"""The bundle: everything that prediction needs in one folder, and nothing that can run code.

``model.onnx`` the one graph, with the output ``unknown`` where it can tell what the model does not know · ``head.safetensors`` ·
``backbone.safetensors`` when it was fine-tuned, ``backbone-1.safetensors`` and so on for further networks · ``gallery.safetensors`` small
pictures of training images, where it was asked for · ``golden/`` odd images with ``golden.safetensors``, their answers ·
``bundle.json`` the manifest: format number, classes, what went in, the limits of sets of classes, what scores are worth, and the sha256
of every file. ``README.md``, the model card, is written later and is outside the hash.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seefit.bundle import graph
from seefit.bundle.class_map import add_class_map, has_class_map, without_class_map
from seefit.bundle.explanation import Explainer, Explanation
from seefit.bundle.golden import golden_images
from seefit.bundle.manifest import FORMAT, MANIFEST, OPENVINO, damaged, folder_of, manifest_hash, model_files, read_manifest
from seefit.bundle.model_file import read_model
from seefit.bundle.neighbours import GALLERY, Gallery, read_gallery
from seefit.bundle.openvino_runtime import OpenVinoReference
from seefit.bundle.runtime import Reference
from seefit.bundle.tensors import check_tensors
from seefit.bundle.trusted import Trust, read_confidence, read_sets, refuses
from seefit.bundle.unknown import LIMIT, OUTPUT, with_unknown
from seefit.data.image import DECODER_VERSION, MAX_PIXELS, SHRINK_ABOVE, Undecodable, decode
from seefit.errors import ArtefactError, SeefitError
from seefit.files import resource_error, sha256_file, to_json, write_bytes, write_text

if TYPE_CHECKING:
    from onnx import ModelProto

    from seefit.bundle.predict import Prediction

ABOUT_MAP = "map.sum() + map_bias = logits[explain_class], before the temperature; -1, the default, stands for the predicted class"
TOLERANCE = 1e-3  # of a probability, on golden images
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
        files: Further files by name, such as the weights of a fine-tuned backbone.
        trust: Gives sets of classes, "none of these" and what scores are worth; None for a bundle that says nothing of them.
    """

    preprocess: ModelProto
    features: ModelProto
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    temperature: float
    classes: Sequence[str]
    about: dict[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)
    trust: Trust | None = None


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
    if parts.trust is not None and parts.trust.familiar is not None:
        network = with_unknown(network, parts.trust.familiar)
    map_side = add_class_map(network)
    merged = graph.merge(parts.preprocess, network, _metadata(parts) | ({"class_map": ABOUT_MAP} if map_side else {}))
    golden = golden_images()
    files = {**parts.files, **{f"golden/{name}": data for name, data in golden.items()}}
    files["model.onnx"] = merged.SerializeToString()
    files["head.safetensors"] = save({"weight": parts.weight, "bias": parts.bias})
    answers = Reference(parts.preprocess, network).probabilities(map(decode, golden.values()))
    files["golden.safetensors"] = save({"probabilities": answers})
    for name, data in files.items():
        write_bytes(folder / name, data)
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "task": "image-classification",
        "classes": list(parts.classes),
        "temperature": parts.temperature,
        **parts.about,
        "class_map": map_side,
        **({"trust": parts.trust.to_json(parts.classes)} if parts.trust is not None else {}),
        "decoder": {"version": DECODER_VERSION, "max_pixels": MAX_PIXELS, "rules": DECODER_RULES},
        "golden": list(golden),
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())},
    }
    manifest = json.loads(to_json(manifest))  # what will be read back, of which the hash is taken
    manifest["hash"] = manifest_hash(manifest)
    write_text(folder / MANIFEST, to_json(manifest))
    return str(manifest["hash"])


class Bundle:
    """A bundle that was checked and is ready to predict.

    Args:
        folder: The bundle's folder.
        manifest: What its ``bundle.json`` says.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder, self.manifest = folder, manifest
        self.classes: tuple[str, ...] = tuple(manifest["classes"])
        self.hash: str = manifest["hash"]
        self.sets, self.refuses, self.confidence = read_sets(manifest), refuses(manifest), read_confidence(manifest)
        self.gallery: Gallery | None = None  # `load` reads it
        self.reference = _reference(folder, manifest)

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

    @cached_property
    def explainer(self) -> Explainer:
        """What explains answers: a session of its own, since ONNX Runtime would compute the class map for every prediction."""
        try:
            return Explainer(self.network(), self.classes)
        except (SeefitError, MemoryError):
            raise
        except Exception as error:  # as in _open
            raise _foreign_graph(self.folder / "model.onnx", error) from error

    def network(self) -> ModelProto:
        """Read the ``network`` part of the graph again, with the class map where it has one."""
        if model_files(self.manifest) == OPENVINO:
            hint = "Name the run, or export it with --format onnx"
            raise ArtefactError("No ONNX graph", where=self.folder, expected="a run or an ONNX export", got="OpenVINO's", hint=hint)
        return graph.split(read_model(self.folder / "model.onnx"))[1]

    def head(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Read the weight (C, D) and the bias (C,) of the linear head."""
        from safetensors.numpy import load_file

        head = load_file(self.folder / "head.safetensors")
        return head["weight"], head["bias"]

    def explain(self, image: str | Path, label: str | None = None, *, max_pixels: int = MAX_PIXELS) -> Explanation:
        """Tell what each place of a picture has to do with the answer.

        Args:
            image: Its file.
            label: The class to explain; the predicted one when None.
            max_pixels: As in `seefit.data.image.decode`.

        Returns:
            The exact class map; where the head is no sum over places, what hiding each place does, which is approximate.

        Raises:
            Undecodable: The image cannot be decoded.
            UsageError: No class of that name.
        """
        return self.explainer.explain(self.reference.pixels(decode(Path(image), max_pixels=max_pixels)), label)

    def verify(self) -> None:
        """Ask for the golden images again and compare with the kept answers.

        Raises:
            ArtefactError: A probability differs by more than 0.001, or a golden image cannot be decoded; the images are named.
        """
        from safetensors.numpy import load_file

        names: list[str] = self.manifest["golden"]
        for name in ("golden.safetensors", *(f"golden/{name}" for name in names)):
            _check_file(self.folder / name, self.manifest["files"][name])
        kept = load_file(self.folder / "golden.safetensors")["probabilities"]
        off = np.abs(self.reference.probabilities([_decode_golden(self.folder / "golden" / name) for name in names]) - kept).max(1)
        wrong = ", ".join(f"{name} by {d:.4f}" for name, d in zip(names, off, strict=True) if not d <= TOLERANCE)  # NaN is wrong, too
        if wrong:
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
    """Load a run, a bundle or an export and check every byte of it.

    Args:
        path: A run folder, a bundle folder, or what `seefit export` wrote.

    Raises:
        ArtefactError: Not a bundle, damaged, of a newer format, or of a kind that can run code.
    """
    folder = folder_of(Path(path))
    manifest = read_manifest(folder)
    for name, digest in manifest["files"].items():
        _check_file(folder / name, digest)
    bundle = _open(folder, manifest)
    size, count = _try_out(bundle), len(bundle.classes)
    check_tensors(folder / "head.safetensors", {"weight": ("F32", (count, size)), "bias": ("F32", (count,))})
    check_tensors(folder / "golden.safetensors", {"probabilities": ("F32", (len(manifest["golden"]), count))})
    if GALLERY in manifest["files"]:
        bundle.gallery = read_gallery(folder / GALLERY, size, count)
    return bundle


def _check_file(path: Path, digest: str) -> None:
    try:
        if path.exists() and not path.is_file():  # a pipe would keep us waiting
            raise damaged(path, "a regular file", "something else")
        found = sha256_file(path)
    except OSError as error:
        raise damaged(path, "a readable file", error.strerror or str(error)) from error
    if found != digest:
        raise damaged(path, f"sha256 {digest[:16]}… as the manifest says", f"{found[:16]}…")


def _reference(folder: Path, manifest: dict[str, Any]) -> Reference:
    if model_files(manifest) == OPENVINO:
        return OpenVinoReference(folder / OPENVINO[0])
    preprocess, network = graph.split(read_model(folder / "model.onnx"))
    return Reference(preprocess, without_class_map(network) if has_class_map(network) else network)


def _open(folder: Path, manifest: dict[str, Any]) -> Bundle:
    try:
        return Bundle(folder, manifest)
    except (SeefitError, MemoryError):
        raise
    except Exception as error:  # the kinds that ONNX Runtime raises have no base of their own
        raise _foreign_graph(folder / model_files(manifest)[0], error) from error


def _try_out(bundle: Bundle) -> int:
    """Ask for one answer, since what a graph says of its outputs need not be true; return the number of features."""
    reference, count, file = bundle.reference, len(bundle.classes), bundle.folder / model_files(bundle.manifest)[0]
    try:
        pixels = reference.pixels(np.zeros((2, 2, 3), np.uint8))
        wanted = ["probabilities", "features", *([OUTPUT] if bundle.refuses else [])]
        probabilities, features, *unknown = reference.run(pixels[np.newaxis], wanted)
        found, size, alone = probabilities.shape, features.shape[1], all(output.shape == (1,) for output in unknown)
    except MemoryError:
        raise
    except Exception as error:  # as in _open
        raise _foreign_graph(file, error) from error
    if found != (1, count):
        raise damaged(file, f"{count} outputs, one per class", " x ".join(map(str, found[1:])) or "none")
    if not alone:
        raise damaged(file, f"one number per image as {OUTPUT}", "another shape")
    return int(size)


def _foreign_graph(file: Path, error: Exception) -> ArtefactError:
    return damaged(file, "a graph from image over pixels to probabilities", f"another graph ({type(error).__name__})")


def _decode_golden(path: Path) -> NDArray[np.uint8]:
    try:
        return decode(path)
    except Undecodable as error:
        raise damaged(path, "a golden image", error.reason) from error


def _metadata(parts: Parts) -> dict[str, str]:
    """Return what travels inside the ONNX file, with the keys that users of exported models expect."""
    about = parts.about
    refusing = parts.trust is not None and parts.trust.familiar is not None
    return {
        "task": "classify",
        "imgsz": json.dumps([about["image_size"]] * 2),
        "names": json.dumps(dict(enumerate(parts.classes)), ensure_ascii=False),
        "mean": json.dumps(about["mean"]),
        "std": json.dumps(about["std"]),
        "interpolation": "bilinear, antialiased",
        "resize_mode": about["fit"],
        "crop": "center" if about["fit"] == "crop" else "none",
        "color_order": "RGB",
        "temperature": repr(parts.temperature),
        **({"reject_threshold": repr(LIMIT)} if refusing else {}),
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
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            got = "a folder with files" if target.is_dir() else "a file"
            raise ArtefactError(
                "Cannot save the model", where=target, expected="a new or empty folder", got=got, hint="Name another folder"
            )
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST))
        write_bytes(target / MANIFEST, (source / MANIFEST).read_bytes())  # last, as when it was first written
    except OSError as error:
        raise resource_error(error, target) from error
