"""Update rules by hand, rates per depth, zero gamma proven by what blocks return, and the moving average."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seefit.errors import UsageError
from seefit.training.optimisers import (
    OPTIMISERS,
    WeightAverage,
    depth_groups,
    make_optimiser,
    parse_rates,
    scale_rate,
    set_rates,
    spread_rates,
    zero_gamma,
)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


def stages(net: nn.Sequential) -> list[list[tuple[str, nn.Parameter]]]:
    """Return the convolution with its norm, and the head."""
    parameters = list(net.named_parameters())
    return [parameters[:4], parameters[4:]]


def steps(name: str, gradients: list[float], *, decay: float = 0.0, momentum: float = 0.9) -> list[float]:
    """Return where a weight of 1 goes with a rate of 0.1."""
    weight = nn.Parameter(torch.ones(1, 1, dtype=torch.float64))
    optimiser = make_optimiser(name, depth_groups([[("w", weight)]], [0.1], decay), momentum=momentum)
    found = []
    for gradient in gradients:
        weight.grad = torch.full_like(weight, gradient)
        optimiser.step()
        found.append(float(weight.detach()))
    return found


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sgd", [1 - 0.1 * 2, 1 - 0.1 * 2 - 0.1 * 1]),
        ("momentum", [1 - 0.1 * 2, 1 - 0.1 * 2 - 0.1 * (0.9 * 2 + 1)]),
        ("adagrad", [1 - 0.1, 1 - 0.1 - 0.1 * 1 / math.sqrt(5)]),
        ("rmsprop", [1 - 0.1 * 2 / math.sqrt(0.04), 1 - 1 - 0.1 * 1 / math.sqrt(0.99 * 0.04 + 0.01)]),
        ("adam", [1 - 0.1, 1 - 0.1 - 0.1 * (0.28 / 0.19) / math.sqrt(0.004996 / 0.001999)]),
        ("adamw", [1 - 0.1, 1 - 0.1 - 0.1 * (0.28 / 0.19) / math.sqrt(0.004996 / 0.001999)]),
    ],
)
def test_two_steps_by_hand(name: str, expected: list[float]) -> None:
    assert steps(name, [2.0, 1.0]) == pytest.approx(expected, abs=1e-7)


def test_weight_decay_is_in_the_gradient_and_decoupled_in_adamw() -> None:
    assert steps("sgd", [0.0], decay=0.5) == pytest.approx([1 - 0.1 * 0.5])
    assert steps("momentum", [0.0, 0.0], decay=0.5) == pytest.approx([0.95, 0.95 - 0.1 * (0.9 * 0.5 + 0.5 * 0.95)])
    assert steps("adam", [0.0], decay=0.5) == pytest.approx([1 - 0.1])
    assert steps("adamw", [0.0], decay=0.5) == pytest.approx([1 - 0.1 * 0.5])


def test_momentum_is_heavy_ball_or_the_first_beta_and_nothing_to_the_rest() -> None:
    for name in OPTIMISERS:
        low, high = steps(name, [2.0, 1.0], momentum=0.5), steps(name, [2.0, 1.0], momentum=0.95)
        assert (low != high) == (name in {"momentum", "adam", "adamw"})


def test_groups_are_by_depth_and_biases_and_norms_are_not_decayed() -> None:
    net = network()
    groups = depth_groups(stages(net), [1e-5, 1e-3], weight_decay=0.05)
    told = [([name for name, _ in g["params"]], g["lr"], g["weight_decay"], g["stage"]) for g in groups]
    assert told == [
        (["0.weight"], 1e-5, 0.05, 0),
        (["0.bias", "1.weight", "1.bias"], 1e-5, 0.0, 0),
        (["5.weight"], 1e-3, 0.05, 1),
        (["5.bias"], 1e-3, 0.0, 1),
    ]
    optimiser = make_optimiser("adamw", groups)
    assert [group["param_names"] for group in optimiser.param_groups] == [names for names, *_ in told]
    assert sum(p.numel() for group in optimiser.param_groups for p in group["params"]) == sum(p.numel() for p in net.parameters())


def test_groups_can_make_more_than_one_optimiser() -> None:
    groups = depth_groups(stages(network()), [1e-3, 1e-3])
    first, second = make_optimiser("sgd", groups), make_optimiser("adam", groups)
    set_rates(first, 0.5)
    assert {group["lr"] for group in second.param_groups} == {1e-3}


def test_an_empty_stage_has_no_group() -> None:
    assert [group["stage"] for group in depth_groups([[], stages(network())[1]], [1.0, 1.0])] == [1, 1]


def test_the_factor_multiplies_every_base_rate() -> None:
    optimiser = make_optimiser("sgd", depth_groups(stages(network()), [0.01, 0.1]))
    for factor in (0.5, 1.0, 0.25):
        set_rates(optimiser, factor)
        assert [group["lr"] for group in optimiser.param_groups] == [0.01 * factor] * 2 + [0.1 * factor] * 2


def test_groups_want_one_good_rate_per_stage() -> None:
    with pytest.raises(ValueError, match="zip"):
        depth_groups(stages(network()), [0.1])
    with pytest.raises(UsageError, match=r"--lr\. .* got 0\."):
        depth_groups(stages(network()), [0.1, 0.0])
    with pytest.raises(UsageError, match=r"^A setting is out of range: --weight-decay\. Expected a number from 0, got -1\."):
        depth_groups(stages(network()), [0.1, 0.1], weight_decay=-1)


def test_unknown_optimisers_and_momentum_out_of_range() -> None:
    groups = depth_groups(stages(network()), [0.1, 0.1])
    with pytest.raises(UsageError) as caught:
        make_optimiser("adagard", groups)
    assert caught.value.message == "Unknown optimiser: adagard. Expected a known optimiser, got 'adagard'."
    assert caught.value.hint == "Did you mean 'adagrad'? Choose one of: adagrad, adam, adamw, momentum, rmsprop, sgd."
    with pytest.raises(UsageError, match=r"--momentum\. Expected 0 or more and less than 1, got 1\."):
        make_optimiser("momentum", groups, momentum=1.0)


def test_rates_are_spread_by_equal_factors_or_equal_steps() -> None:
    assert spread_rates(1e-6, 1e-4, 3) == pytest.approx([1e-6, 1e-5, 1e-4], rel=1e-12)
    assert spread_rates(1e-6, 1e-4, 3, "steps") == pytest.approx([1e-6, 5.05e-5, 1e-4], rel=1e-12)
    assert spread_rates(1e-6, 1e-4, 1) == spread_rates(1e-6, 1e-4, 1, "steps") == [1e-4]
    assert spread_rates(1e-3, 1e-3, 4) == [1e-3] * 4
    with pytest.raises(UsageError, match=r"^Unknown spacing of rates: linear"):
        spread_rates(1e-6, 1e-4, 3, "linear")  # type: ignore[arg-type]


def test_rates_are_read() -> None:
    assert parse_rates("1e-3") == (1e-3, 1e-3)
    assert parse_rates(" 1e-5..1e-3 ") == (1e-5, 1e-3)
    assert parse_rates("0.1") == (0.1, 0.1)
    assert parse_rates("auto") is None


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("fast", "'fast'"),
        ("", "''"),
        ("1e-3..", "'1e-3..'"),
        ("1e-5..1e-4..1e-3", "'1e-5..1e-4..1e-3'"),
        ("1e-3..1e-5", "'1e-3..1e-5', which starts with the higher rate"),
        ("0", "0"),
        ("-0.1", "-0.1"),
        ("nan", "nan"),
        ("1e-3..inf", "inf"),
    ],
)
def test_rates_that_cannot_be_used(text: str, got: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_rates(text)
    assert caught.value.message == (
        f"Cannot use the learning rate: --lr. Expected a rate above 0, a range from the lowest stage to the head, or auto, got {got}."
    )
    assert caught.value.hint == "Write for example --lr 1e-3, --lr 1e-5..1e-3 or --lr auto."


def test_rates_scale_with_the_batch() -> None:
    assert scale_rate(0.1, 64) == pytest.approx(0.025)
    assert scale_rate(0.1, 1024, base_batch=128) == pytest.approx(0.8)


def timm_model(name: str) -> nn.Module:
    import timm

    model: nn.Module = timm.create_model(name)
    return model.eval()


TIMM = [("test_resnet", 4), ("tf_efficientnet_lite0", 9), ("mobilenetv3_small_100", 6)]


@pytest.mark.parametrize(("name", "blocks"), TIMM)
def test_zero_gamma_finds_the_residual_blocks_of_timm(name: str, blocks: int) -> None:
    assert zero_gamma(timm_model(name)) == blocks


@pytest.mark.parametrize(("name", "blocks"), [("resnet18", 8), ("mobilenet_v2", 10), ("mobilenet_v3_small", 6), ("vgg11_bn", 0)])
def test_zero_gamma_finds_the_residual_blocks_of_torchvision(name: str, blocks: int) -> None:
    import torchvision

    with torch.device("meta"):  # shapes without numbers
        model = torchvision.models.get_model(name)
    assert zero_gamma(model) == blocks


def test_zero_gamma_leaves_networks_without_a_norm_before_the_sum() -> None:
    import timm

    with torch.device("meta"):
        names = ("test_convnext", "test_vit", "resnetv2_50", "densenet121")
        assert [zero_gamma(timm.create_model(name)) for name in names] == [0] * 4


def answers_of_blocks(model: nn.Module, kinds: tuple[str, ...], side: int = 64) -> list[tuple[Tensor, Tensor]]:
    """Return input and output of every block of these kinds that keeps the shape."""
    found: list[tuple[Tensor, Tensor]] = []

    def keep(_: nn.Module, inputs: Any, output: Tensor) -> None:
        if inputs[0].shape == output.shape:
            found.append((inputs[0].clone(), output.clone()))

    for module in model.modules():
        if type(module).__name__ in kinds:
            module.register_forward_hook(keep)
    with torch.no_grad():
        model(torch.rand(2, 3, side, side))
    return found


def test_after_zero_gamma_a_block_is_its_shortcut() -> None:
    net = timm_model("tf_efficientnet_lite0")
    kinds = ("InvertedResidual", "DepthwiseSeparableConv")
    assert not any(torch.equal(x, y) for x, y in answers_of_blocks(net, kinds))
    zero_gamma(net)
    pairs = answers_of_blocks(net, kinds)
    assert len(pairs) == 9 and all(torch.equal(x, y) for x, y in pairs)


def test_after_zero_gamma_a_block_of_a_resnet_is_its_shortcut_and_a_relu() -> None:
    from torchvision.models import resnet18

    net = resnet18().eval()
    zero_gamma(net)
    pairs = answers_of_blocks(net, ("BasicBlock",))
    assert len(pairs) == 5 and all(torch.equal(x.relu(), y) for x, y in pairs)


def test_zero_gamma_changes_nothing_else() -> None:
    net = timm_model("test_resnet")
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(1)
    zero_gamma(net)
    assert [name for name, p in net.named_parameters() if not p.all()] == [
        "layer1.0.bn2.weight",
        "layer2.0.bn2.weight",
        "layer3.0.bn3.weight",
        "layer4.0.bn2.weight",
    ]


class One(nn.Module):
    """A weight, and a counter as batch norm has."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([value]))
        self.register_buffer("count", torch.tensor(0))


