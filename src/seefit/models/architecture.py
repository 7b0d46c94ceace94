"""Every network that can be named, without its weights: timm's, torchvision's, the published ones, the user's own.

Those that are not timm's are called foreign here; `create_foreign` gives them timm's ways, so that whatever works with
timm's networks works with them.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from seefit.errors import UsageError, unknown_name
from seefit.models.hub import TORCHVISION
from seefit.models.own import MODULE, copy_module, is_own, load_own, module_name
from seefit.models.weights import Weights, drawn_from, read_weights
from seefit.models.zoo import PUBLISHED, ZOO

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn

    Float = NDArray[np.float32]

Result = TypeVar("Result")

FLAT = "/flat"  # after the name of a stage: its map as it is, every place, instead of pooled
OWN_SIZE = 224  # pixels; of a user's own network unless --image-size says otherwise


def is_foreign(name: str) -> bool:
    """Return whether a name means a network that timm does not make."""
    return name in PUBLISHED or name.startswith(TORCHVISION) or is_own(name)


def check_name(name: str) -> None:
    """Refuse a name that nobody knows, with the closest ones; a user's own file is looked at when it is loaded.

    Raises:
        UsageError: The name is unknown.
    """
    if is_own(name) or any(name == model.timm_name for model in ZOO):
        return  # a test holds the table against timm and torchvision; importing them takes seconds
    if name.startswith(MODULE):
        raise _gone(name)
    if name.startswith(TORCHVISION):
        import torchvision

        known = [TORCHVISION + short for short in torchvision.models.list_models(module=torchvision.models)]
        if name not in known:
            unknown_name("backbone", name, known)
        return
    import timm

    network, _, tag = name.partition(".")
    if not timm.is_model(network):
        close = difflib.get_close_matches(name, timm.list_models(), n=5)
        unknown_name("backbone", name, {*(model.name for model in ZOO), *close})
    pretrained = timm.list_models(f"{network}.*", pretrained=True)
    if tag and name not in pretrained:
        unknown_name("backbone", name, {network, *pretrained})


def check_size(image_size: int | None) -> None:
    """Refuse an image size that no network is for.

    Raises:
        UsageError: It is below 32 or above 2048 pixels.
    """
    if image_size is not None and not 32 <= image_size <= 2048:
        raise UsageError(
            "Bad image size",
            where="--image-size",
            expected="32 to 2048 pixels",
            got=str(image_size),
            hint="Leave out --image-size to use the backbone's own",
        )


def size_option(name: str, image_size: int | None) -> dict[str, int]:
    """Return timm's option for a size, for those of its networks that are built for one; nothing for others."""
    import timm

    config = timm.get_pretrained_cfg(name, allow_unregistered=True) if image_size else None
    return {"img_size": image_size} if image_size and config and config.fixed_input_size else {}


def build(name: str, *, classes: int | None = None, image_size: int | None = None) -> tuple[nn.Module, int]:
    """Build a whole network with its classifier, untrained.

    Where it can be, it is built on torch's ``meta`` device, on which weights have shapes but no values and cost nothing.

    Args:
        name: From `seefit.models.zoo.resolve`.
        classes: Number of classes; None for what it was made for (1000, mostly).
        image_size: Side of the input in pixels; None for what it was made for.

    Returns:
        The network, and the side of its input in pixels.

    Raises:
        UsageError: Unknown name, bad size, or a user's file that gives no network.
    """
    check_name(name)
    check_size(image_size)

    def step() -> tuple[nn.Module, int]:
        if is_foreign(name):
            return _plain(name, classes, image_size), int(_config(name, image_size)["input_size"][-1])
        network: Any = _timm(name, image_size, {} if classes is None else {"num_classes": classes})
        return network, image_size or int(network.pretrained_cfg["input_size"][-1])

    return _without_cost(name, step)


def build_probed(name: str, image_size: int, parts: Sequence[str], make_head: Callable[[int], nn.Module]) -> nn.Module:
    """Build a network as a run uses it: pooled maps of some stages, mean and maximum, and a head on them, called ``probe``.

    Args:
        name: As for `build`, and built as there.
        image_size: Side of the input in pixels.
        parts: Names of stages, as in `seefit.bundle.graph.features_model`.
        make_head: Called with the number of features.

    Raises:
        UsageError: As `build`.
    """
    check_name(name)
    return _without_cost(name, lambda: _probed(name, image_size, parts, make_head))


def create_foreign(name: str, weights: Weights | None = None, *, image_size: int | None = None) -> nn.Module:
    """Create a network that timm does not make, with timm's ways of giving its stages, in evaluation mode.

    Args:
        name: As for `build`.
        weights: Pretrained or random ones, or None for none; a user's own network has those that its function gives it.
        image_size: Side of the input in pixels; None for what it was made for.

    Raises:
        UsageError: The network cannot be used as a backbone, or not at that size.
        ArtefactError: The weights are damaged or another network's.
        ResourceError: The weights are not here and cannot be fetched.
    """
    from seefit.models.traced import trace

    seed = weights.seed if weights is not None else None
    network = _plain(name, None, image_size, seed)
    if weights is not None and seed is None and not is_own(name):
        network.load_state_dict(read_weights(name, weights, network.state_dict()))
    return trace(network, _config(name, image_size), name=name)


def create_module(module: nn.Module, image_size: int | None = None) -> nn.Module:
    """Give a copy of a user's module, which stays as it is, timm's ways of giving its stages, in evaluation mode.

    Args:
        module: From pixels (N, 3, S, S) to one tensor.
        image_size: Side of the input in pixels; None for 224.

    Raises:
        UsageError: The module cannot be copied or used as a backbone, or not at that size.
    """
    from seefit.models.traced import trace

    name = module_name(module)
    return trace(copy_module(module), _config(name, image_size), name=name)


