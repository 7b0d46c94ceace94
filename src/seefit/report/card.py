"""The model card: README.md beside the model, in the style of the Hugging Face hub, from the run's files alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from seefit.bundle.confidence import Confidence, Share
from seefit.drawing import shown
from seefit.files import write_text
from seefit.report.record import Figure, Record, as_figure, read_run
from seefit.report.verdict import grade_of, leaks, weak_classes
from seefit.report.words import Words

MOST_CLASSES = 100
MOST_WEAK = 10
ANSWERED = (1.0, 0.9, 0.8, 0.5)  # shares of images that the lines about silence speak of
SCORES = ("balanced_accuracy", "accuracy", "gain", "weighted_accuracy", "macro_f1", "auc", "nll", "brier", "ece")
PARTS = {"test": "test part", "val": "validation part", "cross_validation": "cross-validation of the training part"}

CARD = """\
---
{front}
# license: choose one yourself; the images it learnt from may bind you
---

# {title}

An image classifier for {count} classes, made with seefit. {made}

## Classes

{classes}

The order above is the order of the outputs; `bundle.json` holds it for machines.

## Intended use

Pictures of the kind it was trained on: the same subjects, camera, light and framing. It always answers one of
its classes, also for a picture that shows none of them{refuses}. What it was trained on: {data}.

## Figures

{rests}

{table}

{verdict}

## How far to trust one answer

{trust}

## How to predict

{how}
## Limits

{limits}
"""


HOW = """\
On the command line, from the folder that holds this one:

```console
seefit predict {folder} photo.jpg
```

In Python:

```python
import seefit

model = seefit.load("{folder}")
print(model.predict(["photo.jpg"]))
```

With ONNX Runtime alone (the graph takes decoded pixels of any size and does the rest):

```python
import json

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

classes = json.load(open("{folder}/bundle.json", encoding="utf-8"))["classes"]
session = onnxruntime.InferenceSession("{folder}/model.onnx")
photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
image = np.asarray(photo)[None]  # (1, height, width, 3) uint8
(probabilities,) = session.run(["probabilities"], {{session.get_inputs()[0].name: image}})
print(classes[probabilities[0].argmax()], probabilities[0].max())
```

seefit decodes 16-bit and transparent pictures by rules of its own and averages those above 16 megapixels first;
for such files the few lines above may give slightly other numbers.
"""


def write_card(run: Path) -> Path:
    """Write the model card of a finished run.

    Args:
        run: The run folder.

    Returns:
        The path of ``bundle/README.md``. It states nothing but what the run's files say, and leaves the licence
        to the user.

    Raises:
        RunError: Files of the run are missing or damaged.
        ResourceError: The bundle folder cannot be written to.
    """
    path = run / "bundle" / "README.md"
    write_text(path, model_card(run, how=HOW.format(folder="bundle"), facts={"library_name": "seefit", "tags": ["onnx"]}))
    return path


def model_card(run: Path, *, how: str, facts: Mapping[str, Any]) -> str:
    """Return the text of a model card.

    Args:
        run: The run folder.
        how: How to predict, as Markdown.
        facts: ``library_name`` and ``tags`` of the kind of model that it stands beside, for the hub.

    Raises:
        RunError: Files of the run are missing or damaged.
    """
    record, words = read_run(run, rows=False), Words("en")
    text = CARD.format(
        front=_front(facts),
        title=_text(run.resolve().name),
        count=f"{len(record.classes):,}",
        made=_made(record),
        classes=_classes(record),
        data=_text(record.data or "not recorded"),
        rests=_rests(record),
        table=_table(record, words),
        verdict=_verdict(record, words),
        refuses=", but says how unlike the training images it is" if _promised(record, "unknown") else "",
        trust="\n".join(f"- {line}" for line in _trust(record, words)),
        how=how.rstrip() + "\n",
        limits="\n".join(f"- {line}" for line in _limits(record, words)),
    )
    return text.encode("utf-8", "replace").decode("utf-8")


def _front(facts: Mapping[str, Any]) -> str:
    told = {"library_name": "seefit", "pipeline_tag": "image-classification", **facts}
    told["tags"] = ["image-classification", *facts["tags"], "seefit"]
    return yaml.safe_dump(told, sort_keys=True).strip()


def _made(record: Record) -> str:
    backbone, method = (_text(str(record.bundle.get(key, "not recorded"))) for key in ("backbone", "method"))
    members, views = record.bundle.get("members"), record.bundle.get("views")
    if members and views:
        seen = _text(" and ".join(map(str, views)), None)
        made = f"It is the mean of {len(members)} pretrained networks, {backbone}, whose upper layers were trained"
        return f"{made}; each sees a picture {seen}."
    if method == "probe":
        return f"The backbone, {backbone}, is pretrained and stayed as it was; only the linear head was fitted."
    if method == "scratch":
        return (
            f"The network, {backbone}, was trained from scratch: its weights began as random numbers and learnt from these images alone. "
            "No one else's weights went in, so their licence is yours to choose."
        )
    return f"Backbone: {backbone}; method: {method}."


def _text(name: str, longest: int | None = 80) -> str:
    """Return words of the user's as plain Markdown text: one line, nothing in it can be markup or HTML."""
    quoted = re.sub(r"([\\`*_\[\]#!|~$]|^[-+]|:(?=//))", r"\\\1", shown(name, longest))
    return quoted.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _classes(record: Record) -> str:
    lines = [f"{i}. {_text(name)}" for i, name in enumerate(record.classes[:MOST_CLASSES])]
    hidden = len(record.classes) - len(lines)
    return "\n".join([*lines, *([f"\nand {hidden:,} more."] if hidden else [])])


