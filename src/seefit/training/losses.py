"""Losses: logits and soft targets in, one value per image out.

The loop takes the weighted mean of these values, so class weights and image weights are weights there and no part of a loss.
Everything is computed in float32, also when the network runs in half precision.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from seefit.errors import UsageError, raise_all, unknown_name

if TYPE_CHECKING:
    from torch import Tensor

Loss = Callable[["Tensor", "Tensor"], "Tensor"]
"""Called with logits (B, C) and targets (B, C) whose rows sum to 1; returns (B,)."""


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of a softmax with soft targets, by log-softmax and negative log-likelihood, in nats.

    Args:
        logits: (B, C) float.
        targets: (B, C) float32, rows sum to 1.

    Returns:
        (B,) float32. With two classes it is the binary cross-entropy of the one logit ``logits[:, 1] - logits[:, 0]``.
    """
    return -(targets * logits.float().log_softmax(1)).sum(1)


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the binary cross-entropy from logits, one sigmoid per class, summed over the classes, in nats.

    Args:
        logits: (B, C) float.
        targets: (B, C) float32 in [0, 1].

    Returns:
        (B,) float32.
    """
    from torch.nn.functional import binary_cross_entropy_with_logits

    return binary_cross_entropy_with_logits(logits.float(), targets, reduction="none").sum(1)


def softmax_binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the binary cross-entropy of softmax outputs against one-hot targets, the mean over the classes, in nats.

    This is what Keras computes from ``Dense(C, activation="softmax")`` with the loss ``binary_crossentropy``, but without clipping:
    log(1 - p) is taken from the logits. With two classes it equals `cross_entropy`.

    Args:
        logits: (B, C) float.
        targets: (B, C) float32 in [0, 1].

    Returns:
        (B,) float32.
    """
    logits = logits.float()
    return -(targets * logits.log_softmax(1) + (1 - targets) * _log_of_the_rest(logits)).mean(1)


