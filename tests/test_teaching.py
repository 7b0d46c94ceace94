"""The teacher of a run: it must know the same classes, should not know the test images, and stays the same until the run ends."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from broken_off import broken_off
from conftest import Train, read_csv
from seefit.bundle.bundle import load
from seefit.errors import ArtefactError, RunError, UsageError
from seefit.gathering import gather
from seefit.pipeline import resume, train
from seefit.settings import make_settings
from seefit.teaching import check_same_teacher, open_teacher
from seefit.training.cache import open_store
from test_cache import Listener
from tiny import CLASSES, make_backbone, make_bundle

HEAD = {"method": "finetune", "freeze": "all", "epochs": 3, "views": 2, "batch": 16, "augment": "any-way-up", "precision": "fp32"}


@pytest.fixture
def larger(tmp_path: Path) -> Path:
    """Return a teacher: a bundle on other weights, whose classes stand in another order."""
    return make_bundle(tmp_path / "larger", make_backbone(tmp_path / "larger.onnx", seed=5), CLASSES[::-1])


def opened(teacher: Path | None, classes: tuple[str, ...] = CLASSES, **given: Any) -> Any:
    return open_teacher(make_settings({"data": "d", "method": "finetune", "teacher": teacher} | given), classes)


def test_the_classes_of_the_teacher_are_those_of_the_run_in_any_order(larger: Path) -> None:
    assert opened(None) is None
    assert opened(larger).hash == load(larger).hash
    with pytest.raises(UsageError) as caught:
        opened(larger, ("cat", "defective", "functional"))
    assert caught.value.message == (
        f"The teacher knows other classes: {larger}. Expected the 3 classes of the images (cat, defective, functional), "
        "got 2 classes (functional, defective)."
    )


def test_a_probe_cannot_be_taught(larger: Path) -> None:
    with pytest.raises(UsageError) as caught:
        opened(larger, method="probe")
    assert caught.value.message == "Nothing to teach: --teacher. Expected --method finetune or scratch, or --preset balanced, got a probe."


def test_a_teacher_that_is_no_bundle_is_refused_before_anything_is_computed(warm: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"^Cannot load the model: .*nowhere\. Expected a run, bundle or export, got nothing there\."):
        train(make_settings({"data": str(warm), "teacher": tmp_path / "nowhere", **HEAD}), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_teacher_that_was_trained_on_test_images_is_a_leak(warm: Path, trained: Path, tmp_path: Path) -> None:
    heard = Listener()
    given = {"data": str(warm), "method": "finetune", "teacher": trained}
    assert gather(make_settings(given), tmp_path, console=heard).leaks == []  # the same seed, so the same split
    assert heard.warned == []
    found = gather(make_settings(given | {"seed": 1}), tmp_path, console=heard)
    known = {row["sha256"] for row in read_csv(trained / "split.csv") if row["split"] == "train"}
    names = [found.seen.samples[i].name for i in found.split.index("test") if found.seen.sha256[i] in known]
    tests = len(found.split.index("test"))
    assert names
    more = f", … {len(names)} in all" if len(names) > 5 else ""
    assert found.leaks[0] == (
        f"A leak: the teacher run was trained on {len(names)} of the {tests} test images ({', '.join(names[:5])}{more}), "
        "so figures on that part are too good. Train the teacher on this run's training part alone."
    )
    assert " validation images (" in found.leaks[1]
    assert heard.warned == found.leaks
    moved = shutil.copytree(trained / "bundle", tmp_path / "moved")
    assert gather(make_settings(given | {"seed": 1, "teacher": moved}), tmp_path).leaks == []


def test_another_teacher_cannot_go_on(larger: Path, tmp_path: Path) -> None:
    first, checkpoints = load(larger), tmp_path / "checkpoints"
    check_same_teacher(checkpoints, first)
    check_same_teacher(checkpoints, first)
    other = load(make_bundle(tmp_path / "other", make_backbone(tmp_path / "other.onnx"), CLASSES))
    with pytest.raises(RunError) as caught:
        check_same_teacher(checkpoints, other)
    assert caught.value.message == (
        f"The teacher changed since the run began: {tmp_path / 'other'}. Expected the bundle {first.hash[:16]}…, got {other.hash[:16]}…."
    )


def test_what_the_teacher_says_is_learnt(train_here: Train, larger: Path) -> None:
    plain = train_here(out="plain", **HEAD)
    whole = train_here(out="whole", teacher=larger, teacher_weight=1, **HEAD)
    assert (whole.path / "predictions.csv").read_bytes() != (plain.path / "predictions.csv").read_bytes()
    losses = [float(row["val_loss"]) for row in read_csv(whole.path / "history.csv")]
    assert losses != [float(row["val_loss"]) for row in read_csv(plain.path / "history.csv")]
    resolved = yaml.safe_load((whole.path / "config.yaml").read_text())
    assert resolved["resolved"]["teacher"] == load(larger).hash
    assert (resolved["teacher"], resolved["teacher_weight"]) == (str(larger), 1.0)
    assert "teacher" not in yaml.safe_load((plain.path / "config.yaml").read_text())["resolved"]


@pytest.mark.slow
def test_a_teacher_without_weight_teaches_nothing(train_here: Train, larger: Path) -> None:
    plain, zero = train_here(out="plain", **HEAD), train_here(out="zero", teacher=larger, teacher_weight=0, **HEAD)
    for name in ("predictions.csv", "bundle/head.safetensors"):
        assert (zero.path / name).read_bytes() == (plain.path / name).read_bytes()


@pytest.mark.slow
def test_a_run_with_a_teacher_that_was_broken_off_ends_as_an_unbroken_one(train_here: Train, larger: Path, tmp_path: Path) -> None:
    whole = train_here(out="whole", teacher=larger, mixup=0.2, **HEAD)
    with broken_off(after=1):
        train_here(out="broken", teacher=larger, mixup=0.2, **HEAD)
    with open_store() as store:  # what is computed again is the same
        answers = [name for name, entry in store.shelves().items() if entry["about"]["features"][0] == "answers"]
        assert answers
        store.clear(answers)
    again = resume(tmp_path / "broken")
    for name in ("predictions.csv", "bundle/head.safetensors"):
        assert (again.path / name).read_bytes() == (whole.path / name).read_bytes()