def _rests(record: Record) -> str:
    images = f"{int(record.headline.get('n', 0)):,}"
    if not record.headline:
        return "Nothing was judged: no images were kept aside."
    if record.part == "cross_validation":
        return f"There was no test part: the headline rests on {images} training images, each scored by a head that had not seen it."
    if record.part == "test":
        return f"The figures rest on {images} test images that were read once, after the model and every setting were fixed."
    tuned = "which also served to tune the model, so it may flatter"
    return f"There was no test part: the headline rests on {images} validation images, {tuned}."


def _table(record: Record, words: Words) -> str:
    parts = [part for part in (record.part, *PARTS) if record.metrics.get(part)]
    parts = list(dict.fromkeys(parts))
    if not parts:
        return ""
    lines = ["| figure | " + " | ".join(PARTS[part] for part in parts) + " |", "|---|" + "---|" * len(parts)]
    for name in SCORES:
        figures = [record.figure(part, name) for part in parts]
        if any(figures):
            cells = (f"{words.value(name, figure)} ({words.interval(name, figure)})" if figure else "–" for figure in figures)
            lines.append(f"| {words(f'metric.{name}')} | " + " | ".join(cells) + " |")
    lines.append("| images | " + " | ".join(f"{int(record.metrics[part].get('n', 0)):,}" for part in parts) + " |")
    return "\n".join(lines)


def _verdict(record: Record, words: Words) -> str:
    baseline, gain = record.figure(record.part, "majority_baseline"), record.figure(record.part, "gain")
    if baseline is None or gain is None:
        return ""
    meaning = {
        "better": "so it is better than that",
        "unsure": "so it is not certain to be better than that, but its balanced accuracy is higher than by guessing",
        "mixed": "so it is not shown to be right more often, but its balanced accuracy is higher than by guessing",
        "not": "so it is **not** shown to be better than that",
        "unknown": "and since all of them belong to one group, nothing tells how it would do on others",
    }[grade_of(record)]
    guess = f"{100 * baseline.value:.1f} % of these images"
    lead = f"{words.value('gain', gain)} ({words.interval('gain', gain)})"
    return (
        f"Ranges are 95 % intervals. Always answering the commonest class would be right for {guess}. "
        f"On the same images the model's lead over that is {lead}, {meaning}."
    )


def _promised(record: Record, what: str) -> dict[str, Any] | None:
    """Return what the bundle states of ``sets`` or of what is ``unknown`` to it; None where it has no such thing."""
    found: dict[str, Any] | None = (record.bundle.get("trust") or {}).get(what)
    return found