def squared_error(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the squared error of softmax outputs against the targets, the mean over the classes, (B,) float32 in [0, 1]."""
    return (logits.float().softmax(1) - targets).square().mean(1)


def absolute_error(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the absolute error of softmax outputs against the targets, the mean over the classes, (B,) float32 in [0, 1]."""
    return (logits.float().softmax(1) - targets).abs().mean(1)


def focal(gamma: float) -> Loss:
    """Return the focal loss of a softmax: cross-entropy that counts less the surer the answer is (Lin et al. 2017, equation 4).

    Args:
        gamma: 0 or more; 0 is `cross_entropy`, 2 is the paper's.

    Returns:
        A loss: sum over the classes of -t (1 - p)^gamma log p, in nats.
    """

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        logits = logits.float()
        unsure = (gamma * _log_of_the_rest(logits)).exp()  # (1 - p)^gamma, with a finite gradient at p = 1
        return -(targets * unsure * logits.log_softmax(1)).sum(1)

    return loss


def _log_of_the_rest(logits: Tensor) -> Tensor:
    """Return log(1 - softmax), (B, C), exact also where the softmax rounds to 1."""
    import torch

    top = torch.zeros_like(logits, dtype=torch.bool).scatter(1, logits.argmax(1, keepdim=True), True)
    others = logits.masked_fill(top, -torch.inf).logsumexp(1, keepdim=True) - logits.logsumexp(1, keepdim=True)
    return torch.where(top, others, torch.log1p(-logits.softmax(1).masked_fill(top, 0)))


LOSSES: dict[str, Loss] = {
    "cross-entropy": cross_entropy,
    "binary-cross-entropy": binary_cross_entropy,
    "softmax-binary-cross-entropy": softmax_binary_cross_entropy,
    "mse": squared_error,
    "l1": absolute_error,
    "focal": focal(2.0),
}


def make_loss(name: str, *, label_smoothing: float = 0.0, focal_gamma: float = 2.0) -> Loss:
    """Return a loss by name, or a function of the user's own.

    Args:
        name: One of `LOSSES`, or ``file.py:function``: called with logits (B, C) and targets (B, C), it must return a tensor (B,).
        label_smoothing: In [0, 1): this share of every target is spread evenly over all classes (Szegedy et al. 2016, section 7),
            whatever the loss.
        focal_gamma: 0 or more; only ``focal`` looks at it.

    Raises:
        UsageError: An unknown name, a value out of range, or a file or function that cannot be used.
    """
    raise_all(_problems(label_smoothing, focal_gamma))
    if ".py:" in name:
        loss = _own_loss(name)
    elif name == "focal":
        loss = focal(focal_gamma)
    elif name in LOSSES:
        loss = LOSSES[name]
    else:
        unknown_name("loss", name, [*LOSSES, "file.py:function"])
    return _smoothed(loss, label_smoothing) if label_smoothing else loss


def try_loss(loss: Loss, classes: int) -> None:
    """Call a loss once on two made-up images, so that a function that does not fit is found before anything is computed.

    Args:
        loss: From `make_loss`.
        classes: C, the number of classes.

    Raises:
        UsageError: A function of the user's own fails, or does not give one value per image that a network can learn from.
    """
    import torch

    logits = torch.zeros(2, classes, requires_grad=True)
    loss(logits, torch.eye(classes)[[0, classes - 1]]).sum().backward()  # type: ignore[no-untyped-call]


def _smoothed(loss: Loss, share: float) -> Loss:
    return lambda logits, targets: loss(logits, (1 - share) * targets + share / targets.shape[1])


def _own_loss(name: str) -> Loss:
    """Return the function of the user's with a check on what it gives."""
    file, _, function_name = name.rpartition(":")
    function = getattr(_load_module(Path(file), name), function_name, None)
    if not callable(function):
        got = "no such name in it" if function is None else f"a value of type {type(function).__name__}"
        raise _own_error(name, f"a function {function_name!r} in {file}", got)

    def checked(logits: Tensor, targets: Tensor) -> Tensor:
        try:
            values = function(logits, targets)
        except Exception as error:
            raise _own_error(name, f"an answer for logits of shape {tuple(logits.shape)}", _first_line(error)) from error
        return _checked(values, logits, name)

    return checked


def _checked(values: Any, logits: Tensor, name: str) -> Tensor:
    """Return what a user's function gave, if it is one value per image that depends on the logits."""
    from torch import Tensor

    expected = f"a float tensor of shape ({len(logits)},), one value per image"
    if not isinstance(values, Tensor):
        raise _own_error(name, expected, f"a value of type {type(values).__name__}")
    if tuple(values.shape) != (len(logits),) or not values.is_floating_point():
        raise _own_error(name, expected, f"{values.dtype} of shape {tuple(values.shape)}".removeprefix("torch."))
    if logits.requires_grad and not values.requires_grad:
        raise _own_error(name, "values computed from the logits by torch", "a tensor without a gradient")
    return values


def _load_module(file: Path, name: str) -> ModuleType:
    """Run a Python file of the user's and return it as a module of its own."""
    if not file.is_file():
        raise _own_error(name, "an existing Python file", f"no file {file}")
    unique = f"seefit_own_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(unique, file)
    if spec is None or spec.loader is None:
        raise _own_error(name, "a Python file", str(file))
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _own_error(name, "a Python file that runs", _first_line(error)) from error
    return module


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _own_error(name: str, expected: str, got: str) -> UsageError:
    return UsageError(
        "Cannot use the loss", where=name, expected=expected, got=got, hint="Correct the function, or choose a loss by name with --loss"
    )


def _problems(label_smoothing: float, focal_gamma: float) -> list[UsageError]:
    checks = [
        ("--label-smoothing", 0 <= label_smoothing < 1, "0 or more and less than 1", label_smoothing),
        ("--focal-gamma", 0 <= focal_gamma < float("inf"), "a number from 0", focal_gamma),
    ]
    return [
        UsageError("A setting is out of range", where=option, expected=expected, got=f"{value:g}", hint=f"Leave out {option}")
        for option, good, expected, value in checks
        if not good
    ]
