"""Classify pictures with an exported model. Needs onnxruntime or OpenVINO, numpy and pillow, and nothing of seefit.

    python predict.py photo.jpg another.png > answers.csv

The graph takes decoded pixels of any size; `decode` makes them as the model saw them in training.
"""

from __future__ import annotations

import csv
import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FOLDER = Path(__file__).parent
MOST_PIXELS = 16_000_000  # above it the picture is averaged over whole boxes of pixels
TURNS = [None, 0, 3, 1, 5, 4, 6, 2]  # what undoes each EXIF orientation from 1 to 8, as numbers of Pillow's Image.Transpose


def decode(path: str) -> Any:
    """Return a picture as (H, W, 3) uint8 RGB: first frame, upright, 16-bit grey by its range, on white where it is transparent."""
    Image.MAX_IMAGE_PIXELS = None  # a limit of your own belongs here when the pictures come from strangers
    image = Image.open(path)
    orientation = image.getexif().get(274, 1)
    image.load()
    if image.mode.startswith("I"):
        rgb = Image.fromarray(((np.asarray(image).astype(np.int64) * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
    elif image.mode == "F":
        raise ValueError(f"{path}: a float image, whose range is not defined")
    elif image.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in image.info:
        plain = image.convert("LA") if image.mode == "La" else image
        rgb = Image.alpha_composite(Image.new("RGBA", image.size, "white"), plain.convert("RGBA")).convert("RGB")
    else:
        rgb = image.convert("RGB")
    turn = TURNS[orientation - 1] if orientation in range(1, 9) else None
    upright = rgb if turn is None else rgb.transpose(Image.Transpose(turn))
    box = math.ceil(math.sqrt(upright.width * upright.height / MOST_PIXELS))
    return np.array(upright.reduce(box) if box > 1 else upright)


def open_model() -> tuple[Callable[[Any], dict[str, Any]], list[str]]:
    """Return what gives the outputs by name for (1, H, W, 3) pixels, and the classes."""
    if (FOLDER / "model.onnx").is_file():
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime

        session = onnxruntime.InferenceSession(FOLDER / "model.onnx", providers=["CPUExecutionProvider"])
        there = [output.name for output in session.get_outputs()]
        wanted = [name for name in ("probabilities", "unknown") if name in there]  # not every model has both
        names = json.loads(session.get_modelmeta().custom_metadata_map["names"])
        return lambda pixels: dict(zip(wanted, session.run(wanted, {"image": pixels}), strict=True)), list(names.values())
    import openvino

    # in bf16, the default of processors that have it, the resize is many grey levels off
    model = openvino.compile_model(FOLDER / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    wanted = [name for name in ("probabilities", "unknown") if any(name in output.get_names() for output in model.outputs)]

    def answer(pixels: Any) -> dict[str, Any]:
        found = model(pixels)
        return {name: found[name] for name in wanted}

    return answer, json.loads((FOLDER / "bundle.json").read_text("utf-8"))["classes"]


def main(paths: list[str]) -> None:
    """Print a row per picture: what it is, how unlike the training pictures it is (above 1: none of these), a probability per class."""
    answer, classes = open_model()
    rows = csv.writer(sys.stdout, lineterminator="\n")
    for number, path in enumerate(paths):
        outputs = answer(decode(path)[None])
        probabilities = outputs.pop("probabilities")[0]
        if number == 0:
            rows.writerow(["path", "predicted", *outputs, *(f"p:{name}" for name in classes)])
        numbers = [*(output[0] for output in outputs.values()), *probabilities]
        rows.writerow([path, classes[int(probabilities.argmax())], *(f"{number:.6f}" for number in numbers)])


if __name__ == "__main__":
    main(sys.argv[1:])
