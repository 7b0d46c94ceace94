"""How long a run takes, said before: from what is measured here, what is to be done, and what is kept already."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from conftest import PhotoFolder, Train
from seefit import measuring, promises
from seefit.budget import EXPLAINED, TIMINGS, Cost, Timings, keep_timings
from seefit.data.dataset import Sample
from seefit.files import sha256_file
from seefit.models.backbone import Backbone
from seefit.parts import Part
from seefit.pipeline import resume
from seefit.promises import Promise, Work, about, epochs_done, head_seconds, promise_run, seconds_per_image, settled, slowness
from seefit.settings import Settings, make_settings
from seefit.training.checkpoint import save_checkpoint
from seefit.training.features import FeatureExtractor
from seefit.training.head import MAX_PATH_ROWS
from test_cache import Listener


def part_of(folder: Path, start: int = 0, count: int | None = None) -> Part:
    files = sorted(folder.rglob("*.png"))[start:][:count]
    samples = [Sample(file, file.name, file.parent.name) for file in files]
    return Part(samples, [sha256_file(file) for file in files], np.arange(len(files)))


def extractor_of(backbone: Backbone) -> FeatureExtractor:
    return FeatureExtractor(backbone, ("blocks.0", "blocks.1"), "squash", device="cpu")


class Slow:
    """An engine that takes its time for every image."""

    name, batch = "slow", 2

    def __init__(self, seconds: float) -> None:
        self.seconds, self.images = seconds, 0

    def forward(self, batches: Iterable[Sequence[NDArray[np.float32]]]) -> Iterator[NDArray[np.float32]]:
        for batch in batches:
            time.sleep(self.seconds * len(batch))
            self.images += len(batch)
            yield np.zeros((len(batch), 1), np.float32)


def test_an_image_takes_what_the_engine_takes(tiny_backbone: Backbone, photo_folder: PhotoFolder) -> None:
    engine, part = Slow(0.01), part_of(photo_folder(20))
    assert 0.01 <= seconds_per_image(extractor_of(tiny_backbone), engine, part) < 1
    assert engine.images == 1 + promises.TRIAL_LEAST  # one more to begin with; of 40 images the least that are ever tried


def test_trying_a_slow_network_ends_soon(tiny_backbone: Backbone, photo_folder: PhotoFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promises, "TRIAL_S", 0.05)
    engine = Slow(0.03)
    assert 0.03 <= seconds_per_image(extractor_of(tiny_backbone), engine, part_of(photo_folder(20))) < 1
    assert engine.images == 1 + 2


FAST = make_settings({"data": "d"})
NOTHING = Part([], [], np.arange(0))


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put round numbers in the place of what is measured: 1 s an image by the engine, 2 s by the reference, 0.5 s for a head."""
    monkeypatch.setattr(promises, "seconds_per_image", lambda extractor, engine, part: 2.0 if engine is extractor.reference else 1.0)
    monkeypatch.setattr(promises, "slowness", lambda: 1.0)
    monkeypatch.setattr(promises, "head_seconds", lambda rows, columns, classes: 0.5)


def parts_of(extractor: FeatureExtractor, work: Work, settings: Settings = FAST, checkpoints: Path = Path("none")) -> dict[str, float]:
    return promise_run(settings, extractor, work, began=time.monotonic(), checkpoints=checkpoints).parts


def test_what_is_kept_takes_no_time(known: None, tiny_backbone: Backbone, photo_folder: PhotoFolder) -> None:
    folder, extractor = photo_folder(10), extractor_of(tiny_backbone)
    extractor.engine = Slow(0)
    train, val = part_of(folder, 0, 12), part_of(folder, 12)
    work, head = Work(train, val, 5, 2, train), 0.5 + promises.FITTING_S
    assert parts_of(extractor, work) == {
        "features": 12 + 8,  # those of the validation part are computed twice, to compare the engines
        "head": head + 8 * 2,
        "judging": 5 * 2 + promises.JUDGING_S,
        "insights": EXPLAINED * 2 + (12 + 8 + 5) * (promises.POINT_S + promises.LOOKED_S),
        "report": promises.REPORT_S,
    }
    alone = parts_of(extractor, replace(work, val=NOTHING))
    assert (alone["features"], alone["head"]) == (12, head + 12 * 2)  # engines are compared on the training part in its place
    extractor.extract(val.samples, val.sha256, exact=True)
    assert parts_of(extractor, work)["head"] == head
    extractor.use_reference()
    assert parts_of(extractor, work)["features"] == 12 * 2
    extractor.extract(train.samples, train.sha256)
    assert parts_of(extractor, work)["features"] == 0


def test_images_that_are_gone_are_not_tried(tiny_backbone: Backbone) -> None:
    extractor = extractor_of(tiny_backbone)
    gone = Part([Sample(Path("gone.png"), "gone.png", "a")], ["00" * 32], np.arange(1))
    parts = parts_of(extractor, Work(gone, NOTHING, 1, 2, None))
    assert parts["features"] == 0


