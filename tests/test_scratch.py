"""Training from scratch: random weights that a seed decides, the whole network trained by the one loop, one graph at the end."""

from __future__ import annotations

import csv
import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper, parser
from safetensors.torch import load_file
from torch import nn

from broken_off import broken_off
from command import seefit
from conftest import PhotoFolder, copy_photos
from seefit import finetuning
from seefit.bundle.bundle import load
from seefit.bundle.golden import golden_images
from seefit.data.image import decode
from seefit.environment import cache_folder
from seefit.errors import RunError, UsageError
from seefit.estimator import ImageClassifier
from seefit.files import sha256_file
from seefit.models import architecture, backbone
from seefit.models.architecture import first_head
from seefit.models.backbone import Backbone, Stage, create
from seefit.models.cut import PIXELS, upper_part
from seefit.models.weights import random_weights
from seefit.pipeline import resume, train
from seefit.plans import Choice, make_plan
from seefit.settings import Settings, make_settings
from seefit.training.augment import AUGMENTATIONS
from seefit.training.finetune import Batch, finetune
from seefit.training.heads import LinearHead
from seefit.training.network import TrainedNetwork, unscaled

QUICK = {"method": "scratch", "batch": 8, "precision": "fp32", "device": "cpu"}


def settings(**given: Any) -> Settings:
    return make_settings({"data": "d", "backbone": "lenet5", **QUICK, **given})


def described(name: str, side: int) -> Backbone:
    """Return what the random network of a name is known by, without a conversion."""
    model: Any = create(name)
    last, maps = model.forward_intermediates(torch.zeros(2, 3, side, side))
    stages = [Stage(info["module"], m.shape[1], m.shape[2]) for info, m in zip(model.feature_info, maps, strict=True)]
    pooled = Stage("pooled", model.forward_head(last, pre_logits=True).shape[1], 0)
    return Backbone(name, side, (0.5,) * 3, (0.5,) * 3, (*stages, pooled), "random:0", Path("none"), "")


def lenet5() -> TrainedNetwork:
    """Return LeNet-5 for two classes, as training finds it."""
    upper = upper_part(described("lenet5", 32), PIXELS, ["pooled"])
    network = TrainedNetwork(upper, unscaled(84), LinearHead(84, 2, 0))
    network.begin(*first_head("lenet5", 2, 84, seed=0), seed=0)
    return network


def equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(tensor, right[name]) for name, tensor in left.items())


# ---- before training ------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> str:
    text = "from torch import nn\n\n\ndef make():\n    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 3))\n"
    (tmp_path / "net.py").write_text(text)
    return f"{tmp_path}/net.py:make"


