"""Distillation: the teacher sees the view that is trained on, its answers are mixed as targets are, and the loss is Hinton's."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.special import rel_entr, softmax

from seefit.bundle.bundle import Bundle, load
from seefit.data.dataset import Sample
from seefit.data.image import MAX_PIXELS
from seefit.models.backbone import Backbone
from seefit.training.batches import Order, PixelBatches
from seefit.training.distillation import Answers, TaughtBatches, distilled, softened
from seefit.training.losses import cross_entropy
from seefit.training.mixing import Mixing
from tiny import make_backbone, make_bundle

CLASSES = ("a", "b", "c")


def turned(pixels: NDArray[np.uint8], sha256: str, number: int) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.rot90(pixels, number))


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    found = []
    for i in range(6):
        path = tmp_path / f"{i}.png"
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (40, 40, 3)).astype(np.uint8)).save(path)
        found.append(Sample(path, path.name, None))
    return found


@pytest.fixture
def backbone(tmp_path: Path) -> Backbone:
    return make_backbone(tmp_path / "tiny.onnx")


@pytest.fixture
def teacher(tmp_path: Path, backbone: Backbone) -> Bundle:
    return load(make_bundle(tmp_path / "teacher", backbone, ("c", "a", "b"), stages=("blocks.1",)))


def asked(teacher: Bundle, samples: list[Sample], view_key: str = "turns") -> Answers:
    sha256 = [hashlib.sha256(sample.path.read_bytes()).hexdigest() for sample in samples]
    return Answers(teacher, CLASSES, samples, sha256, view=turned, view_key=view_key, max_pixels=MAX_PIXELS)


def rows_of(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    return rng.normal(size=(5, 3)) * 3, rng.dirichlet(np.ones(3), 5), rng.normal(size=(5, 3)) * 3


@pytest.mark.parametrize(("weight", "temperature"), [(0.5, 2.0), (0.9, 4.0), (0.3, 1.0)])
def test_the_loss_is_that_of_the_labels_and_the_divergence_from_the_teacher(weight: float, temperature: float) -> None:
    logits, labels, said = rows_of(np.random.default_rng(0))
    taught = softmax(said / temperature, axis=1)
    targets = torch.tensor(np.hstack([labels, taught]), dtype=torch.float32)
    divergence = rel_entr(taught, softmax(logits / temperature, axis=1)).sum(1)
    plain = -(labels * np.log(softmax(logits, axis=1))).sum(1)
    found = distilled(cross_entropy, weight, temperature)(torch.tensor(logits, dtype=torch.float32), targets)
    np.testing.assert_allclose(found, (1 - weight) * plain + weight * temperature**2 * divergence, rtol=1e-4, atol=1e-5)


def test_the_loss_of_a_network_that_says_what_its_teacher_says_is_that_of_the_labels_alone() -> None:
    logits, labels, _ = rows_of(np.random.default_rng(1))
    given = torch.tensor(logits, dtype=torch.float32, requires_grad=True)
    targets = torch.cat([torch.tensor(labels, dtype=torch.float32), (given.detach() / 3).softmax(1)], 1)
    loss = distilled(cross_entropy, 1.0, 3.0)(given, targets)
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert given.grad is not None
    assert float(loss.detach().abs().max()) < 1e-5
    assert float(given.grad.abs().max()) < 1e-5
    sure = torch.tensor([[1.0, 0, 0, 1, 0, 0]])  # a teacher without any doubt: 0 log 0 is 0
    assert float(distilled(cross_entropy, 0.5, 1.0)(torch.tensor([[80.0, 0, 0]]), sure)) == 0


def test_the_pull_of_the_teacher_does_not_fade_with_the_temperature() -> None:
    logits, labels, said = rows_of(np.random.default_rng(2))

    def pull(temperature: float) -> float:
        given = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
        targets = torch.tensor(np.hstack([labels, softmax(said / temperature, axis=1)]))
        distilled(cross_entropy, 1.0, temperature)(given, targets).sum().backward()  # type: ignore[no-untyped-call]
        assert given.grad is not None
        return float(given.grad.norm())

    assert pull(40) == pytest.approx(pull(80), rel=0.05)


def test_answers_are_softened_as_their_logits_would_be() -> None:
    logits = torch.tensor([[4.0, 1.0, -2.0], [0.0, 0.0, 300.0]])
    torch.testing.assert_close(softened(logits.softmax(1), 1.0), logits.softmax(1))
    torch.testing.assert_close(softened(logits[:1].softmax(1), 2.5), (logits[:1] / 2.5).softmax(1))
    found = softened(logits.softmax(1), 2.0)
    assert bool(found.isfinite().all())
    assert found[1, 2] == 1


def test_the_teacher_sees_the_view_and_answers_in_the_order_of_the_classes(teacher: Bundle, samples: list[Sample], tmp_path: Path) -> None:
    rows = [(4, 0), (1, 3), (0, 1)]
    with asked(teacher, samples) as answers:
        found = answers.read(rows)
    for (image, view), said in zip(rows, found, strict=True):
        file = tmp_path / "view.png"
        Image.fromarray(turned(np.asarray(Image.open(samples[image].path)), "", view)).save(file)
        expected = {entry["label"]: entry["score"] for entry in teacher.predict(file)[0]}
        np.testing.assert_allclose(said, [expected[name] for name in CLASSES], atol=1e-6)
    assert found.std(0).max() > 0.01  # the tiny teacher tells the images apart


def test_answers_are_kept_for_this_teacher_and_these_views_and_do_not_depend_on_company(
    teacher: Bundle, backbone: Backbone, samples: list[Sample], tmp_path: Path
) -> None:
    rows = [(i, view) for i in range(6) for view in range(2)]
    with asked(teacher, samples) as answers:
        assert answers.kept.fill(rows[3:4]) == 1
        assert answers.kept.fill(rows) == 11
        alone = answers.read(rows)
    with asked(teacher, samples) as answers:
        assert answers.kept.missing(rows) == []
    with asked(teacher, samples, view_key="others") as answers:
        assert len(answers.kept.missing(rows)) == 12
        np.testing.assert_array_equal(answers.read(rows), alone)
    other = load(make_bundle(tmp_path / "other", backbone, ("c", "a", "b"), stages=("blocks.1",), temperature=3.0))
    with asked(other, samples) as answers:
        assert len(answers.kept.missing(rows)) == 12
        assert np.abs(answers.read(rows) - alone).max() > 0.01


def test_the_answers_travel_behind_the_targets_and_are_mixed_with_them(teacher: Bundle, samples: list[Sample]) -> None:
    order, labels = Order(6, 4, 3, seed=1), np.random.default_rng(0).dirichlet(np.ones(3) * 0.3, 6).astype(np.float32)
    with asked(teacher, samples) as answers:
        sha256 = [hashlib.sha256(sample.path.read_bytes()).hexdigest() for sample in samples]
        plain = PixelBatches(samples, sha256, teacher.reference, turned, order, labels, np.ones(6, np.float32), max_pixels=MAX_PIXELS)
        taught = TaughtBatches(plain, answers, 2.0)
        assert len(taught) == len(plain) == 2
        for epoch in range(3):
            for rows, batch, expected in zip(order.batches(epoch), taught.epoch(epoch), plain.epoch(epoch), strict=True):
                assert torch.equal(batch.inputs[0], expected.inputs[0])
                assert torch.equal(batch.targets[:, :3], expected.targets)
                seen = teacher.reference.run(batch.inputs[0].contiguous().numpy(), ["probabilities"])[0][:, [1, 2, 0]]
                np.testing.assert_allclose(batch.targets[:, 3:], softened(torch.from_numpy(seen), 2.0), atol=1e-5)
                assert len(rows) == 3
        mixed = Mixing(mixup=0.4)(batch.inputs, batch.targets, torch.Generator().manual_seed(0))[1]
        shares = mixed[:, :3] @ batch.targets[:, :3].inverse()  # of each image in each mixture, as the labels tell
        assert not torch.allclose(shares, torch.eye(3), atol=0.01)
        torch.testing.assert_close(mixed[:, 3:], shares @ batch.targets[:, 3:], rtol=1e-3, atol=1e-4)
