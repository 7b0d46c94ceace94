"""Feed broken files to what reads bundles and exports, with atheris: whatever comes, the answer is one of seefit's own errors.

    python fuzz/bundle.py manifest|tensors|gallery|model [options of libFuzzer, such as -max_total_time=60]

Seeds are made here, so that no binary lies in the repository. A crasher that was found is added to `CRASHERS` as text, and every run
begins with it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["seefit"]):
    from seefit.bundle.manifest import manifest_hash, read_manifest
    from seefit.bundle.model_file import read_model
    from seefit.bundle.neighbours import GALLERY, Gallery, read_gallery
    from seefit.bundle.tensors import check_tensors
    from seefit.errors import SeefitError

PLACE = Path(tempfile.mkdtemp(prefix="seefit-fuzz-"))
CRASHERS: dict[str, list[str]] = {"manifest": [], "tensors": [], "gallery": [], "model": []}  # base64


def manifest(data: bytes) -> None:
    """Read a manifest; half of the time with its hash made right, so that what lies behind that check is reached."""
    if data[:1] == b"\x01":
        try:
            said = json.loads(data[1:])
        except (ValueError, RecursionError):
            return
        if not isinstance(said, dict):
            return
        data = json.dumps(said | {"hash": manifest_hash(said)}).encode()
    (PLACE / "bundle.json").write_bytes(data)
    read_manifest(PLACE)


def tensors(data: bytes) -> None:
    """Check a safetensors file by its header."""
    (PLACE / "head.safetensors").write_bytes(data)
    check_tensors(PLACE / "head.safetensors", {"weight": ("F32", (2, 3)), "bias": ("F32", (2,))})


def gallery(data: bytes) -> None:
    """Read small pictures of training images, and compare with them."""
    import numpy as np

    (PLACE / GALLERY).write_bytes(data)
    found = read_gallery(PLACE / GALLERY, 3, 2)
    found.nearest(np.ones(3, np.float32))


def model(data: bytes) -> None:
    """Read an ONNX file."""
    (PLACE / "model.onnx").write_bytes(data)
    read_model(PLACE / "model.onnx")


def seeds(target: str) -> list[bytes]:
    """Return sound files to begin with."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper
    from safetensors.numpy import save

    if target == "tensors":
        return [save({"weight": np.zeros((2, 3), np.float32), "bias": np.zeros(2, np.float32)})]
    if target == "gallery":
        square, points = np.ones((3, 2), np.float32), np.ones((2, 2), np.float16)
        return [Gallery(square[:, 0], square, points, np.arange(2), ["a", "b"], [b"\xff\xd8\xff\xe0"] * 2).to_bytes()]
    if target == "model":
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
        weight = numpy_helper.from_array(np.ones(1, np.float32), "w")
        graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "seed", ends[:1], ends[1:], [weight])
        return [helper.make_model(graph).SerializeToString()]
    files = dict.fromkeys(["model.onnx", "head.safetensors", "golden.safetensors", "golden/a.png"], "0" * 64)
    said = {"format": 1, "classes": ["a", "b"], "files": files, "golden": ["a.png"], "backbone": "x", "fit": "crop", "image_size": 32}
    said |= {"features": ["pooled"], "temperature": 1.0, "export": {"format": "onnx"}, "class_map": 0}
    share = {"value": 0.9, "low": 0.8, "high": None}
    confidence = {"ece": share, "bins": [{"low": 0.8, "high": 1.0, "images": 9, "confidence": 0.9, "accuracy": share}]}
    confidence |= {"selective": [{"score": 0.8, "coverage": 1.0, "accuracy": share}]}
    said["trust"] = {"fitted_on": "val", "images": 9, "sets": None, "unknown": {"threshold": 1.0, "rate": 0.05}, "confidence": confidence}
    text = json.dumps(said | {"hash": manifest_hash(said)}).encode()
    return [text, b"\x01" + text]


TARGETS: dict[str, Callable[[bytes], None]] = {"manifest": manifest, "tensors": tensors, "gallery": gallery, "model": model}


def main() -> None:
    """Run one target; it ends with an error at the first answer that is none of seefit's."""
    target = sys.argv.pop(1)
    corpus = PLACE / "corpus"
    corpus.mkdir()
    for number, data in enumerate([*seeds(target), *map(base64.b64decode, CRASHERS[target])]):
        (corpus / str(number)).write_bytes(data)

    def once(data: bytes) -> None:
        with contextlib.suppress(SeefitError):
            TARGETS[target](data)

    atheris.Setup([*sys.argv, str(corpus)], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
