"""A user's own network from a Python file: it is found, called, the same each time, and its faults are told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from seefit.errors import UsageError
from seefit.models.own import is_own, load_own, own_identity

NET = """
from dataclasses import dataclass

import torch
from torch import nn

from parts import hidden


@dataclass
class Shape:
    width: int


def make(classes: int = 3) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, hidden), nn.ReLU(), nn.Linear(hidden, classes))


def broken() -> nn.Module:
    raise KeyError("no such layer")


def fixed() -> nn.Module:
    return nn.Linear(2, 2)


def number() -> int:
    return 3
"""


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a file with functions and one that it imports."""
    monkeypatch.delitem(sys.modules, "parts", raising=False)
    (tmp_path / "parts.py").write_text("hidden = 5\n")
    (tmp_path / "net.py").write_text(NET)
    return tmp_path / "net.py"


def test_names() -> None:
    assert [is_own(name) for name in ("net.py:make", "a b/c:d/net.py:_make1", "/x.py:f")] == [True, True, True]
    assert not any(is_own(name) for name in ("net.py", "net.py:", "net.py:1", "resnet50", "torchvision/alexnet", ".py:f", "net.pyc:f"))


def test_a_function_makes_the_same_network_each_time_and_leaves_no_trace(net: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = load_own(f"{net}:make"), load_own(f"{net}:make"), load_own(f"{net}:make", 7)
    assert torch.equal(torch.rand(3), expected)  # the user's own random numbers go on
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert [p.shape[0] for p in first.parameters()][-1] == 3
    assert [p.shape[0] for p in other.parameters()][-1] == 7
    assert sorted(path.name for path in net.parent.iterdir()) == ["net.py", "parts.py"]
    assert str(net.parent) not in sys.path
    assert not sys.dont_write_bytecode or sys.flags.dont_write_bytecode


def test_another_seed_makes_other_weights(net: Path) -> None:
    first, other = (load_own(f"{net}:make", seed=seed).state_dict() for seed in (0, 1))
    assert not any(torch.equal(tensor, other[name]) for name, tensor in first.items())
    assert own_identity(f"{net}:make", 1) == own_identity(f"{net}:make", 1) != own_identity(f"{net}:make")


def test_the_identity_follows_the_file_and_its_numbers(net: Path) -> None:
    name = f"{net}:make"
    first = own_identity(name)
    assert first.startswith("own:")
    assert own_identity(name) == first
    net.write_text(NET + "\n# a note\n")
    noted = own_identity(name)
    net.write_text(NET.replace("nn.Linear(hidden, classes)", "nn.Linear(hidden, classes, bias=False)"))
    assert len({first, noted, own_identity(name), own_identity(f"{net}:fixed")}) == 4


@pytest.mark.parametrize(
    ("function", "expected", "got"),
    [
        ("broken", "a function that returns a torch.nn.Module", "KeyError ('no such layer')"),
        ("number", "a function that returns a torch.nn.Module", "one that returns int"),
    ],
)
def test_a_function_that_gives_no_network_is_told(net: Path, function: str, expected: str, got: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_own(f"{net}:{function}")
    assert caught.value.message == f"Cannot use the network: {net}:{function}. Expected {expected}, got {got}."
    assert "file.py:function" in caught.value.hint


def test_a_wrong_name_is_told(net: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_own(f"{net}:mak")
    assert caught.value.message == f"Unknown function in {net}: mak. Expected a known function in {net}, got 'mak'."
    assert caught.value.hint.startswith("Did you mean 'make'?")
    with pytest.raises(UsageError, match=r"Expected a Python file .*nets.py, got nothing there\."):
        load_own(f"{tmp_path}/nets.py:make")
    with pytest.raises(UsageError, match=r"Expected file\.py:function, got another form"):
        load_own("resnet50")


def test_a_number_of_classes_needs_a_function_that_takes_one(net: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_own(f"{net}:fixed", 5)
    assert "Expected a function with a parameter `classes`, got fixed() -> " in caught.value.message


def test_a_file_that_cannot_be_read_is_told(net: Path) -> None:
    net.write_text("def make(:\n")
    with pytest.raises(UsageError, match=r"Expected a function that returns a torch.nn.Module, got SyntaxError"):
        load_own(f"{net}:make")
