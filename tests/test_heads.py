"""Heads that are trained: how they begin, what they give, and that what they learned is what is shipped."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load_file

from broken_off import broken_off
from command import seefit
from conftest import PhotoFolder, Train, read_csv
from forged import reseal
from seefit import finetuning
from seefit.bundle.bundle import load
from seefit.bundle.golden import golden_images
from seefit.bundle.graph import features_model, hidden_model, network_model, opset_of, preprocess_model
from seefit.bundle.runtime import Reference, open_session
from seefit.data.image import decode
from seefit.errors import UsageError
from seefit.models.backbone import Backbone, load_backbone
from seefit.pipeline import resume
from seefit.training.heads import DROPOUT, HiddenHead, LinearHead, LogitHead, new_head, told
from seefit.training.network import TrainedNetwork
from seefit.training.solver import Standardised

KINDS = ("linear", "hidden", "logit")
HEAD_ONLY: dict[str, Any] = {"method": "finetune", "freeze": "all", "views": 1, "augment": "none", "epochs": 3, "precision": "fp32"}


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def features(rows: int, width: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(rows)
    return (rng.normal(size=(rows, width)) * rng.uniform(0.1, 9, width) + 3).astype(np.float32)


def begun(kind: str, rows: NDArray[np.float32], *, seed: int = 0, units: int = 16) -> tuple[TrainedNetwork, Any, Any]:
    """Return a network of a head alone, and the probe that it began as."""
    width, rng = rows.shape[1], np.random.default_rng(1)
    weight, bias = rng.normal(size=(2, width)).astype(np.float32), rng.normal(size=2).astype(np.float32)
    network = TrainedNetwork(None, Standardised.of(rows), new_head(kind, width, 2, units=units))
    network.begin(weight, bias, seed=seed)
    return network.eval(), weight, bias


def logits_of(network: TrainedNetwork, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.no_grad():
        found: NDArray[np.float32] = network(torch.zeros(len(rows), 0, 0, 0), torch.from_numpy(rows)).numpy()
    return found


def test_parameters_sum_by_hand() -> None:
    assert count(HiddenHead(1280, 128, 2, 0.5)) == 1280 * 128 + 128 + 128 * 2 + 2
    assert count(LogitHead(1280, 0.2)) == 1280 + 1
    assert count(LinearHead(1280, 2, 0)) == 1280 * 2 + 2


def test_a_hidden_layer_begins_with_the_normal_distribution_of_he() -> None:
    network, _, _ = begun("hidden", features(50, 1000), units=128)
    head = network.head
    assert isinstance(head, HiddenHead)
    on_standardised = head.hidden.weight.detach().numpy() / np.sqrt(1000)
    assert on_standardised.var() == pytest.approx(2 / 1000, rel=0.02)
    assert on_standardised.mean() == pytest.approx(0, abs=4 * np.sqrt(2 / 1000 / on_standardised.size))
    assert (np.abs(on_standardised) < np.sqrt(2 / 1000)).mean() == pytest.approx(0.6827, abs=0.01)  # a normal one
    assert head.output.weight.detach().numpy().var() == pytest.approx(2 / 128, rel=0.4)
    assert not head.hidden.bias.any() and not head.output.bias.any()


def test_a_hidden_layer_gives_as_much_as_it_takes_whatever_its_width() -> None:
    for width in (20, 2000):
        rows = features(200, width)
        network, _, _ = begun("hidden", rows, units=2000)
        hidden = network.learned_head().hidden
        assert hidden is not None
        given = np.maximum(rows @ hidden.weight.T + hidden.bias, 0)
        assert (given**2).mean() == pytest.approx(1, rel=0.1)


def test_a_head_begins_the_same_for_the_same_seed_alone() -> None:
    rows = features(20, 5)
    torch.manual_seed(5)
    first = logits_of(begun("hidden", rows, seed=3)[0], rows)
    torch.manual_seed(6)
    np.testing.assert_array_equal(logits_of(begun("hidden", rows, seed=3)[0], rows), first)
    assert not np.array_equal(logits_of(begun("hidden", rows, seed=4)[0], rows), first)


def test_one_logit_begins_as_the_probe_and_stands_for_the_second_class() -> None:
    rows = features(30, 6)
    network, weight, bias = begun("logit", rows)
    probe, found = rows @ weight.T + bias, logits_of(network, rows)
    assert not found[:, 0].any()
    np.testing.assert_allclose(found[:, 1], probe[:, 1] - probe[:, 0], rtol=0, atol=1e-3)
    with torch.no_grad():
        assert isinstance(network.head, LogitHead)
        network.head.logit.bias.add_(100)
    assert (logits_of(network, rows).argmax(1) == 1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_learned_goes_back_to_raw_features(kind: str) -> None:
    rows = features(40, 7)
    rows[:, 2] = 4  # a constant feature is left out
    network, _, _ = begun(kind, rows)
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.add_(torch.randn(parameter.shape))
    head = network.learned_head()
    shift = logits_of(network, rows).mean(1, keepdims=True) if kind == "logit" else 0
    np.testing.assert_allclose(head.logits(rows), logits_of(network, rows) - shift, rtol=0, atol=1e-4)
    assert head.method == {"linear": "finetuned"}.get(kind, kind)
    assert (head.hidden is not None) is (kind == "hidden")
    assert all(array.dtype == np.float32 for array in (head.weight, head.bias))
    if kind == "logit":
        np.testing.assert_array_equal(head.weight[0], -head.weight[1])


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_at_work_in_training_alone(kind: str) -> None:
    assert DROPOUT == {"linear": 0, "hidden": 0.5, "logit": 0.2}
    head = new_head(kind, 1000, 2, units=1000)
    assert head.dropout.p == DROPOUT[kind]
    head = new_head(kind, 1000, 2, units=1000, dropout=0.3)
    rows = torch.randn(4, 1000)
    head.train()
    assert not torch.equal(head(rows), head(rows))
    head.eval()
    assert torch.equal(head(rows), head(rows))
    dropped: list[float] = []
    head.dropout.register_forward_hook(
        lambda _, given, out: dropped.append(float(((out == 0) & (given[0] != 0)).sum() / (given[0] != 0).sum()))
    )
    head.train()(rows)
    assert dropped[0] == pytest.approx(0.3, abs=0.05)


def test_a_hidden_layer_learns_what_a_line_cannot() -> None:
    rows = np.tile([[1, 1], [1, -1], [-1, 1], [-1, -1]], (50, 1)).astype(np.float32) + features(200, 2) / np.float32(100)
    labels = torch.from_numpy((rows[:, 0] * rows[:, 1] > 0).astype(np.int64))
    right = {}
    for kind in ("linear", "hidden"):
        network, _, _ = begun(kind, rows)
        optimiser = torch.optim.AdamW(network.parameters(), lr=0.02)
        for _ in range(150):
            optimiser.zero_grad()
            logits = network(torch.zeros(200, 0, 0, 0), torch.from_numpy(rows))
            torch.nn.functional.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        right[kind] = float((network.learned_head().logits(rows).argmax(1) == labels.numpy()).mean())
    assert right["hidden"] > 0.98 and right["linear"] < 0.8


def test_the_user_is_told_how_a_head_begins() -> None:
    classes = ("cat", "dog")
    assert told(new_head("linear", 8, 2, units=4), classes, "sgd") is None
    assert told(new_head("hidden", 8, 2, units=1200), classes, "adamw") == (
        "Head: 1,200 hidden units that begin by chance (He normal), not as the probe, which has none"
    )
    assert told(new_head("logit", 8, 2, units=4), classes, "momentum") == (
        "Head: one logit that begins as the probe; the higher it is, the surer the second class, dog"
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("parts", [("blocks.0", "blocks.1"), ("pooled",), ("blocks.1/flat",)])
def test_the_graph_answers_as_the_network_does_on_odd_images(tiny_backbone: Backbone, kind: str, parts: tuple[str, ...]) -> None:
    model = features_model(tiny_backbone, parts)
    preprocess = preprocess_model(32, tiny_backbone.mean, tiny_backbone.std, "pad", opset=opset_of(model))
    odd = [decode(data) for data in golden_images().values()]
    odd += [np.full((1, 7, 3), 255, np.uint8), np.random.default_rng(2).integers(0, 256, (90, 3, 3)).astype(np.uint8)]
    plain = Reference(preprocess, model)
    pixels = np.stack([plain.pixels(image) for image in odd])
    rows = plain.run(pixels, ["features"])[0]
    network, _, _ = begun(kind, rows)
    head = network.learned_head()
    before = model if head.hidden is None else hidden_model(model, head.hidden.weight, head.hidden.bias)
    shipped = Reference(preprocess, network_model(before, head.weight, head.bias, 1.0))
    expected = torch.from_numpy(logits_of(network, rows)).softmax(1).numpy()
    np.testing.assert_allclose(shipped.run(pixels, ["probabilities"])[0], expected, rtol=0, atol=1e-5)


# ---- the whole way ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        {"head": "hidden", "hidden": 16},
        pytest.param({"head": "logit", "features": "pooled"}, marks=pytest.mark.slow),
        pytest.param({"head": "hidden", "features": "flatten"}, marks=pytest.mark.slow),
    ],
)
def test_a_run_with_another_head_ends_as_one_graph(train_here: Train, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    kept, made = [], finetuning._network

    def seen(*arguments: Any) -> TrainedNetwork:
        kept.append(made(*arguments))
        return kept[0]

    monkeypatch.setattr(finetuning, "_network", seen)
    run = train_here(**HEAD_ONLY, **given)
    bundle = load(run.path)
    bundle.verify()
    units = {"hidden": given.get("hidden", 128), "logit": 0}[given["head"]]
    assert (bundle.manifest["head"], bundle.manifest["hidden"], bundle.manifest["trained"]) == (given["head"], units, [])
    weight = load_file(run.path / "bundle" / "head.safetensors")["weight"]
    width = 8 if given.get("features") == "pooled" else units
    assert weight.shape == (2, width)
    assert np.array_equal(weight[0], -weight[1]) == (given["head"] == "logit")
    assert not (run.path / "bundle" / "backbone.safetensors").exists()
    assert len(read_csv(run.path / "history.csv")) == 3
    picture = run.path / "odd.png"
    Image.fromarray(np.random.default_rng(2).integers(0, 256, (37, 91, 3)).astype(np.uint8)).save(picture)
    scores = {found["label"]: found["score"] for found in bundle.predict(picture)[0]}
    rows = features_of(bundle.manifest["features"], bundle.reference.pixels(decode(picture)))
    expected = torch.from_numpy(logits_of(kept[0].eval(), rows) / bundle.manifest["temperature"]).softmax(1)[0].tolist()
    assert [scores[name] for name in bundle.classes] == pytest.approx(expected, abs=1e-4)


def features_of(parts: list[str], pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    model = features_model(load_backbone("lite0"), parts)
    found: NDArray[np.float32] = open_session(model, intra_threads=1).run(["features"], {"pixels": pixels[np.newaxis]})[0]
    return found


@pytest.mark.slow
def test_a_broken_run_with_a_hidden_layer_ends_as_an_unbroken_one(train_here: Train, tmp_path: Path) -> None:
    given = {**HEAD_ONLY, "head": "hidden", "hidden": 16, "batch": 16}
    whole = train_here(**given, out="whole")
    with broken_off(after=2):
        train_here(**given, out="broken")
    again = resume(tmp_path / "broken")
    for name in ("bundle/model.onnx", "bundle/head.safetensors", "predictions.csv", "bundle/bundle.json"):
        assert (again.path / name).read_bytes() == (whole.path / name).read_bytes(), name


def test_a_summary_shows_the_head_of_a_run(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    about = {"backbone": "tf_efficientnet_lite0", "image_size": 64, "features": ["pooled"], "method": "finetune", "trained": []}
    reseal(bundle, **about, head="hidden", hidden=128)
    found = seefit("summary", bundle, "--json").json
    assert found["layers"][-4:] == [
        {"name": "probe.hidden", "type": "Linear", "output": [128], "parameters": 1280 * 128 + 128},
        {"name": "probe.relu", "type": "ReLU", "output": [128], "parameters": 0},
        {"name": "probe.dropout", "type": "Dropout", "output": [128], "parameters": 0},
        {"name": "probe.output", "type": "Linear", "output": [2], "parameters": 128 * 2 + 2},
    ]
    assert found["trainable"] == 1280 * 128 + 128 + 128 * 2 + 2
    assert found["parameters"] == sum(layer["parameters"] for layer in found["layers"]) > found["trainable"]


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (
            ["--head", "hidden"],
            "A probe has a linear head: --head. Expected linear for a probe, got hidden.",
            "Add --method finetune --freeze all, which trains the head alone.",
        ),
        (
            ["--head", "logit", "--method", "probe"],
            "A probe has a linear head: --head. Expected linear for a probe, got logit.",
            "Add --method finetune --freeze all, which trains the head alone.",
        ),
        (
            ["--head", "logit", "--method", "finetune"],
            "One logit tells two classes apart: --head logit. Expected 2 classes, got 3.",
            "Use --head linear or --head hidden.",
        ),
        (
            ["--head", "deep"],
            "Bad setting: --head. Expected 'linear', 'hidden' or 'logit', got 'deep'.",
            "See `seefit train --help` for --head.",
        ),
        (
            ["--hidden", "0"],
            "Bad setting: --hidden. Expected greater than or equal to 1, got 0.",
            "See `seefit train --help` for --hidden.",
        ),
    ],
)
def test_a_head_that_cannot_be_is_refused_before_any_feature(
    options: list[str], message: str, hint: str, photo_folder: PhotoFolder, warm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seefit import pipeline

    photos = photo_folder(8)
    (photos / "third").mkdir()
    for path in (photos / "functional").iterdir():
        picture = Image.open(io.BytesIO(path.read_bytes())).rotate(90)
        picture.save(photos / "third" / path.name)
    monkeypatch.setattr(pipeline, "open_extractor", lambda *_, **__: pytest.fail("came as far as the features"))
    answer = seefit("train", photos, "--out", tmp_path / "run", "--json", *options)
    assert (answer.code, answer.error()["message"], answer.error()["hint"]) == (UsageError.exit_code, message, hint)
