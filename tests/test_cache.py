"""The feature cache: pays for new images only, notices every damage, survives every crash, and never holds a label."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from seefit.bundle.graph import feature_size, features_model, graph_hash, opset_of, preprocess_model
from seefit.bundle.runtime import Reference
from seefit.console import QUIET, Console
from seefit.data.dataset import Sample
from seefit.data.image import MAX_PIXELS
from seefit.environment import cache_folder
from seefit.errors import ResourceError
from seefit.models.backbone import Backbone
from seefit.training.cache import Recipe, cached_features, keep_features, kept_features, library_versions, open_store
from tiny import make_backbone

PARTS = ("blocks.0", "blocks.1")


class Counter:
    """The reference that counts the images that come through it."""

    batch = 8

    def __init__(self, reference: Reference) -> None:
        self.reference, self.name, self.images = reference, reference.name, 0

    def forward(self, batches: Iterable[Sequence[NDArray[np.float32]]]) -> Iterator[NDArray[np.float32]]:
        for batch in batches:
            self.images += len(batch)
            yield self.reference.run(np.stack(batch), ["features"])[0]


class Listener(Console):
    """A console that remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.warned: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.warned.append(text)


class Bench:
    """All that `cached_features` needs, on the tiny backbone."""

    def __init__(self, backbone: Backbone) -> None:
        network = features_model(backbone, PARTS)
        preprocess = preprocess_model(backbone.image_size, backbone.mean, backbone.std, "squash", opset=opset_of(network))
        self.counter = Counter(Reference(preprocess, network))
        self.width = feature_size(backbone, PARTS)
        graph, libraries = graph_hash(preprocess, network), library_versions(self.counter.name)
        self.recipe = Recipe(backbone.name, backbone.image_size, "squash", PARTS, self.counter.name, graph, libraries)

    def features(self, samples: list[Sample], recipe: Recipe | None = None, console: Console = QUIET) -> NDArray[np.float32]:
        self.counter.images = 0
        counter, recipe = self.counter, recipe or self.recipe
        sha256 = [digest(sample.path) for sample in samples]
        return cached_features(
            samples, sha256, recipe, counter.reference, counter, width=self.width, max_pixels=MAX_PIXELS, console=console
        )


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make_samples(folder: Path, count: int, label: str = "cat", start: int = 0) -> list[Sample]:
    """Write small random pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = []
    for i in range(start, start + count):
        path = folder / f"{i}.png"
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (12, 12, 3), np.uint8)).save(path)
        samples.append(Sample(path, path.name, label))
    return samples


@pytest.fixture
def bench(tiny_backbone: Backbone) -> Bench:
    return Bench(tiny_backbone)


# ---- what is paid for -----------------------------------------------------------------------------------------


def test_a_hundred_new_images_cost_a_hundred_forwards(bench: Bench, tmp_path: Path) -> None:
    samples = make_samples(tmp_path, 150)
    first = bench.features(samples[:50])
    assert bench.counter.images == 50
    heard = Listener()
    mixed = samples[100:] + samples[:50] + samples[50:100]
    features = bench.features(mixed, console=heard)
    assert bench.counter.images == 100
    assert heard.said == ["50 of 150 images have kept features; 100 are new"]
    np.testing.assert_array_equal(features[50:100], first)
    again = bench.features(mixed)
    assert bench.counter.images == 0
    np.testing.assert_array_equal(again, features)
    assert len(np.unique(features, axis=0)) == 150


def test_an_image_moved_to_another_class_is_found_again(bench: Bench, tmp_path: Path) -> None:
    sample = make_samples(tmp_path / "cat", 1)[0]
    before = bench.features([sample])
    moved = tmp_path / "dog" / "other.png"
    moved.parent.mkdir()
    sample.path.rename(moved)
    after = bench.features([Sample(moved, "dog/other.png", "dog")])
    assert bench.counter.images == 0
    np.testing.assert_array_equal(after, before)


def test_an_image_changed_under_the_cache_is_computed_again(bench: Bench, tmp_path: Path) -> None:
    samples = make_samples(tmp_path, 3)
    before = bench.features(samples)
    Image.new("RGB", (9, 9), "red").save(samples[1].path)
    after = bench.features(samples)
    assert bench.counter.images == 1
    assert np.abs(after[1] - before[1]).max() > 0.01
    np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])


def test_features_that_were_computed_elsewhere_are_kept_and_asked_for(bench: Bench, tmp_path: Path) -> None:
    samples = make_samples(tmp_path, 3)
    contents = [digest(sample.path) for sample in samples]
    assert kept_features(contents, bench.recipe) == [None] * 3
    given = np.arange(2 * bench.width, dtype=np.float32).reshape(2, -1)
    keep_features(contents[:2], list(given), bench.recipe)
    np.testing.assert_array_equal(bench.features(samples)[:2], given)
    assert bench.counter.images == 1
    kept = kept_features(contents[::-1], bench.recipe)
    assert [features is not None for features in kept] == [True] * 3
    np.testing.assert_array_equal(kept[1], given[1])
    with open_store() as store:
        assert store.shelves()[bench.recipe.shelf]["about"]["backbone"] == bench.recipe.backbone


def test_the_same_image_twice_is_kept_once(bench: Bench, tmp_path: Path) -> None:
    samples = make_samples(tmp_path, 2)
    features = bench.features([samples[0], samples[1], samples[0]])
    np.testing.assert_array_equal(features[0], features[2])
    with open_store() as store:
        assert store.shelves()[bench.recipe.shelf]["entries"] == 2


# ---- what does not fit ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"backbone": "resnet18"}, "backbone tiny → resnet18"),
        ({"image_size": 64}, "image_size 32 → 64"),
        ({"fit": "crop"}, "fit squash → crop"),
        ({"features": ("pooled",)}, "features ['blocks.0', 'blocks.1'] → ['pooled']"),
        ({"libraries": "pillow-99 onnxruntime-99"}, "→ pillow-99 onnxruntime-99"),
        ({"decoder": 99}, "decoder 1 → 99"),
        ({"graph": "0" * 64}, "the network was trained or converted since"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_another_recipe_is_a_miss_with_its_reason(bench: Bench, tmp_path: Path, change: dict[str, object], reason: str) -> None:
    samples = make_samples(tmp_path, 4)
    bench.features(samples)
    heard = Listener()
    bench.features(samples, replace(bench.recipe, **change), heard)  # type: ignore[arg-type]
    assert bench.counter.images == 4
    assert len(heard.said) == 1
    assert heard.said[0].startswith("Kept features do not fit: ")
    assert heard.said[0].endswith(reason)
    bench.features(samples)
    assert bench.counter.images == 0


def test_the_nearest_recipe_gives_the_reason_and_other_images_give_none(bench: Bench, tmp_path: Path) -> None:
    samples = make_samples(tmp_path, 2)
    bench.features(samples, replace(bench.recipe, fit="pad", image_size=64))
    bench.features(samples, replace(bench.recipe, fit="crop"))
    heard = Listener()
    bench.features(samples, console=heard)
    assert heard.said == ["Kept features do not fit: fit crop → squash"]
    fresh = Listener()
    bench.features(make_samples(tmp_path / "new", 2, start=50), replace(bench.recipe, fit="pad"), fresh)
    assert fresh.said == []


def test_a_run_is_told_once_why_nothing_fits(bench: Bench, tmp_path: Path) -> None:
    samples, heard = make_samples(tmp_path, 2), Listener()
    bench.features(samples, replace(bench.recipe, fit="crop"))
    bench.features(samples, console=heard)
    bench.features(samples, replace(bench.recipe, graph="0" * 64), heard)
    assert heard.said == ["Kept features do not fit: fit crop → squash"]


def test_another_engine_is_a_miss_without_a_word(bench: Bench, tmp_path: Path) -> None:
    """Every run asks the reference too, to check the fast engine."""
    samples = make_samples(tmp_path, 4)
    bench.features(samples)
    heard = Listener()
    bench.features(samples, replace(bench.recipe, engine="openvino-bf16"), heard)
    assert (bench.counter.images, heard.said) == (4, [])


def test_library_versions_name_what_the_engine_uses() -> None:
    assert "openvino" not in library_versions("onnxruntime-fp32")
    assert [text.split("-")[0] for text in library_versions("torch-cuda-fp16").split()] == ["pillow", "onnxruntime", "torch"]


# ---- damage ---------------------------------------------------------------------------------------------------


def stored_file() -> Path:
    return cache_folder("features") / "data.mdb"


@pytest.mark.parametrize("place", [0, -1], ids=["first-byte", "last-byte"])
def test_a_flipped_byte_is_found_and_computed_again(bench: Bench, tmp_path: Path, place: int) -> None:
    samples = make_samples(tmp_path, 5)
    features = bench.features(samples)
    data, value = bytearray(stored_file().read_bytes()), features[2].tobytes()
    at = data.index(value) + place % len(value)
    while at >= 0:  # LMDB may hold an older copy of the page too
        data[at] ^= 1
        start = data.find(value)
        at = start + place % len(value) if start >= 0 else -1
    stored_file().write_bytes(data)
    heard = Listener()
    np.testing.assert_array_equal(bench.features(samples, console=heard), features)
    assert bench.counter.images == 1
    assert heard.warned == ["1 kept features were damaged and are computed again"]
    bench.features(samples)
    assert bench.counter.images == 0


@pytest.mark.parametrize("size", [0, 44, 100], ids=["empty", "short", "long"])
def test_a_value_of_another_size_is_computed_again(bench: Bench, tmp_path: Path, size: int) -> None:
    samples = make_samples(tmp_path, 3)
    features = bench.features(samples)
    key = bytes.fromhex(digest(samples[0].path))
    with open_store() as store:
        store.put(bench.recipe.shelf, [(key, (features[0].tobytes() * 2)[:size])])
    heard = Listener()
    np.testing.assert_array_equal(bench.features(samples, console=heard), features)
    assert bench.counter.images == 1
    assert heard.warned == ["1 kept features were damaged and are computed again"]


def test_a_file_cut_short_is_never_used(bench: Bench, tmp_path: Path) -> None:
    samples = make_samples(tmp_path, 40)
    features = bench.features(samples)
    os.truncate(stored_file(), stored_file().stat().st_size // 2)
    np.testing.assert_array_equal(bench.features(samples), features)
    np.testing.assert_array_equal(bench.features(samples), features)
    assert bench.counter.images == 0


# ---- crashes, company, privacy --------------------------------------------------------------------------------

WORKER = """
    import os, signal, sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    import seefit.training.cache as cache
    from test_cache import Bench, Counter, Sample
    from tiny import make_backbone

    cache.CHUNK = 8
    limit = int(sys.argv[1])
    run = Counter.forward
    def forward(self, batches):
        for features in run(self, batches):
            if limit and self.images > limit:
                os.kill(os.getpid(), signal.SIGKILL)
            yield features
    Counter.forward = forward
    folder = Path(sys.argv[2])
    samples = [Sample(path, path.name, "cat") for path in sorted(folder.glob("*.png"))]
    bench = Bench(make_backbone(Path(sys.argv[3]) / "tiny.onnx"))
    print(bench.features(samples).tobytes().hex())
