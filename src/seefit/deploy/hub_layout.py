"""``--format hub``: ``config.json`` and ``model.safetensors`` as timm and the Hugging Face hub want them, and the upload."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seefit.console import QUIET, Console
from seefit.deploy.finished import Finished
from seefit.deploy.independent import Independent, torch_backbone
from seefit.environment import offline
from seefit.errors import ArtefactError, ResourceError
from seefit.evaluation.calibrate import softmax
from seefit.files import to_json, write_bytes, write_text
from seefit.models.architecture import is_foreign
from seefit.models.classifier import load_folder, timm_classifier, timm_config


def write_hub_export(finished: Finished, folder: Path) -> None:
    """Write a run's network and head as one model of timm's; the temperature stands in ``config.json``.

    Args:
        finished: The run.
        folder: Where to write; it is there and empty.

    Raises:
        ArtefactError: The run is not one timm network with a linear head on its pooled output.
        ResourceError: The disk is full or the place cannot be written to.
    """
    from safetensors.torch import save

    about = finished.bundle.manifest
    _check(finished)
    backbone = torch_backbone(finished, about)
    model = timm_classifier(backbone, *finished.bundle.head())
    if model is None:
        raise _unfit(finished, f"{about['backbone']}, whose own classifier in timm is another kind of layer")
    config = timm_config(backbone, model, finished.bundle.classes, about["fit"])
    told = {"seefit_version": about["seefit_version"], "bundle": finished.bundle.hash, "temperature": about["temperature"]}
    write_bytes(folder / "model.safetensors", save({name: tensor.contiguous() for name, tensor in model.state_dict().items()}))
    write_text(folder / "config.json", to_json({**config, "seefit": told}))


class HubAnswer:
    """What timm makes of the folder, on pixels of our own: probabilities of decoded images.

    Args:
        independent: Gives the pixels, and the temperature.
        folder: What `write_hub_export` wrote.
    """

    def __init__(self, independent: Independent, folder: Path) -> None:
        self.independent, self.model = independent, load_folder(folder)

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
        """Return (N, C) probabilities, the temperature applied."""
        import torch

        pixels = torch.from_numpy(np.stack([self.independent.pixels(image) for image in images]))
        with torch.inference_mode():
            return softmax(self.model(pixels).numpy(), self.independent.temperature)


def push_folder(folder: Path, repository: str, *, console: Console = QUIET) -> str:
    """Upload a folder to the Hugging Face hub, which takes a network and a token (``hf auth login`` or ``HF_TOKEN``).

    Args:
        folder: What `write_hub_export` wrote.
        repository: ``owner/name``; made, private, when it is not there.
        console: Where to say where it goes.

    Returns:
        The address of the repository.

    Raises:
        ResourceError: No network, no token, or the hub refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    if offline():
        raise _unreachable(folder, repository, "HF_HUB_OFFLINE, which forbids it")
    console.say(f"Uploading to {repository} …")
    try:
        api = HfApi(library_name="seefit")
        place = api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(repo_id=place.repo_id, folder_path=folder, commit_message="Model trained with seefit")
    except (OSError, ValueError, RuntimeError, HfHubHTTPError) as error:  # what the client raises without network, token or right
        reason = next(iter(str(error).splitlines()), "no reason given")[:160]
        raise _unreachable(folder, repository, f"{type(error).__name__} ({reason})") from error
    return str(place)


def _unreachable(folder: Path, repository: str, got: str) -> ResourceError:
    hint = f"The folder is written: upload it later with `hf upload {repository} {folder}`"
    return ResourceError("Cannot upload", where=repository, expected="a network and a token of the hub", got=got, hint=hint)


def _check(finished: Finished) -> None:
    about = finished.bundle.manifest
    if "members" in about:
        raise _unfit(finished, f"the mean of {len(about['members'])} networks")
    if about.get("hidden"):
        raise _unfit(finished, "a head with a hidden layer")
    if about["features"] != ["pooled"]:
        raise _unfit(finished, f"features of {', '.join(about['features'])}")
    if is_foreign(about["backbone"]):
        raise _unfit(finished, f"{about['backbone']}, which is not timm's")


def _unfit(finished: Finished, got: str) -> ArtefactError:
    return ArtefactError(
        "timm cannot hold this model",
        where=finished.run,
        expected="one timm network with a linear head on its pooled output",
        got=got,
        hint="Train with --features pooled, or export with --format onnx, which takes every model",
    )
