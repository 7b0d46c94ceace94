from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from command import Answer, seefit
from seefit.training import engine


def test_features_go_to_a_file_with_names_and_labels(warm: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.npz"
    answer = seefit("features", warm, "--out", out, "--json")
    assert answer.code == 0
    assert set(answer.json) == {"out", "images", "features", "shape", "engine"}
    assert (answer.json["out"], answer.json["images"], answer.json["shape"]) == (str(out), 60, [60, 24])
    kept = np.load(out, allow_pickle=False)
    assert {name: kept[name].dtype.kind for name in kept} == {"features": "f", "path": "U", "label": "U", "sha256": "U"}
    assert kept["features"].dtype == np.float32
    assert kept["features"].shape == (60, 24)
    assert np.isfinite(kept["features"]).all()
    assert sorted(kept["path"]) == sorted(path.relative_to(warm).as_posix() for path in warm.rglob("*.png"))
    assert [path.split("/")[0] for path in kept["path"]] == kept["label"].tolist()
    assert len(set(kept["sha256"])) == 60


def test_the_numbers_follow_the_image_and_not_its_place(warm: Path, tmp_path: Path) -> None:
    one = tmp_path / "one"
    for name in ("a", "b"):
        (one / name).mkdir(parents=True)
    for i, path in enumerate(sorted(warm.rglob("*.png"))[:6]):
        shutil.copy(path, one / ("a" if i % 2 else "b") / f"{9 - i}.png")
    for source, out in ((warm, "all.npz"), (one, "few.npz")):
        assert seefit("features", source, "--out", tmp_path / out, "--fit", "crop").code == 0
    every, few = (np.load(tmp_path / out, allow_pickle=False) for out in ("all.npz", "few.npz"))
    row = {digest: i for i, digest in enumerate(every["sha256"])}
    assert np.array_equal(few["features"], every["features"][[row[digest] for digest in few["sha256"]]])


def test_pooled_features_are_the_backbones_own(warm: Path, tmp_path: Path) -> None:
    answer = seefit("features", warm, "--out", tmp_path / "f.npz", "--features", "pooled")
    assert answer == Answer(0, f"60 images x 8 features (pooled) in {tmp_path / 'f.npz'}\n", answer.err)


def test_parquet_holds_the_same(warm: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    for name in ("f.npz", "f.parquet"):
        assert seefit("features", warm, "--out", tmp_path / name).code == 0
    table, kept = parquet.read_table(tmp_path / "f.parquet"), np.load(tmp_path / "f.npz", allow_pickle=False)
    assert table.column_names == ["path", "label", "sha256", "features"]
    assert np.array_equal(np.array(table["features"].to_pylist(), np.float32), kept["features"])
    assert table["path"].to_pylist() == kept["path"].tolist()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--out", "f.txt"], 2, "Unknown file type: f.txt. Expected .npz or .parquet, got '.txt'."),
        (["--out", "no/f.npz"], 6, "Cannot write: no/f.npz. "),
        (["--out", "f.npz", "--features", "all"], 2, "Bad setting: --features. Expected 'auto', 'stages', 'pooled' or 'flatten', got "),
        (["--out", "f.npz", "--max-pixels", "100"], 3, "Too many images cannot be used: "),
        (["--out", "f.npz", "--max-pixels", "100", "--device", "cuda"], 6, "No GPU: --device cuda. "),  # before any look at the data
        (["--out", "f.npz", "--max-pixels", "100", "--backbone", "lite9"], 2, "Unknown backbone: lite9. "),
    ],
)
def test_what_cannot_be_done_says_why(
    arguments: list[str], code: int, message: str, warm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(engine, "_has_gpu", lambda: False)
    answer = seefit("features", warm, *arguments, "--json")
    assert answer.code == code
    assert answer.error()["message"].startswith(message)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["features", "check"])
def test_links_and_checksums_are_treated_as_in_training(command: str, warm: Path, tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / "links" / label).mkdir(parents=True)
    for i, path in enumerate(sorted(warm.rglob("*.png"))[:8]):
        (tmp_path / "links" / "ab"[i % 2] / path.name).symlink_to(path)
    out = ["--out", tmp_path / "f.npz"] if command == "features" else []
    assert seefit(command, tmp_path / "links", *out, "--json").code == 3  # links that leave the data are left out
    followed = seefit(command, tmp_path / "links", *out, "--follow-links", "--json")
    assert (followed.code, followed.json["images"]) == (0, 8)
    archive = shutil.make_archive(str(tmp_path / "photos"), "zip", warm)
    refused = seefit(command, archive, *out, "--sha256", "0" * 64, "--json")
    assert refused.error()["message"].startswith(f"The checksum does not match: {archive}. Expected sha256 {'0' * 64}, got ")
    digest = hashlib.sha256(Path(archive).read_bytes()).hexdigest()
    assert seefit(command, archive, *out, "--sha256", digest, "--json").json["images"] == 60