"""


def start_worker(limit: int, pictures: Path, place: Path) -> subprocess.Popen[str]:
    code = textwrap.dedent(WORKER.format(tests=str(Path(__file__).parent)))
    return subprocess.Popen([sys.executable, "-c", code, str(limit), str(pictures), str(place)], text=True, stdout=subprocess.PIPE)


def test_what_was_kept_before_a_kill_is_kept(tmp_path: Path) -> None:
    make_samples(tmp_path, 40)
    with start_worker(20, tmp_path, tmp_path) as worker:
        assert worker.wait(60) == -signal.SIGKILL
    bench = Bench(make_backbone(tmp_path / "tiny.onnx"))
    samples = [Sample(path, path.name, None) for path in sorted(tmp_path.glob("*.png"))]
    features = bench.features(samples)
    assert bench.counter.images == 40 - 16  # two chunks of eight were whole; the third was on its way
    stale = Bench(make_backbone(tmp_path / "tiny.onnx")).counter.reference
    alone = np.stack([stale.pixels(np.asarray(Image.open(sample.path))) for sample in samples])
    np.testing.assert_allclose(features, stale.run(alone, ["features"])[0], atol=1e-5)


def test_several_processes_at_once_agree(tmp_path: Path) -> None:
    make_samples(tmp_path, 40)
    workers = [start_worker(0, tmp_path, tmp_path / str(i)) for i in range(3)]
    answers = {worker.communicate(timeout=90)[0] for worker in workers}
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert len(answers) == 1
    bench = Bench(make_backbone(tmp_path / "tiny.onnx"))
    features = bench.features([Sample(path, path.name, None) for path in sorted(tmp_path.glob("*.png"))])
    assert bench.counter.images == 0
    assert features.tobytes().hex() == answers.pop().strip()


def test_no_label_name_or_path_is_in_the_cache(bench: Bench, tmp_path: Path) -> None:
    samples = make_samples(tmp_path / "Geheimsache", 3, label="Geheimsache")
    bench.features([replace(sample, name="Tante-Emma.png", group="Villa-Sieben", target=(0.123456789, 0.876543211)) for sample in samples])
    content = b"".join(path.read_bytes() for path in cache_folder().rglob("*") if path.is_file())
    assert bench.recipe.shelf.encode() in content
    for secret in ("Geheimsache", "Tante-Emma", "Villa-Sieben", str(tmp_path)):
        assert secret.encode() not in content
    with open_store() as store:
        assert [entry["about"] for entry in store.shelves().values()] == [json.loads(json.dumps(asdict(bench.recipe)))]


def test_a_cache_that_cannot_be_written_to_is_a_matter_of_resources(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = make_samples(tmp_path, 1)
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SEEFIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(ResourceError, match="Set SEEFIT_CACHE to a folder that you may write to") as caught:
        bench.features(samples)
    assert caught.value.exit_code == 6


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_cache_is_a_matter_of_resources(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = make_samples(tmp_path, 1)
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o500)
    monkeypatch.setenv("SEEFIT_CACHE", str(folder))
    with pytest.raises(ResourceError):
        bench.features(samples)