@pytest.mark.parametrize("name", ["lenet5", "test_resnet", "torchvision/squeezenet1_1", "own"])
def test_a_seed_decides_the_weights_and_nothing_pretrained_is_read(
    name: str, own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = own if name == "own" else name
    monkeypatch.setenv("SEEFIT_WEIGHTS", str(tmp_path))
    (tmp_path / f"{name.rpartition('/')[2]}.safetensors").write_bytes(b"not to be read")

    def read(*_: object) -> None:
        raise AssertionError("pretrained weights were read")

    for module, function in ((architecture, "read_weights"), (backbone, "read_weights"), (backbone, "find_weights")):
        monkeypatch.setattr(module, function, read)
    before = torch.random.get_rng_state()
    first, again, other = (create(name, random_weights(name, seed)).state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert equal(first, again)
    assert not any(torch.equal(tensor, other[key]) for key, tensor in first.items() if tensor.ndim > 1)


def test_a_random_network_leaves_nothing_in_the_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbone, "write_onnx", lambda tower, probe, inputs, outputs, path: path.write_bytes(b"network"))
    random = backbone.load_backbone("lenet5", 32, seed=3)
    assert random.onnx.is_file()
    assert random.weights == backbone.load_backbone("lenet5", 32, seed=3).weights != backbone.load_backbone("lenet5", 32, seed=4).weights
    del random
    gc.collect()
    assert [path.name for path in cache_folder().rglob("*") if path.is_file()] == []


def test_the_whole_network_is_trained_and_the_head_is_its_own() -> None:
    begun: Any = lenet5()
    assert sum(parameter.numel() for parameter in begun.parameters() if parameter.requires_grad) == 60_850 - 8 * 85  # 2 classes, not 10
    bound = 2.4 / 84
    assert 0.9 * bound < float(begun.head.linear.weight.detach().abs().max()) <= bound
    pixels = torch.randn(4, 3, 32, 32)
    plain: Any = create("lenet5", random_weights("lenet5", 0))
    expected = nn.functional.linear(plain.forward_intermediates(pixels)[0], begun.head.linear.weight, begun.head.linear.bias)
    torch.testing.assert_close(begun.eval()(pixels), expected)


class Shades:
    """Two kinds of pictures that anyone can tell apart, in noise: dark above or dark below."""

    def __init__(self, images: int = 64) -> None:
        generator = torch.Generator().manual_seed(0)
        self.labels = torch.arange(images) % 2
        self.pixels = torch.randn(images, 3, 32, 32, generator=generator)
        self.pixels[self.labels == 0, :, :16] -= 1
        self.pixels[self.labels == 1, :, 16:] -= 1

    def __len__(self) -> int:
        return 4

    def epoch(self, number: int) -> Iterator[Batch]:
        order = torch.randperm(len(self.labels), generator=torch.Generator().manual_seed(number))
        for index in order.chunk(4):
            yield Batch((self.pixels[index],), nn.functional.one_hot(self.labels[index], 2).float(), torch.ones(len(index)))


def test_the_loss_falls_on_what_can_be_told_apart() -> None:
    begun = lenet5()
    plan = make_plan(settings(epochs=10), begun, AUGMENTATIONS["none"], 4, Choice("fp32", 1), validated=False)
    history = finetune(begun, plan, Shades(), None)
    assert history[0].loss > 0.5
    assert history[-1].loss < 0.1
    assert history[-1].accuracy == 1


def test_running_statistics_follow_the_images_and_dropout_works_in_training_alone() -> None:
    class Layers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Flatten())

        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (self.layers(pixels),)

    begun = TrainedNetwork(Layers(), unscaled(12), LinearHead(12, 2, 0))
    norm: Any = next(module for module in begun.modules() if isinstance(module, nn.BatchNorm2d))
    plan = make_plan(settings(), begun, AUGMENTATIONS["none"], 4, Choice("fp32", 1), validated=False)
    plan.begin_epoch(begun, 0)
    pixels = torch.randn(8, 3, 2, 2) + 5
    assert not torch.equal(begun(pixels), begun(pixels))
    before = norm.running_mean.clone()
    begun(pixels)
    torch.testing.assert_close(norm.running_mean, 0.9 * before + 0.1 * pixels.mean((0, 2, 3)))  # torch's momentum
    begun.eval()
    assert torch.equal(begun(pixels), begun(pixels))


def test_residual_blocks_can_start_as_their_shortcuts() -> None:
    whole = upper_part(described("test_resnet", 96), PIXELS, ["pooled"])
    finetuning._start_blocks_at_zero(whole, "test_resnet")
    zeros = {name.removeprefix("model.") for name, parameter in whole.named_parameters() if not parameter.any()}
    norms = {name for name, _ in create("test_resnet").named_parameters() if name.endswith("norm.weight") or ".bn" in name}
    assert zeros and {name for name in zeros if name.endswith("weight")} < norms
    with pytest.raises(UsageError) as caught:
        finetuning._start_blocks_at_zero(upper_part(described("lenet5", 32), PIXELS, ["pooled"]), "lenet5")
    assert caught.value.message == (
        "Nothing to start at zero: --zero-gamma, lenet5. Expected a network of residual blocks that end with a norm, got one without any."
    )


# ---- the whole way --------------------------------------------------------------------------------------------


NET = """
from torch import nn

def make():
    low = nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.BatchNorm2d(4), nn.ReLU())
    high = nn.Sequential(nn.Conv2d(4, 8, 2, 2), nn.ReLU())
    return nn.Sequential(low, high, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(8, 2))
"""
NET_AS_ONNX = """
<ir_version: 10, opset_import: ["" : 20]>
network (float[N, 3, 32, 32] pixels) => (float[N, 4, 8, 8] "0.2", float[N, 8, 4, 4] "1.1", float[N, 8] pooled) {
  low = Conv<strides = [4, 4]>(pixels, "0.0.weight", "0.0.bias")
  norm = BatchNormalization(low, "0.1.weight", "0.1.bias", "0.1.running_mean", "0.1.running_var")
  "0.2" = Relu(norm)
  high = Conv<strides = [2, 2]>("0.2", "1.0.weight", "1.0.bias")
  "1.1" = Relu(high)
  mean = GlobalAveragePool("1.1")
  pooled = Flatten(mean)
}"""


