"""What an export starts from."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import read_csv
from seefit.deploy.finished import open_finished
from seefit.errors import RunError
from seefit.files import sha256_file


def test_a_run_gives_its_training_and_validation_images_and_no_test_labels(little: Path) -> None:
    finished = open_finished(little)
    table = read_csv(little / "split.csv")
    for name in ("train", "val"):
        part = finished.part(name)
        assert [sample.name for sample in part.samples] == [row["path"] for row in table if row["split"] == name]
        assert all(sha256_file(sample.path) == digest for sample, digest in zip(part.samples, part.sha256, strict=True))
        assert len(part.units) == len(part.samples)
    assert {row.split for row in finished.rows} == {"train", "val"}
    assert finished.part("test").samples == []


def test_what_is_no_finished_run(little: Path, tmp_path: Path) -> None:
    for place, got in ((little / "bundle", "a bundle"), (tmp_path, "an unfinished run or none")):
        with pytest.raises(RunError, match=got):
            open_finished(place)
