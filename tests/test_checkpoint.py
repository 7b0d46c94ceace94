"""A run that is broken off and goes on ends bit for bit as an unbroken one; damage is always seen; writes are atomic."""

from __future__ import annotations

import errno
import itertools
import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from seefit.errors import ArtefactError, ResourceError, RunError, UsageError
from seefit.training.checkpoint import (
    checkpoint_names,
    clear_strays,
    due_names,
    epoch_name,
    is_better,
    load_checkpoint,
    optimiser_tensors,
    restore_optimiser,
    save_checkpoint,
)
from seefit.training.losses import make_loss
from seefit.training.optimisers import OPTIMISERS, WeightAverage, depth_groups, make_optimiser, set_rates
from seefit.training.schedule import Schedule, make_schedule

TENSORS = {"network.weight": torch.arange(6.0).reshape(2, 3), "updates": torch.tensor(3)}
RECORD = {"epoch": 3, "loss": 0.1 + 0.2, "validation_loss": 0.5, "metric": "accuracy", "history": [[1, 0.9], [2, 0.8]]}
HASHLESS = "The checkpoint is damaged: {file}. Expected a record with the sha256 of its tensors, got something else."


def below(part: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(part): tensor for key, tensor in tensors.items() if key.startswith(part)}


class Training:
    """All that training carries from step to step."""

    def __init__(self, name: str, memory_format: torch.memory_format = torch.contiguous_format) -> None:
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)]
        self.network = nn.Sequential(*layers).to(memory_format=memory_format)
        parameters = list(self.network.named_parameters())
        groups = depth_groups([parameters[:4], parameters[4:]], [0.01, 0.1], weight_decay=0.01)
        self.optimiser: Optimizer = make_optimiser(name, groups)
        self.schedule: Schedule = make_schedule("plateau", steps_per_epoch=1, epochs=6, patience=1, warmup=2)
        self.average = WeightAverage(self.network)
        self.loss = make_loss("focal", label_smoothing=0.1)

    def train(self, steps: range) -> None:
        for step in steps:
            draw = torch.Generator().manual_seed(step)
            images, targets = torch.randn(8, 3, 6, 6, generator=draw), torch.rand(8, 2, generator=draw).softmax(1)
            set_rates(self.optimiser, self.schedule.factor(step))
            self.optimiser.zero_grad()
            loss = self.loss(self.network(images), targets).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
            self.average.update(self.network)
            self.schedule.observe(float(loss.detach()))

    def save(self, folder: Path) -> None:
        parts = {"network": self.network.state_dict(), "optimiser": optimiser_tensors(self.optimiser), "average": self.average.tensors()}
        tensors = {f"{part}/{name}": tensor for part, found in parts.items() for name, tensor in found.items()}
        save_checkpoint(folder, "last", tensors, {"schedule": self.schedule.state()})

    def load(self, folder: Path, *, with_optimiser: bool = True) -> None:
        tensors, record = load_checkpoint(folder, "last")
        self.network.load_state_dict(below("network/", tensors))
        if with_optimiser:
            restore_optimiser(self.optimiser, below("optimiser/", tensors))
        self.average.restore(below("average/", tensors))
        self.schedule.restore(record["schedule"])

    def everything(self) -> dict[str, Tensor]:
        return self.network.state_dict() | self.average.tensors() | optimiser_tensors(self.optimiser)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["rows", "channels-last"])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_run_that_goes_on_ends_bit_for_bit_as_an_unbroken_one(name: str, memory_format: torch.memory_format, tmp_path: Path) -> None:
    unbroken, first, second = (Training(name, memory_format) for _ in range(3))
    unbroken.train(range(6))
    first.train(range(3))
    first.save(tmp_path)
    second.load(tmp_path)
    assert same(second.everything(), first.everything())
    second.train(range(3, 6))
    assert same(second.everything(), unbroken.everything())
    assert second.schedule.state() == unbroken.schedule.state()


@pytest.mark.parametrize("name", [name for name in OPTIMISERS if name != "sgd"])
def test_without_the_state_of_the_optimiser_it_would_end_elsewhere(name: str, tmp_path: Path) -> None:
    unbroken, first, second = (Training(name) for _ in range(3))
    unbroken.train(range(6))
    first.train(range(3))
    first.save(tmp_path)
    second.load(tmp_path, with_optimiser=False)
    second.train(range(3, 6))
    assert not same(second.network.state_dict(), unbroken.network.state_dict())


