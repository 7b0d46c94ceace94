"""The layers of a network with shapes, parameters, sizes and multiply-adds, counted while one empty image runs through it.

What the numbers mean:

- ``multiply_adds``: every convolution and every product with a matrix of weights, also those that a network does without
  a layer of its own. Norms, activations, pooling and additions are left out, and so are the products of two activations
  inside attention, which are counted apart (``attention``). That is what `seefit models` shows.
- Sources that count more print more. EfficientNet-Lite has, with three operations for each number that a norm gives and one
  for each number that is added around a block, the 631 M, 899 M, 1.44 G and 2.64 G that its authors print for Lite1 to Lite4;
  but for Lite0 that makes 406 M, not their 407 M, and no way of counting was found that does. By layers alone Lite0 has 385 M.
- Sizes in MB are those of torchsummary: 32-bit numbers, 2^20 bytes a MB, "forward/backward" twice the outputs of all modules
  but the network itself and plain sequences, so that a block's output counts beside that of its last layer.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

CONTAINERS = ("Sequential", "ModuleList", "ModuleDict")
MB = 2**20


@dataclass(frozen=True)
class Layer:
    """A layer, or what several layers come to.

    Attributes:
        name: As in the network: ``layer1.0.conv1``; empty for what the network holds outside of its layers.
        type: Name of its class.
        output: Shape of its last output without the batch, such as (64, 56, 56); empty when it did not run, and for the network itself.
        parameters: How many numbers it learned or will learn; shared ones count where they are first.
        trainable: How many of these are not frozen.
        multiply_adds: For one image.
    """

    name: str
    type: str
    output: tuple[int, ...]
    parameters: int
    trainable: int
    multiply_adds: int


@dataclass(frozen=True)
class Summary:
    """What `summarise` found.

    Attributes:
        input: Shape of one input, (channels, height, width).
        layers: Every layer, in the order in which they begin to run; their parameters and multiply-adds sum to the whole.
        outputs: Name of a module → shape of its last output without the batch; also of those that hold others.
        types: Name of a module → name of its class, likewise.
        attention: Multiply-adds between two activations; not in those of the layers.
        activations: How many numbers one image needs on the way, as torchsummary counts.
    """

    input: tuple[int, ...]
    layers: tuple[Layer, ...]
    outputs: Mapping[str, tuple[int, ...]]
    types: Mapping[str, str]
    attention: int
    activations: int

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def trainable(self) -> int:
        """Number of parameters that are not frozen."""
        return sum(layer.trainable for layer in self.layers)

    @property
    def frozen(self) -> int:
        """Number of parameters that are frozen."""
        return self.parameters - self.trainable

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one image."""
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def input_mb(self) -> float:
        """Size of one input in MB."""
        return math.prod(self.input) * 4 / MB

    @property
    def activations_mb(self) -> float:
        """Size in MB of all outputs and their gradients, "forward/backward"."""
        return 2 * self.activations * 4 / MB

    @property
    def parameters_mb(self) -> float:
        """Size of the parameters in MB."""
        return self.parameters * 4 / MB

    @property
    def total_mb(self) -> float:
        """Size of input, outputs with gradients, and parameters in MB."""
        return self.input_mb + self.activations_mb + self.parameters_mb

    def fold(self, depth: int) -> list[Layer]:
        """Return one row for all layers whose names begin with the same ``depth`` parts (``layer1.0`` for 2).

        Raises:
            ValueError: ``depth`` is below 1.
        """
        if depth < 1:
            raise ValueError(f"depth must be at least 1, not {depth}")
        groups: dict[str, list[Layer]] = {}
        for layer in self.layers:
            groups.setdefault(".".join(layer.name.split(".")[:depth]), []).append(layer)
        return [merge(name, self.kind(name), self.outputs.get(name) if name else (), rows) for name, rows in groups.items()]

    @property
    def depth(self) -> int:
        """The most parts that a layer's name has."""
        return max((layer.name.count(".") + 1 for layer in self.layers), default=1)

    def kind(self, name: str) -> str:
        """Return the class of a module, or of what it is a plain sequence of: ``3 x Bottleneck``."""
        inside = [kind for other, kind in self.types.items() if other and _parent(other) == name] if name else []
        whole = self.types[name]
        return f"{len(inside)} x {inside[0]}" if whole in CONTAINERS and len(set(inside)) == 1 else whole


def merge(name: str, kind: str, output: tuple[int, ...] | None, layers: Sequence[Layer]) -> Layer:
    """Return one row for several layers; without an ``output`` it is that of the last one that ran."""
    if output is None:
        output = next((layer.output for layer in reversed(layers) if layer.output), ())
    columns = ((layer.parameters, layer.trainable, layer.multiply_adds) for layer in layers)
    return Layer(name, kind, output, *map(sum, zip(*columns, strict=True)))


def trunk(types: Mapping[str, str]) -> list[str]:
    """Return the names of a network's blocks: the modules that it and its plain sequences hold.

    Args:
        types: Name of a module → name of its class, as in `Summary.types`; a module comes after the one that holds it.

    Returns:
        Names in the order of ``types``: ``conv1``, ``layer1.0``. A network that only wraps one other is looked through.
    """
    held: dict[str, list[str]] = {}
    for name in types:
        if name:
            held.setdefault(_parent(name), []).append(name)
    root = ""
    while len(held.get(root, [])) == 1 and held[root][0] in held:
        root = held[root][0]

    def blocks(name: str) -> Iterator[str]:
        for part in held.get(name, []):
            if types[part] in CONTAINERS:
                yield from blocks(part)
            else:
                yield part

    return list(blocks(root))


