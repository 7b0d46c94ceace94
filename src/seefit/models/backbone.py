"""Pretrained networks as feature extractors: any network that can be named, turned into ONNX once and kept.

Once a backbone is kept, nothing here needs torch: its description is JSON and its network ONNX. Networks that are not
timm's come from `seefit.models.architecture` with timm's ways.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seefit.console import QUIET, Console
from seefit.environment import cache_folder, gone_with, passing_folder
from seefit.errors import ArtefactError, UsageError, unknown_name
from seefit.files import atomic_path, sha256_file, to_json, write_text
from seefit.models.architecture import FLAT, check_name, check_size, create_foreign, create_module, is_foreign, size_option
from seefit.models.convert import quietly, write_onnx
from seefit.models.own import copy_module, module_identity, module_name
from seefit.models.weights import (
    Weights,
    available,
    check_available,
    drawn_from,
    find_again,
    find_weights,
    no_weights,
    random_weights,
    read_weights,
)
from seefit.models.zoo import resolve

if TYPE_CHECKING:
    import torch

CONVERTER_VERSION = 2
_UNSAFE = re.compile(r"[^\w.-]")  # in a file name


@dataclass(frozen=True)
class Stage:
    """One output of a backbone.

    Attributes:
        name: timm's name of the module (``blocks.4``), ``final`` for the last map before pooling,
            ``pooled`` for the backbone's own pooled output.
        channels: The number of channels.
        side: Height and width of the map at the backbone's image size; 0 for ``pooled``.
    """

    name: str
    channels: int
    side: int


@dataclass(frozen=True)
class Backbone:
    """A frozen network as a file, with what its own data config says of its input.

    Attributes:
        name: From `seefit.models.zoo.resolve`: timm's, or what tells another network.
        image_size: Side of the square input in pixels.
        mean: Per channel, of RGB in [0, 1].
        std: Per channel, of RGB in [0, 1].
        stages: Every output, from the lowest to ``pooled``.
        weights: Identity of the weights: a sha256, hub name and timm version, or the seed of random ones.
        onnx: The network: ``pixels`` (N, 3, S, S) float32 in, one output per stage.
        sha256: Of the ONNX file.
        state: The file of its whole state dict when its weights are not those that its name stands for, such as fine-tuned ones.
        module: The module of the user's that it is, when no name stands for it.
    """

    name: str
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    stages: tuple[Stage, ...]
    weights: str
    onnx: Path
    sha256: str
    state: Path | None = None
    module: torch.nn.Module | None = field(default=None, compare=False, repr=False)

    def stage(self, name: str) -> Stage:
        """Return the stage of that name."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        unknown_name(f"stage of {self.name}", name, [stage.name for stage in self.stages])

    def width(self, part: str) -> int:
        """Return how many features a stage gives: two for each channel of a map, or with `FLAT` one for each of its places."""
        stage = self.stage(part.removesuffix(FLAT))
        if part.endswith(FLAT):
            return stage.channels * max(1, stage.side) ** 2
        return stage.channels * (2 if stage.side else 1)


def load_backbone(name: str, image_size: int | None = None, *, seed: int | None = None, console: Console = QUIET) -> Backbone:
    """Return a backbone from the cache folder, converting it first when it is not there; one with random weights is not kept there.

    Args:
        name: A timm name, ``torchvision/<name>``, ``file.py:function``, or one of seefit's short names (``lite0``).
        image_size: Side of the input in pixels; None for what the backbone's own data config says.
        seed: For random weights, drawn from it; None for pretrained ones.
        console: Where to say that a conversion runs.

    Raises:
        UsageError: The name is unknown, or the size is too small for the network.
        ResourceError: No weights on this machine and no network.
        ArtefactError: A local weight file is damaged or of another model.
    """
    name = resolve(name)
    check_size(image_size)
    weights = find_weights(name) if seed is None else random_weights(name, seed)
    make = partial(create, name, weights, image_size=image_size)
    if seed is not None:  # not kept: it is never asked for again once it is trained
        check_name(name)
        console.say(f"Converting {name} to ONNX ({weights.origin}) …")
        folder = passing_folder()
        return gone_with(_convert(name, image_size, weights, folder / "backbone.onnx", make), folder)
    description = _description(name, image_size, weights)
    kept = _kept(description)
    if kept is not None:
        return kept
    check_name(name)
    _check_weights(name, ask=True)
    console.say(f"Converting {name} to ONNX, once ({weights.origin}) …")
    if "torch" not in sys.modules:
        _convert_apart(name, image_size)
    return _kept(description) or _convert(name, image_size, weights, description.with_suffix(".onnx"), make)


