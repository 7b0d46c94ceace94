"""A worker that is alone takes a new model when it is sound, and keeps the old one when it is not."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("prometheus_client", reason="the extra serve is not installed")

from seefit.bundle.bundle import load
from seefit.deploy.serve.colleagues import Alone, Served
from seefit.deploy.serve.meters import Meters
from seefit.errors import ArtefactError
from seefit.models.backbone import Backbone
from tiny import make_bundle


def alone(served: Served) -> Alone:
    return Alone(served, Meters(lambda: 0, lambda: {"model": served.name, "hash": served.bundle.hash}))


def test_a_sound_model_is_taken_and_explains_after_its_files_are_gone(tiny_bundle: Path, tiny_backbone: Backbone, tmp_path: Path) -> None:
    place = shutil.copytree(tiny_bundle, tmp_path / "model")
    served = Served("m", load(place))
    old = served.bundle
    shutil.rmtree(place)
    make_bundle(place, tiny_backbone, temperature=3.0)
    assert asyncio.run(alone(served).reload()) == served.bundle.hash != old.hash
    shutil.rmtree(place)
    pixels = np.zeros((3, 32, 32), np.float32)
    assert served.bundle.explainer.explain(pixels).exact


def test_a_model_that_answers_differently_than_it_should_is_not_taken(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Served("m", load(shutil.copytree(tiny_bundle, tmp_path / "model")))
    old = served.bundle
    monkeypatch.setattr("seefit.bundle.bundle.TOLERANCE", -1.0)  # no answer is near enough
    with pytest.raises(ArtefactError, match="The bundle answers differently here"):
        asyncio.run(alone(served).reload())
    served.switch()
    assert served.bundle is old


def test_what_was_prepared_can_be_dropped(tiny_bundle: Path) -> None:
    served = Served("m", load(tiny_bundle))
    old = served.bundle
    assert served.prepare() == old.hash
    served.drop()
    served.switch()
    assert served.bundle is old
    (families,) = asyncio.run(alone(served).snapshots())
    assert ("seefit_workers", 1.0) in [(sample[0], sample[2]) for _, _, _, samples in families for sample in samples]
