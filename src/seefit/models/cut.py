"""Cutting a backbone in two: a lower part that stays frozen, and an upper part in torch that is trained.

The boundary is a stage: its map is all that the upper part sees of an image. Cutting goes through a symbolic trace of
the whole network (torch.fx), so any timm network of which the boundary is a true bottleneck can be cut; one whose
later layers also look below it, such as a transformer that carries a class token past its maps, cannot. The whole network is
not traced: whatever its makers do differently in training is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx, nn

from seefit.errors import UsageError
from seefit.models.architecture import FLAT, build
from seefit.models.backbone import Backbone, tower, untraced
from seefit.models.traced import Traced

PIXELS = "pixels"  # the boundary below everything: the whole network is trained


class _Tracer(fx.Tracer):
    """Keeps every module that has no parts, and every norm, whole: what they do differs between training and evaluation.

    So it does with the blocks of a network that was traced from block to block before: they may hold what cannot be traced.
    """

    def __init__(self, model: Any) -> None:
        functions, self._whole = untraced()
        self._blocks = {f"model.{block}" for block in model.blocks} if isinstance(model, Traced) else set()
        super().__init__(autowrap_functions=functions)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Tell the trace what not to look into."""
        norm = isinstance(m, nn.modules.batchnorm._NormBase)
        return norm or not any(m.children()) or isinstance(m, self._whole) or module_qualified_name in self._blocks


def boundaries(backbone: Backbone) -> list[str]:
    """Return the names at which a backbone may be cut, lowest first: ``pixels`` and every stage with a map but the last."""
    return [PIXELS, *(stage.name for stage in backbone.stages if stage.side)][:-1]


def upper_part(backbone: Backbone, boundary: str, outputs: Sequence[str]) -> nn.Module:
    """Return the part of a backbone above a boundary.

    Args:
        backbone: The network; its weights are read again from where they came.
        boundary: ``pixels`` for the whole network, or the name of a stage.
        outputs: Names of stages above the boundary; with `FLAT` after its name a map is flattened.

    Returns:
        A module from the boundary's map (N, c, h, w) to a tuple with the map or vector of each output. Its parameters and
        buffers have the names that they have in the whole network, after ``model.``; those that the outputs do not need, such as
        the network's own classifier, are left out, or frozen where it is the whole network.

    Raises:
        UsageError: The network cannot be cut there.
    """
    if boundary == PIXELS:
        return _whole(backbone, outputs)
    whole: Any = tower(backbone)
    names = [stage.name for stage in backbone.stages]
    wanted = [(names.index(name.removesuffix(FLAT)), name.endswith(FLAT)) for name in outputs]
    try:
        graph = _Tracer(whole.model).trace(whole)
        found = _returned(graph)
        _move_input(graph, found[names.index(boundary)])
    except (TypeError, ValueError, RuntimeError, AttributeError, fx.proxy.TraceError) as error:
        raise _uncut(
            backbone, boundary, f"{type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else 'no reason given'}"
        ) from error
    end = next(node for node in graph.nodes if node.op == "output")
    with graph.inserting_before(end):
        end.args = (tuple(graph.call_method("flatten", (found[i], 1)) if flat else found[i] for i, flat in wanted),)
    part = fx.GraphModule(whole, graph)
    graph.eliminate_dead_code()
    if sum(1 for node in graph.nodes if node.op == "placeholder" and node.users) != 1:
        raise _uncut(backbone, boundary, "layers above it that also look below it")
    _drop_unused_inputs(graph)
    graph.lint()
    part.recompile()
    part.delete_all_unused_submodules()
    return part


def _whole(backbone: Backbone, outputs: Sequence[str]) -> nn.Module:
    network = tower(backbone, outputs)
    weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
    with torch.enable_grad():
        found = network(torch.zeros(2, 3, backbone.image_size, backbone.image_size))
        gradients = torch.autograd.grad([output.sum() for output in found], weights, allow_unused=True)
    for parameter, gradient in zip(weights, gradients, strict=True):
        parameter.requires_grad_(gradient is not None)
    return network


def _returned(graph: fx.Graph) -> list[fx.Node]:
    """Return the node of each output of the traced tower."""
    (values,) = next(node for node in graph.nodes if node.op == "output").args
    return list(values)


def _move_input(graph: fx.Graph, boundary: fx.Node) -> None:
    """Let the graph begin at a node: an input takes its place."""
    with graph.inserting_before(next(iter(graph.nodes))):
        start = graph.placeholder("activation")
    boundary.replace_all_uses_with(start)


def _drop_unused_inputs(graph: fx.Graph) -> None:
    for node in list(graph.nodes):
        if node.op == "placeholder" and not node.users:
            graph.erase_node(node)


def trained_stages(part: nn.Module) -> list[list[tuple[str, nn.Parameter]]]:
    """Return the trained parameters by depth, lowest first: one group for each block of the network.

    A block is what timm's names call one: the name up to its first number, or its first part (``model.blocks.5``,
    ``model.layer4``, ``model.conv_head``).
    """
    groups: dict[str, list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in part.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(_block(name), []).append((name, parameter))
    return list(groups.values())


def _block(name: str) -> str:
    parts = name.split(".")
    number = next((i for i, part in enumerate(parts) if part.isdigit()), None)
    return ".".join(parts[: number + 1]) if number is not None and number <= 3 else ".".join(parts[:2])


def freeze_norms(part: nn.Module, *, trained: bool = False) -> None:
    """Put batch norms in evaluation mode: their statistics stay those of the pretrained network.

    Args:
        part: Its norms.
        trained: Spare those whose layers are being trained: only norms with a parameter that is frozen now are put there.
    """
    for module in part.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not (trained and all(p.requires_grad for p in module.parameters())):
            module.eval()


def whole_state(backbone: Backbone, part: nn.Module) -> dict[str, torch.Tensor]:
    """Return the weights of the whole network, with those of a trained upper part in their places."""
    state: dict[str, Any] = tower(backbone).state_dict()
    trained = part.state_dict()
    unknown = trained.keys() - state.keys()
    if unknown:
        raise ValueError(f"not in the whole network: {sorted(unknown)[:3]}")
    merged = {**state, **trained}
    return {name.removeprefix("model."): tensor.detach().contiguous() for name, tensor in merged.items()}


def trained_layers(backbone: Backbone, part: nn.Module | None) -> tuple[str, ...]:
    """Return the layers of a network that are trained.

    Args:
        backbone: The network.
        part: Its upper part, from `upper_part`; None when nothing of it is trained.

    Returns:
        Names of modules or parameters, as few as tell which parameters are trained: those are all that lie in them.
    """
    if part is None:
        return ()
    whole = backbone.module or build(backbone.name, image_size=backbone.image_size)[0]
    names = [name for name, _ in whole.named_parameters()]
    trained = [name.removeprefix("model.") for name, parameter in part.named_parameters() if parameter.requires_grad]
    mixed = {place for name in set(names).difference(trained) for place in _places(name)}
    return tuple(dict.fromkeys(next(place for place in _places(name) if place not in mixed) for name in trained))


def _places(name: str) -> list[str]:
    """Return what a parameter lies in, from the outermost module to itself."""
    parts = name.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def _uncut(backbone: Backbone, boundary: str, got: str) -> UsageError:
    return UsageError(
        "The network cannot be cut",
        where=f"{backbone.name} at {boundary}",
        expected="a network whose upper layers see nothing but that stage's map",
        got=got,
        hint="Use --freeze none, which trains the whole network and streams the images",
    )
