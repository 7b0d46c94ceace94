"""``--format int8``: post-training quantisation of ``network``, with the head, the temperature and the trust fitted to it again.

Weights are signed per channel, activations unsigned, both 8 bits, their ranges from training images (ONNX Runtime's static quantisation,
QDQ). ``preprocess`` stays in fp32: it is where pixels count. What quantisation costs is measured on the validation part.
"""

from __future__ import annotations

import hashlib
import shutil
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.bundle import save_bundle
from seefit.bundle.graph import features_part
from seefit.bundling import bundle_parts
from seefit.console import QUIET, Console
from seefit.deploy.finished import Finished
from seefit.environment import own_folder
from seefit.errors import ArtefactError, DataError
from seefit.evaluation.evaluate import group_numbers
from seefit.evaluation.intervals import Estimate
from seefit.evaluation.paired import paired_interval
from seefit.files import write_bytes
from seefit.fitting import Fitted, calibrate
from seefit.models.backbone import Backbone, Stage
from seefit.models.convert import quietly
from seefit.parts import Part
from seefit.training.engine import read_image
from seefit.training.features import FeatureExtractor
from seefit.training.head import Head, fit_head
from seefit.trusting import fit_trust

if TYPE_CHECKING:
    from onnx import ModelProto

IMAGES = 100  # that tell the range of activations
QUANTISED = ("Conv", "Gemm", "MatMul", "Add", "Mul", "Clip", "Relu", "Sigmoid")  # pooling and what follows it stay in fp32
FEATURES = "int8"
MAX_DROP = 1.0  # points of accuracy


@dataclass(frozen=True)
class Change:
    """What quantisation does to accuracy on the validation part.

    Attributes:
        images: How many validation images there are.
        before: Accuracy of the run.
        after: Accuracy of the export.
        change: How much higher that is, with its 95 % interval.
    """

    images: int
    before: float
    after: float
    change: Estimate

    def to_json(self) -> dict[str, Any]:
        """Return it as the manifest of the export has it."""
        return {"images": self.images, "before": self.before, "after": self.after, "accuracy": self.change.to_json()}

    def sentence(self) -> str:
        """Return it in one sentence."""
        low, high = (100 * (end or 0) for end in (self.change.low, self.change.high))
        return (
            f"Accuracy on {self.images:,} validation images: {self.before:.1%} in fp32, {self.after:.1%} in int8, a change of "
            f"{100 * (self.change.value or 0):+.1f} points [{low:+.1f}, {high:+.1f}]"
        )


def write_int8_export(finished: Finished, folder: Path, *, max_drop: float = MAX_DROP, console: Console = QUIET) -> Change:
    """Quantise the network of a run, fit to it what comes after, and write it as a bundle.

    The head of a probe is fitted again on the training part. One that was trained together with its layers stays, since on images
    that these have learnt a new one would become surer than it ought to be. Temperature and trust come from the validation part.

    Args:
        finished: The run.
        folder: Where to write; it is there and empty.
        max_drop: By how many points accuracy on the validation part may fall.
        console: Where to say what happens.

    Raises:
        ArtefactError: The run has no validation part, or accuracy falls by more.
        DataError: Its training or validation images cannot be read.
        ResourceError: The disk is full or the place cannot be written to.
    """
    train, val, classes = finished.part("train"), finished.part("val"), finished.bundle.classes
    if not val.samples:
        hint = "Train with a validation part (--val 0.15), or export with --format onnx"
        raise ArtefactError("The loss of int8 cannot be measured", where=finished.run, expected="a validation part", got="none", hint=hint)
    settings = finished.settings
    extractor = _extractor(finished, train, console)
    console.say(f"Computing the features of {len(train.samples) + len(val.samples):,} images in int8, which are kept …")
    head = _head(finished, extractor, train)
    temperature, figures = calibrate(settings, extractor, head, train, val, classes, QUIET)
    change = _change(finished, extractor, head, val)
    if not 100 * (change.change.value or 0) >= -max_drop:
        hint = f"Allow it with --max-drop {-100 * (change.change.value or 0):.1f}, or export with --format onnx"
        expected = f"accuracy that falls by at most {max_drop:g} point{'' if max_drop == 1 else 's'}"
        raise ArtefactError("int8 costs too much", where=finished.run, expected=expected, got=change.sentence(), hint=hint)
    about = finished.bundle.manifest
    kept = ("backbone", "weights", "features", "method", "head", "hidden", "trained", "members", "views")
    facts = {key: about[key] for key in kept if key in about}
    facts["export"] = {"format": "int8", "of": finished.bundle.hash, "change": change.to_json(), "head": head.method}
    fitted = Fitted(extractor, head, temperature, None, figures, None, about=facts)
    trust = fit_trust(fitted, settings, classes, train, val, console=console)
    save_bundle(folder, bundle_parts(fitted, classes, settings, train, trust))
    return change


