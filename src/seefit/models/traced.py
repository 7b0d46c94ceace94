"""A network that timm did not make, as a backbone: its stages and its pooled features, found in a trace of its forward pass.

Stages are the last map at each resolution, as timm's are. The pooled features are what the last linear layer sees; where
there is none after the last map, they are what the network returns. Only the way from block to block is traced (torch.fx), so
that what happens inside of a block may be anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from seefit.errors import UsageError
from seefit.models.summary import trunk

Result = TypeVar("Result")

DROPOUTS: dict[Any, type[nn.Module]] = {
    F.dropout: nn.Dropout,
    F.dropout2d: nn.Dropout2d,
    F.alpha_dropout: nn.AlphaDropout,
    F.feature_alpha_dropout: nn.FeatureAlphaDropout,
}


class Traced(fx.GraphModule):
    """From pixels (N, 3, S, S) to maps and pooled features, under the names that timm's networks have for it.

    Names of parameters and buffers are those of the network that was traced.
    """

    @property
    def feature_info(self) -> list[dict[str, Any]]:
        """Name, channels and reduction of each map, from the lowest."""
        info: list[dict[str, Any]] = self.meta["feature_info"]
        return info

    @property
    def pretrained_cfg(self) -> dict[str, Any]:
        """What the network wants of its input: ``input_size``, ``mean``, ``std``."""
        config: dict[str, Any] = self.meta["pretrained_cfg"]
        return config

    @property
    def blocks(self) -> frozenset[str]:
        """Names of the modules that the trace did not look into, and that another need not either."""
        return frozenset(str(node.target) for node in self.graph.nodes if node.op == "call_module")

    @property
    def num_features(self) -> int:
        """Number of pooled features."""
        return int(self.meta["num_features"])

    def forward_intermediates(self, x: Tensor, output_fmt: str = "NCHW") -> tuple[Tensor, list[Tensor]]:
        """Return the pooled features (N, D) and the maps (N, C, H, W), from the lowest."""
        *maps, pooled = self(x)
        return pooled, list(maps)

    def forward_head(self, x: Tensor, pre_logits: bool = True) -> Tensor:
        """Return the pooled features as they are."""
        return x


class _Tracer(fx.Tracer):
    """Follows a network from block to block and looks into none."""

    def __init__(self, blocks: set[str]) -> None:
        super().__init__()
        self._blocks = blocks

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Tell the trace what not to look into."""
        return module_qualified_name in self._blocks


class _Shapes(fx.Interpreter):
    """Runs a trace and remembers the shape of every tensor on the way."""

    def __init__(self, network: nn.Module, graph: fx.Graph) -> None:
        super().__init__(network, graph=graph)
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Run one step."""
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.shapes[n] = tuple(result.shape)
        return result


def trace(network: nn.Module, config: dict[str, Any], *, name: str) -> Traced:
    """Find the stages and the pooled features of a network.

    Args:
        network: From pixels (N, 3, S, S) to one tensor; its parameters become those of the result.
        config: ``input_size`` (3, S, S), ``mean`` and ``std`` per channel, of RGB in [0, 1].
        name: What the user calls it, for errors.

    Returns:
        The network without what comes after its pooled features, in evaluation mode.

    Raises:
        UsageError: The network's own forward looks at values or shapes in an ``if``, or cannot take images of that size.
    """
    network.eval()
    side = int(config["input_size"][-1])
    blocks = trunk({part: type(module).__name__ for part, module in network.named_modules()})
    graph = _try(name, "a forward without `if` or `for` over values and shapes", lambda: _Tracer(set(blocks)).trace(network))
    _free_dropout(graph, network)
    found = _Shapes(network, graph)
    with torch.no_grad():
        _try(name, f"a network that takes images of {side} pixels a side", lambda: found.run(torch.zeros(1, 3, side, side)))
    maps = _maps(graph, network, found.shapes)
    pooled, width = _pooled(graph, network, found.shapes, maps, name)
    _end_with(graph, [*maps, pooled])
    traced = Traced(network, graph, type(network).__name__)
    shapes = [found.shapes[node] for node in maps]
    names = _names(maps)
    info = [{"module": n, "num_chs": s[1], "reduction": round(side / s[2])} for n, s in zip(names, shapes, strict=True)]
    traced.meta.update(feature_info=info, pretrained_cfg=dict(config), num_features=width)
    return traced.eval()


def _try(name: str, expected: str, step: Callable[[], Result]) -> Result:
    """Do a step in which the user's own code runs, and tell what it raises."""
    try:
        return step()
    except Exception as error:
        reason = f"{type(error).__name__} ({next(iter(str(error).splitlines()), 'no reason given')[:120]})"
        raise _unfit(name, expected, reason) from error