def write_net(module: Any, _: object, __: object, outputs: list[str], path: Path) -> None:
    """Write `NET` as ONNX by hand: torch's exporter takes seconds."""
    model = parser.parse_model(NET_AS_ONNX)
    assert [output.name for output in model.graph.output] == outputs
    state = {name: tensor.numpy() for name, tensor in module.model.state_dict().items() if "num_batches" not in name}
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in state.items())
    path.write_bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, elpv_cells: dict[str, list[Path]]) -> Path:
    """Return a run that trained `NET`, in ``../net.py``, on 40 photographs in ``../photos``; its cache is ``../cache``."""
    home = tmp_path_factory.mktemp("scratch")
    copy_photos({"functional": elpv_cells["functional"][:12], "defective": elpv_cells["defective"]}, home / "photos", 28)
    (home / "net.py").write_text(NET)
    arguments = ["--backbone", f"{home}/net.py:make", "--image-size", 32, "--epochs", 2, "--batch", 8, "--precision", "fp32"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEEFIT_CACHE", str(home / "cache"))
        patch.setattr(backbone, "write_onnx", write_net)
        answer = seefit("train", home / "photos", "--out", home / "run", "--method", "scratch", *arguments, "--device", "cpu", "--json")
    assert answer.code == 0, answer.err
    assert "net.py:make at 32 px, with random weights of seed 0" in answer.err
    assert "Training the whole network from scratch: 358 weights, 2 epochs of adamw in fp32 on " in answer.err
    return home / "run"


@pytest.fixture
def begun(made: Path, monkeypatch: pytest.MonkeyPatch, no_page: None) -> Settings:
    """Work with the cache of `made`; return its settings."""
    home = made.parent
    monkeypatch.setenv("SEEFIT_CACHE", str(home / "cache"))
    monkeypatch.setattr(backbone, "write_onnx", write_net)
    given = {"data": str(home / "photos"), "backbone": f"{home}/net.py:make", "image_size": 32, "epochs": 2}
    return make_settings(given | QUICK)


def test_a_run_from_scratch_is_a_run_like_every_other(made: Path) -> None:
    with open(made / "history.csv", newline="") as handle:
        assert [row["epoch"] for row in csv.DictReader(handle)] == ["1", "2"]
    metrics = json.loads((made / "metrics.json").read_text())
    assert metrics["headline"] == "test" and metrics["val"]["n"] > 0
    assert (metrics["probe"], metrics["cross_validation"], metrics["engine"]) == (None, None, "onnxruntime-fp32")
    assert metrics["seconds"]["train"] > 0 and not {"fit", "finetune"} & metrics["seconds"].keys()
    bundle = load(made)
    bundle.verify()
    about = bundle.manifest
    assert (about["method"], about["head"], about["features"]) == ("scratch", "scratch", ["pooled"])
    assert about["weights"] == sha256_file(made / "bundle" / "backbone.safetensors")
    begun, ended = create(about["backbone"]).state_dict(), load_file(made / "bundle" / "backbone.safetensors")
    assert begun.keys() == ended.keys()
    assert not any(torch.equal(tensor, ended[name]) for name, tensor in begun.items())
    assert "trained from scratch: its weights began as random numbers" in (made / "bundle" / "README.md").read_text()
    assert "it began with random weights and learnt from these pictures alone" in (made / "report.html").read_text()
    predicted = seefit("predict", made, made.parent / "photos" / "defective", "--json")
    assert len(predicted.json) == 28
    assert seefit("evaluate", made, "--json").code == 0


def odd_images() -> list[NDArray[np.uint8]]:
    shapes = [(1, 1), (3, 200), (31, 33), (500, 7)]
    rng = np.random.default_rng(0)
    return [*map(decode, golden_images().values()), *(rng.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes)]


def by_torch(run: Path, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logits of the network that torch makes of a bundle's weight files."""
    about = load(run).manifest
    model: Any = create(about["backbone"], image_size=about["image_size"])
    model.load_state_dict(load_file(run / "bundle" / "backbone.safetensors"))
    head = load_file(run / "bundle" / "head.safetensors")
    with torch.inference_mode():
        last = model.eval().forward_intermediates(torch.from_numpy(pixels))[0]
        return nn.functional.linear(model.forward_head(last, pre_logits=True), head["weight"], head["bias"]).numpy()


def assert_one_graph(run: Path) -> None:
    """The graph answers odd images as the trained torch network does in evaluation mode."""
    reference = load(run).reference
    pixels = np.stack([reference.pixels(image) for image in odd_images()])
    np.testing.assert_allclose(reference.run(pixels, ["logits"])[0], by_torch(run, pixels), rtol=1e-3, atol=1e-3)


def test_the_graph_is_the_trained_network(made: Path) -> None:
    assert_one_graph(made)


def test_the_same_command_gives_the_same_network(made: Path, begun: Settings, tmp_path: Path) -> None:
    again = train(begun, out=tmp_path / "again")
    for name in ("predictions.csv", "split.csv", "bundle/backbone.safetensors", "bundle/head.safetensors"):
        assert (again.path / name).read_bytes() == (made / name).read_bytes()


def test_a_run_broken_off_ends_as_an_unbroken_one_and_can_go_on(made: Path, begun: Settings, tmp_path: Path) -> None:
    with broken_off(after=1):
        train(begun, out=tmp_path / "run")
    resume(tmp_path / "run")
    for name in ("predictions.csv", "bundle/backbone.safetensors", "bundle/head.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (made / name).read_bytes()
    with pytest.raises(UsageError, match=r"Expected at least the 2 that the run began with, got 1\."):
        resume(tmp_path / "run", {"epochs": 1})
    longer = resume(tmp_path / "run", {"epochs": 3})
    with open(longer.path / "history.csv", newline="") as handle:
        assert [row["epoch"] for row in csv.DictReader(handle)] == ["1", "2", "3"]


def test_a_prior_is_taken_out_of_the_trained_head(made: Path, begun: Settings, tmp_path: Path) -> None:
    """The loss knows nothing of it, so the same network comes out; only the bias is shifted by the logarithm of the shares."""
    run = train(begun.model_copy(update={"class_weights": "prior"}), out=tmp_path / "prior")
    counts = np.array(list(run.metrics["counts"]["train"].values()))
    plain, other = (load_file(path / "bundle" / "head.safetensors") for path in (made, run.path))
    assert torch.equal(plain["weight"], other["weight"])
    np.testing.assert_allclose(plain["bias"] - other["bias"], np.log(counts / counts.sum()), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_extending_trains_on_old_and_new_images_and_needs_all_files(
    made: Path, begun: Settings, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    new = photo_folder(10, start=28)  # none of those in `made`
    extended = make_settings({"data": str(new), "extend": str(made)})
    run = train(extended, out=tmp_path / "more")
    assert run.metrics["extension"]["images"] == {"earlier": 40, "new": 20}
    assert load(run.path).manifest["method"] == "scratch"
    for path in list((made.parent / "photos" / "defective").iterdir())[:1]:
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(RunError, match="Images of the run to extend are gone"):
            train(extended, out=tmp_path / "less")
        path.write_bytes(content)


@pytest.mark.slow
def test_paths_and_labels_train_from_scratch_too(begun: Settings, elpv_cells: dict[str, list[Path]]) -> None:
    paths = [str(path) for cells in elpv_cells.values() for path in cells[:8]]
    labels = [label for label in elpv_cells for _ in range(8)]
    model = ImageClassifier(begun.backbone, method="scratch", image_size=32, device="cpu").fit(paths, labels)
    assert model.bundle_.manifest["method"] == "scratch"
    assert set(model.predict(paths[:3])) <= set(labels)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "more"),
    [
        ("lenet5", None, {"class_weights": "prior"}),
        ("small", 96, {"class_weights": "balanced"}),
        ("alexnet", 67, {"optimiser": "momentum", "augment": "medium"}),
        ("zfnet", 96, {}),
        ("test_resnet", 96, {"zero_gamma": True, "average": 0.9}),
        ("test_vit", None, {}),
        ("torchvision/squeezenet1_1", 64, {"norms": "trained"}),
    ],
)
def test_any_network_of_the_zoo(
    name: str, size: int | None, more: dict[str, Any], photo_folder: PhotoFolder, tmp_path: Path, no_page: None
) -> None:
    given = {"data": str(photo_folder(20)), "backbone": name, "image_size": size, "epochs": 1, **QUICK, **more}
    run = train(make_settings(given), out=tmp_path / "run")
    load(run.path).verify()
    assert_one_graph(run.path)


# ---- what cannot be -------------------------------------------------------------------------------------------


def test_an_unknown_network_is_refused_before_any_image_is_read(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    answer = seefit("train", tmp_path / "photos", "--method", "scratch", "--backbone", "lenet", "--out", tmp_path / "run", "--json")
    assert (answer.code, answer.error()["message"].split(".")[0]) == (2, "Unknown backbone: lenet")
    assert not (tmp_path / "run").exists()


def test_what_makes_no_sense_from_scratch_is_refused_together(tmp_path: Path) -> None:
    options = ["--freeze", "layer2", "--norms", "frozen", "--features", "stages", "--gradual", 2]
    answer = seefit("train", tmp_path, "--method", "scratch", *options, "--json")
    assert answer.code == 2
    message = answer.error()["message"]
    for part in (
        "Settings that do not go together: --freeze. Expected none, since all of the network is trained, got layer2 with --method scratch.",
        "--norms. Expected trained, since all of the network is trained, got frozen with --method scratch.",
        "--features. Expected pooled, since all of the network is trained, got stages with --method scratch.",
        "--gradual. Expected 0, since all of the network is trained, got 2 with --method scratch.",
    ):
        assert part in message
