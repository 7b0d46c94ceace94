"""The loop: it learns, keeps the best, can be broken off anywhere between epochs, and stops at a loss that is no number."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from seefit.console import Advance
from seefit.errors import ResourceError, RunError
from seefit.memory import Memory
from seefit.training.checkpoint import checkpoint_names
from seefit.training.finetune import Batch, Plan, finetune
from seefit.training.history import Epoch, header, so_far
from seefit.training.losses import make_loss
from seefit.training.mixing import Mixing
from seefit.training.optimisers import WeightAverage, depth_groups, make_optimiser, set_rates
from seefit.training.schedule import make_schedule
from test_cache import Listener

EPOCHS, STEPS = 6, 4


class Points:
    """Two clouds of points, as maps of 1 x 1."""

    def __init__(self, images: int = 64, batches: int = STEPS, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.arange(images) % 2
        self.maps = torch.randn(images, 3, 1, 1, generator=generator) + (2 * self.labels - 1).view(-1, 1, 1, 1)
        self.batches = batches

    def __len__(self) -> int:
        return self.batches

    def epoch(self, number: int) -> Iterator[Batch]:
        order = torch.randperm(len(self.labels), generator=torch.Generator().manual_seed(number))
        yield from map(self.batch, order.chunk(self.batches))

    def plain(self) -> list[Batch]:
        return [self.batch(torch.arange(len(self.labels)))]

    def batch(self, index: Tensor) -> Batch:
        return Batch((self.maps[index],), nn.functional.one_hot(self.labels[index], 2).float(), torch.ones(len(index)))


def make_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.ReLU(), nn.Linear(8, 2))


def make_plan(network: nn.Module, optimiser: str = "adamw", rate: float = 1e-2, average: float = 0, **options: object) -> Plan:
    groups = depth_groups([list(network.named_parameters())], [rate], 0.01)
    plan: dict[str, object] = {
        "epochs": EPOCHS,
        "loss": make_loss("cross-entropy"),
        "optimiser": make_optimiser(optimiser, groups),
        "schedule": make_schedule("one-cycle", steps_per_epoch=STEPS, epochs=EPOCHS),
        "begin_epoch": lambda network, number: network.train(),
        "mix": Mixing(mixup=0.2, noise=0.1),
        "average": WeightAverage(network, average) if average else None,
        "clip": 1.0,
    }
    return Plan(**{**plan, **options})  # type: ignore[arg-type]


def same(left: nn.Module, right: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left.state_dict().values(), right.state_dict().values(), strict=True))


def without_times(history: list[Epoch]) -> list[dict[str, float]]:
    return [{key: value for key, value in asdict(row).items() if key not in {"seconds", "images_per_second"}} for row in history]


def test_it_learns_and_tells_every_epoch() -> None:
    network, heard = make_network(), Listener()
    history = finetune(network, make_plan(network), Points(), Points(seed=1).plain, console=heard)
    assert [row.epoch for row in history] == list(range(1, EPOCHS + 1))
    assert history[-1].val_accuracy > 0.85 > history[0].val_accuracy
    assert history[-1].val_loss < history[0].val_loss
    assert history[-1].rate < history[2].rate
    assert len(heard.said) == 1 + EPOCHS
    assert heard.said[0] == header(validated=True)
    assert heard.said[1].startswith("    1/6  ")
    assert heard.said[-1].endswith("  0:00")


@pytest.mark.parametrize("average", [0, 0.9])
@pytest.mark.parametrize("optimiser", ["adamw", "momentum"])
@pytest.mark.parametrize("broken_off_after", [1, 3, 5])
def test_a_run_that_was_broken_off_ends_with_the_same_weights(
    tmp_path: Path, optimiser: str, average: float, broken_off_after: int
) -> None:
    whole = make_network()
    expected = finetune(whole, make_plan(whole, optimiser, average=average), Points(), Points(seed=1).plain)

    class Broken(Points):
        def epoch(self, number: int) -> Iterator[Batch]:
            for count, batch in enumerate(super().epoch(number)):
                if number == broken_off_after and count == 2:
                    raise KeyboardInterrupt
                yield batch

    first = make_network()
    with pytest.raises(KeyboardInterrupt):
        finetune(first, make_plan(first, optimiser, average=average), Broken(), Points(seed=1).plain, checkpoints=tmp_path)
    second, heard = make_network(), Listener()
    plan = make_plan(second, optimiser, average=average)
    history = finetune(second, plan, Points(), Points(seed=1).plain, checkpoints=tmp_path, console=heard)
    assert heard.said[:2] == [f"Going on after epoch {broken_off_after} of {EPOCHS}", header(validated=True)]
    assert same(whole, second)
    assert without_times(history) == without_times(expected)


def test_the_best_epoch_is_kept_or_the_last(tmp_path: Path) -> None:
    values = iter([0.9, 0.3, 0.5, 0.6, 0.7, 0.8])

    def ended(keep_best: bool, epochs: int) -> nn.Module:
        network = make_network()
        finetune(network, make_plan(network, keep_best=keep_best, epochs=epochs), Points(), rising)
        return network

    def rising() -> list[Batch]:
        """Get worse from the second epoch on: the labels turn round."""
        points = Points(seed=1)
        if next(values) != 0.3:
            points.labels = 1 - points.labels
        return points.plain()

    best = ended(True, 6)
    network = make_network()
    plan = make_plan(network, epochs=6)
    stopped = Points()

    class Two(Points):
        def epoch(self, number: int) -> Iterator[Batch]:
            if number == 2:
                raise KeyboardInterrupt
            return super().epoch(number)

    with pytest.raises(KeyboardInterrupt):
        finetune(network, plan, Two(), stopped.plain)
    assert same(best, network.eval())
    values = iter([0.9, 0.3, 0.5, 0.6, 0.7, 0.8])
    assert not same(best, ended(False, 6))


def test_the_bar_of_an_epoch_counts_its_batches_and_tells_loss_and_accuracy() -> None:
    bars: dict[str, list[str]] = {}

    class Watched(Listener):
        @contextlib.contextmanager
        def bar(self, label: str, total: int, unit: str = "images") -> Iterator[Advance]:
            assert (total, unit) == (STEPS, "batches")
            notes = bars.setdefault(label, [])
            yield lambda n, note="": notes.append(note)

    network = make_network()
    history = finetune(network, make_plan(network, epochs=2), Points(), None, console=Watched())
    assert list(bars) == ["Epoch 1/2", "Epoch 2/2"]
    assert [len(notes) for notes in bars.values()] == [STEPS, STEPS]
    assert bars["Epoch 2/2"][-1] == so_far(history[1].loss, history[1].accuracy)


def test_checkpoints_have_names_and_training_stops_when_nothing_gets_better(tmp_path: Path) -> None:
    network, heard = make_network(), Listener()
    plan = make_plan(network, rate=1e-9, patience=2, monitor="balanced_accuracy")  # nothing changes: the first epoch stays the best
    history = finetune(network, plan, Points(), Points(seed=1).plain, checkpoints=tmp_path, every=2, console=heard)
    assert len(history) < EPOCHS
    assert heard.said[-1] == "No better balanced_accuracy for 2 epochs: training ends"
    assert {"best", "last", "epoch-002"} <= set(checkpoint_names(tmp_path))
    assert "epoch-001" not in checkpoint_names(tmp_path)


def test_training_ends_when_it_is_enough_and_does_not_go_on_when_it_is_resumed(tmp_path: Path) -> None:
    network, heard = make_network(), Listener()
    plan = make_plan(network, enough=lambda rows: "no time is left" if len(rows) == 2 else None)
    history = finetune(network, plan, Points(), Points(seed=1).plain, checkpoints=tmp_path, console=heard)
    assert (len(history), heard.said[-1]) == (2, "no time is left")
    again = make_network()
    assert finetune(again, make_plan(again, enough=plan.enough), Points(), Points(seed=1).plain, checkpoints=tmp_path) == history
    assert all(torch.equal(left, right) for left, right in zip(network.parameters(), again.parameters(), strict=True))
    assert len(finetune(again, make_plan(again), Points(), None, checkpoints=tmp_path)) == EPOCHS, "more time, more epochs"


def test_accumulated_batches_are_one_step() -> None:
    whole, parts = make_network(), make_network()
    for module in (*whole.modules(), *parts.modules()):
        if isinstance(module, nn.Dropout):
            module.p = 0
    options: dict[str, object] = {"mix": None, "epochs": 1, "begin_epoch": lambda network, number: network.eval()}
    finetune(whole, make_plan(whole, "sgd", **options), Points(batches=1), None)  # type: ignore[arg-type]
    finetune(parts, make_plan(parts, "sgd", accumulate=4, **options), Points(batches=4), None)  # type: ignore[arg-type]
    for left, right in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6)


def test_the_last_step_of_an_epoch_counts_its_own_batches() -> None:
    """Three batches make a step, and the fourth one by itself: as computed by hand."""
    options: dict[str, object] = {"mix": None, "epochs": 1, "begin_epoch": lambda network, number: network.eval(), "clip": math.inf}
    network, by_hand = make_network(), make_network()
    finetune(network, make_plan(network, "sgd", 0.1, accumulate=3, **options), Points(), None)  # type: ignore[arg-type]
    plan = make_plan(by_hand, "sgd", 0.1, **options)  # type: ignore[arg-type]
    batches = list(Points().epoch(0))
    by_hand.eval()
    for step, together in enumerate([batches[:3], batches[3:]]):
        losses = [plan.loss(by_hand(*batch.inputs), batch.targets).mean() for batch in together]
        plan.optimiser.zero_grad()
        torch.stack(losses).mean().backward()  # type: ignore[no-untyped-call]
        set_rates(plan.optimiser, plan.schedule.factor(step))
        plan.optimiser.step()
    for left, right in zip(network.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-7)


# ---- memory ---------------------------------------------------------------------------------------------------


class Narrow(nn.Module):
    """A network through which no more than so many images go at once, forward or (``late``) backward, when the head has its gradient."""

    def __init__(self, most: int, *, late: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers, self.most, self.late = cast(nn.Sequential, make_network()), most, late
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.p = dropout

    def forward(self, maps: Tensor) -> Tensor:
        low = self.layers[:2](maps)
        if not self.late:
            self.check(low)
        elif low.requires_grad:
            low.register_hook(self.check)
        logits: Tensor = self.layers[2:](low)
        return logits

    def check(self, tensor: Tensor) -> None:
        if len(tensor) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


def still(network: nn.Module, number: int) -> None:
    """Train with the norms' statistics as they are."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.eval()


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_what_does_not_fit_into_memory_is_trained_in_halves_with_the_same_result(late: bool, accumulate: int) -> None:
    whole, narrow, heard = Narrow(64), Narrow(7, late=late), Listener()
    expected = finetune(whole, make_plan(whole, accumulate=accumulate, begin_epoch=still), Points(), Points(seed=1).plain)
    plan = make_plan(narrow, accumulate=accumulate, begin_epoch=still, memory=Memory("training", "all the same", heard))
    found = finetune(narrow, plan, Points(), Points(seed=1).plain)
    assert heard.warned == [
        "Out of memory: training goes on with 8 instead of 16 images at once; all the same",
        "Out of memory: training goes on with 4 instead of 8 images at once; all the same",
    ]
    for left, right in zip(whole.parameters(), narrow.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-5)
    for one, two in zip(without_times(found), without_times(expected), strict=True):
        assert one == pytest.approx(two, rel=1e-3)


