"""The gallery holds training images alone, without what their files say of themselves, and the bundle that carries it says so."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command import seefit
from conftest import Train, read_csv
from seefit.bundle.bundle import load
from seefit.bundle.neighbours import GALLERY, PICTURE_PX
from seefit.data.image import decode
from seefit.errors import ArtefactError
from seefit.exhibiting import fit_gallery
from seefit.settings import make_settings
from test_cache import Listener
from test_fitting import CLASSES, fit, make_part, open_warped
from tiny import plant_tiny


def test_a_run_keeps_small_pictures_of_its_training_part(train_here: Train, warm: Path, tmp_path: Path) -> None:
    run = train_here(gallery=True)
    bundle = load(run.path)
    rows = [row for row in read_csv(run.path / "split.csv") if row["split"] == "train"]
    assert bundle.gallery is not None
    assert sorted(bundle.gallery.names) == sorted(Path(row["path"]).name for row in rows)
    assert bundle.manifest["gallery"] == len(rows)
    assert set(bundle.manifest["files"]) >= {GALLERY}
    by_name = {Path(row["path"]).name: row for row in rows}
    for name, row in list(by_name.items())[:6]:
        pixels = bundle.reference.pixels(decode(warm / row["path"]))
        first = bundle.gallery.nearest(bundle.reference.run(pixels[np.newaxis], ["features"])[0][0], 1)[0]
        assert (first.name, bundle.classes[first.label]) == (name, row["label"])
        assert first.similarity > 0.99
        with Image.open(io.BytesIO(first.picture)) as small:
            assert (small.format, max(small.size), dict(small.getexif())) == ("JPEG", PICTURE_PX, {})
    card = (run.path / "bundle" / "README.md").read_text(encoding="utf-8")
    assert f"**It carries small pictures of {len(rows)} training images, with the names of their files**" in card


def test_without_being_asked_for_no_picture_travels(trained: Path) -> None:
    bundle = load(trained)
    assert bundle.gallery is None
    assert GALLERY not in bundle.manifest["files"]
    assert "gallery" not in (trained / "bundle" / "README.md").read_text(encoding="utf-8")


def test_explain_shows_the_gallery_where_the_images_are_gone(train_here: Train, warm: Path, tmp_path: Path) -> None:
    run, photo = train_here(gallery=True).path, min(warm.rglob("*.png"))
    alone = shutil.copytree(run / "bundle", tmp_path / "alone")
    answer = seefit("explain", alone, photo, "--json", "--out", tmp_path / "why.png")
    assert answer.code == 0, answer.err
    near = answer.json["nearest"]
    assert len(near) == 4
    assert {entry["path"] for entry in near} <= {path.name for path in warm.rglob("*.png")}
    assert [entry["cosine"] for entry in near] == sorted((entry["cosine"] for entry in near), reverse=True)
    with Image.open(tmp_path / "why.png") as drawn:
        assert drawn.height > 700, "with a row of pictures below"


def test_a_changed_bit_in_a_picture_is_refused(train_here: Train) -> None:
    run = train_here(gallery=True).path
    file = run / "bundle" / GALLERY
    data = bytearray(file.read_bytes())
    data[-100] ^= 1
    file.write_bytes(data)
    with pytest.raises(ArtefactError, match="as the manifest says"):
        load(run)


def test_images_that_are_gone_are_left_out(tmp_path: Path) -> None:
    plant_tiny()
    settings = make_settings({"data": "pictures", "device": "cpu"})
    train = make_part(tmp_path / "train", 40, seed=0)
    fitted, heard = fit(settings, open_warped(settings, 0.0), train), Listener()
    train.samples[3].path.unlink()
    kept = fit_gallery(fitted, CLASSES, train, max_pixels=10**8, console=heard)
    assert kept is not None
    assert train.samples[3].path.name not in kept.names
    assert heard.said == ["Gallery: 39 small pictures of training images travel with the model, with the names of their files"]
    for sample in train.samples:
        sample.path.unlink(missing_ok=True)
    assert fit_gallery(fitted, CLASSES, train, max_pixels=10**8) is None
