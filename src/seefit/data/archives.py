"""Archives and their URLs: fetched once, unpacked once under the hash of their content, and kept.

Nothing from an archive is trusted. Only plain files and folders are ever written, each by seefit itself below
one fresh folder, so no entry can lead anywhere else; the folder takes its name when everything is in it.
"""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import hashlib
import json
import lzma
import os
import posixpath
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from seefit.console import QUIET, Console
from seefit.data.download import fetch
from seefit.environment import cache_folder
from seefit.errors import DataError, UsageError
from seefit.files import resource_error, sha256_file, to_json, write_text

MAX_FILES = 10**6
MAX_BYTES = 100 * 2**30
MAX_RATIO = 200  # unpacked to packed; photographs are near 1
RATIO_FROM_BYTES = 100 * 2**20  # below this size any ratio is harmless
MAX_HEADER_BYTES = 16 * 2**20  # the most that one read of a tar header may ask for
CHUNK_BYTES = 2**20
_SUFFIXES = (".zip", ".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz")
_OPENERS: dict[bytes, Callable[[Any], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
_ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
# An entry whose name cannot be a file's here; None is the decompressors' way to say that the data are damaged.
_NAME_ERRORS = {None, errno.EEXIST, errno.EINVAL, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOTDIR}
_DAMAGED = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError, NotImplementedError, RecursionError, ValueError)


def is_archive(path: Path) -> bool:
    """Return whether a path is a regular file that is a zip or tar archive by its name or its first bytes."""
    if not path.is_file():
        return False
    if path.name.lower().endswith(_SUFFIXES):
        return True
    with open(path, "rb") as handle:
        head = handle.read(512)
    return head.startswith((*_ZIP_MAGICS, *_OPENERS)) or head[257:262] == b"ustar"


def is_url(source: str) -> bool:
    """Return whether a source is written as a URL, of any scheme."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", source) is not None


def unpack(source: str, *, sha256: str | None = None, console: Console = QUIET) -> tuple[Path, list[str]]:
    """Unpack an archive into the cache folder, or find it there.

    Args:
        source: A local zip or tar archive (also .tgz, .tar.bz2, .tar.xz), or its http or https URL.
        sha256: What the archive must have, in hexadecimal; not checked when None.
        console: Where progress is shown.

    Returns:
        The folder of the unpacked files, and notes about entries that were left out.

    Raises:
        UsageError: Another scheme than http and https, or a ``sha256`` that cannot be one.
        DataError: A damaged, hostile or oversized archive, or another checksum.
        ResourceError: No network, no answer, or no space.
    """
    wanted = _checked_digest(sha256)
    if is_url(source):
        return _unpack_url(source, wanted, console)
    path = Path(source).expanduser()
    digest = sha256_file(path)
    _compare(source, wanted, digest)
    return _unpack_once(path, source, digest, console)


def _checked_digest(sha256: str | None) -> str | None:
    if sha256 is not None and not re.fullmatch(r"[0-9A-Fa-f]{64}", sha256):
        raise UsageError(
            "Bad checksum", where="--sha256", expected="64 hexadecimal digits", got=repr(sha256), hint="Run `sha256sum FILE` to get it"
        )
    return sha256.lower() if sha256 else None


def _compare(source: str, wanted: str | None, digest: str) -> None:
    if wanted not in {None, digest}:
        raise DataError(
            "The checksum does not match",
            where=source,
            expected=f"sha256 {wanted}",
            got=digest,
            hint="The archive was changed or damaged: fetch it again, or ask its publisher for the right checksum",
        )


def _unpack_url(url: str, wanted: str | None, console: Console) -> tuple[Path, list[str]]:
    """Use what an earlier call fetched from this URL, else fetch, check and unpack it."""
    folder = cache_folder("downloads")
    key = hashlib.sha256(url.encode()).hexdigest()
    record = folder / f"url-{key}.json"
    with _locked(f"url-{key}"):
        known = json.loads(record.read_text("utf-8"))["sha256"] if record.exists() else None
        if known and wanted in {None, known} and (folder / known).exists():
            return _kept(folder / known)
        part = folder / f".url-{key}.part"
        try:
            digest = fetch(url, part, limit_bytes=MAX_BYTES, console=console)
            _compare(url, wanted, digest)
            unpacked = _unpack_once(part, url, digest, console)
        finally:
            part.unlink(missing_ok=True)
        write_text(record, to_json({"url": url, "sha256": digest}))
        return unpacked


def _kept(folder: Path) -> tuple[Path, list[str]]:
    return folder / "files", json.loads((folder / "unpacked.json").read_text("utf-8"))["notes"]


def _unpack_once(archive: Path, source: str, digest: str, console: Console) -> tuple[Path, list[str]]:
    final = cache_folder("downloads") / digest
    with _locked(digest):
        if not final.exists():
            part = final.with_name(f".{digest}.part")
            shutil.rmtree(part, ignore_errors=True)  # left by a process that was killed
            try:
                _unpack_into(archive, source, part, console)
                part.rename(final)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    return _kept(final)


@contextlib.contextmanager
def _locked(name: str) -> Iterator[None]:
    """Let one process at a time work on one archive; the lock of a dead process is free."""
    path = cache_folder("downloads") / f"{name}.lock"
    try:
        path.touch()
    except OSError as error:
        raise resource_error(error, path) from error
    with open(path, "a") as handle:
        if os.name == "posix":
            import fcntl

            with contextlib.suppress(OSError):  # a network drive without locks: at worst the work is done twice
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _unpack_into(archive: Path, source: str, part: Path, console: Console) -> None:
    try:
        files = part / "files"
        files.mkdir(parents=True)
        writer = _Writer(source, files)
        with open(archive, "rb") as handle, console.bar("Unpacking", archive.stat().st_size, "bytes") as advance:
            _unpacker(handle, source)(handle, writer, _follow(handle, advance))
        writer.link_copies()
        write_text(part / "unpacked.json", to_json({"source": source, "files": writer.files, "notes": writer.notes()}))
    except _DAMAGED as error:
        raise _bad_archive(source, "a whole archive", str(error) or type(error).__name__) from error
    except OSError as error:
        if error.errno in _NAME_ERRORS:
            raise _bad_archive(source, "a whole archive", str(error)) from error
        raise resource_error(error, part) from error


def _follow(handle: IO[bytes], advance: Callable[[int], None]) -> Callable[[], None]:
    """Return a function that moves the bar to where the archive is being read."""
    seen = 0

    def moved() -> None:
        nonlocal seen
        here = max(seen, handle.tell())
        advance(here - seen)
        seen = here

    return moved


def _bad_archive(source: str, expected: str, got: str) -> DataError:
    return DataError(
        "Cannot unpack the archive",
        where=source,
        expected=expected,
        got=got,
        hint="Fetch the archive again; if you trust it, unpack it yourself and give seefit the folder",
    )


@dataclass
class _Writer:
    """Writes entries below one folder, counts them, and refuses what is hostile.

    Attributes:
        source: The archive as the user named it.
        folder: A fresh folder that nothing else writes to.
        files: How many files were written.
        left_out: How many entries were not, by kind.
        links: Name and target of links to write as copies at the end.
        repeated: How many entries had the name of an earlier one.
        remarks: Other sentences for the user.
    """

    source: str
    folder: Path
    files: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    links: list[tuple[str, str]] = field(default_factory=list)
    repeated: int = 0
    remarks: list[str] = field(default_factory=list)

    def check_size(self, unpacked_bytes: int, packed_bytes: int) -> None:
        """Raise when more comes out of the archive than an honest one holds."""
        if unpacked_bytes > MAX_BYTES:
            raise _bad_archive(self.source, f"at most {MAX_BYTES:,} bytes unpacked", f"at least {unpacked_bytes:,}")
        if unpacked_bytes > max(RATIO_FROM_BYTES, MAX_RATIO * packed_bytes):
            raise _bad_archive(self.source, f"at most {MAX_RATIO} times its {packed_bytes:,} bytes", f"at least {unpacked_bytes:,} bytes")

    def place(self, name: str) -> Path | None:
        """Return where an entry goes, None for the top itself.

        Raises:
            DataError: The name is absolute or leaves the archive.
        """
        if name.startswith("/") or re.match(r"[A-Za-z]:[\\/]", name) or ".." in re.split(r"[\\/]", name) or "\0" in name:
            raise _bad_archive(self.source, "names that stay inside the archive", repr(name))
        parts = [part for part in name.split("/") if part not in {"", "."}]
        return self.folder.joinpath(*parts) if parts else None

    def make_folder(self, name: str) -> None:
        if place := self.place(name):
            self._count()
            place.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, content: IO[bytes]) -> None:
        """Write one file; of two with one name the later one stays, as tar does."""
        place = self.place(name)
        if place is None:
            return
        self._count()
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.is_file():
            self.repeated += 1
        with open(place, "wb") as handle:
            shutil.copyfileobj(content, handle, CHUNK_BYTES)

    def _count(self) -> None:
        self.files += 1
        if self.files > MAX_FILES:
            raise _bad_archive(self.source, f"at most {MAX_FILES:,} entries", "more")

    def link_copies(self) -> None:
        """Give links to files of the archive the same content under their own name; leave out all others."""
        for name, target in self.links:
            inside = not target.startswith(("/", "../")) and target != ".."
            origin, place = self.folder / target, self.place(name)
            if not inside or place is None or place.exists() or not origin.is_file():
                self.left_out["links"] += 1
                continue
            self._count()
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(origin, place)  # a copy would let a small archive fill the disk
            except OSError:  # a file system without hard links, or too many of one file
                self.left_out["links"] += 1

    def notes(self) -> list[str]:
        """Return one sentence for each kind of entry that was not written."""
        found = self.remarks + [f"Left out {count:,} {kind} of the archive." for kind, count in self.left_out.items()]
        if self.repeated:
            found.append(f"{self.repeated:,} entries of the archive repeat a name; the last one is kept.")
        return found


_Unpacker = Callable[[IO[bytes], _Writer, Callable[[], None]], None]


def _unpacker(handle: IO[bytes], source: str) -> _Unpacker:
    head = handle.read(512)
    handle.seek(0)
    if head.startswith(_ZIP_MAGICS):
        return _unpack_zip
    if head.startswith(tuple(_OPENERS)) or head[257:262] == b"ustar":
        return _unpack_tar
    kind = "a web page" if head.lstrip()[:1] == b"<" else "an empty file" if not head else "another kind of file, or a part of one"
    raise _bad_archive(source, "a zip or tar archive", kind)


def _unpack_zip(handle: IO[bytes], writer: _Writer, moved: Callable[[], None]) -> None:
    with zipfile.ZipFile(handle) as archive:
        entries = archive.infolist()
        total = sum(entry.file_size for entry in entries)  # an entry never gives more than it declares
        writer.check_size(total, os.fstat(handle.fileno()).st_size)
        if total > shutil.disk_usage(writer.folder).free:
            raise resource_error(OSError(errno.ENOSPC, "no space"), writer.folder, total)
        if any(entry.flag_bits & 1 for entry in entries):
            raise _bad_archive(writer.source, "an archive without a password", "encrypted entries")
        for entry in entries:
            name = _zip_name(entry)
            mode = entry.external_attr >> 16
            if name.endswith("/"):
                writer.make_folder(name)
            elif stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
                writer.left_out["links or special files"] += 1
            else:
                with archive.open(entry) as content:
                    writer.write(name, content)
            moved()


def _zip_name(entry: zipfile.ZipInfo) -> str:
    """Return the name of an entry; many tools write UTF-8 without saying so, and old ones write backslashes."""
    name = entry.orig_filename
    if not entry.flag_bits & 0x800:
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


class _Guarded:
    """The unpacked bytes of a tar, read forwards; stops when they are too many or when a header asks for too much."""

    def __init__(self, stream: IO[bytes], check: Callable[[int], None]) -> None:
        self.stream = stream
        self.check = check

    def read(self, count: int = -1) -> bytes:
        if not 0 <= count <= MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {count:,} bytes")
        data = self.stream.read(count)
        self.check(self.stream.tell())
        return data

    def seek(self, position: int) -> int:
        self.check(position)
        return self.stream.seek(position)

    def tell(self) -> int:
        return self.stream.tell()


def _unpack_tar(handle: IO[bytes], writer: _Writer, moved: Callable[[], None]) -> None:
    packed = os.fstat(handle.fileno()).st_size
    head = handle.read(6)
    handle.seek(0)
    opener = next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), None)
    stream: Any = opener(handle) if opener else handle
    guarded: Any = _Guarded(stream, lambda position: writer.check_size(position, packed))
    with tarfile.open(fileobj=guarded, mode="r:", errors="surrogateescape") as archive:
        while (entry := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # else a million headers stay in memory
            _write_entry(archive, entry, writer)
            moved()
        _check_end(stream, archive.offset, writer)


def _write_entry(archive: tarfile.TarFile, entry: tarfile.TarInfo, writer: _Writer) -> None:
    if entry.isdir():
        writer.make_folder(entry.name)
    elif entry.issym():
        writer.links.append((entry.name, posixpath.normpath(posixpath.join(posixpath.dirname(entry.name), entry.linkname))))
    elif entry.islnk():
        writer.links.append((entry.name, posixpath.normpath(entry.linkname)))
    elif entry.isreg() and not entry.issparse():
        content = archive.extractfile(entry)
        if content is not None:
            writer.write(entry.name, content)
    else:
        writer.left_out["special files"] += 1


def _check_end(stream: IO[bytes], offset: int, writer: _Writer) -> None:
    """Raise when the archive goes on after the last entry that could be read: tarfile takes damage there for the end."""
    stream.seek(offset)
    block = stream.read(512)
    if any(block) or 0 < len(block) < 512:
        raise tarfile.ReadError("a damaged entry")
    if not block:
        writer.remarks.append("The archive has no end mark: it may have been cut short.")
