"""From bytes to what clients get: the same as `seefit.load(…).predictions`, with explanations beside."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seefit.bundle.bundle import Bundle, load
from seefit.deploy.serve.answering import Question, answer
from seefit.errors import ArtefactError
from served import picture


@pytest.fixture(scope="module")
def bundle(trained: Path) -> Bundle:
    return load(trained)


def test_sets_and_refusals_are_those_of_the_file(bundle: Bundle, elpv_cells: dict[str, list[Path]]) -> None:
    paths = [path for cells in elpv_cells.values() for path in cells[40:44]]
    found = answer(bundle, [Question(path.read_bytes()) for path in paths])
    for said, prediction in zip(found, bundle.predictions(paths), strict=True):
        assert said.prediction.trust().keys() == prediction.trust().keys()
        assert said.prediction.members == prediction.members
        assert said.told()["predictions"][0]["score"] == pytest.approx(prediction.ranked()[0]["score"], abs=1e-6)
        assert said.prediction.unknown == pytest.approx(prediction.unknown, abs=1e-4)


def test_a_batch_may_hold_everything_at_once(bundle: Bundle) -> None:
    data = picture()
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    plain, bad, decoded, explained = answer(
        bundle, [Question(data), Question(b"x"), Question(pixels), Question(data, explain=True, label=bundle.classes[0])]
    )
    assert bad.prediction.error is not None
    for found in (decoded, explained):
        assert np.allclose(found.prediction.probabilities, plain.prediction.probabilities, atol=1e-6)
    assert plain.explanation is None
    assert explained.explanation is not None
    assert explained.explanation["label"] == bundle.classes[0]


def test_large_pictures_are_explained_small(bundle: Bundle) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (1_200, 600), "red").save(buffer, "PNG")
    (found,) = answer(bundle, [Question(buffer.getvalue(), explain=True)])
    assert found.explanation is not None
    shown = Image.open(io.BytesIO(base64.b64decode(found.explanation["image"].partition(",")[2])))
    assert shown.size == (512, 256)


def test_a_model_that_explains_nothing_still_answers(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: Bundle) -> None:
        raise ArtefactError("No ONNX graph", where="here", expected="one", got="none", hint="None")

    monkeypatch.setattr(type(bundle), "explainer", property(none))
    (found,) = answer(bundle, [Question(picture(), explain=True)])
    assert "explanation" not in found.told()
    assert found.told()["predictions"]