def summarise(module: nn.Module, input_shape: tuple[int, ...]) -> Summary:
    """Run one empty image through a network and count.

    Args:
        module: A network; it runs in evaluation mode, without gradients, and is left as it was. On torch's ``meta`` device
            nothing is computed, and the same is found.
        input_shape: Of one input, (channels, height, width).

    Raises:
        Exception: Whatever the network raises at an input of that shape.

    Example:
        >>> from torch import nn
        >>> summarise(nn.Linear(8, 2), (8,)).parameters
        18
    """
    import torch

    first = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(0))
    image = torch.zeros(1, *input_shape, dtype=first.dtype, device=first.device)
    watch = _Watch({part: name for name, part in module.named_modules()})
    with contextlib.ExitStack() as stack:
        stack.enter_context(_evaluating(module))
        stack.enter_context(torch.no_grad())
        stack.enter_context(_plain_attention())
        watch.attach(stack)
        module(image)
    return _summary(module, input_shape, watch.seen)


@dataclass
class _Seen:
    """What was seen of one module: the shape of its last output, the numbers it gave in all, its own multiply-adds."""

    output: tuple[int, ...] = ()
    numbers: int = 0
    multiply_adds: int = 0
    attention: int = 0


@dataclass
class _Watch:
    """Follows a forward pass: which module is at work, what it gives, what it multiplies."""

    names: dict[nn.Module, str]
    seen: dict[str, _Seen] = field(default_factory=dict)
    at_work: list[str] = field(default_factory=list)

    def attach(self, stack: contextlib.ExitStack) -> None:
        """Watch until the stack is closed."""
        for part in self.names:
            stack.callback(part.register_forward_pre_hook(self._enter).remove)
            stack.callback(part.register_forward_hook(self._leave).remove)
        stack.enter_context(_counting(self))

    def _enter(self, part: nn.Module, _: Any) -> None:
        self.at_work.append(self.names[part])
        self.seen.setdefault(self.names[part], _Seen())

    def _leave(self, _: nn.Module, __: Any, output: Any) -> None:
        seen = self.seen[self.at_work.pop()]
        shapes = [tuple(tensor.shape) for tensor in _tensors(output)]
        seen.output = shapes[0][1:] if shapes else ()
        seen.numbers += sum(math.prod(shape[1:]) for shape in shapes)

    def add(self, amount: int, *, attention: bool) -> None:
        """Count multiply-adds for the module that is at work."""
        seen = self.seen[self.at_work[-1]]
        if attention:
            seen.attention += amount
        else:
            seen.multiply_adds += amount


def _counting(watch: _Watch) -> contextlib.AbstractContextManager[Any]:
    """Return a context in which torch tells of every operation below its layers, with the costs from torch's own table."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    class Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            cost: Any = flop_registry.get(func._overloadpacket)
            if cost is not None:
                name = func._overloadpacket.__name__
                amount = int(cost(*args, **(kwargs or {}), out_val=result)) // 2  # torch counts multiplying and adding
                watch.add(amount, attention="bmm" in name or "attention" in name)
            return result

    return Counting()  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def _plain_attention() -> Iterator[None]:
    """Let attention be computed step by step: torch's fused forms hide their products."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


@contextlib.contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Hold a network in evaluation mode, and put every part back as it was."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def _tensors(output: Any) -> list[torch.Tensor]:
    """Return the tensors of an output, which may be nested."""
    import torch

    if isinstance(output, torch.Tensor):
        return [output] if output.dim() else []
    parts = output.values() if isinstance(output, Mapping) else output if isinstance(output, (tuple, list)) else ()
    return [tensor for part in parts for tensor in _tensors(part)]


def _summary(module: nn.Module, input_shape: tuple[int, ...], seen: Mapping[str, _Seen]) -> Summary:
    from torch import nn

    parts = dict(module.named_modules())
    owned = _own_parameters(parts)
    idle = {name: _Seen() for name in parts if name not in seen}
    rows = [_row(name, parts[name], owned[name], one) for name, one in {**seen, **idle}.items()]
    listed = {name for name, part in parts.items() if not isinstance(part, (nn.Sequential, nn.ModuleList)) and part is not module}
    return Summary(
        input=tuple(input_shape),
        layers=tuple(row for row in rows if _is_layer(row, parts[row.name], row.name in seen)),
        outputs={name: one.output for name, one in seen.items()},
        types={name: type(part).__name__ for name, part in parts.items()},
        attention=sum(one.attention for one in seen.values()),
        activations=sum(one.numbers for name, one in seen.items() if name in listed),
    )


def _own_parameters(parts: Mapping[str, nn.Module]) -> dict[str, list[nn.Parameter]]:
    """Return the parameters that each module holds itself; shared ones are the first module's."""
    taken: set[int] = set()
    owned: dict[str, list[nn.Parameter]] = {}
    for name, part in parts.items():
        owned[name] = [parameter for parameter in part.parameters(recurse=False) if id(parameter) not in taken]
        taken.update(map(id, owned[name]))
    return owned


def _row(name: str, part: nn.Module, owned: Sequence[nn.Parameter], seen: _Seen) -> Layer:
    trainable = sum(parameter.numel() for parameter in owned if parameter.requires_grad)
    output = seen.output if name or not any(part.children()) else ()  # the whole network's own weights do not give its output
    return Layer(name, type(part).__name__, output, sum(p.numel() for p in owned), trainable, seen.multiply_adds)


def _is_layer(row: Layer, part: nn.Module, ran: bool) -> bool:
    """Return whether a module is a row of its own: it does something and has no parts, or it holds or multiplies something itself."""
    works = ran and not any(part.children()) and row.type != "Identity"
    return works or row.parameters > 0 or row.multiply_adds > 0


def _parent(name: str) -> str:
    return name.rpartition(".")[0]
