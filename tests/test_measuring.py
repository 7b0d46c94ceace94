"""How long a network takes: measured with a few images, and what follows from that."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from conftest import PhotoFolder
from seefit import measuring
from seefit.bundle.bundle import load
from seefit.data.dataset import Sample
from seefit.files import sha256_file
from seefit.finetuning import Cut
from seefit.measuring import Speed, cost_of, measure
from seefit.models.backbone import Backbone
from seefit.parts import Part
from seefit.settings import Settings, make_settings
from seefit.training.engine import read_image
from seefit.training.features import FeatureExtractor

SPEED = Speed(view=0.01, answer=0.02, batch=0.5)


class Upper(nn.Module):
    """What lies above ``blocks.0`` of the tiny backbone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 2, 2)

    def forward(self, activation: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.conv(activation),)


def best(**given: Any) -> Settings:
    return make_settings({"data": "d", "preset": "best", "backbone": "lite0", **given})


@pytest.fixture
def part(photo_folder: PhotoFolder) -> Part:
    samples = [Sample(path, path.name, path.parent.name) for path in sorted(photo_folder(6).rglob("*.png"))]
    return Part(samples, [sha256_file(sample.path) for sample in samples], np.arange(len(samples)))


@pytest.mark.parametrize(
    ("cut", "augment"), [(Cut("blocks.0", ("blocks.0",), ("blocks.1",)), "any-way-up"), (Cut(None, ("blocks.0", "blocks.1"), ()), "none")]
)
def test_a_network_is_measured_and_nothing_is_kept(
    tiny_backbone: Backbone, part: Part, monkeypatch: pytest.MonkeyPatch, cut: Cut, augment: str
) -> None:
    def slowly(*arguments: Any) -> Any:
        time.sleep(0.03)
        return read_image(*arguments)

    monkeypatch.setattr(measuring, "read_image", slowly)
    monkeypatch.setattr(measuring, "upper_layers", lambda _, cut: Upper() if cut.boundary else None)
    extractor = FeatureExtractor(tiny_backbone, ("blocks.0", "blocks.1"), "squash", device="cpu")
    speed = measure(best(augment=augment, batch=4), extractor, cut, 2, part)
    assert speed.view > 0.03 / 4  # a few threads read at once
    assert 0 < speed.answer < speed.view
    assert 0 < speed.batch < 5
    assert not any(extractor.kept(part.sha256))


def test_a_teacher_is_asked_about_every_view(
    tiny_backbone: Backbone, tiny_bundle: Path, part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "upper_layers", lambda *_: None)
    extractor, head = (
        FeatureExtractor(tiny_backbone, ("blocks.0", "blocks.1"), "squash", device="cpu"),
        Cut(None, ("blocks.0", "blocks.1"), ()),
    )
    monkeypatch.setattr(measuring, "seconds_per_answer", lambda reference, _: 0.1 if reference is extractor.reference else 7.0)
    alone, taught = (measure(best(batch=4), extractor, head, 2, part, teacher) for teacher in (None, load(tiny_bundle)))
    assert alone.view < 7 < taught.view
    assert alone.answer == taught.answer == 0.1


def test_a_streamed_network_is_measured_on_pixels(tiny_backbone: Backbone, part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[torch.Size] = []

    class Whole(nn.Module):
        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
            shapes.append(pixels.shape)
            return pixels[:, :1, :4, :4].repeat(1, 4, 1, 1), pixels[:, :1, :4, :4].repeat(1, 8, 1, 1)

    monkeypatch.setattr(measuring, "upper_layers", lambda *_: Whole())
    extractor = FeatureExtractor(tiny_backbone, ("blocks.0", "blocks.1"), "squash", device="cpu")
    assert measure(best(batch=4), extractor, Cut("pixels", (), ("blocks.0", "blocks.1"), streamed=True), 2, part).batch > 0
    assert set(shapes) == {(4, 3, 32, 32)}


def test_the_first_network_needs_no_probe_any_more() -> None:
    common: dict[str, Any] = {"train": 640, "val": 64, "judged": 100, "views": 2, "streamed": False}
    settings = best(augment="any-way-up", views=20)
    first, other = (cost_of(SPEED, settings, **common, probe=probe) for probe in (None, 7.0))
    assert first.once == pytest.approx((640 * 8 + 64) * 0.01 + 64 * 0.02 + measuring.WRITING_S)  # only eight views are different
    assert other.once - first.once == pytest.approx(7 + 640 * 0.01)
    assert first.epoch == other.epoch == pytest.approx((10 + 1 / 3) * 0.5)
    assert first.answers == other.answers == pytest.approx(164 * 2 * 0.02)


def test_streamed_images_cost_every_epoch() -> None:
    common: dict[str, Any] = {"train": 640, "val": 64, "judged": 100, "views": 1, "probe": None}
    kept, streamed = (cost_of(SPEED, best(), **common, streamed=streamed) for streamed in (False, True))
    assert kept.once - streamed.once == pytest.approx((640 * 8 + 64) * 0.01)
    assert streamed.epoch - kept.epoch == pytest.approx(704 * 0.01)


def test_without_images_to_judge_answers_cost_nothing() -> None:
    cost = cost_of(SPEED, best(), train=1, val=0, judged=0, views=1, streamed=False, probe=None)
    assert (cost.epoch, cost.answers) == (SPEED.batch, 0)


def test_a_rate_that_is_looked_for_takes_its_time() -> None:
    common: dict[str, Any] = {"train": 640, "val": 0, "judged": 0, "views": 1, "streamed": False, "probe": None}
    usual, sought, given = (cost_of(SPEED, best(accumulate=2, lr=lr), **common) for lr in (None, "auto", "0.01"))
    assert usual == given
    assert sought.once - usual.once == pytest.approx(100 * 2 * 0.5)
