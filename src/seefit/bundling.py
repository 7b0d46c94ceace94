"""What fitting made, as the parts of a bundle, with the facts for its manifest."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version

from seefit.bundle.bundle import Parts
from seefit.bundle.neighbours import GALLERY, Gallery
from seefit.bundle.trusted import Trust
from seefit.fitting import Fitted
from seefit.parts import Part
from seefit.settings import Settings


def bundle_parts(
    fitted: Fitted, classes: tuple[str, ...], settings: Settings, train: Part, trust: Trust | None = None, gallery: Gallery | None = None
) -> Parts:
    """Return what the bundle is made of; without ``trust`` it says nothing of sets and of what it does not know."""
    extractor, head = fitted.extractor, fitted.head
    backbone = extractor.backbone
    about = {
        "seefit_version": version("seefit"),
        "backbone": backbone.name,
        "weights": backbone.weights,
        "image_size": backbone.image_size,
        "fit": extractor.fit,
        "features": list(extractor.parts),
        "mean": list(backbone.mean),
        "std": list(backbone.std),
        "method": settings.way if backbone.state is None or settings.from_scratch else "finetune",
        "head": head.method,
        "calibrated": fitted.calibrated,
        "hidden": 0 if head.hidden is None else len(head.hidden.bias),
        "trained": list(fitted.trained),
        "data_sha256": hashlib.sha256("".join(sorted(train.sha256)).encode()).hexdigest(),
        "versions": versions(),
        **({} if gallery is None else {"gallery": len(gallery.names)}),
        **fitted.about,
    }
    files = {weights_file(i): one.state.read_bytes() for i, one in enumerate(fitted.members or [backbone]) if one.state is not None}
    if gallery is not None:
        files[GALLERY] = gallery.to_bytes()
    return Parts(extractor.preprocess, fitted.network, head.weight, head.bias, fitted.temperature, classes, about, files, trust)


def weights_file(number: int) -> str:
    """Return the name that the weights of a network, counted from 0, have in a bundle."""
    return f"backbone{f'-{number}' if number else ''}.safetensors"


def versions() -> dict[str, str]:
    """Return the versions of seefit, Python and the libraries that figures can depend on."""
    found = {"python": platform.python_version()}
    for name in ("seefit", "torch", "timm", "onnx", "onnxruntime", "openvino", "numpy", "scipy", "scikit-learn", "pillow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
