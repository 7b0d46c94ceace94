"""Every loss against torch, torchvision or its formula in float64; a user's own function; what is refused, word for word."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from seefit.errors import UsageError
from seefit.training.losses import LOSSES, focal, make_loss, try_loss


def batch(classes: int = 5, scale: float = 3.0) -> tuple[Tensor, Tensor]:
    """Return logits (6, C) and soft targets (6, C)."""
    draw = torch.Generator().manual_seed(classes)
    return scale * torch.randn(6, classes, generator=draw), torch.rand(6, classes, generator=draw).softmax(1)


def one_hot(classes: int = 5) -> Tensor:
    return torch.eye(classes)[torch.arange(6) % classes]


def close(found: Tensor, expected: object) -> None:
    np.testing.assert_allclose(found.detach().numpy(), np.asarray(expected), rtol=2e-6, atol=1e-7)


def softmax64(logits: Tensor) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    powers = np.exp(logits.numpy().astype(np.float64))
    share: np.ndarray[tuple[int, int], np.dtype[np.float64]] = powers / powers.sum(1, keepdims=True)
    return share


def own(folder: Path, text: str) -> str:
    file = folder / "my losses.py"
    file.write_text(text)
    return f"{file}:loss"


def test_cross_entropy_is_torchs_for_labels_and_for_soft_targets() -> None:
    logits, targets = batch()
    loss = make_loss("cross-entropy")
    close(loss(logits, targets), functional.cross_entropy(logits, targets, reduction="none"))
    close(loss(logits, one_hot()), functional.cross_entropy(logits, torch.arange(6) % 5, reduction="none"))


def test_with_two_classes_cross_entropy_is_the_binary_one_of_the_single_logit() -> None:
    logits, targets = batch(2)
    single = functional.binary_cross_entropy_with_logits(logits[:, 1] - logits[:, 0], targets[:, 1], reduction="none")
    close(make_loss("cross-entropy")(logits, targets), single)
    close(make_loss("softmax-binary-cross-entropy")(logits, targets), single)


def test_binary_cross_entropy_sums_one_sigmoid_per_class() -> None:
    logits, targets = batch()
    t, p = targets.numpy().astype(np.float64), 1 / (1 + np.exp(-logits.numpy().astype(np.float64)))
    close(make_loss("binary-cross-entropy")(logits, targets), -(t * np.log(p) + (1 - t) * np.log(1 - p)).sum(1))


def test_binary_cross_entropy_of_softmax_outputs_is_the_mean_over_classes() -> None:
    logits, _ = batch()
    t, p = one_hot().numpy(), softmax64(logits)
    close(make_loss("softmax-binary-cross-entropy")(logits, one_hot()), -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(1))


@pytest.mark.parametrize("name", LOSSES)
def test_sure_answers_have_finite_values_and_gradients(name: str) -> None:
    logits = torch.tensor([[90.0, -90.0, 0.0], [-90.0, 90.0, 0.0], [0.0, 0.0, 0.0]], requires_grad=True)
    values = make_loss(name)(logits, torch.tensor([[1.0, 0.0, 0.0]] * 3))
    values.sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None and logits.grad.isfinite().all() and values.isfinite().all()
    assert float(values[0].detach()) == pytest.approx(0.6931 if name == "binary-cross-entropy" else 0, abs=1e-4)  # the third logit is 0


def test_a_sure_mistake_costs_what_it_should_where_clipping_would_hide_it() -> None:
    logits = torch.tensor([[-50.0, 50.0]])
    assert float(make_loss("softmax-binary-cross-entropy")(logits, torch.tensor([[1.0, 0.0]]))) == 100
    assert float(make_loss("focal")(logits, torch.tensor([[1.0, 0.0]]))) == 100


def test_errors_of_softmax_outputs_by_hand() -> None:
    logits = torch.log(torch.tensor([[0.7, 0.2, 0.1]]))
    targets = torch.tensor([[1.0, 0.0, 0.0]])
    close(make_loss("mse")(logits, targets), [(0.09 + 0.04 + 0.01) / 3])
    close(make_loss("l1")(logits, targets), [(0.3 + 0.2 + 0.1) / 3])


def test_focal_with_two_classes_is_torchvisions() -> None:
    from torchvision.ops import sigmoid_focal_loss

    logits, _ = batch(2)
    targets = one_hot(2)
    for gamma in (0.5, 2.0, 5.0):
        expected = sigmoid_focal_loss(logits[:, 1] - logits[:, 0], targets[:, 1], alpha=-1, gamma=gamma)
        close(make_loss("focal", focal_gamma=gamma)(logits, targets), expected)


def test_focal_with_gamma_0_is_cross_entropy_and_every_gamma_lowers_it() -> None:
    logits, targets = batch()
    plain = make_loss("cross-entropy")(logits, targets)
    close(focal(0)(logits, targets), plain)
    assert (make_loss("focal")(logits, targets) < plain).all()
    p = softmax64(logits)
    close(make_loss("focal")(logits, targets), -(targets.numpy() * (1 - p) ** 2 * np.log(p)).sum(1))


def test_focal_with_a_small_gamma_has_a_finite_gradient_where_the_answer_is_sure() -> None:
    logits = torch.tensor([[200.0, -200.0]], requires_grad=True)
    make_loss("focal", focal_gamma=0.5)(logits, torch.tensor([[1.0, 0.0]])).sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None and logits.grad.tolist() == [[0, 0]]


def test_label_smoothing_is_torchs_and_works_with_every_loss() -> None:
    logits, targets = batch()
    smoothed = functional.cross_entropy(logits, targets, reduction="none", label_smoothing=0.1)
    close(make_loss("cross-entropy", label_smoothing=0.1)(logits, targets), smoothed)
    for name, plain in LOSSES.items():
        close(make_loss(name, label_smoothing=0.2)(logits, targets), plain(logits, 0.8 * targets + 0.2 / 5))


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_logits_give_float32_values(name: str) -> None:
    logits, targets = batch()
    half = logits.bfloat16()
    values = make_loss(name)(half, targets)
    assert values.dtype == torch.float32 and values.shape == (6,)
    close(values, make_loss(name)(half.float(), targets))


def test_a_function_of_the_users_own(tmp_path: Path) -> None:
    name = own(tmp_path, "import torch\n\ndef loss(logits, targets):\n    return (targets * -logits.log_softmax(1)).sum(1) * 3\n")
    logits, targets = batch()
    loss = make_loss(name, label_smoothing=0.1)
    try_loss(loss, 5)
    close(loss(logits, targets), 3 * make_loss("cross-entropy", label_smoothing=0.1)(logits, targets))


def test_two_files_of_the_same_name_do_not_meet(tmp_path: Path) -> None:
    names = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        names.append(own(folder, f"def loss(logits, targets):\n    return {number} * logits.sum(1)\n"))
    first, second = (make_loss(name) for name in names)
    logits, targets = batch()
    close(second(logits, targets), 2 * first(logits, targets))


def refused(name: str, expected: str, got: str) -> str:
    return f"Cannot use the loss: {name}. Expected {expected}, got {got}."


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        make_loss(f"{tmp_path}/none.py:loss")
    assert caught.value.message == refused(f"{tmp_path}/none.py:loss", "an existing Python file", f"no file {tmp_path}/none.py")
    assert caught.value.hint == "Correct the function, or choose a loss by name with --loss."


@pytest.mark.parametrize(
    ("text", "expected", "got"),
    [
        ("x = 1", "a function 'loss' in {file}", "no such name in it"),
        ("loss = 3", "a function 'loss' in {file}", "a value of type int"),
        ("def loss(:", "a Python file that runs", "SyntaxError: invalid syntax (my losses.py, line 1)"),
        ("import nothing_of_this_name", "a Python file that runs", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
    ],
)
def test_a_file_or_function_that_cannot_be_used(tmp_path: Path, text: str, expected: str, got: str) -> None:
    name = own(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        make_loss(name)
    assert caught.value.message == refused(name, expected.format(file=name.removesuffix(":loss")), got)


@pytest.mark.parametrize(
    ("body", "expected", "got"),
    [
        ("logits.sum()", "a float tensor of shape (2,), one value per image", "float32 of shape ()"),
        ("logits", "a float tensor of shape (2,), one value per image", "float32 of shape (2, 4)"),
        ("logits.argmax(1)", "a float tensor of shape (2,), one value per image", "int64 of shape (2,)"),
        ("0.5", "a float tensor of shape (2,), one value per image", "a value of type float"),
        ("logits.detach().sum(1)", "values computed from the logits by torch", "a tensor without a gradient"),
        ("logits[:, 7]", "an answer for logits of shape (2, 4)", "IndexError: index 7 is out of bounds for dimension 1 with size 4"),
    ],
)
def test_an_answer_that_cannot_be_used_is_found_by_the_trial(tmp_path: Path, body: str, expected: str, got: str) -> None:
    name = own(tmp_path, f"def loss(logits, targets):\n    return {body}\n")
    with pytest.raises(UsageError) as caught:
        try_loss(make_loss(name), 4)
    assert caught.value.message == refused(name, expected, got)


@pytest.mark.parametrize("name", LOSSES)
def test_the_trial_lets_our_own_losses_pass(name: str) -> None:
    try_loss(make_loss(name, label_smoothing=0.1), 3)


def test_an_unknown_loss_gets_the_closest() -> None:
    with pytest.raises(UsageError, match=re.escape("Unknown loss: crossentropy. Expected a known loss, got 'crossentropy'.")) as caught:
        make_loss("crossentropy")
    assert caught.value.hint == (
        "Did you mean 'cross-entropy'? Choose one of: binary-cross-entropy, cross-entropy, file.py:function, focal, l1, mse, "
        "softmax-binary-cross-entropy."
    )


def test_values_out_of_range_are_named_together() -> None:
    with pytest.raises(UsageError) as caught:
        make_loss("focal", label_smoothing=1.0, focal_gamma=-1)
    assert caught.value.message == (
        "A setting is out of range: --label-smoothing. Expected 0 or more and less than 1, got 1.\n"
        "A setting is out of range: --focal-gamma. Expected a number from 0, got -1."
    )
