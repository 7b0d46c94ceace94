from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from conftest import Train, read_csv
from seefit import gathering, pipeline
from seefit.bundle.bundle import load
from seefit.data.dataset import Sample
from seefit.data.splitfile import read_split
from seefit.errors import DataError, UsageError
from seefit.evaluation import evaluate
from seefit.pipeline import peak_memory_mb
from tiny import plant_tiny

FIGURES = {"accuracy", "balanced_accuracy", "macro_f1", "auc", "nll", "ece", "brier", "majority_baseline"}


def write_table(path: Path, photos: Path, parts: Sequence[str] = (), *, swap: str = "") -> Path:
    """Write a CSV of photographs; with ``parts`` their split in turn; the labels of the part ``swap`` are exchanged."""
    other = {"functional": "defective", "defective": "functional"}
    lines = ["path,label" + (",split" if parts else "")]
    for label, wrong in other.items():
        for i, image in enumerate(sorted((photos / label).iterdir())):
            part = parts[i % len(parts)] if parts else ""
            lines.append(f"{image},{wrong if part and part == swap else label}" + (f",{part}" if parts else ""))
    path.write_text("\n".join(lines))
    return path


def copy_parts(photos: Path, root: Path, **counts: int) -> Path:
    """Copy photographs into given split folders, so many per class and part."""
    for label in ("functional", "defective"):
        images = iter(sorted((photos / label).iterdir()))
        for part, count in counts.items():
            folder = root / part / label
            folder.mkdir(parents=True)
            for _ in range(count):
                shutil.copy(next(images), folder)
    return root


def probabilities(run: Path) -> dict[str, float]:
    return {Path(row["path"]).name: float(row["p:defective"]) for row in read_csv(run / "predictions.csv")}


def parts_of(run: Path) -> dict[str, str]:
    return {row["sha256"]: row["split"] for row in read_csv(run / "split.csv")}


def check_figures(figures: dict[str, Any], names: set[str] = FIGURES) -> None:
    assert names <= set(figures)
    assert isinstance(figures["n"], int)
    for name in names:
        assert set(figures[name]) == {"value", "low", "high"}, name
        assert figures[name]["low"] <= figures[name]["value"] <= figures[name]["high"], name


def test_a_run_folder_holds_what_the_contract_says(trained: Path) -> None:
    files = {path.relative_to(trained).as_posix() for path in trained.rglob("*") if path.is_file()}
    assert {
        "config.yaml", "split.csv", "skipped.csv", "history.csv", "metrics.json", "predictions.csv", "report.html",
        "bundle/model.onnx", "bundle/head.safetensors", "bundle/bundle.json", "bundle/README.md",
    } <= files  # fmt: skip
    assert any(name.startswith("figures/") for name in files)
    assert not [name for name in files if Path(name).name.startswith(".")]
    assert list(read_csv(trained / "split.csv")[0]) == ["path", "label", "split", "group", "weight", "sha256"]
    assert (trained / "skipped.csv").read_text() == "path,reason,bytes\n"
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert config["resolved"]["backbone"] == "tf_efficientnet_lite0"
    assert config["resolved"]["root"] == str(trained.parent / "photos")


def test_the_figures_have_the_shape_of_the_contract(trained: Path) -> None:
    metrics = json.loads((trained / "metrics.json").read_text(), parse_constant=pytest.fail)  # no NaN, no infinity
    assert {
        "headline", "test", "val", "cross_validation", "per_class", "confusion", "seconds", "images_per_second", "peak_memory_mb",
        "versions", "temperature", "notes", "engine", "counts", "skipped", "bundle",
    } <= set(metrics)  # fmt: skip
    assert metrics["headline"] == "test"
    for part in ("test", "val", "cross_validation"):
        check_figures(metrics[part])
    split = read_csv(trained / "split.csv")
    for part in ("test", "val"):
        assert metrics[part]["n"] == sum(row["split"] == part for row in split)
    assert set(metrics["per_class"]) == {"defective", "functional"}
    for row in metrics["per_class"].values():
        check_figures(row, {"precision", "recall", "f1"})
    assert np.sum(metrics["confusion"]) == metrics["test"]["n"]
    assert {"scan", "features", "fit", "evaluate", "total"} <= set(metrics["seconds"])
    assert metrics["seconds"]["total"] >= sum(value for name, value in metrics["seconds"].items() if name != "total") - 0.05
    assert metrics["images_per_second"] > 0
    assert 50 < metrics["peak_memory_mb"] <= peak_memory_mb()
    assert {"seefit", "python", "onnxruntime", "numpy"} <= set(metrics["versions"])
    assert metrics["bundle"] == load(trained).hash
    assert metrics["counts"]["train"] == {
        name: sum(row["split"] == "train" and row["label"] == name for row in split) for name in ("defective", "functional")
    }


