"""Optimisers, rates per depth, and the tricks that act on weights: zero gamma and the moving average."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from seefit.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Parameter
    from torch.optim import Optimizer

OPTIMISERS = ("sgd", "momentum", "adagrad", "rmsprop", "adam", "adamw")
Spacing = Literal["factor", "steps"]
SPACINGS: tuple[Spacing, ...] = ("factor", "steps")

BASE_BATCH = 256  # the batch that published rates are for
_SIDE_PATHS = ("downsample", "shortcut", "se")  # children of a residual block that are not its main path
_UPDATES = "updates"


def make_optimiser(name: str, groups: Sequence[dict[str, Any]], *, momentum: float = 0.9) -> Optimizer:
    """Return a torch optimiser for groups of parameters; `set_rates` then moves their rates.

    ``sgd`` has no momentum; ``momentum`` is SGD with heavy-ball momentum (not Nesterov's). In ``sgd``, ``momentum``, ``adagrad``,
    ``rmsprop`` and ``adam`` weight decay is a penalty in the gradient, in ``adamw`` it is decoupled (Loshchilov and Hutter 2019,
    Algorithm 2). Both Adams step in one pass over the weights (``fused``).

    Args:
        name: One of `OPTIMISERS`.
        groups: From `depth_groups`, each with its own rate and weight decay.
        momentum: In [0, 1): of ``momentum``, and the first beta of ``adam`` and ``adamw``; the others have none.

    Raises:
        UsageError: An unknown name, or a momentum out of range.
    """
    from torch import optim

    if name not in OPTIMISERS:
        unknown_name("optimiser", name, OPTIMISERS)
    if not 0 <= momentum < 1:
        raise _range_error("--momentum", "0 or more and less than 1", f"{momentum:g}")
    betas = (momentum, 0.999)
    fresh = [dict(group) for group in groups]
    match name:
        case "sgd":
            return optim.SGD(fresh)
        case "momentum":
            return optim.SGD(fresh, momentum=momentum)
        case "adagrad":
            return optim.Adagrad(fresh)
        case "rmsprop":
            return optim.RMSprop(fresh)
        case "adam":
            return optim.Adam(fresh, betas=betas, fused=True)
    return optim.AdamW(fresh, betas=betas, fused=True)


def set_rates(optimiser: Optimizer, factor: float) -> None:
    """Set the rate of every group to ``factor`` times its base rate (``initial_lr``)."""
    for group in optimiser.param_groups:
        group["lr"] = group["initial_lr"] * factor


def depth_groups(
    stages: Sequence[Sequence[tuple[str, Parameter]]], rates: Sequence[float], weight_decay: float = 0.0
) -> list[dict[str, Any]]:
    """Group parameters by depth, each depth with its own base rate, biases and norms without weight decay.

    What has one dimension or none (biases, weights of norms, layer scales) is not decayed (He et al. 2019, "Bag of tricks", 3.1).

    Args:
        stages: The lowest first, each the names and parameters of one stage.
        rates: One base rate per stage, the lowest stage's first.
        weight_decay: Of everything else, 0 or more.

    Returns:
        At most two groups per stage, for `make_optimiser`: ``params`` (name and parameter), ``lr``, ``initial_lr``, ``weight_decay``
        and ``stage``, the number of the stage from 0.

    Raises:
        ValueError: Not one rate per stage.
        UsageError: A rate or the weight decay out of range.
    """
    for rate in rates:
        _check_rate(rate)
    if not 0 <= weight_decay < float("inf"):
        raise _range_error("--weight-decay", "a number from 0", f"{weight_decay:g}")
    groups = []
    for number, (stage, rate) in enumerate(zip(stages, rates, strict=True)):
        decayed = [(name, parameter) for name, parameter in stage if parameter.ndim > 1]
        plain = [(name, parameter) for name, parameter in stage if parameter.ndim <= 1]
        for params, decay in ((decayed, weight_decay), (plain, 0.0)):
            if params:
                groups.append({"params": params, "lr": rate, "initial_lr": rate, "weight_decay": decay, "stage": number})
    return groups


def spread_rates(low: float, high: float, count: int, spacing: Spacing = "factor") -> list[float]:
    """Spread a range of rates over stages, the lowest stage gets ``low``, the head gets ``high``.

    Args:
        low: Rate of the lowest stage, above 0.
        high: Rate of the highest stage.
        count: How many stages, 1 or more; a single one gets ``high``.
        spacing: ``factor``: each rate is the one below times the same number, as fastai does; ``steps``: plus the same number.

    Raises:
        UsageError: An unknown spacing.
    """
    if spacing not in SPACINGS:
        unknown_name("spacing of rates", spacing, SPACINGS)
    shares = [index / (count - 1) for index in range(count - 1)]
    if spacing == "steps":
        rates = [low + (high - low) * share for share in shares]
    else:
        rates = [float(low * (high / low) ** share) for share in shares]
    return [*rates, high]  # exactly, so that it reads as it was given


def parse_rates(text: str) -> tuple[float, float] | None:
    """Read what ``--lr`` says: one rate for all depths, a range from the lowest stage to the head, or ``auto``.

    Args:
        text: ``1e-3``, ``1e-5..1e-3`` or ``auto``.

    Returns:
        The rates of the lowest stage and of the head, equal when one was given; ``None`` for ``auto``.

    Raises:
        UsageError: Anything else.
    """
    text = text.strip()
    if text == "auto":
        return None
    low, dots, high = text.partition("..")
    try:
        rates = float(low), float(high if dots else low)
    except ValueError:
        raise _rate_error(repr(text)) from None
    for rate in rates:
        _check_rate(rate)
    if rates[0] > rates[1]:
        raise _rate_error(f"{text!r}, which starts with the higher rate")
    return rates


def scale_rate(rate: float, batch: int, base_batch: int = BASE_BATCH) -> float:
    """Scale a rate that was found for one batch size to another in proportion (Goyal et al. 2017, 2.1)."""
    return rate * batch / base_batch


def zero_gamma(network: Module) -> int:
    """Set the weight of the last norm of each residual block to 0, so that the block starts as its shortcut.

    For networks that are trained from scratch (He et al. 2019, "Bag of tricks", 3.1): in a pretrained one it would delete what the
    blocks have learned. Finds the residual blocks of ResNet, ResNeXt, SE-ResNet, MobileNet and EfficientNet in timm and torchvision,
    those whose output is added to a shortcut. Networks without norms at the end of a block (VGG, ConvNeXt, ResNetV2, transformers)
    have none.

    Args:
        network: Changed in place.

    Returns:
        How many blocks were found.
    """
    from torch import nn

    norms = [norm for block in network.modules() if _is_residual(block) and (norm := _last_norm(block)) is not None]
    for norm in norms:
        nn.init.zeros_(norm.weight)
    return len(norms)


def _is_residual(block: Module) -> bool:
    """Say whether a block's output is added to its input: by what timm and torchvision write on their blocks."""
    if getattr(block, "has_skip", False) is True or getattr(block, "use_res_connect", False) is True:
        return True
    return hasattr(block, "downsample") and hasattr(block, "bn2")


def _last_norm(block: Module) -> Any:
    """Return the last norm of the block's main path, None when there is none with a weight."""
    from torch.nn import BatchNorm2d, GroupNorm, LayerNorm

    main = [child for name, child in block.named_children() if name not in _SIDE_PATHS]
    norms = [module for child in main for module in child.modules() if isinstance(module, BatchNorm2d | GroupNorm | LayerNorm)]
    return norms[-1] if norms and norms[-1].weight is not None else None


class WeightAverage:
    """An exponential moving average of a network's parameters and buffers.

    The decay warms up, so that the first weights do not weigh long: after n updates it is min(decay, (1 + n) / (10 + n)), as in
    TensorFlow's ``ExponentialMovingAverage``. Whole numbers (counters of batch norm) are copied.

    Args:
        network: Its present weights are the first average.
        decay: In [0, 1), the share that stays at each update.
    """

    def __init__(self, network: Module, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise _range_error("--average", "0 or more and less than 1", f"{decay:g}")
        self.decay = decay
        self.updates = 0
        self._average = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

    def update(self, network: Module) -> None:
        """Move the average towards the network's present weights; call it after each step of the optimiser."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for name, tensor in network.state_dict().items():
            average = self._average[name]
            if average.is_floating_point():
                average.lerp_(tensor.detach(), 1 - decay)
            else:
                average.copy_(tensor)

    def copy_to(self, network: Module) -> None:
        """Give the network the average as its weights."""
        network.load_state_dict(self._average)

    @contextlib.contextmanager
    def applied(self, network: Module) -> Iterator[None]:
        """Let the network have the averaged weights inside the block, and its own again after it."""
        own = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        self.copy_to(network)
        try:
            yield
        finally:
            network.load_state_dict(own)

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that a checkpoint must hold, for `restore`."""
        import torch

        return {f"average.{name}": tensor for name, tensor in self._average.items()} | {_UPDATES: torch.tensor(self.updates)}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up the state that `tensors` gave; other entries of a checkpoint are passed over.

        Raises:
            KeyError: A tensor of the average is not among them.
        """
        for name, average in self._average.items():
            average.copy_(tensors[f"average.{name}"])
        self.updates = int(tensors[_UPDATES])


def _check_rate(rate: float) -> None:
    if not 0 < rate < float("inf"):
        raise _rate_error(f"{rate:g}")


def _rate_error(got: str) -> UsageError:
    return UsageError(
        "Cannot use the learning rate",
        where="--lr",
        expected="a rate above 0, a range from the lowest stage to the head, or auto",
        got=got,
        hint="Write for example --lr 1e-3, --lr 1e-5..1e-3 or --lr auto",
    )


def _range_error(option: str, expected: str, got: str) -> UsageError:
    return UsageError("A setting is out of range", where=option, expected=expected, got=got, hint=f"Leave out {option}")