def test_what_is_trained_takes_views_epochs_and_writing(
    known: None, tiny_backbone: Backbone, photo_folder: PhotoFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "seconds_per_view", lambda *_, forward, **__: 0.25 if forward else 0.125)
    monkeypatch.setattr(measuring, "seconds_per_step", lambda settings, *_: 0.01 * settings.batch)
    folder, extractor = photo_folder(40), extractor_of(tiny_backbone)
    train, val = part_of(folder, 0, 64), part_of(folder, 64)
    work = Work(train, val, 5, 2, train)
    settings = make_settings({"data": "d", "method": "finetune", "freeze": "blocks.0", "epochs": 3, "views": 2, "batch": 32})
    parts = parts_of(extractor, work, settings)
    epoch = 0.01 * (64 + 16 / 3)  # a validation image takes a third of a training step
    assert parts["activations"] == 0.25 * (64 * 2 + 16)
    assert parts["training"] == pytest.approx(3 * epoch + promises.PRECISION_STEPS * 0.32)
    # the reference answers for the validation part, and for the training images that new ones are compared with
    assert parts["writing the network"] == promises.LOADING_S + measuring.WRITING_S + (16 + 64) * 2
    streamed = parts_of(extractor, work, settings.model_copy(update={"freeze": "none"}))
    assert streamed["activations"] == 0
    assert streamed["training"] == pytest.approx(3 * (epoch + 80 * 0.125) + promises.PRECISION_STEPS * 0.32)
    monkeypatch.setattr(promises, "epochs_done", lambda checkpoints: 1)
    assert parts_of(extractor, work, settings)["training"] == pytest.approx(2 * epoch)
    scratch = make_settings({"data": "d", "method": "scratch", "epochs": 3, "batch": 32})
    assert list(parts_of(extractor, work, scratch)) == ["activations", "training", "writing the network", "judging", "insights", "report"]


def test_epochs_that_are_done_are_counted(tmp_path: Path) -> None:
    assert epochs_done(tmp_path) == 0
    save_checkpoint(tmp_path, "last", {"weight": torch.zeros(1)}, {"epochs_done": 4})
    assert epochs_done(tmp_path) == 4


def test_the_best_within_a_time_is_promised_in_two_steps(tiny_backbone: Backbone, tmp_path: Path) -> None:
    settings = make_settings({"data": "d", "preset": "best", "minutes": 3})
    promise = promise_run(
        settings, extractor_of(tiny_backbone), Work(NOTHING, NOTHING, 0, 2, None), began=time.monotonic() - 20, checkpoints=tmp_path
    )
    assert promise.sentence(again=False).startswith("At most about 3.0 min in all on this computer (")
    assert settled(promise, settings, tmp_path) is promise
    keep_timings(tmp_path / TIMINGS, Timings([Cost(once=10, epoch=2, answers=5)], before=30, networks=1, epochs=6))
    assert settled(promise, settings, tmp_path).to_json() == {"seconds": 57, "cost": 0, "parts": {"networks": 27}}
    assert settled(promise, settings.model_copy(update={"epochs": 4}), tmp_path).to_json()["seconds"] == 53
    fast = Promise(1, {"head": 2})
    assert settled(fast, settings, tmp_path) is fast


def test_a_slower_computer_takes_longer_for_what_is_not_measured(
    known: None, tiny_backbone: Backbone, photo_folder: PhotoFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor, train = extractor_of(tiny_backbone), part_of(photo_folder(4))
    monkeypatch.setattr(promises, "slowness", lambda: 3.0)
    assert parts_of(extractor, Work(train, NOTHING, 0, 2, train))["report"] == 3 * promises.REPORT_S


def test_slowness_is_measured() -> None:
    assert 0.1 < slowness() < 100


@pytest.mark.parametrize("rows", [200, MAX_PATH_ROWS, MAX_PATH_ROWS + 1, 20_000])
def test_a_head_on_more_images_takes_longer(rows: int) -> None:
    few = min(head_seconds(rows, 1280, 20) for _ in range(3))
    assert few > 0
    assert min(head_seconds(3 * rows, 1280, 20) for _ in range(3)) > few


def test_very_many_classes_are_neither_fitted_nor_tried_for_long() -> None:
    assert head_seconds(20_000, 1280, 10_000) == 0
    started = time.process_time()
    assert head_seconds(2_000, 3504, 1_000) > 0
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (7.6, "8 s"), (43, "45 s"), (89, "90 s"), (90, "1.5 min"), (212, "3.5 min"), (5399, "90.0 min"), (5400, "1.5 h")],
)
def test_times_are_said_no_more_exactly_than_they_are_known(seconds: float, said: str) -> None:
    assert about(seconds) == said


def test_the_promise_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEEFIT_THREADS", "2")
    promise = Promise(20.0, {"features": 30.0, "head": 6.0, "judging": 0.4, "report": 2.0})
    assert promise.sentence(again=False) == "About 60 s in all on this computer (2 threads): features 30 s, head 6 s, report 2 s"
    assert promise.sentence(again=True) == "About 40 s left on this computer (2 threads): features 30 s, head 6 s, report 2 s"
    assert promise.held(75) == "Done in 75 s; about 60 s were promised"
    assert promise.to_json() == {"seconds": 58.4, "cost": 0, "parts": promise.parts}


def test_a_run_says_how_long_it_will_take_and_writes_down_how_long_it_took(train_here: Train, warm: Path) -> None:
    run = train_here()
    metrics = json.loads((run.path / "metrics.json").read_text())
    promise = metrics["promise"]
    assert set(promise) == {"seconds", "took", "cost", "parts"}
    assert set(promise["parts"]) == {"features", "head", "judging", "insights", "report"}
    assert promise["took"] == metrics["seconds"]["total"]
    assert promise["parts"]["features"] == 0  # all are kept
    assert 0 < promise["cost"] < promise["seconds"] < 60


def test_a_run_that_goes_on_is_told_what_is_left(train_here: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr("seefit.pipeline.save_bundle", stop)
        train_here()
    heard = Listener()
    resume(tmp_path / "run", console=heard)
    assert [line for line in heard.said if line.startswith("About ") and " left on this computer (" in line]
    assert heard.said[-1].startswith("Done in ")