def test_a_probe_ends_with_advice_what_to_train(trained: Path) -> None:
    metrics = json.loads((trained / "metrics.json").read_text())
    advice, folds = metrics["advice"], metrics["cross_validation"]["balanced_accuracy"]["value"]
    assert advice["images_per_class"] == min(metrics["counts"]["train"].values())
    assert advice["reach"] == pytest.approx(max(0, 2 * folds - 1))
    assert (advice["strategy"], advice["done"]) == ("head" if advice["reach"] >= 0.9 else "top", "head")
    assert advice["text"].isprintable()
    assert advice["text"] in (trained / "report.html").read_text().replace("\N{NO-BREAK SPACE}", " ")


def test_the_same_seed_gives_the_same_files_and_another_one_does_not(train_here: Train, trained: Path) -> None:
    two, other = train_here(out="two"), train_here(out="other", seed=1)
    stored = json.loads((trained / "metrics.json").read_text())
    for name in ("split.csv", "predictions.csv", "history.csv", "bundle/model.onnx", "bundle/bundle.json"):
        assert (trained / name).read_bytes() == (two.path / name).read_bytes(), name
    assert stored["bundle"] == two.metrics["bundle"] != other.metrics["bundle"]
    assert stored["test"] == two.metrics["test"]
    assert parts_of(trained) != parts_of(other.path)