def _extractor(finished: Finished, train: Part, console: Console) -> FeatureExtractor:
    """Return the quantised network as what gives features, computed by the reference alone."""
    about, features = finished.bundle.manifest, features_part(finished.bundle.network())
    pixels = _pixels(finished, train)
    console.say(f"Quantising the network with {len(pixels)} training images …")
    data = quantise(features, pixels)
    identity, place = hashlib.sha256(data).hexdigest(), own_folder("tuned")
    write_bytes(place / "int8.onnx", data)
    width = features.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    mean, std = tuple(about["mean"]), tuple(about["std"])
    stages, file = (Stage(FEATURES, width, 0),), place / "int8.onnx"
    backbone = Backbone(about["backbone"], about["image_size"], mean, std, stages, identity, file, identity)
    weakref.finalize(backbone, shutil.rmtree, place, ignore_errors=True)
    extractor = FeatureExtractor(backbone, [FEATURES], about["fit"], device="cpu", max_pixels=finished.settings.max_pixels)
    extractor.use_reference()
    return extractor


def _pixels(finished: Finished, train: Part) -> list[NDArray[np.float32]]:
    reference, limit = finished.bundle.reference, finished.settings.max_pixels
    return [reference.pixels(read_image(sample, digest, limit)) for sample, digest in zip(*train.spread(IMAGES), strict=True)]


def quantise(features: ModelProto, pixels: list[NDArray[np.float32]]) -> bytes:
    """Return a network in int8.

    Args:
        features: From ``pixels`` (N, 3, S, S) to ``features`` (N, D).
        pixels: Preprocessed images (3, S, S) that tell the range of every activation.

    Returns:
        An ONNX file from ``pixels`` to ``int8`` (N, D) float32.
    """
    import tempfile

    import onnx
    import onnx.compose
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rest: Iterator[NDArray[np.float32]] = iter(pixels)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            image = next(self.rest, None)
            return None if image is None else {"pixels": image[np.newaxis]}

    options = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8, "per_channel": True}
    own = onnx.ModelProto()
    own.CopyFrom(features)  # it is changed by what follows
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, "int8.onnx")
        with quietly():
            quantize_static(own, file, Reader(), quant_format=QuantFormat.QDQ, op_types_to_quantize=list(QUANTISED), **options)
        model = onnx.load(file)
    model = onnx.compose.add_prefix(model, f"{FEATURES}/", rename_inputs=False, rename_outputs=False)  # names of its own
    for node in model.graph.node:
        node.output[:] = [FEATURES if name == "features" else name for name in node.output]
    model.graph.output[0].name = FEATURES
    return bytes(model.SerializeToString(deterministic=True))


def _head(finished: Finished, extractor: FeatureExtractor, train: Part) -> Head:
    settings, classes = finished.settings, finished.bundle.classes
    if finished.bundle.manifest["method"] != "probe":
        return Head(*finished.bundle.head(), "finetuned", 0.0)
    features = extractor.extract(train.samples, train.sha256)
    targets, balance = train.one_hot(classes), settings.class_weights
    return fit_head(features, targets, weights=train.weights(), units=train.units, balance=balance, seed=settings.seed)


def _change(finished: Finished, extractor: FeatureExtractor, head: Head, val: Part) -> Change:
    """Compare the answers of the run's bundle and of the quantised network on the validation part."""
    from seefit.bundle.predict import predict

    limit, digests = finished.settings.max_pixels, dict(zip((sample.name for sample in val.samples), val.sha256, strict=True))
    answers = list(predict(finished.bundle, val.samples, read=lambda sample: read_image(sample, digests[sample.name], limit)))
    failed = next((answer.error for answer in answers if answer.error is not None), None)
    if failed is not None:
        raise DataError(
            "Cannot read the validation part", where=finished.root, expected="its images", got=failed.reason, hint="Put the images back"
        )
    labels = val.labels(finished.bundle.classes)
    before = np.array([int(answer.probabilities.argmax()) for answer in answers]) == labels
    after = head.logits(extractor.extract(val.samples, val.sha256)).argmax(axis=1) == labels
    groups = group_numbers([sample.group for sample in val.samples])
    change = paired_interval(before, after, groups, seed=finished.settings.seed)
    return Change(len(labels), float(before.mean()), float(after.mean()), change)
