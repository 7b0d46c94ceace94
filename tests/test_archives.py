"""Archives: fetched once, unpacked once and safely, bombs and damage refused."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import http.server
import io
import lzma
import os
import stat
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from seefit.data import archives
from seefit.data.archives import is_archive, is_url, unpack
from seefit.data.sources import read_dataset
from seefit.environment import cache_folder
from seefit.errors import DataError, ResourceError, SeefitError, UsageError

FILES = {"pets/cat/1.jpg": b"one", "pets/cat/ünï 🐈\n.jpg": b"two", "pets/dog/1.jpg": b"three", "pets/README": b"hello"}


def make_zip(path: Path, files: dict[str, bytes] = FILES, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def member(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, link
    return info, data


def make_tar(path: Path, members: list[tuple[tarfile.TarInfo, bytes]] | None = None) -> Path:
    if members is None:
        members = [member(name, data) for name, data in FILES.items()]
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    packers: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "tgz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
    path.write_bytes(packers.get(path.name.rpartition(".")[2], bytes)(plain.getvalue()))
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refusal(path: Path) -> str:
    """Return why an archive is refused; nothing of it may be left, inside the cache or outside."""
    before = set(path.parent.rglob("*"))
    with pytest.raises(DataError) as caught:
        unpack(str(path))
    assert set(path.parent.rglob("*")) == before
    assert [entry.name for entry in cache_folder("downloads").iterdir() if not entry.name.endswith(".lock")] == []
    return caught.value.message.replace(str(path), "ARCHIVE")


def test_what_an_archive_is(tmp_path: Path) -> None:
    assert is_archive(make_zip(tmp_path / "a.zip"))
    assert is_archive(make_zip(tmp_path / "no-name"))
    assert is_archive(make_tar(tmp_path / "b"))
    os.mkfifo(tmp_path / "fifo.zip")
    (tmp_path / "list.csv").write_text("path,label\n")
    assert not any(map(is_archive, [tmp_path, tmp_path / "fifo.zip", tmp_path / "list.csv", tmp_path / "none.zip"]))
    assert is_url("https://x") and is_url("file:///x") and not is_url("C:\\x") and not is_url("demo:elpv")


@pytest.mark.parametrize("name", ["a.tar", "a.tgz", "a.tar.gz", "a.tar.bz2", "a.tar.xz", "a.zip", "a.ZIP"])
def test_every_kind_unpacks_and_is_kept(tmp_path: Path, name: str) -> None:
    path = (make_zip if name.lower().endswith("zip") else make_tar)(tmp_path / name)
    folder, notes = unpack(str(path))
    assert content(folder) == FILES
    assert notes == []
    (folder / "pets/README").write_bytes(b"marked")
    again, _ = unpack(str(path.rename(tmp_path / "renamed")))
    assert (again / "pets/README").read_bytes() == b"marked"  # found by content, not unpacked again


def test_an_archive_is_data(tmp_path: Path) -> None:
    dataset = read_dataset(make_tar(tmp_path / "pets.tgz"))
    assert [(s.name, s.label) for s in dataset.samples] == [
        ("pets/cat/1.jpg", "cat"),
        ("pets/cat/ünï 🐈\n.jpg", "cat"),
        ("pets/dog/1.jpg", "dog"),
    ]
    assert dataset.source == str(tmp_path / "pets.tgz")


def test_labels_inside_an_archive(tmp_path: Path) -> None:
    table = b"path,label\ncat/1.jpg,A\ndog/1.jpg,B\n"
    path = make_zip(tmp_path / "a.zip", {**FILES, "pets/labels.csv": table})
    assert {s.label for s in read_dataset(path, labels="csv").samples} == {"A", "B"}


def test_empty_class_folders_stay(tmp_path: Path) -> None:
    path = make_tar(
        tmp_path / "a.tar", [member("cat/1.jpg", b"1"), member("dog", kind=tarfile.DIRTYPE), member("./", kind=tarfile.DIRTYPE)]
    )
    assert read_dataset(path).classes == ("cat", "dog")
    assert read_dataset(make_zip(tmp_path / "a.zip", {"cat/1.jpg": b"1", "dog/": b""})).classes == ("cat", "dog")


def test_the_checksum(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert unpack(str(path), sha256=digest.upper())[0].parent.name == digest
    with pytest.raises(DataError) as caught:
        unpack(str(path), sha256="0" * 64)
    assert caught.value.message == f"The checksum does not match: {path}. Expected sha256 {'0' * 64}, got {digest}."
    with pytest.raises(UsageError, match="Expected 64 hexadecimal digits, got 'abc'"):
        unpack(str(path), sha256="abc")


EVIL = ["/abs.jpg", "../up.jpg", "a/../../up.jpg", "C:\\win.jpg", "a/..", "..\\up.jpg"]


@pytest.mark.parametrize("name", EVIL)
def test_names_that_leave_the_archive(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    for path in (make_zip(tmp_path / "in/a.zip", {"cat/1.jpg": b"1", name: b"x"}), make_tar(tmp_path / "in/a.tgz", [member(name, b"x")])):
        shown = repr(name.replace("\\", "/") if path.suffix == ".zip" else name)
        assert refusal(path) == f"Cannot unpack the archive: ARCHIVE. Expected names that stay inside the archive, got {shown}."
        path.unlink()
    assert list(tmp_path.rglob("*.jpg")) == []


def test_links_and_devices(tmp_path: Path) -> None:
    members = [
        member("cat/2.jpg", kind=tarfile.SYMTYPE, link="../store/1.jpg"),
        member("store/1.jpg", b"one"),
        member("cat/3.jpg", kind=tarfile.LNKTYPE, link="store/1.jpg"),
        member("cat/passwd.jpg", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        member("cat/up.jpg", kind=tarfile.SYMTYPE, link="../../../../../../etc/passwd"),
        member("cat/hard.jpg", kind=tarfile.LNKTYPE, link="../../etc/passwd"),
        member("out", kind=tarfile.SYMTYPE, link="/tmp"),
        member("out/through.jpg", b"stays inside"),
        member("cat/null", kind=tarfile.CHRTYPE),
        member("cat/fifo.jpg", kind=tarfile.FIFOTYPE),
    ]
    folder, notes = unpack(str(make_tar(tmp_path / "a.tar", members)))
    assert content(folder) == {"store/1.jpg": b"one", "cat/2.jpg": b"one", "cat/3.jpg": b"one", "out/through.jpg": b"stays inside"}
    assert not any(path.is_symlink() for path in folder.rglob("*"))
    assert sorted(notes) == ["Left out 2 special files of the archive.", "Left out 4 links of the archive."]
    assert read_dataset(tmp_path / "a.tar").notes[:2] == notes  # kept beside the files


def test_links_in_a_zip_are_left_out(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("cat/2.jpg")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(make_zip(tmp_path / "a.zip", {"cat/1.jpg": b"1"}), "a") as archive:
        archive.writestr(info, "/etc/passwd")
    folder, notes = unpack(str(tmp_path / "a.zip"))
    assert content(folder) == {"cat/1.jpg": b"1"}
    assert notes == ["Left out 1 links or special files of the archive."]


def test_repeated_names(tmp_path: Path) -> None:
    folder, notes = unpack(str(make_tar(tmp_path / "a.tar", [member("cat/1.jpg", b"old"), member("./cat//1.jpg", b"new")])))
    assert content(folder) == {"cat/1.jpg": b"new"}
    assert notes == ["1 entries of the archive repeat a name; the last one is kept."]


def test_names_of_old_and_careless_tools(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"cat/XX.jpg": b"1", "dog/YYY.jpg": b"2", "sub\\Z.jpg": b"3"})
    raw = path.read_bytes().replace(b"XX", "é".encode()).replace(b"YYY", b"\x81\x82\x83").replace(b"sub/Z", b"sub\\Z")
    path.write_bytes(raw)
    names = sorted(content(unpack(str(path))[0]))
    assert names == ["cat/é.jpg", "dog/üéâ.jpg", "sub/Z.jpg"]  # UTF-8 that is not marked; code page 437; backslash


def test_a_zip_bomb_is_refused_before_it_is_written(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"cat/1.jpg": bytes(101 * 2**20)})
    size = path.stat().st_size
    assert refusal(path) == (
        f"Cannot unpack the archive: ARCHIVE. Expected at most 200 times its {size:,} bytes, got at least {101 * 2**20:,} bytes."
    )


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.CONTTYPE, tarfile.XHDTYPE, b"L"], ids=["file", "odd", "pax-header", "long-name"])
def test_a_tar_bomb_stops_early(tmp_path: Path, kind: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "RATIO_FROM_BYTES", 2**20)
    path = make_tar(tmp_path / "a.tgz", [member("bomb", bytes(20 * 2**20), kind)])
    assert "Cannot unpack the archive: ARCHIVE. Expected a" in refusal(path)


def test_caps_on_count_and_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [make_zip(tmp_path / "a.zip"), make_tar(tmp_path / "a.tgz")]
    monkeypatch.setattr(archives, "MAX_FILES", 3)
    assert [refusal(path) for path in paths] == ["Cannot unpack the archive: ARCHIVE. Expected at most 3 entries, got more."] * 2
    monkeypatch.setattr(archives, "MAX_FILES", 4)
    monkeypatch.setattr(archives, "MAX_BYTES", 12)
    assert refusal(paths[0]).endswith("Expected at most 12 bytes unpacked, got at least 16.")
    assert "Expected at most 12 bytes unpacked, got at least " in refusal(paths[1])


def test_no_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_zip(tmp_path / "a.zip")
    usage = archives.shutil.disk_usage(tmp_path)  # type: ignore[attr-defined]
    monkeypatch.setattr("shutil.disk_usage", lambda place: usage._replace(free=3))
    with pytest.raises(ResourceError, match=r"The disk is full: .* Expected 16 bytes of free space, got 3 bytes free"):
        unpack(str(path))


def broken(path: Path) -> Iterator[tuple[str, bytes]]:
    zipped, plain, packed = (made.read_bytes() for made in (make_zip(path / "z"), make_tar(path / "t"), make_tar(path / "t.gz")))
    yield "short.zip", zipped[:-30]
    yield "flipped.zip", zipped.replace(zipped[44:46], bytes(byte ^ 255 for byte in zipped[44:46]), 1)
    yield "short.tgz", packed[:-20]
    yield "flipped.tgz", packed[:60] + bytes([packed[60] ^ 255]) + packed[61:]
    yield "cut-in-data.tar", plain[:515]
    yield "cut-in-header.tar", plain[:1200]
    yield "bad-second-header.tar", plain[:1030] + b"\xff\xff" + plain[1032:]
    yield "page.zip", b"<!doctype html><p>Sign in"
    yield "csv.gz", gzip.compress(b"path,label\n")
    yield "empty.tar", b""


def test_damage_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    told = {}
    for name, data in broken(tmp_path):
        path = tmp_path / "in" / name
        path.write_bytes(data)
        told[name] = refusal(path)
    assert all(message.startswith("Cannot unpack the archive: ARCHIVE. Expected a ") for message in told.values()), told
    assert told["page.zip"].endswith("Expected a zip or tar archive, got a web page.")
    assert told["empty.tar"].endswith("Expected a zip or tar archive, got an empty file.")


@pytest.mark.parametrize("names", [("cat", "cat/1.jpg"), ("cat/1.jpg", "cat"), ("x" * 300 + ".jpg",)])
def test_names_that_cannot_be_files_here(tmp_path: Path, names: tuple[str, ...]) -> None:
    path = make_tar(tmp_path / "a.tar", [member(name, b"x") for name in names])
    assert refusal(path).startswith("Cannot unpack the archive: ARCHIVE. Expected a whole archive, got [Errno ")


def test_a_tar_without_end_mark_is_noted(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar", [member("cat/1.jpg", b"1")])
    path.write_bytes(path.read_bytes()[:1024])
    assert unpack(str(path))[1] == ["The archive has no end mark: it may have been cut short."]


def test_a_locked_zip(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"a": b"1"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert refusal(path).endswith("Expected an archive without a password, got encrypted entries.")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """Serve a folder on the loopback; yield its address, the folder and the paths that were asked for."""
    folder, asked = tmp_path / "site", list[str]()
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", folder, asked
        server.shutdown()
        thread.join()


def test_a_url_is_fetched_once(site: tuple[str, Path, list[str]]) -> None:
    address, folder, asked = site
    digest = hashlib.sha256(make_tar(folder / "a.tgz").read_bytes()).hexdigest()
    url = f"{address}/a.tgz"
    first, _ = unpack(url)
    assert content(first) == FILES
    assert unpack(url, sha256=digest)[0] == first
    assert [s.label for s in read_dataset(url).samples] == ["cat", "cat", "dog"]
    assert asked == ["/a.tgz"]
    assert not list(cache_folder("downloads").glob(".*"))  # no archive is kept beside what it held


def test_a_new_checksum_fetches_the_new_archive(site: tuple[str, Path, list[str]]) -> None:
    address, folder, asked = site
    make_zip(folder / "a.zip")
    unpack(f"{address}/a.zip")
    new = hashlib.sha256(make_zip(folder / "a.zip", {"cat/9.jpg": b"new"}).read_bytes()).hexdigest()
    assert content(unpack(f"{address}/a.zip", sha256=new)[0]) == {"cat/9.jpg": b"new"}
    assert len(asked) == 2


def test_a_bad_download_leaves_nothing(site: tuple[str, Path, list[str]]) -> None:
    address, folder, _ = site
    (folder / "a.zip").write_bytes(b"<html>")
    with pytest.raises(DataError, match="got a web page"):
        unpack(f"{address}/a.zip")
    make_zip(folder / "a.zip")
    with pytest.raises(DataError, match="The checksum does not match"):
        unpack(f"{address}/a.zip", sha256="0" * 64)
    assert content(unpack(f"{address}/a.zip")[0]) == FILES


def test_two_processes_fetch_once(site: tuple[str, Path, list[str]]) -> None:
    address, folder, asked = site
    make_tar(folder / "a.tgz")
    code = "import sys; from seefit.data.archives import unpack; print(unpack(sys.argv[1])[0])"
    workers = [subprocess.Popen([sys.executable, "-c", code, f"{address}/a.tgz"], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    places = {worker.communicate(timeout=60)[0].strip() for worker in workers}
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert len(places) == 1
    assert content(Path(places.pop())) == FILES
    assert len(asked) == 1


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    left = cache_folder("downloads") / f".{digest}.part" / "files"
    left.mkdir(parents=True)
    (left / "half.jpg").write_bytes(b"x")
    assert content(unpack(str(path))[0]) == FILES


def test_an_interrupted_unpacking_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_zip(tmp_path / "a.zip")

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("shutil.copyfileobj", interrupt)
        unpack(str(path))
    assert not [entry for entry in cache_folder("downloads").iterdir() if entry.suffix != ".lock"]
    assert content(unpack(str(path))[0]) == FILES


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"x")
    with pytest.raises(SeefitError) as caught:
        unpack(str(tmp_path / "a.zip"))
    assert caught.value.exit_code == 3
    assert caught.value.hint == "Fetch the archive again; if you trust it, unpack it yourself and give seefit the folder."