def load_module(module: torch.nn.Module, image_size: int | None = None, *, console: Console = QUIET) -> Backbone:
    """Return a torch module of the user's as a backbone, converting it first when it is not kept. The module stays as it is.

    Args:
        module: From pixels (N, 3, S, S), normalised as ImageNet's, to one tensor.
        image_size: Side of the input in pixels; None for 224.
        console: Where to say that a conversion runs.

    Raises:
        UsageError: The module cannot be copied, traced or written as ONNX, or the size is out of bounds.
    """
    check_size(image_size)
    own = copy_module(module)
    name = module_name(own)
    traced: Any = create_module(own, image_size)
    weights = Weights(module_identity(traced, traced.pretrained_cfg["input_size"][-1]), None, "with the weights that it comes with")
    description = _description(name, image_size, weights)
    kept = _kept(description)
    if kept is None:
        console.say(f"Converting {name} to ONNX, once ({weights.origin}, for colours normalised as ImageNet's) …")
        kept = _convert(name, image_size, weights, description.with_suffix(".onnx"), lambda: traced)
    return replace(kept, module=own)


def check_backbone(name: str, image_size: int | None = None, *, seed: int | None = None) -> None:
    """Refuse a name that nobody knows, a size out of bounds or weights that cannot be had, before any work is done.

    Args:
        name: As in `load_backbone`.
        image_size: Likewise.
        seed: Likewise.

    Raises:
        UsageError: The name is unknown, or the size out of bounds.
        ResourceError: No weights on this machine, and the hub may not be asked.
    """
    name = resolve(name)
    check_size(image_size)
    if seed is not None:
        check_name(name)
    elif not is_converted(name, image_size):
        check_name(name)
        _check_weights(name, ask=False)


def is_converted(name: str, image_size: int | None = None) -> bool:
    """Return whether a pretrained backbone is kept as ONNX; where it is not, `load_backbone` takes some ten seconds to convert it."""
    return _description(resolve(name), image_size, find_weights(resolve(name))).is_file()


def create(name: str, weights: Weights | None = None, *, image_size: int | None = None) -> torch.nn.Module:
    """Create a model in evaluation mode, with the given pretrained or random weights or without any.

    Raises:
        UsageError: The name is unknown, or a user's own network cannot be used.
        ResourceError: The weights are on the hub and it cannot be reached.
    """
    check_name(name)
    if weights is not None and weights.seed is not None:
        with drawn_from(weights.seed):
            return create_foreign(name, weights, image_size=image_size) if is_foreign(name) else create(name, image_size=image_size)
    if is_foreign(name):
        return create_foreign(name, weights, image_size=image_size)
    import timm

    size = size_option(name, image_size)
    if weights is None or weights.file is not None:
        model: torch.nn.Module = timm.create_model(name, pretrained=False)
        state = read_weights(name, weights, model.state_dict()) if weights is not None else None
        if size:  # timm fits what depends on the size, such as the positions of a transformer's patches
            with quietly():
                model = timm.create_model(name, pretrained=state is not None, pretrained_cfg_overlay={"state_dict": state}, **size)
        elif state is not None:
            model.load_state_dict(state)
        return model.eval()
    try:
        with quietly():
            model = timm.create_model(name, pretrained=True, **size)
    except (OSError, RuntimeError, ValueError) as error:  # what timm and its hub client raise without network or weights
        raise no_weights(name, f"none here, and the hub did not answer ({type(error).__name__})") from error
    return model.eval()


