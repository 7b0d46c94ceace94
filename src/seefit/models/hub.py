"""torchvision's hub: which file holds the weights of ``torchvision/<name>``, where torch keeps it, how to fetch it."""

from __future__ import annotations

import os
import urllib.parse
from pathlib import Path

from seefit.data.download import fetch

TORCHVISION = "torchvision/"
MAX_BYTES = 2**32

# Of the models in our table, so that the table can be shown without importing torchvision; a test holds it against torchvision.
FILES = {"torchvision/alexnet": "alexnet-owt-7be5be79.pth", "torchvision/googlenet": "googlenet-1378be20.pth"}


def weight_url(name: str) -> str:
    """Return where torchvision's default weights of ``torchvision/<name>`` are."""
    import torchvision

    return str(torchvision.models.get_model_weights(name.removeprefix(TORCHVISION)).DEFAULT.url)


def weight_file(name: str) -> str:
    """Return the name of the file with torchvision's default weights, which ends in the start of its sha256."""
    return FILES.get(name) or Path(urllib.parse.urlsplit(weight_url(name)).path).name


def digest_start(name: str) -> str:
    """Return the first digits of the sha256 of a weight file, from its name: ``7be5be79``."""
    return weight_file(name).removesuffix(".pth").rpartition("-")[2]


def kept_by_torch(name: str) -> Path | None:
    """Return the weight file in torch's own folder, where torchvision puts what it fetched."""
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "torch")
    file = Path(home, "hub", "checkpoints", weight_file(name)).expanduser()
    return file if file.is_file() else None


def fetch_weights(name: str, path: Path) -> None:
    """Fetch the weight file of ``torchvision/<name>`` to a path.

    Raises:
        ResourceError: No network, or the disk is full.
    """
    fetch(weight_url(name), path, limit_bytes=MAX_BYTES)
