"""The folder for the hub: timm loads it and gives the same logits; what timm cannot hold is refused; no network, no upload."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command import seefit
from seefit.bundle.bundle import load
from seefit.deploy.export import export
from seefit.deploy.finished import open_finished
from seefit.deploy.hub_layout import write_hub_export
from seefit.errors import ArtefactError


def test_timm_gives_the_same_logits(little: Path, tmp_path: Path) -> None:
    import timm
    import torch

    folder = export(little, "hub", out=tmp_path / "hub").path
    assert sorted(file.name for file in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    model: Any = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    bundle = load(little)
    pixels = np.random.default_rng(0).normal(size=(4, 3, bundle.manifest["image_size"], bundle.manifest["image_size"])).astype(np.float32)
    with torch.inference_mode():
        logits = model(torch.from_numpy(pixels)).numpy()
    assert np.abs(logits - bundle.reference.run(pixels, ["logits"])[0]).max() < 1e-4
    config = json.loads((folder / "config.json").read_text())
    assert config["label_names"] == list(bundle.classes)
    assert config["seefit"]["temperature"] == bundle.manifest["temperature"]
    data = timm.data.resolve_model_data_config(model)
    assert (data["crop_pct"], data["interpolation"]) == (1.0, "bilinear")
    card = (folder / "README.md").read_text()
    assert "pipeline_tag: image-classification" in card
    assert "library_name: timm" in card


@pytest.mark.parametrize(
    ("change", "got"),
    [
        ({"features": ["blocks.3", "blocks.4"]}, "features of blocks.3, blocks.4"),
        ({"hidden": 8}, "a head with a hidden layer"),
        ({"members": [{}, {}]}, "the mean of 2 networks"),
        ({"backbone": "torchvision/alexnet"}, "torchvision/alexnet, which is not timm's"),
    ],
)
def test_what_timm_cannot_hold(little: Path, change: dict[str, Any], got: str, tmp_path: Path) -> None:
    finished = open_finished(little)
    finished.bundle.manifest.update(change)
    with pytest.raises(ArtefactError) as caught:
        write_hub_export(finished, tmp_path)
    expected = f"timm cannot hold this model: {little}. Expected one timm network with a linear head on its pooled output, got {got}."
    assert caught.value.message == expected
    assert "--features pooled" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_nothing_is_uploaded_and_the_folder_stays(little: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    error = seefit("export", little, "--format", "hub", "--push", "me/cells", "--out", tmp_path / "hub", "--json").error()
    assert error["code"] == 6
    assert error["message"].startswith("Cannot upload: me/cells. Expected a network and a token of the hub")
    assert (tmp_path / "hub" / "config.json").is_file()


def test_the_upload_is_asked_for_by_name(little: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: list[Any] = []

    class Api:
        def __init__(self, **_: Any) -> None: ...

        def create_repo(self, name: str, **options: Any) -> Any:
            asked.append((name, options))

            class Place(str):
                repo_id = name

            return Place(f"https://hub/{name}")

        def upload_folder(self, **options: Any) -> None:
            asked.append((options["repo_id"], sorted(file.name for file in Path(options["folder_path"]).iterdir())))

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    done = export(little, "hub", out=tmp_path / "hub", push="me/cells")
    assert done.repository == "https://hub/me/cells"
    wanted = ("me/cells", {"private": True, "exist_ok": True})
    assert asked == [wanted, ("me/cells", ["README.md", "config.json", "model.safetensors"])]

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no route")

    monkeypatch.setattr(Api, "create_repo", refuse)
    error = seefit("export", little, "--format", "hub", "--push", "me/cells", "--out", tmp_path / "again", "--json").error()
    assert (error["code"], "OSError (no route)" in error["message"]) == (6, True)