def tower(backbone: Backbone, outputs: Sequence[str] | None = None) -> torch.nn.Module:
    """Return a kept backbone as a torch module.

    Args:
        backbone: The network.
        outputs: Names of stages, with `FLAT` to flatten a map; None for all stages, as the ONNX file has them.

    Returns:
        A module from pixels (N, 3, S, S) to a tuple with the map or vector of each output.

    Raises:
        ArtefactError: The weights that are there now are not those that its ONNX file was made with.
    """
    import torch

    names = [stage.name for stage in backbone.stages]
    kept = None if outputs is None else [(names.index(name.removesuffix(FLAT)), name.endswith(FLAT)) for name in outputs]
    return _tower(torch_model(backbone), torch.zeros(2, 3, backbone.image_size, backbone.image_size), kept)[0]


def torch_model(backbone: Backbone) -> torch.nn.Module:
    """Return the network with the very weights of a backbone."""
    if backbone.state is None and backbone.module is None:
        weights = find_again(backbone.name, backbone.weights)
        _check_same(backbone, weights.identity)
        return create(backbone.name, weights, image_size=backbone.image_size)
    size, own = backbone.image_size, backbone.module
    model = create(backbone.name, image_size=size) if own is None else create_module(own, size)
    if backbone.state is not None:
        from safetensors.torch import load_file

        _check_same(backbone, sha256_file(backbone.state))
        model.load_state_dict(load_file(backbone.state))
    return model


def _check_same(backbone: Backbone, found: str) -> None:
    if found != backbone.weights:
        raise ArtefactError(
            "The weights are not those that the network was converted with",
            where=backbone.state or backbone.name,
            expected=backbone.weights,
            got=found,
            hint="Start the command again when nothing changes the weights",
        )


def with_state(backbone: Backbone, file: Path) -> Backbone:
    """Return a backbone with other weights, such as fine-tuned ones, and write its ONNX file beside theirs.

    Args:
        backbone: The network.
        file: Its whole state dict as safetensors.
    """
    import torch

    other = replace(backbone, weights=sha256_file(file), state=file, onnx=file.with_suffix(".onnx"))
    probe = torch.zeros(2, 3, backbone.image_size, backbone.image_size)
    with atomic_path(other.onnx) as temporary:
        write_onnx(tower(other), probe, ["pixels"], [stage.name for stage in backbone.stages], temporary)
    return replace(other, sha256=sha256_file(other.onnx))


def untraced() -> tuple[tuple[Any, ...], tuple[type, ...]]:
    """Return the functions and the kinds of modules that timm says a symbolic trace must not look into."""
    from timm.layers import get_notrace_functions, get_notrace_modules

    return tuple(get_notrace_functions()), tuple(get_notrace_modules())


def _check_weights(name: str, *, ask: bool) -> None:
    if available(name):
        return
    if not is_foreign(name):
        import timm

        if not timm.get_pretrained_cfg(name).has_weights:
            raise no_weights(name, "none here, and timm has none either")
    check_available(name, ask=ask)


def _description(name: str, image_size: int | None, weights: Weights) -> Path:
    """Return where the description of a kept backbone is; its network is beside it. Another timm or torch makes another file."""
    key = json.dumps([name, image_size, weights.identity, CONVERTER_VERSION, version("timm"), version("torch")])
    stem = f"{_UNSAFE.sub('-', name)}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    return cache_folder("backbones") / f"{stem}.json"


def _describe(backbone: Backbone) -> None:
    """Write the description last: a network without one is not kept."""
    record = {key: value for key, value in asdict(backbone).items() if key not in {"onnx", "state", "module"}}
    write_text(backbone.onnx.with_suffix(".json"), to_json(record))