def _gone(name: str) -> UsageError:
    return UsageError(
        "Cannot make the network again",
        where=name,
        expected="a name, or file.py:function",
        got="a module that was given as an object in Python",
        hint="Fit with it in Python again, or write a file with a function that returns it and name both as file.py:function",
    )


def first_head(
    name: str, classes: int, width: int, *, seed: int, image_size: int | None = None, module: nn.Module | None = None
) -> tuple[Float, Float]:
    """Return the last linear layer that a network begins with when it is trained from scratch.

    It is drawn as the network's makers draw it: the last layer there is from so many features to so many classes. Where there is
    none, as in a user's own network for another number of classes, it is a linear layer as torch begins one.

    Args:
        name: As for `build`.
        classes: Number of classes C.
        width: Number of pooled features D.
        seed: The same one gives the same numbers.
        image_size: Side of the input in pixels; None for what it was made for.
        module: The network itself, where no name tells it; it has numbers already.

    Returns:
        Weights (C, D) and biases (C,), zeros where the layer has none.
    """
    import torch
    from torch import nn

    with drawn_from(seed):
        if module is not None:
            network = module
        elif is_foreign(name):
            network = _plain(name, None if is_own(name) else classes, image_size, seed)
        else:
            network = _timm(name, image_size, {"num_classes": classes})
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
        fitting = [layer for layer in layers if layer.weight.flatten(1).shape == (classes, width)]
        head = fitting[-1] if fitting else nn.Linear(width, classes)
    bias = torch.zeros(classes) if head.bias is None else head.bias
    return head.weight.detach().flatten(1).numpy().copy(), bias.detach().numpy().copy()


def pooled(output: torch.Tensor) -> list[torch.Tensor]:
    """Return what the head sees of a stage.

    Args:
        output: Of the stage: a map (N, C, H, W), or a vector (N, C) such as a map that was flattened.

    Returns:
        Tensors (N, d): mean and maximum of a map over its places; a vector as it is.
    """
    return [output.mean((2, 3)), output.amax((2, 3))] if output.dim() == 4 else [output]


def _features(body: Any, pixels: torch.Tensor, parts: Sequence[str]) -> torch.Tensor:
    """Return the features (N, D) of the parts, in their order."""
    import torch

    last, maps = body.forward_intermediates(pixels, output_fmt="NCHW")
    named = dict(zip([info["module"] for info in body.feature_info], maps, strict=False))
    given = {"final": lambda: last, "pooled": lambda: body.forward_head(last, pre_logits=True)}
    pieces = []
    for part in parts:
        stage = part.removesuffix(FLAT)
        output = named[stage] if stage in named else given[stage]()
        pieces.extend(pooled(output.flatten(1) if part.endswith(FLAT) else output))
    return torch.cat(pieces, 1)


def _probed(name: str, image_size: int, parts: Sequence[str], make_head: Callable[[int], nn.Module]) -> nn.Module:
    import torch

    body: Any = create_foreign(name, image_size=image_size) if is_foreign(name) else _timm(name, image_size, {"num_classes": 0})
    with torch.no_grad():
        width = _features(body, torch.zeros(2, 3, image_size, image_size), parts).shape[1]

    class Probed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for part, module in body.named_children():
                self.add_module(part, module)
            for key, parameter in body.named_parameters(recurse=False):
                self.register_parameter(key, parameter)
            self.probe = make_head(width)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.probe(_features(body, pixels, parts))
            return logits

    return Probed().eval()


def _without_cost(name: str, step: Callable[[], Result]) -> Result:
    """Build on the ``meta`` device what can be: not a user's own network, nor torchvision's RegNets, which compute as they are built."""
    import torch

    if not is_own(name):
        with contextlib.suppress(NotImplementedError), torch.device("meta"):
            return step()
    return step()


def _timm(name: str, image_size: int | None, options: dict[str, int]) -> nn.Module:
    import timm

    network: nn.Module = timm.create_model(name, pretrained=False, **options, **size_option(name, image_size))
    return network.eval()


def _plain(name: str, classes: int | None, image_size: int | None, seed: int | None = None) -> nn.Module:
    """Build a foreign network as its makers do; with a seed, to be trained from the weights that it begins with."""
    if is_own(name):
        return load_own(name, classes, seed=seed or 0).eval()
    if name in PUBLISHED:
        from seefit.models.classic import classic

        return classic(name, classes, image_size).eval()
    import torchvision

    short = name.removeprefix(TORCHVISION)
    options: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    if short in {"googlenet", "inception_v3"}:  # as torchvision builds them for its weights
        options |= {"aux_logits": False, "init_weights": seed is not None, "transform_input": True}
    network: nn.Module = torchvision.models.get_model(short, weights=None, **options)
    return network.eval()


def _config(name: str, image_size: int | None) -> dict[str, Any]:
    """Return what a foreign network wants of its input, in timm's words; for a user's own ImageNet's mean and spread."""
    from seefit.models.classic import CLASSIC, IMAGENET_MEAN, IMAGENET_STD

    size, mean, std = OWN_SIZE, IMAGENET_MEAN, IMAGENET_STD
    if name in PUBLISHED:
        size, mean, std = CLASSIC[name].image_size, CLASSIC[name].mean, CLASSIC[name].std
    elif name.startswith(TORCHVISION):
        import torchvision

        wanted = torchvision.models.get_model_weights(name.removeprefix(TORCHVISION)).DEFAULT.transforms()
        size, mean, std = wanted.crop_size[0], tuple(wanted.mean), tuple(wanted.std)
    side = image_size or size
    return {"input_size": (3, side, side), "mean": mean, "std": std}