def set_to(net: One, value: float, count: int = 0) -> None:
    net.load_state_dict({"weight": torch.tensor([value]), "count": torch.tensor(count)})


def test_the_average_by_hand_with_its_warm_up() -> None:
    net = One(1.0)
    average = WeightAverage(net, decay=0.15)
    expected = 1.0
    for number, (value, decay) in enumerate([(2.0, 0.1), (3.0, 0.15), (4.0, 0.15)]):  # 1/10, then 2/11 > 0.15
        set_to(net, value, number + 5)
        average.update(net)
        expected = decay * expected + (1 - decay) * value
    average.copy_to(net)
    assert float(net.weight.detach()) == pytest.approx(expected)
    assert int(net.get_buffer("count")) == 7


def test_the_networks_own_weights_come_back_also_after_an_error() -> None:
    net = One(1.0)
    average = WeightAverage(net)
    set_to(net, 5.0)
    with average.applied(net):
        assert float(net.weight.detach()) == 1
    assert float(net.weight.detach()) == 5
    with pytest.raises(KeyboardInterrupt), average.applied(net):
        raise KeyboardInterrupt
    assert float(net.weight.detach()) == 5


def test_copying_does_not_tie_the_network_to_the_average() -> None:
    net = One(1.0)
    average = WeightAverage(net)
    average.copy_to(net)
    with torch.no_grad():
        net.weight.add_(1)
    assert float(average.tensors()["average.weight"]) == 1


def test_the_average_goes_on_from_its_tensors() -> None:
    unbroken, first, second = (WeightAverage(One(1.0), decay=0.9) for _ in range(3))
    for value in (2.0, 3.0):
        unbroken.update(One(value))
        first.update(One(value))
    second.restore(first.tensors() | {"network.weight": torch.zeros(1)})
    for average in (unbroken, second):
        average.update(One(-4.0))
    assert second.updates == 3
    assert all(torch.equal(tensor, unbroken.tensors()[name]) for name, tensor in second.tensors().items())
    with pytest.raises(KeyError, match=r"average\.weight"):
        second.restore({})


def test_a_decay_out_of_range() -> None:
    with pytest.raises(UsageError, match=r"--average\. Expected 0 or more and less than 1, got 1\."):
        WeightAverage(One(1.0), decay=1.0)