def test_a_failed_attempt_leaves_nothing_behind() -> None:
    """Gradients, statistics of norms and chances are as if the smaller pieces had been taken at once: the same, bit for bit."""
    learnt, known = Narrow(4, late=True, dropout=0.3), Narrow(4, late=True, dropout=0.3)
    finetune(learnt, make_plan(learnt, accumulate=2), Points(), None)
    plan = make_plan(known, accumulate=2)
    plan.memory.images = 4
    finetune(known, plan, Points(), None)
    assert same(learnt, known)


@pytest.mark.parametrize("broken_off_after", [0, 3])
def test_a_run_that_was_halved_and_broken_off_ends_with_the_same_weights(tmp_path: Path, broken_off_after: int) -> None:
    whole = Narrow(9, dropout=0.3)
    finetune(whole, make_plan(whole), Points(), Points(seed=1).plain)

    class Broken(Points):
        def epoch(self, number: int) -> Iterator[Batch]:
            for count, batch in enumerate(super().epoch(number)):
                if number == broken_off_after and count == 2:
                    raise KeyboardInterrupt
                yield batch

    first = Narrow(9, dropout=0.3)
    with pytest.raises(KeyboardInterrupt):
        finetune(first, make_plan(first), Broken(), Points(seed=1).plain, checkpoints=tmp_path)
    second, heard = Narrow(9, dropout=0.3), Listener()
    plan = make_plan(second, memory=Memory(console=heard))
    finetune(second, plan, Points(), Points(seed=1).plain, checkpoints=tmp_path)
    assert same(whole, second)
    assert (plan.memory.images, len(heard.warned)) == (8, 0 if broken_off_after else 1)