def test_a_frozen_stage_has_no_state_and_gets_none() -> None:
    training, other = Training("adamw"), Training("adamw")
    for name, parameter in training.network.named_parameters():
        parameter.requires_grad_(name.startswith("5"))
    training.train(range(2))
    tensors = optimiser_tensors(training.optimiser)
    assert sorted(tensors) == [f"{kind}.5.{name}" for kind in ("exp_avg", "exp_avg_sq", "step") for name in ("bias", "weight")]
    restore_optimiser(other.optimiser, tensors)
    assert same(optimiser_tensors(other.optimiser), tensors)


@pytest.mark.parametrize(
    ("key", "shape", "where", "expected", "got"),
    [
        ("exp_avg.6.bias", (2,), "6.bias", "a parameter of this network", "an unknown name"),
        ("exp_avg.5.bias", (3,), "5.bias", "shape (2,)", "(3,)"),
    ],
)
def test_the_state_of_another_network_is_refused(key: str, shape: tuple[int, ...], where: str, expected: str, got: str) -> None:
    with pytest.raises(ArtefactError) as caught:
        restore_optimiser(Training("adam").optimiser, {key: torch.zeros(shape)})
    assert caught.value.message == (
        f"The checkpoint does not fit the network: the optimiser's state of {where}. Expected {expected}, got {got}."
    )


def test_tensors_and_record_come_back_as_they_were(tmp_path: Path) -> None:
    base = torch.arange(24, dtype=torch.float32)
    tensors = {
        "half": base.half(),
        "bfloat": base.bfloat16(),
        "bool": base > 3,
        "long": base.long(),
        "double": base.double() / 3,
        "scalar": torch.tensor(7),
        "empty": torch.empty(0, 4),
        "view": base[::2],
        "turned": base.reshape(4, 6).T,
        "channels-last": base.reshape(1, 2, 3, 4).contiguous(memory_format=torch.channels_last),
        "shared": base,
        "shared too": base.view(4, 6),
        "parameter": nn.Parameter(base),
        "odd": torch.tensor([math.nan, math.inf, -0.0]),
    }
    save_checkpoint(tmp_path, "last", tensors, RECORD)
    found, record = load_checkpoint(tmp_path, "last")
    assert record == RECORD
    assert {name: tensor.dtype for name, tensor in found.items()} == {name: tensor.dtype for name, tensor in tensors.items()}
    assert found.pop("odd").view(torch.int32).tolist() == tensors.pop("odd").view(torch.int32).tolist()
    assert same(found, tensors)


def test_what_lies_in_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "checkpoints"
    assert checkpoint_names(folder) == []
    for name in ("last", "best", epoch_name(12), "last"):
        save_checkpoint(folder, name, TENSORS, RECORD)
    assert checkpoint_names(folder) == ["best", "epoch-012", "last"]
    assert [re.sub("-[0-9a-f]{16}", "-<hash>", path.name) for path in sorted(folder.iterdir())] == [
        "best-<hash>.safetensors",
        "best.json",
        "epoch-012-<hash>.safetensors",
        "epoch-012.json",
        "last-<hash>.safetensors",
        "last.json",
    ]
    record = json.loads((folder / "last.json").read_text(encoding="utf-8"))["record"]
    assert (record["epoch"], record["loss"], record["validation_loss"], record["metric"]) == (3, 0.1 + 0.2, 0.5, "accuracy")


def test_a_new_checkpoint_removes_the_tensors_of_the_old_and_of_killed_writes_and_nothing_else(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, "last", TENSORS, RECORD)
    save_checkpoint(tmp_path, "last-1", TENSORS, RECORD)
    left = [".last-0123456789abcdef.safetensors.12-34.part", ".last.json.12-34.part"]
    others = ["last-notes.safetensors", ".last-1.json.12-34.part", "notes.txt", "best-0123456789abcdef.safetensors"]
    for name in left + others:
        (tmp_path / name).write_text("x")
    save_checkpoint(tmp_path, "last", {"other": torch.zeros(2)}, RECORD)
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= set(others) and not names & set(left)
    assert len([name for name in names if re.fullmatch(r"last-[0-9a-f]{16}\.safetensors", name)]) == 1
    assert list(load_checkpoint(tmp_path, "last")[0]) == ["other"]
    assert same(load_checkpoint(tmp_path, "last-1")[0], TENSORS)


