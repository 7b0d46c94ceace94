"""Walking folders: odd names, links, special files, what is ignored."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from unittest.mock import Mock

import pytest

from seefit.data.listing import is_image, list_folder, walk
from seefit.errors import DataError

ODD_NAMES = [
    "ünï.jpg",
    "🐈.jpg",
    "new\nline.jpg",
    "tab\t.jpg",
    "com,ma;.jpg",
    "quote\"'.jpg",
    "<script>alert(1)<.jpg",
    "\x1b[31mred.jpg",
    "ca\udce9f.jpg",
    " lead and trail .jpg",
    "$5 %s {x}.jpg",
]


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_every_name_survives(tmp_path: Path) -> None:
    touch(tmp_path, *ODD_NAMES)
    found = list_folder(tmp_path).images
    assert sorted(found) == sorted(ODD_NAMES)
    assert all((tmp_path / name).read_bytes() == b"x" for name in found)


def test_images_are_known_by_extension_in_any_case(tmp_path: Path) -> None:
    assert all(map(is_image, ["a.JPG", "a.jpeg", "a.jpe", "a.Png", "a.webp", "a.gif", "a.bmp", "a.tif", "a.TIFF"]))
    assert not any(map(is_image, ["jpg", "a.jpg.txt", "a", ".png", "a.svg", "a.pdf"]))
    touch(tmp_path, "a.jpg", "b.txt", "c.TXT", "README")
    found = list_folder(tmp_path)
    assert found.images == ["a.jpg"]
    assert found.notes() == ["Passed over 3 files that are not images (2 x .txt, 1 x no extension)."]


def test_natural_order_whatever_the_order_on_disk(tmp_path: Path) -> None:
    touch(tmp_path, "10.jpg", "b/1.jpg", "2.jpg", "a/10.jpg", "a/9.jpg", "1.jpg")
    assert list_folder(tmp_path).images == ["1.jpg", "2.jpg", "10.jpg", "a/9.jpg", "a/10.jpg", "b/1.jpg"]


def test_hidden_and_system_entries_are_ignored_and_counted(tmp_path: Path) -> None:
    ignored = [".ipynb_checkpoints/1.jpg", "__MACOSX/._1.jpg", "cat/._1.jpg", "cat/Thumbs.db", "cat/desktop.ini", "@eaDir/1.jpg", ".git/x"]
    touch(tmp_path, "cat/1.jpg", *ignored, ".hidden.jpg")
    found = list_folder(tmp_path)
    assert found.images == ["cat/1.jpg"]
    assert found.folders == ["cat"]
    assert len(found.ignored) == 8
    assert found.notes()[0].startswith("Ignored 8 hidden or system entries (")
    assert found.notes()[0].endswith(", … 8 in all).")


def test_a_hidden_root_is_read(tmp_path: Path) -> None:
    touch(tmp_path / ".data", "cat/1.jpg")
    assert list_folder(tmp_path / ".data").images == ["cat/1.jpg"]


@pytest.mark.parametrize("follow_links", [False, True])
def test_link_loops_end(tmp_path: Path, follow_links: bool) -> None:
    touch(tmp_path, "a/1.jpg", "b/2.jpg")
    (tmp_path / "a/up").symlink_to("..")
    (tmp_path / "a/self.jpg").symlink_to("self.jpg")
    (tmp_path / "a/other").symlink_to("../b")
    (tmp_path / "b/other").symlink_to("../a")
    found = list_folder(tmp_path, follow_links=follow_links)
    assert found.images == ["a/1.jpg", "b/2.jpg"]
    assert {skip.name: skip.reason for skip in found.skips} == {
        "a/self.jpg": "link to nothing",
        "a/up": "link to a folder that is listed already",
        "a/other": "link to a folder that is listed already",
        "b/other": "link to a folder that is listed already",
    }


def test_links_inside_the_root_are_images(tmp_path: Path) -> None:
    touch(tmp_path, "store/1.bin")
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat/1.jpg").symlink_to("../store/1.bin")
    assert list_folder(tmp_path).images == ["cat/1.jpg"]


def test_links_that_leave_the_root_are_skipped_unless_asked(tmp_path: Path) -> None:
    touch(tmp_path, "out/1.jpg", "out/deep/2.jpg", "data/cat/3.jpg", "data2/4.jpg")
    root = tmp_path / "data"
    (root / "dog").symlink_to(tmp_path / "out")
    (root / "cat/link.jpg").symlink_to(tmp_path / "out/1.jpg")
    (root / "cat/beside.jpg").symlink_to("../../data2/4.jpg")  # "data2" begins like the root "data"
    (root / "cat/gone.jpg").symlink_to("nowhere.jpg")
    left = list_folder(root)
    assert left.images == ["cat/3.jpg"]
    assert left.folders == ["cat"]
    assert [(skip.name, skip.reason) for skip in left.skips] == [
        ("dog", "link that leaves the folder"),
        ("cat/beside.jpg", "link that leaves the folder"),
        ("cat/gone.jpg", "link to nothing"),
        ("cat/link.jpg", "link that leaves the folder"),
    ]
    assert left.skips[-1].bytes == 1
    followed = list_folder(root, follow_links=True)
    assert followed.images == ["cat/3.jpg", "cat/beside.jpg", "cat/link.jpg", "dog/1.jpg", "dog/deep/2.jpg"]
    assert followed.folders == ["cat", "dog", "dog/deep"]


def test_a_linked_root_is_not_outside_of_itself(tmp_path: Path) -> None:
    touch(tmp_path, "real/cat/1.jpg")
    (tmp_path / "real/cat/2.jpg").symlink_to(tmp_path / "real/cat/1.jpg")
    (tmp_path / "root").symlink_to("real")
    assert list_folder(tmp_path / "root").images == ["cat/1.jpg", "cat/2.jpg"]


def test_special_files_are_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "fifo.jpg")
    (tmp_path / "link.jpg").symlink_to("fifo.jpg")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
        found: list[str] = []
        thread = threading.Thread(target=lambda: found.extend(skip.name for skip in list_folder(tmp_path).skips), daemon=True)
        thread.start()
        thread.join(5)  # opening a FIFO would wait for ever
    assert sorted(found) == ["fifo.jpg", "link.jpg", "socket.jpg"]


def test_an_unreadable_folder_stops_the_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError) as caught:
        list_folder(tmp_path)
    assert caught.value.message == f"Cannot read a folder: {tmp_path}. Expected a folder that you may read, got Permission denied."


def test_files_cost_no_look_at_the_disk_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, *(f"cat/{i}.jpg" for i in range(50)))
    stat, lstat = Mock(wraps=os.stat), Mock(wraps=os.lstat)
    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr(os, "lstat", lstat)
    assert sum(len(level.images) for level in walk(tmp_path)) == 50
    assert stat.call_count + lstat.call_count < 20  # the root's own path, nothing per file