def _trust(record: Record, words: Words) -> list[str]:
    """Return what sets, refusals and scores promise, what they gave on the judged part, and where the promise does not hold."""
    found, sets, unknown = record.insight("trust") or {}, _promised(record, "sets"), _promised(record, "unknown")
    lines = []
    if sets:
        stated = f"Sets of classes are stated to hold the right class of {words.percent(sets['coverage'], 0)} of pictures"
        lines.append(stated + _given(words, found.get("sets"), "coverage", found, "they held it for"))
    if unknown:
        stated = f"“None of these” is stated to refuse {words.percent(unknown['rate'], 0)} of pictures that it does know"
        lines.append(stated + _given(words, found.get("unknown"), "refused", found, "it refused"))
    lines += _scores(record, words)
    if not lines:
        return [
            "It gives no sets of classes and refuses nothing: too few images were kept back from training to say how often that is right."
        ]
    fitted = {"val": "validation images", "folds": "training images, each scored by a head that had not seen it"}
    about = record.bundle["trust"]
    same = ", the very images of the figures above, which therefore flatter" if about["fitted_on"] == found.get("part") else ""
    lines.append(f"Limits were set on {about['images']:,} {fitted[about['fitted_on']]}{same}.")
    lines.append(
        "They hold on average over pictures of the kind it was trained on. They do not hold for every class by itself, and not for "
        "pictures of another kind: another camera, place, season or light."
    )
    if record.groups:
        lines.append(
            "The limits take images as independent. These come in groups that resemble each other, so images of new groups may be refused "
            "more often, or missed by their sets more often, than stated."
        )
    return [*lines, *([_worst_class(words, worst)] if (worst := (found.get("sets") or {}).get("per_class")) else [])]


def _scores(record: Record, words: Words) -> list[str]:
    """Return what held-out images told of scores: how far these are off, and what answering only the surest gave."""
    said = _promised(record, "confidence")
    if said is None:
        return []
    confidence = Confidence.from_json(said)

    def share(found: Share) -> str:
        ends = "" if found.low is None else f" ({words.interval('accuracy', Figure(*found))})"
        return f"{words.percent(found.value)}{ends}"

    points = dict.fromkeys(confidence.point_for(coverage) for coverage in ANSWERED)
    answered = "; ".join(f"{p.score:.3f} and above answers {words.percent(p.coverage, 0)}, {share(p.accuracy)} rightly" for p in points)
    return [
        f"Scores of the images named below were off by {share(confidence.ece)} on average (expected calibration error).",
        f"A score of {answered}.",
    ]


def _given(words: Words, judged: dict[str, Any] | None, figure: str, found: dict[str, Any], verb: str) -> str:
    """Return what a promise gave on the judged part, as the end of its sentence."""
    value = as_figure((judged or {}).get(figure))
    if value is None:
        return "."
    gave = f"{words.percent(value.value)} ({words.interval('accuracy', value)})"
    return f"; of the {found['images']:,} images of the {PARTS[found['part']]} {verb} {gave}."


def _worst_class(words: Words, classes: list[dict[str, Any]]) -> str:
    """Say in which class sets held the right class least often."""
    worst = classes[0]
    value = as_figure(worst["coverage"]) or Figure(0.0)
    held = f"{words.percent(value.value, 0)} ({words.interval('accuracy', value)}) of {worst['images']:,} images"
    return f"The class that sets held least often: {_text(worst['label'])}, {held}."


def _limits(record: Record, words: Words) -> list[str]:
    lines = [f"**{_text(note, None)}**" for note in leaks(record)]
    weak = weak_classes(record)
    if weak:
        named = ", ".join(f"{_text(name)} ({words.value('recall', record.per_class(name, 'recall'))} found)" for name in weak[:MOST_WEAK])
        more = f", and {len(weak) - MOST_WEAK:,} more" if len(weak) > MOST_WEAK else ""
        lines.append(f"Found less often than the others: {named}{more}.")
    ece = record.figure(record.part, "ece")
    if ece:
        lines.append(f"Its probabilities are off by {words.value('ece', ece)} on average ({words.interval('ece', ece)}).")
    if record.bundle.get("gallery"):
        pictures = f"small pictures of {int(record.bundle['gallery']):,} training images, with the names of their files"
        lines.append(f"**It carries {pictures}** (`gallery.safetensors`): whoever has the model has them.")
    others = [note for note in dict.fromkeys(record.metrics.get("notes") or []) if note not in leaks(record)]
    return [
        *lines,
        *(_text(note, None) for note in others),
        "Pictures of another kind were not tested; the figures say nothing about them.",
    ]
