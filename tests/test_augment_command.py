"""The picture of nine versions: that it shows what training applies, and takes nothing's place."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command import Answer, seefit
from seefit.bundle.graph import preprocess_model
from seefit.bundle.runtime import open_session
from seefit.cli import augment
from seefit.data.gallery import draw_tiles
from seefit.files import sha256_file
from seefit.settings import make_settings
from seefit.training.augment import AUGMENTATIONS, parse_augmentation
from seefit.training.changes import Pixels
from seefit.training.views import make_view
from test_listing import touch
from tiny import MEAN, SIDE, STD

Tiles = list[tuple[Pixels, str]]


@pytest.fixture
def tiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tiles:
    """Return a list that holds what was drawn last; work in an empty folder."""
    drawn: Tiles = []

    def draw(found: Tiles) -> object:
        drawn[:] = found
        return draw_tiles(found[:1])  # one image, for the sake of speed

    monkeypatch.setattr(augment, "draw_tiles", draw)
    monkeypatch.chdir(tmp_path)
    return drawn


def first_image(folder: Path) -> Path:
    return min(folder.rglob("*.png"))


def seen(pixels: Pixels, fit: str) -> Pixels:
    """What the network is given, as colours."""
    session = open_session(preprocess_model(SIDE, MEAN, STD, fit), intra_threads=1)  # type: ignore[arg-type]
    planes = session.run(None, {"image": pixels[np.newaxis]})[0][0]
    return np.asarray(np.rint(255 * (planes.transpose(1, 2, 0) * STD + MEAN)).clip(0, 255), np.uint8)


def test_nine_versions_on_one_picture(warm: Path, tmp_path: Path) -> None:
    out = tmp_path / "nine.png"
    answer = seefit("augment", warm, "--out", out, "--augment", "strong,hue=0.1")
    assert (answer.code, answer.out) == (0, f"{out}\n"), answer.err
    wanted = parse_augmentation("strong,hue=0.1")
    assert answer.err.splitlines() == [
        "Pictures: as tf_efficientnet_lite0 gets them, 32 x 32 pixels (--fit crop)",
        f"Augmentation: {wanted.describe()}",
        "Blending, swapping and noise act on whole batches while training, and are not drawn here",
    ]
    picture = Image.open(out)
    assert picture.format == "PNG"
    assert picture.size[0] > 900
    assert np.asarray(picture.convert("RGB"))[0, 0].tolist() == [255, 255, 255]
    assert [path.name for path in tmp_path.iterdir()] == ["nine.png"]


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
def test_each_tile_is_what_the_network_would_get_of_that_view(fit: str, warm: Path, tiles: Tiles, tmp_path: Path) -> None:
    folder = tmp_path / "wide" / "a"
    folder.mkdir(parents=True)
    Image.open(first_image(warm)).convert("RGB").crop((0, 0, 300, 180)).save(folder / "1.png")
    answer = seefit("augment", folder.parent, "--fit", fit, "--seed", 7, "--augment", "medium")
    assert answer.code == 0, answer.err
    pixels, sha256 = np.array(Image.open(folder / "1.png")), sha256_file(folder / "1.png")
    view = make_view(AUGMENTATIONS["medium"], seed=7)
    assert [title for _, title in tiles] == ["the image itself", *(f"view {number}" for number in range(1, 9))]
    for number, (drawn, _) in enumerate(tiles):
        assert np.abs(drawn.astype(int) - seen(view(pixels, sha256, number), fit)).max() <= 1
    assert len({drawn.tobytes() for drawn, _ in tiles}) == 9


def test_without_augmentation_all_nine_are_the_image(warm: Path, tiles: Tiles) -> None:
    assert seefit("augment", warm, "--augment", "none").code == 0
    assert len({drawn.tobytes() for drawn, _ in tiles}) == 1


def test_json_says_what_was_drawn_where(warm: Path, tiles: Tiles) -> None:
    answer = seefit("augment", warm, "--augment", "rotation=20,mixup=0.5", "--json")
    assert answer.json == {
        "image": first_image(warm).relative_to(warm).as_posix(),
        "augmentation": {"rotation": [-20, 20], "mixup": 0.5},
        "out": "augment.png",
    }
    assert parse_augmentation(answer.json["augmentation"]) == parse_augmentation("rotation=20,mixup=0.5")


def test_the_default_is_that_of_training(warm: Path, tiles: Tiles) -> None:
    default = parse_augmentation(make_settings({"data": "x"}).augment)
    assert parse_augmentation(seefit("augment", warm, "--json").json["augmentation"]) == default


def test_pictures_are_numbered_and_none_takes_anothers_place(warm: Path, tiles: Tiles, tmp_path: Path) -> None:
    (tmp_path / "augment.png").write_text("mine")
    outs = [seefit("augment", warm, "--quiet").out for _ in range(2)]
    assert outs == ["augment-2.png\n", "augment-3.png\n"]
    assert (tmp_path / "augment.png").read_text() == "mine"
    answer = seefit("augment", warm, "--out", "augment.png")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.splitlines()[-2:] == [
        "error: The picture would take the place of something: augment.png. Expected a name that is free, got a file of 4 bytes.",
        "Name another file with --out.",
    ]
    assert (tmp_path / "augment.png").read_text() == "mine"


def test_an_image_by_number_name_or_path(warm: Path, tiles: Tiles, tmp_path: Path) -> None:
    path = sorted((warm / "defective").iterdir())[4]
    for image in ("5", f"defective/{path.name}", path):
        assert seefit("augment", warm, "--image", image, "--json").json["image"] == f"defective/{path.name}"


def test_the_first_training_image_that_can_be_decoded(warm: Path, tiles: Tiles, tmp_path: Path) -> None:
    touch(tmp_path, "data/train/a/0.jpg", "data/val/a/0.jpg")
    for place in ("train/a/1.png", "val/a/1.png", "train/b/1.png", "val/b/1.png"):
        (tmp_path / "data" / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(first_image(warm), tmp_path / "data" / place)
    assert seefit("augment", "data", "--json").json["image"] == "train/a/1.png"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--out", "f.jpg"], 2, "Unknown file type: f.jpg. Expected .png, got '.jpg'."),
        (["--out", "no/f.png"], 6, "Cannot write: no/f.png. "),
        (["--augment", "mediun"], 2, "Unknown augmentation: mediun. "),
        (["--augment", "hue=7"], 2, "Bad augmentation: hue. "),
        (["--image", "61"], 2, "Unknown image: {warm}. Expected a number from 1 to 60, or a name such as 'defective/"),
        (["--image", "0"], 2, "Unknown image: {warm}. "),
        (["--image", "9" * 9999], 2, "Unknown image: {warm}. "),
        (["--image", "cat.png"], 2, "Unknown image: {warm}. "),
        (
            ["--max-pixels", "100"],
            3,
            "Cannot show an image: {warm}. Expected at least one training image that can be decoded, got none of 60.",
        ),
        (["--max-pixels", "100", "--image", "1"], 3, "Cannot decode the image: {warm}/defective/"),
    ],
)
def test_what_cannot_be_done_says_why_and_writes_nothing(
    arguments: list[str], code: int, message: str, warm: Path, tiles: Tiles, tmp_path: Path
) -> None:
    answer: Answer = seefit("augment", warm, *arguments, "--json")
    assert answer.code == code
    assert answer.error()["message"].startswith(message.format(warm=warm))
    assert list(tmp_path.iterdir()) == []
