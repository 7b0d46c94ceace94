"""What an extended run takes over: soft targets of older images from ``split.csv``, files of the user's own from where they lie."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from seefit.data.dataset import Dataset, Sample
from seefit.extending import inherit, join
from seefit.settings import make_settings


def test_soft_targets_of_older_images_are_taken_over(trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    header, *lines = (run / "split.csv").read_text().splitlines()
    soft = [f"{line},0.25,0.75" if i == 3 else f"{line},," for i, line in enumerate(lines)]
    (run / "split.csv").write_text("\n".join([f"{header},p:functional,p:defective", *soft]) + "\n")
    new = Dataset("more", tmp_path, [Sample(tmp_path / "x.png", "x.png", "camera", target=(1.0,))], ("camera",))
    both, older = join(new, run)
    assert both.classes == ("camera", "defective", "functional")
    targets = {i: sample.target for i, sample in enumerate(both.samples) if sample.target is not None}
    assert targets == {3: (0.0, 0.75, 0.25), 60: (1.0, 0.0, 0.0)}
    assert set(both.samples[:60]) == set(older.known)


def test_a_class_that_only_soft_targets_name_is_one_of_the_run(trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    header, *lines = (run / "split.csv").read_text().splitlines()
    (run / "split.csv").write_text("\n".join([f"{header},p:cracked,p:defective", *(f"{line},0.5,0.5" for line in lines)]) + "\n")
    both, older = join(Dataset("more", tmp_path, [Sample(tmp_path / "x.png", "x.png", "camera")], ("camera",)), run)
    assert both.classes == ("camera", "cracked", "defective", "functional")
    assert older.classes == both.classes[1:]


def test_a_loss_of_the_users_own_is_found_from_another_folder(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    began = yaml.safe_load((run / "config.yaml").read_text())["resolved"]["started_in"]
    (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("loss: cross-entropy", "loss: mine.py:loss"))
    monkeypatch.chdir(tmp_path)
    assert inherit(make_settings({"data": "more", "extend": run})).loss == str(Path(began) / "mine.py:loss")