def test_no_room_for_one_image_is_a_matter_of_resources(tmp_path: Path) -> None:
    network = Narrow(0)
    with pytest.raises(ResourceError) as caught:
        finetune(network, make_plan(network), Points(), None, checkpoints=tmp_path)
    assert caught.value.exit_code == 6
    assert caught.value.message == (
        "Out of memory: training. Expected room for one image at a time, got CUDA out of memory. Tried to allocate 20.00 MiB."
    )


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_state(tmp_path: Path) -> None:
    calls = 0

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return logits.sum(1) * (math.nan if calls > STEPS + 2 else 1)

    network = make_network()
    with pytest.raises(RunError) as caught:
        finetune(network, make_plan(network, loss=loss), Points(), None, checkpoints=tmp_path)
    assert caught.value.exit_code == 4
    assert caught.value.message == "The loss is not a number any more: epoch 2, batch 3. Expected a finite loss, got NaN or infinity."
    assert caught.value.hint == "Train with a smaller rate, such as --lr 0.001; the state after epoch 1 is kept."
    assert checkpoint_names(tmp_path) == ["last"]


def test_weights_of_images_count() -> None:
    class Weighted(Points):
        def batch(self, index: Tensor) -> Batch:
            found = super().batch(index)
            return Batch(found.inputs, found.targets, (self.labels[index] == 0).float())

    network = make_network()
    finetune(network, make_plan(network, mix=None), Weighted(), None)
    logits = network(Points().maps)
    assert (logits.argmax(1) == 0).float().mean() > 0.8  # the other class weighs nothing


def test_what_begins_an_epoch_is_called_with_its_number() -> None:
    numbers: list[int] = []

    def begin(network: nn.Module, number: int) -> None:
        network.train()
        numbers.append(number)

    network = make_network()
    plan: Callable[..., Plan] = make_plan
    finetune(network, plan(network, begin_epoch=begin, epochs=3), Points(), None)
    assert numbers == [0, 1, 2]
    assert not network.training
