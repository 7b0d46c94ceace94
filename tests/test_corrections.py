"""Corrections are kept for `seefit train --extend`, never written over, and only up to a stated amount."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import threading
from pathlib import Path

import pytest
from PIL import Image

from command import seefit, start
from conftest import PhotoFolder, Train, read_csv
from seefit.bundle.bundle import load
from seefit.data.image import Undecodable
from seefit.deploy.serve import corrections as module
from seefit.deploy.serve.corrections import Corrections, can_be_folder
from seefit.errors import ResourceError, RunError, UsageError

httpx = pytest.importorskip("httpx", reason="httpx is not installed")
CLASSES = ("defective", "functional")


def picture(value: int = 0, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (value, 10, 20)).save(buffer, kind)
    return buffer.getvalue()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def kept(tmp_path: Path) -> Corrections:
    return Corrections(tmp_path / "kept", CLASSES)


@pytest.mark.parametrize(
    ("kind", "suffix"), [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp"), ("GIF", "gif"), ("BMP", "bmp"), ("TIFF", "tif")]
)
def test_a_picture_is_kept_as_it_came(kept: Corrections, kind: str, suffix: str) -> None:
    data = picture(1, kind)
    assert kept.keep(data, "defective") == 1
    assert (kept.folder / "defective" / f"{digest(data)}.{suffix}").read_bytes() == data
    assert [path.name for path in kept.folder.rglob("*") if path.is_file()] == [f"{digest(data)}.{suffix}"], "no lock stays"


def test_the_same_again_changes_nothing_and_another_label_is_refused(kept: Corrections) -> None:
    data = picture()
    assert (kept.keep(data, "defective"), kept.keep(data, " defective "), kept.count()) == (1, 1, 1)
    with pytest.raises(RunError) as caught:
        kept.keep(data, "functional")
    assert caught.value.message == (
        "The picture was corrected before: the folder for corrections. Expected 'defective', as it was kept, got 'functional'."
    )
    assert [path.parent.name for path in kept.folder.rglob("*.png")] == ["defective"]


def test_names_that_look_the_same_are_one_class(kept: Corrections) -> None:
    for value, label in enumerate(["Defective", "DEFECTIVE ", "Café", "cafe\u0301", "CAFÉ"]):
        kept.keep(picture(value), label)
    assert sorted(path.name for path in kept.folder.iterdir()) == ["Café", "defective"]


BAD = [
    "",
    "  ",
    ".",
    "..",
    ".hidden",
    "a/b",
    "..\\c",
    "a\0b",
    "a\nb",
    "x" * 101,
    "猫" * 80,
    "con",
    "LPT1.txt",
    "what?",
    "end.",
    "Thumbs.db",
    "test",
]


@pytest.mark.parametrize("label", BAD)
def test_a_name_that_no_folder_can_have_is_refused(kept: Corrections, label: str) -> None:
    with pytest.raises(UsageError) as caught:
        kept.keep(picture(), label)
    assert caught.value.message.startswith(
        "Cannot keep the correction: label. Expected a class of the model, or a new name of at most 100 "
    )
    assert list(kept.folder.rglob("*")) == []


def test_what_is_no_picture_is_refused(kept: Corrections) -> None:
    for data in (b"", b"<html>", picture()[:40]):
        with pytest.raises(Undecodable):
            kept.keep(data, "defective")
    assert list(kept.folder.rglob("*")) == []


@pytest.mark.parametrize(("images", "size"), [(2, 10**9), (1000, 200)])
def test_there_is_an_end(kept: Corrections, monkeypatch: pytest.MonkeyPatch, images: int, size: int) -> None:
    monkeypatch.setattr(module, "MOST_IMAGES", images)
    monkeypatch.setattr(module, "MOST_BYTES", size)
    assert not kept.is_full()
    count = 0
    with pytest.raises(ResourceError, match="The folder for corrections is full: the folder"):
        for value in range(5):
            count = kept.keep(picture(value), "defective")
    assert kept.count() == count == 2
    assert kept.is_full() is (images == 2), "there may be room for a smaller picture"
    assert kept.keep(picture(0), "defective") == 2, "what is kept is kept"


def test_many_at_once_are_all_kept(kept: Corrections) -> None:
    others = [Corrections(kept.folder, CLASSES) for _ in range(3)]
    threads = [threading.Thread(target=others[i % 3].keep, args=(picture(i), CLASSES[i % 2])) for i in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept.count() == 24


@pytest.mark.parametrize("classes", [("a/b", "c"), ("..", "c"), ("x" * 300, "c")])
def test_classes_that_are_no_folder_names_go_to_a_table(tmp_path: Path, classes: tuple[str, str]) -> None:
    kept = Corrections(tmp_path / "kept", classes)
    for value, label in enumerate([*classes, "new"]):
        kept.keep(picture(value), label)
    assert kept.keep(picture(0), classes[0]) == 3
    with pytest.raises(RunError):
        kept.keep(picture(0), "new")
    rows = read_csv(kept.data)
    assert [row["label"] for row in rows] == [*classes, "new"]
    assert [(kept.folder / row["path"]).read_bytes() for row in rows] == [picture(0), picture(1), picture(2)]
    assert (kept.data, Corrections(tmp_path / "kept", CLASSES).in_table) == (tmp_path / "kept" / "labels.csv", True), "as it was begun"


def test_what_can_be_a_folder() -> None:
    assert all(can_be_folder(name) for name in ("cat", "裂纹", "a b", "Ragdoll-2", "é", "label", "p:x".replace(":", "_")))
    assert not any(can_be_folder(name) for name in ("train", "Val", "cafe\u0301", " a", "a:b", "\ud800"))


def test_a_disk_that_fails_is_said_without_its_place(kept: Corrections, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.keep(picture(0), "defective")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "no space")))
    with pytest.raises(ResourceError) as caught:
        kept.keep(picture(1), "defective")
    assert caught.value.message.startswith("Cannot keep the correction: the folder for corrections. Expected a folder that can be ")
    assert str(kept.folder) not in str(caught.value)
    assert kept.count() == 1, "and nothing is there in part"


def test_a_folder_in_use_is_waited_for(kept: Corrections, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    (kept.folder / ".lock").write_text("1")  # which lives as long as the machine
    with pytest.raises(ResourceError, match="Cannot keep the correction"):
        kept.keep(picture(1), "defective")
    (kept.folder / ".lock").write_text("99999999")
    assert kept.keep(picture(1), "defective") == 1, "the lock of a process that is gone is taken over"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResourceError, match="Cannot write"):
        Corrections(tmp_path / "file" / "below", CLASSES)


def test_train_extends_a_run_with_what_was_kept(train_here: Train, photo_folder: PhotoFolder, tmp_path: Path) -> None:
    """The other way round: what people correct on the page is what the next run learns from."""
    run = train_here().path
    kept = Corrections(tmp_path / "kept", load(run).classes)
    fresh = sorted(photo_folder(34).rglob("*.png"))
    known = {row["sha256"] for row in read_csv(run / "split.csv")}
    new = [path for path in fresh if digest(path.read_bytes()) not in known]
    assert len(new) >= 6
    for path in new[:6]:
        kept.keep(path.read_bytes(), "defective")  # of one class alone
    answer = seefit("train", kept.data, "--extend", run, "--out", tmp_path / "second", "--json")
    assert answer.code == 0, answer.err
    rows = read_csv(tmp_path / "second" / "split.csv")
    added = [row for row in rows if row["sha256"] not in known]
    assert sorted(row["sha256"] for row in added) == sorted(digest(path.read_bytes()) for path in new[:6])
    assert {row["label"] for row in added} == {"defective"}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_serve_keeps_what_the_page_sends(trained: Path, tmp_path: Path, workers: int) -> None:
    folder = tmp_path / "kept"
    server = start("serve", trained, "--port", 0, "--json", "--corrections", folder, "--workers", workers)
    try:
        assert server.stdout is not None
        url = json.loads("".join(iter(server.stdout.readline, "}\n")) + "}")["url"]
        for value in range(4):
            form = {"params": {"label": "defective"}, "files": {"file": ("a.png", picture(value))}, "headers": {"origin": url}}
            assert httpx.post(f"{url}/corrections", **form).json() == {"kept": str(value + 1), "full": False}
    finally:
        server.terminate()
        said = server.communicate(timeout=60)[1]
    assert server.returncode == 0
    assert sorted(path.read_bytes() for path in (folder / "defective").iterdir()) == sorted(picture(value) for value in range(4))
    assert f"Learn from them: seefit train {folder} --extend {trained}\n" in said


def test_train_reads_the_table_too(train_here: Train, photo_folder: PhotoFolder, tmp_path: Path) -> None:
    photos = photo_folder(24, root=tmp_path / "some")
    rows = [f"{path.relative_to(photos).as_posix()},cell/{path.parent.name}" for path in sorted(photos.rglob("*.png"))]
    (photos / "labels.csv").write_text("path,label\n" + "\n".join(rows) + "\n")
    run = train_here(data=str(photos / "labels.csv")).path
    kept = Corrections(tmp_path / "kept", load(run).classes)
    more = sorted((photo_folder(6, root=tmp_path / "more", start=40) / "functional").iterdir())
    for path in more:
        kept.keep(path.read_bytes(), "cell/defective")
    answer = seefit("train", kept.data, "--extend", run, "--out", tmp_path / "second", "--json")
    assert answer.code == 0, answer.err
    added = [row for row in read_csv(tmp_path / "second" / "split.csv") if "images/" in row["path"]]
    assert [row["label"] for row in added] == ["cell/defective"] * 6
