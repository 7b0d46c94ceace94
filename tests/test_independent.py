"""The second way from pixels to probabilities agrees with the graph, for every box, kind of head and average."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from seefit.bundle.bundle import load
from seefit.bundle.golden import golden_images
from seefit.bundle.graph import FITS, preprocess_model
from seefit.bundle.runtime import open_session
from seefit.data.image import decode
from seefit.deploy.export import export
from seefit.deploy.finished import open_finished
from seefit.deploy.independent import Independent
from seefit.errors import ArtefactError


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("shape", [(300, 300), (1, 1), (2, 3), (41, 37), (640, 41), (33, 500), (1, 700), (32, 32)])
def test_box_and_resize(fit: str, shape: tuple[int, int]) -> None:
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
    session = open_session(preprocess_model(32, mean, std, fit), intra_threads=1)  # type: ignore[arg-type]
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    graph = session.run(["pixels"], {"image": image[None]})[0][0]
    own: Any = SimpleNamespace(fit=fit, side=32, mean=mean, std=std, square=None)
    own.square = lambda picture: Independent.square(own, picture)
    assert np.abs(Independent.pixels(own, image) - graph).max() < 2e-5


def answers(run: Path, images: list[Any]) -> tuple[Any, Any]:
    reference = load(run).reference
    graph = reference.run(np.stack([reference.pixels(image) for image in images]), ["probabilities"])[0]
    return graph, Independent(open_finished(run)).probabilities(images)


def test_a_probe(little: Path) -> None:
    graph, independent = answers(little, [decode(data) for data in golden_images().values()])
    assert np.abs(graph - independent).max() < 1e-5


TRAINED = {
    "finetune": {"method": "finetune", "epochs": 1, "views": 1},
    "hidden": {"method": "finetune", "freeze": "all", "head": "hidden", "hidden": 8, "epochs": 1, "views": 1},
    "scratch": {"method": "scratch", "backbone": "lenet5", "epochs": 1},
    "best": {"preset": "best", "backbone": "test_efficientnet,test_efficientnet", "epochs": 1, "views": 2},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", TRAINED)
def test_networks_that_were_trained(kind: str, little: Path, no_page: None, tmp_path: Path) -> None:
    from seefit.pipeline import train
    from seefit.settings import make_settings

    given = {"data": str(little.parent / "photos"), "backbone": "test_efficientnet", **TRAINED[kind]}
    run = train(make_settings(given), out=tmp_path / "run").path
    graph, independent = answers(run, [decode(data) for data in golden_images().values()])
    assert np.abs(graph - independent).max() < 1e-4
    small = load(export(run, "int8", out=tmp_path / "int8", max_drop=100).path)
    small.verify()
    assert np.array_equal(load_file(small.folder / "head.safetensors")["weight"], load_file(run / "bundle" / "head.safetensors")["weight"])


def test_other_weights_here_than_in_the_run_prove_nothing(little: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished = open_finished(little)
    finished.bundle.manifest["weights"] = "0" * 64
    with pytest.raises(ArtefactError, match="The export cannot be proven"):
        Independent(finished)
    finished.bundle.manifest["backbone"] = "module:Net"
    with pytest.raises(ArtefactError, match="a network with a name"):
        Independent(finished)