def _unfit(name: str, expected: str, got: str) -> UsageError:
    hint = "Change the network, or choose one of those that `seefit models` lists"
    return UsageError("Cannot use the backbone", where=name, expected=expected, got=got, hint=hint)


def _maps(graph: fx.Graph, network: nn.Module, shapes: dict[fx.Node, tuple[int, ...]]) -> list[fx.Node]:
    """Return the last square map of each side above 1, from the first layer with weights on, while sides fall."""
    nodes = list(graph.nodes)
    first = next((i for i, node in enumerate(nodes) if any(True for _ in _parameters(network, node))), len(nodes))
    found: list[fx.Node] = []
    side = 1
    for node in reversed(nodes[first:]):
        shape = shapes.get(node, ()) if node.op != "output" else ()
        if len(shape) == 4 and shape[2] == shape[3] > side:
            side = shape[2]
            found.append(node)
    return found[::-1]


def _parameters(network: nn.Module, node: fx.Node) -> Any:
    return network.get_submodule(str(node.target)).parameters() if node.op == "call_module" else ()


def _pooled(
    graph: fx.Graph, network: nn.Module, shapes: dict[fx.Node, tuple[int, ...]], maps: list[fx.Node], name: str
) -> tuple[fx.Node, int]:
    """Return the node of the pooled features and their number."""
    nodes = list(graph.nodes)
    after = nodes[nodes.index(maps[-1]) + 1 :] if maps else nodes
    for node in reversed(after):
        if node.op == "call_module" and isinstance(network.get_submodule(str(node.target)), nn.Linear):
            before = node.args[0]
            if len(shapes.get(before, ())) == 2:
                return before, shapes[before][1]
    returned = nodes[-1].args[0]
    shape = shapes.get(returned, ()) if isinstance(returned, fx.Node) else ()
    if len(shape) not in {2, 3, 4}:
        raise _unfit(name, "a network that returns one tensor (N, D), (N, T, D) or (N, C, H, W)", f"{shape or type(returned).__name__}")
    if len(shape) == 2:
        return returned, shape[1]
    with graph.inserting_after(returned):
        mean = graph.call_method("mean", (returned, 1 if len(shape) == 3 else (2, 3)))
    return mean, shape[2] if len(shape) == 3 else shape[1]


def _end_with(graph: fx.Graph, outputs: list[fx.Node]) -> None:
    """Let a graph return these nodes, and drop what comes after the last of them."""
    nodes = list(graph.nodes)
    end, last = nodes[-1], max(map(nodes.index, outputs))
    end.args = (tuple(outputs),)
    for node in reversed(nodes[last + 1 : -1]):
        graph.erase_node(node)
    graph.lint()


def _free_dropout(graph: fx.Graph, network: nn.Module) -> None:
    """Put a module in the place of each ``F.dropout(x, training=self.training)``: the trace saw it in evaluation, where it does nothing."""
    for node in list(graph.nodes):
        if node.target in DROPOUTS and node.kwargs["training"] is False:
            name = f"functional_{node.name}"
            network.add_module(name, DROPOUTS[node.target](node.kwargs["p"]).eval())
            with graph.inserting_before(node):
                node.replace_all_uses_with(graph.call_module(name, node.args))
            graph.erase_node(node)


def _names(maps: list[fx.Node]) -> list[str]:
    """Return the name of each map: its module's where that runs once, else the trace's own."""
    targets = [str(node.target) for node in maps]
    once = [node.op == "call_module" and sum(n.target == node.target for n in node.graph.nodes) == 1 for node in maps]
    return [target if alone else node.name for target, alone, node in zip(targets, once, maps, strict=True)]