def _kept(description: Path) -> Backbone | None:
    """Return the kept backbone when its description and network are whole."""
    try:
        about: dict[str, Any] = json.loads(description.read_text())
        network = description.with_suffix(".onnx")
        if sha256_file(network) != about["sha256"]:
            return None
        stages = tuple(Stage(**stage) for stage in about.pop("stages"))
        return Backbone(**{**about, "mean": tuple(about["mean"]), "std": tuple(about["std"])}, stages=stages, onnx=network)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _convert_apart(name: str, image_size: int | None) -> None:
    """Convert in a process of its own, so that what torch holds on to, most of a gigabyte, goes with it.

    Whatever goes wrong there goes wrong again, and is told, where the caller converts what it did not find.
    """
    code = "import sys, torch; from seefit.models.backbone import load_backbone; load_backbone(sys.argv[1], int(sys.argv[2]) or None)"
    command = [sys.executable, "-c", code, name, str(image_size or 0)]
    with contextlib.suppress(OSError):
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def _convert(name: str, image_size: int | None, weights: Weights, target: Path, make: Callable[[], Any]) -> Backbone:
    import torch

    try:
        model = make()
        config: dict[str, Any] = model.pretrained_cfg
        size = image_size or int(config["input_size"][-1])
        probe = torch.zeros(2, 3, size, size)
        tower, stages = _tower(model, probe)
        with atomic_path(target) as temporary:
            write_onnx(tower, probe, ["pixels"], [stage.name for stage in stages], temporary)
    except (RuntimeError, AssertionError, ValueError, AttributeError, NotImplementedError) as error:
        raise _unfit(name, image_size, error) from error
    mean, std = (tuple(float(v) for v in config[key]) for key in ("mean", "std"))
    about = Backbone(name, size, mean, std, stages, weights.identity, target, sha256_file(target))  # type: ignore[arg-type]
    _describe(about)
    return about


def _unfit(name: str, image_size: int | None, error: Exception) -> UsageError:
    reason = f"{type(error).__name__} ({next(iter(str(error).splitlines()), 'no reason given')[:120]})"
    if image_size is None:
        expected, hint = "a network that gives its maps and can be written as ONNX", "Choose one of those that `seefit models` lists"
    else:
        expected, hint = f"a size that it can take, not {image_size} pixels", "Leave out --image-size to use the backbone's own"
    return UsageError("Cannot use the backbone", where=name, expected=expected, got=reason, hint=hint)


def _tower(model: Any, probe: torch.Tensor, kept: list[tuple[int, bool]] | None = None) -> tuple[torch.nn.Module, tuple[Stage, ...]]:
    """Wrap a timm model so that it returns every stage's map, the last map where it is another, and its own pooling; or some of them."""
    import torch

    class Tower(torch.nn.Module):
        def __init__(self, last_map: bool) -> None:
            super().__init__()
            self.model, self.last_map = model, last_map
            self.kept: list[tuple[int, bool]] | None = None

        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
            last, maps = self.model.forward_intermediates(pixels, output_fmt="NCHW")
            final = [_channels_first(last, self.model)] if self.last_map else []
            outputs = (*maps, *final, self.model.forward_head(last, pre_logits=True))
            return outputs if self.kept is None else tuple(outputs[i].flatten(1) if flat else outputs[i] for i, flat in self.kept)

    with torch.no_grad():
        last, maps = model.forward_intermediates(probe, output_fmt="NCHW")
        tower = Tower(last.dim() == 4 and not torch.equal(_channels_first(last, model), maps[-1])).eval()
        outputs = tower(probe)
    names = [info["module"] for info in model.feature_info][: len(maps)] + ["final"] * tower.last_map + ["pooled"]
    stages = [Stage(n, int(o.shape[1]), int(o.shape[2]) if o.dim() == 4 else 0) for n, o in zip(names, outputs, strict=True)]
    tower.kept = kept
    return tower, tuple(stages)


def _channels_first(x: torch.Tensor, model: Any) -> torch.Tensor:
    """Return a map as (N, C, H, W); Swin and its like keep channels last."""
    return x.permute(0, 3, 1, 2) if getattr(model, "output_fmt", "NCHW") == "NHWC" else x
