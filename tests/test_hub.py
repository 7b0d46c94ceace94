"""torchvision's hub: names of files, where they are kept, and weights that are fetched once, checked and kept as safetensors."""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
import torch
import torchvision

from seefit.environment import cache_folder
from seefit.errors import ArtefactError, ResourceError
from seefit.models import hub as module
from seefit.models import weights
from seefit.models.hub import FILES, TORCHVISION, digest_start, kept_by_torch, weight_file, weight_url
from seefit.models.weights import available, check_available, find_weights, read_weights

NAME = "torchvision/alexnet"
Publish = Callable[[dict[str, torch.Tensor]], Path]


@pytest.fixture(autouse=True)
def torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give torch's own folder, empty, and forbid every look at a network."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError("no sockets in this test")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch"


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Return a function that makes tensors torchvision's published weights of `NAME`."""

    def write(state: dict[str, torch.Tensor]) -> Path:
        file = tmp_path / "published.pth"
        torch.save(state, file)
        start = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
        monkeypatch.setitem(FILES, NAME, f"alexnet-owt-{start}.pth")
        return file

    return write


def like() -> dict[str, torch.Tensor]:
    return {"a.weight": torch.zeros(2, 3), "a.num_batches_tracked": torch.tensor(7)}


def test_the_files_of_our_table_are_torchvisions() -> None:
    assert {name: Path(weight_url(name)).name for name in FILES} == FILES
    assert weight_file("torchvision/resnet18") == "resnet18-f37072fd.pth"
    assert digest_start(NAME) == "7be5be79"


def test_what_torch_has_kept_is_found_checked_and_kept_as_safetensors(torch_home: Path, publish: Publish) -> None:
    published = {"a.weight": torch.arange(6.0).view(2, 3), "head.bias": torch.ones(4)}
    file = publish(published)
    assert not available(NAME)
    theirs = torch_home / "hub" / "checkpoints" / FILES[NAME]
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(file.read_bytes())
    assert kept_by_torch(NAME) == theirs
    assert available(NAME)
    found = read_weights(NAME, find_weights(NAME), like())
    assert list(found) == ["a.weight", "a.num_batches_tracked"]
    assert torch.equal(found["a.weight"], published["a.weight"])
    assert int(found["a.num_batches_tracked"]) == 7
    theirs.unlink()
    assert available(NAME)  # as safetensors
    assert torch.equal(read_weights(NAME, find_weights(NAME), like())["a.weight"], published["a.weight"])


def test_a_file_with_another_content_is_refused(torch_home: Path, publish: Publish) -> None:
    publish({"a.weight": torch.zeros(2, 3)})
    theirs = torch_home / "hub" / "checkpoints" / FILES[NAME]
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"something else")
    with pytest.raises(
        ArtefactError, match=rf"Expected sha256 {digest_start(NAME)}, got {hashlib.sha256(b'something else').hexdigest()}\."
    ):
        read_weights(NAME, find_weights(NAME), like())


def test_weights_are_fetched_once_and_no_pickle_stays(publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    file, asked = publish({"a.weight": torch.ones(2, 3)}), []

    def fetch(url: str, path: Path, *, limit_bytes: int) -> str:
        asked.append(url)
        path.write_bytes(file.read_bytes())
        return ""

    monkeypatch.setattr(module, "fetch", fetch)
    for _ in range(2):
        assert torch.equal(read_weights(NAME, find_weights(NAME), like())["a.weight"], torch.ones(2, 3))
    assert asked == [weight_url(NAME)]
    assert [path.suffix for path in sorted(cache_folder("weights").iterdir())] == [".safetensors", ".sha256"]


def test_kept_weights_that_were_damaged_are_fetched_again(publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    file = publish({"a.weight": torch.ones(2, 3)})
    monkeypatch.setattr(module, "fetch", lambda url, path, *, limit_bytes: path.write_bytes(file.read_bytes()))
    read_weights(NAME, find_weights(NAME), like())
    (kept,) = cache_folder("weights").glob("*.safetensors")
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    assert torch.equal(read_weights(NAME, find_weights(NAME), like())["a.weight"], torch.ones(2, 3))


def test_without_a_network_it_is_exit_6_and_says_what_to_put_where(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ResourceError) as caught:
        check_available(NAME, ask=True)
    assert caught.value.exit_code == 6
    assert caught.value.message == (
        "No pretrained weights: torchvision/alexnet. Expected weights on this machine or a network to fetch them, "
        "got none here, and the hub cannot be reached."
    )
    assert caught.value.hint.startswith(
        "Put torchvision's weights at <folder>/torchvision/alexnet.safetensors and set SEEFIT_WEIGHTS to that folder; "
    )
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for attempt in (lambda: check_available(NAME), lambda: read_weights(NAME, find_weights(NAME), like())):
        with pytest.raises(ResourceError, match="HF_HUB_OFFLINE forbids asking the hub"):
            attempt()


def test_names_of_older_files_are_brought_up_to_date() -> None:
    names = {"features.denseblock1.denselayer2.norm1.weight", "features.denseblock1.denselayer2.conv2.weight", "features.norm0.weight"}
    older = {"features.denseblock1.denselayer2.norm.1.weight", "features.denseblock1.denselayer2.conv.2.weight", "features.norm0.weight"}
    zeros = torch.zeros(1)
    assert set(weights._in_torchvision_names(dict.fromkeys(older, zeros), dict.fromkeys(names, zeros))) == names


def test_every_network_of_torchvision_has_a_file() -> None:
    for name in torchvision.models.list_models(module=torchvision.models):
        assert re.fullmatch("[0-9a-f]{8,}", digest_start(TORCHVISION + name)), name