class Killed(BaseException):
    """Stands for the end of the process."""


def breaking(original: Callable[..., Any], at: int, failure: BaseException) -> Callable[..., Any]:
    """Return a function that fails in place of its n-th call."""
    calls = itertools.count()

    def call(*args: Any, **options: Any) -> Any:
        if next(calls) == at:
            raise failure
        return original(*args, **options)

    return call


STEPS = [("pathlib.Path.write_bytes", Path.write_bytes), ("os.fsync", os.fsync), ("pathlib.Path.replace", Path.replace)]


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize(("step", "original"), STEPS, ids=["write", "fsync", "rename"])
def test_a_full_disk_at_any_write_keeps_the_checkpoint_before(
    step: str, original: Callable[..., Any], at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, "last", TENSORS, RECORD)
    with monkeypatch.context() as patch:
        patch.setattr(step, breaking(original, at, OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(ResourceError, match=r"^The disk is full"):
            save_checkpoint(tmp_path, "last", {"new": torch.ones(1)}, {"epoch": 4})
    tensors, record = load_checkpoint(tmp_path, "last")
    assert same(tensors, TENSORS) and record == RECORD
    save_checkpoint(tmp_path, "last", {"new": torch.ones(1)}, {"epoch": 4})
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("at", range(4))
def test_the_end_of_the_process_at_any_rename_or_removal_leaves_a_whole_checkpoint(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, "last", TENSORS, RECORD)
    step, original = (("pathlib.Path.replace", Path.replace), ("pathlib.Path.unlink", Path.unlink))[at // 2]
    (tmp_path / ".last.json.12-34.part").write_text("x")
    with monkeypatch.context() as patch:
        patch.setattr(step, breaking(original, at % 2, Killed()))
        with pytest.raises(Killed):
            save_checkpoint(tmp_path, "last", {"new": torch.ones(1)}, {"epoch": 4})
    tensors, record = load_checkpoint(tmp_path, "last")
    assert (set(tensors), record["epoch"]) == ((set(TENSORS), 3) if at < 2 else ({"new"}, 4))


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResourceError, match=r"^Cannot write"):
        save_checkpoint(tmp_path / "file" / "checkpoints", "last", TENSORS, RECORD)


def test_a_changed_byte_of_the_record_is_seen_or_changes_nothing(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, "last", TENSORS, RECORD)
    file = tmp_path / "last.json"
    data = file.read_bytes()
    refused = 0
    for place in range(len(data)):
        file.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        try:
            tensors, record = load_checkpoint(tmp_path, "last")
        except ArtefactError:
            refused += 1
            continue
        assert same(tensors, TENSORS) and record == RECORD
    assert refused > len(data) * 0.6  # the rest are spaces


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_changed_byte_or_a_cut_of_the_tensors_is_seen(share: float, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, "last", TENSORS, RECORD)
    file = next(tmp_path.glob("*.safetensors"))
    data = file.read_bytes()
    place = int(share * len(data))
    for damaged in (data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :], data[:place], data + b"x"):
        file.write_bytes(damaged)
        with pytest.raises(ArtefactError) as caught:
            load_checkpoint(tmp_path, "last")
        assert re.fullmatch(
            rf"The checkpoint is damaged: {re.escape(str(file))}\. Expected content with the sha256 [0-9a-f]{{16}}…, "
            rf"got [0-9a-f]{{16}}…, {len(damaged):,} bytes\.",
            caught.value.message,
        )
        assert caught.value.hint == "Remove this checkpoint and resume from another, or train the run again."


def test_tensors_that_are_gone(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, "last", TENSORS, RECORD)
    file = next(tmp_path.glob("*.safetensors"))
    file.unlink()
    with pytest.raises(ArtefactError) as caught:
        load_checkpoint(tmp_path, "last")
    assert caught.value.message == (
        f"The checkpoint is damaged: {file}. Expected the tensors of the checkpoint, got No such file or directory."
    )


def change(folder: Path, **values: Any) -> None:
    file = folder / "last.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format": 2}, "The checkpoint is of a newer format: {file}. Expected format 1 or older, got format 2."),
        ({"format": "1"}, "The checkpoint is damaged: {file}. Expected the record of a checkpoint, got something else."),
        ({"format": True}, "The checkpoint is damaged: {file}. Expected the record of a checkpoint, got something else."),
        ({"sha256": "../" * 21 + "x"}, HASHLESS),
        ({"record": []}, HASHLESS),
        ({"record": {"epoch": 4}}, "The checkpoint is damaged: {file}. Expected the record as it was written, got one that was changed."),
    ],
)
def test_a_foreign_record(values: dict[str, Any], message: str, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, "last", TENSORS, RECORD)
    change(tmp_path, **values)
    with pytest.raises(ArtefactError) as caught:
        load_checkpoint(tmp_path, "last")
    assert caught.value.message == message.format(file=tmp_path / "last.json")


