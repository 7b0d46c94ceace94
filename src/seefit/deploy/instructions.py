"""What tells a stranger how to use an export: a script and a page beside an ONNX file, and the model card with its commands."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from seefit.bundle.trusted import refuses
from seefit.deploy.finished import Finished
from seefit.files import write_text
from seefit.report.card import model_card

ONNX = """\
`model.onnx` is the whole model: decoded RGB pixels of any size in (`image`, uint8, 1 x height x width x 3), calibrated
`probabilities` out. Class names and all else that a client may want to know are in its metadata (`names`, `imgsz`, `mean`, `std` …).
{more}
With Python, onnxruntime, numpy and pillow, and nothing else:

```console
python predict.py photo.jpg
```

In a browser, with onnxruntime-web in the folder `ort` beside `predict.html` (`npm pack onnxruntime-web`, unpack it, take its `dist`):

```console
python -m http.server --bind 127.0.0.1
```

and open `http://127.0.0.1:8000/predict.html`. PNG files give the same numbers as here within 0.001. A browser decodes JPEG up to a few
grey levels apart, and CMYK and 16-bit pictures by rules of its own: their numbers may differ by some hundredths.

With seefit:

```console
seefit predict FOLDER photo.jpg
```
"""

OPENVINO = """\
`model.xml` and `model.bin` are the whole model: decoded RGB pixels of any size in (`image`, uint8, 1 x height x width x 3), calibrated
`probabilities` out; class names in their order are in `bundle.json`. Ask for fp32: in bf16, the default of processors that have it, the
resize is many grey levels off.
{more}
With Python, openvino, numpy and pillow, and nothing else:

```console
python predict.py photo.jpg
```

or from a program of your own, in this folder; `decode` reads pictures as the model saw them in training:

```python
from predict import decode, open_model

answer, classes = open_model()
probabilities = answer(decode("photo.jpg")[None])["probabilities"][0]
print(classes[probabilities.argmax()], probabilities.max())
```

With seefit:

```console
seefit predict FOLDER photo.jpg
```
"""

HUB = """\
```python
import timm

model = timm.create_model("local-dir:FOLDER", pretrained=True).eval()  # or hf-hub:OWNER/NAME once it is there
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
```

`softmax(logits / {temperature:.6g})` are the calibrated probabilities; the temperature is in `config.json` under `seefit`, the class
names under `label_names`. timm's transform resizes with Pillow, whose rounding moves a probability by some thousandths.
"""

_UNKNOWN = "`unknown` says how unlike the training pictures a picture is: above 1 it is none of these classes.\n"
_MAP = "`map` and `map_bias` add up to the logit of `explain_class` (by default the predicted class): where in the picture it comes from.\n"


def write_instructions(finished: Finished, folder: Path, kind: str, about: dict[str, Any], note: str) -> None:
    """Write README.md, beside a whole graph ``predict.py``, and beside an ONNX file ``predict.html``.

    Args:
        finished: The run.
        folder: Of the export.
        kind: Its format.
        about: The manifest that goes with the graph.
        note: What was found about it, in sentences.

    Raises:
        ResourceError: The disk is full or the place cannot be written to.
    """
    more = (_UNKNOWN if refuses(about) else "") + (_MAP if about.get("class_map") and kind != "openvino" else "")
    how = {"openvino": OPENVINO, "hub": HUB}.get(kind, ONNX).format(more=more, temperature=about["temperature"])
    facts: dict[str, Any] = (
        {"library_name": "timm", "tags": ["timm"]} if kind == "hub" else {"tags": ["onnx" if kind != "openvino" else kind]}
    )
    write_text(folder / "README.md", model_card(finished.run, how=f"{how}\n{note}", facts=facts))
    source = files("seefit.deploy") / "howto"
    if kind != "hub":
        write_text(folder / "predict.py", (source / "standalone.py").read_text("utf-8"))
    if kind in {"onnx", "int8"}:
        write_text(folder / "predict.html", (source / "page.html").read_text("utf-8").replace("{{about}}", _told(about)))


def _told(about: dict[str, Any]) -> str:
    """Return what the page must know, as JSON that can stand inside a script."""
    return json.dumps({"classes": about["classes"], "refuses": refuses(about)}).replace("<", "\\u003c")
