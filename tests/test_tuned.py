"""Trained weights become a backbone again, whose engines all compute with these very weights, and whose files do not stay behind."""

from __future__ import annotations

import gc
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from seefit.bundle.graph import features_model
from seefit.bundle.runtime import open_session
from seefit.environment import cache_folder, own_folder
from seefit.errors import ArtefactError
from seefit.models import backbone as module
from seefit.models.backbone import Backbone, create, tower
from seefit.models.cut import upper_part, whole_state
from seefit.models.tuned import tuned_backbone
from seefit.training.engine import TorchEngine
from test_cut import SIDE, described
from tiny import plant_little

NAME = "test_efficientnet"


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Backbone:
    """Return a little network of timm's own tests, with weights by chance."""
    monkeypatch.setenv("SEEFIT_WEIGHTS", str(tmp_path))
    plant_little(tmp_path, NAME)
    return described(NAME)


@pytest.fixture
def state(whole: Backbone) -> dict[str, torch.Tensor]:
    """Return its state dict with other weights above a boundary."""
    part = upper_part(whole, "blocks.2", ["pooled"])
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.mul_(1.1)
    return whole_state(whole, part)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write no true ONNX file, which takes seconds."""
    monkeypatch.setattr(module, "write_onnx", lambda tower, probe, inputs, outputs, path: path.write_bytes(b"network"))


def expected(state: dict[str, torch.Tensor], pixels: torch.Tensor) -> Any:
    model: Any = create(NAME)
    model.load_state_dict(state)
    return model.forward_head(model.forward_features(pixels), pre_logits=True).detach().numpy()


@pytest.mark.slow
def test_trained_weights_become_one_graph_again(whole: Backbone, state: dict[str, torch.Tensor]) -> None:
    tuned, pixels = tuned_backbone(whole, state), torch.randn(3, 3, SIDE, SIDE)
    session = open_session(features_model(tuned, ["pooled"]), intra_threads=1)
    found = session.run(["features"], {"pixels": pixels.numpy()})[0]
    np.testing.assert_allclose(found, expected(state, pixels), rtol=0, atol=1e-4)
    again = tuned_backbone(whole, state)
    assert (again.weights, again.sha256) == (tuned.weights, tuned.sha256)  # kept features of one are those of the other


@pytest.mark.usefixtures("quick")
def test_the_engine_of_a_gpu_computes_with_the_trained_weights(whole: Backbone, state: dict[str, torch.Tensor]) -> None:
    tuned, pixels = tuned_backbone(whole, state), torch.randn(3, 3, SIDE, SIDE)
    (found,) = TorchEngine(tuned, ["pooled"], "cpu").forward([list(pixels.numpy())])
    np.testing.assert_allclose(found, expected(state, pixels), rtol=0, atol=1e-4)
    (before,) = TorchEngine(whole, ["pooled"], "cpu").forward([list(pixels.numpy())])
    assert np.abs(found - before).max() > 1e-3
    for name, tensor in whole_state(tuned, upper_part(tuned, "blocks.2", ["pooled"])).items():
        torch.testing.assert_close(tensor, state[name], rtol=0, atol=0)  # and so does what is trained further


@pytest.mark.usefixtures("quick")
def test_other_weights_than_those_of_the_graph_are_never_used(whole: Backbone, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    tuned = tuned_backbone(whole, state)
    with pytest.raises(ArtefactError) as caught:
        tower(replace(tuned, state=None))
    assert caught.value.message == (
        f"The weights are not those that the network was converted with: {NAME}. Expected {tuned.weights}, got {whole.weights}."
    )
    assert tuned.state is not None
    tuned.state.write_bytes(tuned.state.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ArtefactError, match="The weights are not those"):
        TorchEngine(tuned, ["pooled"], "cpu")
    save_file(create(NAME).state_dict(), tmp_path / f"{NAME}.safetensors")  # replaced after the conversion
    with pytest.raises(ArtefactError, match="The weights are not those"):
        tower(whole)


@pytest.mark.usefixtures("quick")
def test_its_files_go_with_the_backbone_and_those_of_killed_processes_with_the_next(
    whole: Backbone, state: dict[str, torch.Tensor]
) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    shutil.copytree(own_folder("tuned"), cache_folder("tuned") / f"{process.pid}-x")
    mine = set(cache_folder("tuned").iterdir())
    tuned = tuned_backbone(whole, state)
    assert tuned.state is not None and tuned.onnx.parent == tuned.state.parent
    assert sorted(path.name for path in tuned.state.parent.iterdir()) == ["backbone.onnx", "backbone.safetensors"]
    assert {path.name.partition("-")[0] for path in mine - set(cache_folder("tuned").iterdir())} == {str(process.pid)}
    place = tuned.state.parent
    del tuned
    gc.collect()
    assert not place.exists()