@pytest.mark.parametrize("text", ["", "[]", "7", "\ufffe", "[" * 100_000, '{"format": 1'])
def test_a_record_that_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "last.json").write_text(text, encoding="utf-16")
    with pytest.raises(ArtefactError, match=r"^The checkpoint is damaged"):
        load_checkpoint(tmp_path, "last")
    (tmp_path / "last.json").write_text(text, encoding="utf-8")
    with pytest.raises(ArtefactError, match=r"^The checkpoint is damaged"):
        load_checkpoint(tmp_path, "last")


def test_a_file_of_another_kind_with_the_right_hash(tmp_path: Path) -> None:
    import hashlib

    save_checkpoint(tmp_path, "last", TENSORS, RECORD)
    sha256 = hashlib.sha256(b"no tensors").hexdigest()
    (tmp_path / f"last-{sha256[:16]}.safetensors").write_bytes(b"no tensors")
    change(tmp_path, sha256=sha256)
    with pytest.raises(ArtefactError, match="Expected a safetensors file, got"):
        load_checkpoint(tmp_path, "last")


def test_a_checkpoint_that_is_not_there(tmp_path: Path) -> None:
    for name in ("best", "epoch-004"):
        save_checkpoint(tmp_path, name, TENSORS, RECORD)
    with pytest.raises(RunError) as caught:
        load_checkpoint(tmp_path, "last")
    assert caught.value.message == f"There is no such checkpoint: {tmp_path}. Expected 'last', got best, epoch-004."
    with pytest.raises(RunError, match=r"got no checkpoint\."):
        load_checkpoint(tmp_path / "none", "last")


@pytest.mark.parametrize("name", ["", "../last", "Last", "a b", "-last", "last.json"])
def test_names_are_plain(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a name for a checkpoint"):
        save_checkpoint(tmp_path, name, TENSORS, RECORD)


def test_json_never_holds_nan(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, "last", TENSORS, {"validation_loss": math.nan, "best": math.inf})
    assert "NaN" not in (tmp_path / "last.json").read_text()
    assert load_checkpoint(tmp_path, "last")[1] == {"validation_loss": None, "best": None}


def test_which_checkpoints_are_due() -> None:
    assert [due_names(epoch, every=2, is_best=epoch == 2) for epoch in (1, 2, 3, 4)] == [
        ["last"],
        ["epoch-002", "best", "last"],
        ["last"],
        ["epoch-004", "last"],
    ]
    assert due_names(4, every=0, is_best=False) == ["last"]


def test_which_epoch_is_better() -> None:
    assert is_better("accuracy", 0.9, 0.8) and not is_better("accuracy", 0.8, 0.8) and not is_better("accuracy", 0.7, 0.8)
    assert is_better("loss", 0.7, 0.8) and not is_better("loss", 0.9, 0.8)
    assert is_better("balanced_accuracy", 0.1, None) and not is_better("loss", math.nan, None)
    with pytest.raises(UsageError, match=r"^Unknown validation metric: acuracy\. .* Did you mean 'accuracy'\?"):
        is_better("acuracy", 1.0, None)


def test_what_a_kill_after_the_last_save_left_is_cleared_when_the_run_goes_on(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, "last", TENSORS, RECORD)
    save_checkpoint(tmp_path, "best", TENSORS, RECORD)
    there = sorted(path.name for path in tmp_path.iterdir())
    for name in ("last-0123456789abcdef.safetensors", "best-0123456789abcdef.safetensors", ".last.json.12-34.part"):
        (tmp_path / name).write_text("x")
    (tmp_path / "notes.txt").write_text("mine")
    clear_strays(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*there, "notes.txt"])
    clear_strays(tmp_path / "nowhere")