def test_the_number_of_threads_does_not_matter(train_here: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for threads in ("1", "2"):  # each with a cache of its own, so that both compute
        monkeypatch.setenv("SEEFIT_CACHE", str(tmp_path / f"cache{threads}"))
        monkeypatch.setenv("SEEFIT_THREADS", threads)
        plant_tiny()
        train_here(out=f"run{threads}")
    one, two = probabilities(tmp_path / "run1"), probabilities(tmp_path / "run2")
    assert one.keys() == two.keys()
    assert list(one.values()) == pytest.approx([two[name] for name in one], abs=1e-4)
    assert parts_of(tmp_path / "run1") == parts_of(tmp_path / "run2")


def test_the_order_of_the_rows_does_not_matter(train_here: Train, warm: Path, tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.csv", warm)
    header, *lines = table.read_text().splitlines()
    one = train_here(table, "one", root=warm)
    table.write_text("\n".join([header, *np.random.default_rng(0).permutation(lines)]))
    two = train_here(table, "two", root=warm)
    assert (one.path / "predictions.csv").read_bytes() == (two.path / "predictions.csv").read_bytes()
    assert one.metrics["bundle"] == two.metrics["bundle"]


def test_the_names_of_the_files_do_not_matter(train_here: Train, trained: Path, warm: Path, tmp_path: Path) -> None:
    for label in ("functional", "defective"):
        (tmp_path / "renamed" / label).mkdir(parents=True)
        for i, path in enumerate(sorted((warm / label).iterdir(), reverse=True)):
            shutil.copy(path, tmp_path / "renamed" / label / f"{i}.png")
    run, stored = train_here(tmp_path / "renamed"), json.loads((trained / "metrics.json").read_text())
    assert parts_of(run.path) == parts_of(trained)
    for name, tolerance in (("auc", 1e-9), ("nll", 1e-4)):
        assert run.metrics["test"][name]["value"] == pytest.approx(stored["test"][name]["value"], abs=tolerance)


def test_other_test_labels_change_nothing_but_the_figures(train_here: Train, warm: Path, tmp_path: Path) -> None:
    """With a given split, exchange every label of the test part: all that was fitted and chosen is the same, byte for byte."""
    runs = []
    for out, swap in (("right", ""), ("wrong", "test")):
        table = write_table(tmp_path / "t.csv", warm, ("train", "train", "val", "test"), swap=swap)
        runs.append(train_here(table, out, root=warm))
    right, wrong = runs
    for name in ("config.yaml", "history.csv", *(f"bundle/{name}" for name in ("bundle.json", "model.onnx", "head.safetensors"))):
        assert (right.path / name).read_bytes() == (wrong.path / name).read_bytes(), name
    assert probabilities(right.path) == probabilities(wrong.path)
    for name in ("val", "cross_validation", "temperature", "engine", "engine_difference", "bundle"):
        assert right.metrics[name] == wrong.metrics[name], name
    assert wrong.metrics["test"]["accuracy"]["value"] == pytest.approx(1 - right.metrics["test"]["accuracy"]["value"])


def test_only_evaluate_reads_the_test_labels_once_and_when_the_bundle_is_fixed(train_here: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the split the test samples refuse to tell their label; the one reader of split.csv finds the finished bundle."""
    sealed, reads = [], []
    write_first_files = pipeline._write_first_files

    def seal(run: Path, seen: Any, split: Any, classes: Any) -> None:
        write_first_files(run, seen, split, classes)
        for i in split.index("test"):
            seen.samples[i] = Sealed(seen.samples[i])
            sealed.append(seen.samples[i])

    def read(path: Path) -> Any:
        reads.append(load(path.parent).hash)
        return read_split(path)

    monkeypatch.setattr(pipeline, "_write_first_files", seal)
    monkeypatch.setattr(evaluate, "read_split", read)
    run = train_here()
    assert len(sealed) == run.metrics["test"]["n"] > 0
    assert reads == [run.metrics["bundle"]] == [load(run.path).hash]
    with pytest.raises(AssertionError, match="the label of a test image"):
        _ = sealed[0].label


class Sealed:
    """A sample that fails the test when its label is read."""

    def __init__(self, sample: Sample) -> None:
        self._sample = sample

    def __getattr__(self, name: str) -> Any:
        if name in {"label", "target"}:
            raise AssertionError(f"the {name} of a test image was read")
        return getattr(self._sample, name)


@pytest.mark.parametrize(
    ("counts", "given", "sizes", "headline"),
    [
        ({"train": 18, "val": 6}, {}, {"train": 36, "val": 12}, "val"),
        ({"train": 18, "val": 10}, {"test_from_val": 0.5}, {"train": 36, "val": 10, "test": 10}, "test"),
        ({"train": 18, "test": 6}, {}, {"train": 29, "val": 7, "test": 12}, "test"),
        ({"train": 16, "validation": 6, "test": 6}, {}, {"train": 32, "val": 12, "test": 12}, "test"),
        ({"train": 18, "test": 6}, {"val": 0}, {"train": 36, "test": 12}, "test"),
    ],
)  # fmt: skip
def test_a_given_split_wins(
    counts: dict[str, int],
    given: dict[str, Any],
    sizes: dict[str, int],
    headline: str,
    train_here: Train,
    warm: Path,
    tmp_path: Path,
) -> None:
    run = train_here(copy_parts(warm, tmp_path / "parts", **counts), **given)
    found = [row["split"] for row in read_csv(run.path / "split.csv")]
    assert {part: found.count(part) for part in set(found)} == sizes
    assert run.metrics["headline"] == headline
    check_figures(run.metrics[headline])
    assert (run.metrics["test"] is None) == ("test" not in sizes)
    assert (run.metrics["val"] is None) == ("val" not in sizes)
    assert len(read_csv(run.path / "predictions.csv")) == sizes[headline]


@pytest.mark.parametrize(
    ("given", "parts", "headline"),
    [
        ({"test": 0}, {"train", "val"}, "val"),
        ({"val": 0}, {"train", "test"}, "test"),
        ({"val": 0, "test": 0}, {"train"}, "cross_validation"),
        ({"val": 0.4, "test_from_val": 0.5}, {"train", "val", "test"}, "test"),
    ],
)
def test_parts_can_be_left_out(given: dict[str, Any], parts: set[str], headline: str, train_here: Train) -> None:
    run = train_here(**given)
    assert set(parts_of(run.path).values()) == parts
    assert run.metrics["headline"] == headline
    check_figures(run.metrics[headline])
    assert (run.path / "predictions.csv").exists() == (headline != "cross_validation")
    assert run.metrics["temperature"] > 0
    assert len(load(run.path).predict(str(next((run.path / "bundle" / "golden").iterdir())))[0]) == 2


def test_a_leak_across_a_given_split_stops_it_unless_allowed_and_then_comes_first(train_here: Train, warm: Path, tmp_path: Path) -> None:
    root = copy_parts(warm, tmp_path / "parts", train=12, val=4, test=4)
    leaked = sorted((root / "train" / "functional").iterdir())[0]
    shutil.copy(leaked, root / "test" / "functional" / "again.png")
    with pytest.raises(DataError) as caught:
        train_here(root)
    assert caught.value.message.startswith(f"Leak across the given split: {root}. Expected each image in one part only, got ")
    assert "--allow-leak" in caught.value.hint
    assert not (tmp_path / "run").exists()
    run = train_here(root, allow_leak=True)
    assert run.metrics["notes"][0].startswith("Equal images stand on several sides of the given split (1 times, --allow-leak)")
    check_figures(run.metrics["without_leaks"])
    assert run.metrics["without_leaks"]["n"] == run.metrics["test"]["n"] - 1


def test_near_duplicates_across_a_given_split_are_told_with_the_figures_without_them(train_here: Train, warm: Path, tmp_path: Path) -> None:
    root = copy_parts(warm, tmp_path / "parts", train=12, val=4, test=4)
    with Image.open(sorted((root / "train" / "functional").iterdir())[0]) as image:
        image.save(root / "test" / "functional" / "again.jpg", quality=95)
    run = train_here(root)
    assert run.metrics["leaks"] == run.metrics["notes"][:2]
    assert run.metrics["notes"][0].startswith("Near-duplicates stand on several sides of the given split (1 groups)")
    assert run.metrics["notes"][1].startswith("Without images that leak or nearly so, balanced accuracy is ")
    assert run.metrics["without_leaks"]["n"] == run.metrics["test"]["n"] - 1


def test_bad_files_within_the_budget_are_skipped_and_listed(train_here: Train, warm: Path, tmp_path: Path) -> None:
    root = shutil.copytree(warm, tmp_path / "photos")
    (root / "functional" / "page.jpg").write_bytes(b"<html><body>")
    with pytest.raises(DataError, match=r"^Too many images cannot be used: ") as caught:
        train_here(root)
    assert "--max-skipped" in caught.value.hint
    run = train_here(root, max_skipped=0.05)
    assert run.metrics["skipped"] == 1
    assert read_csv(run.path / "skipped.csv") == [{"path": "functional/page.jpg", "reason": "HTML page, not an image", "bytes": "12"}]


def test_classes_that_are_too_small_are_all_named_before_any_feature(train_here: Train, warm: Path, tmp_path: Path) -> None:
    root = tmp_path / "photos"
    for label, count in (("a", 2), ("b", 1), ("c", 10)):
        (root / label).mkdir(parents=True)
        for path in sorted((warm / ("functional" if label < "c" else "defective")).iterdir())[: 3 if label == "a" else 20][-count:]:
            shutil.copy(path, root / label)
    with pytest.raises(DataError, match=r"^Classes too small: .* at least 3 different images in every class, got .*'a'.*'b'") as caught:
        train_here(root)
    assert caught.value.exit_code == 3
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"backbone": "lite00"}, "Unknown backbone: lite00. Expected a known backbone, got 'lite00'."),
        ({"image_size": 31}, "Bad image size: --image-size. Expected 32 to 2048 pixels, got 31."),
    ],
)
def test_a_wrong_model_stops_before_any_image_is_read(
    given: dict[str, Any], message: str, train_here: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "read_dataset", pytest.fail)
    with pytest.raises(UsageError) as caught:
        train_here(**given)
    assert caught.value.message == message
    assert not (tmp_path / "run").exists()
    if "backbone" in given:
        assert caught.value.hint.startswith("Did you mean 'lite0'? Choose one of: ")
