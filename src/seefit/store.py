"""A key-value store that survives kill -9, is shared by processes, checks what it reads, and is bounded.

LMDB gives transactions, many readers and one writer across processes. Each value carries a checksum; a
damaged value counts as absent and is reported, never returned. A store whose own structure is damaged is
started afresh: what it holds can be computed again. Entries live in named shelves; when the store outgrows
its limit, the shelf that was unused for longest goes first.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import lmdb

from seefit.errors import ResourceError, SeefitError
from seefit.files import resource_error

T = TypeVar("T")

DIGEST_BYTES = 8
MAX_SHELVES = 4096
DEFAULT_LIMIT_BYTES = 20 * 2**30
MAX_RENEWALS = 3  # of a store that is found damaged again and again while one thing is done
RESERVE = 8  # one part in so many of the limit stays free: LMDB needs room even to drop a shelf
_ABOUT = b"about:"  # prefix of the shelf descriptions in the main database
_BROKEN = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.IncompatibleError,
    lmdb.VersionMismatchError,
    lmdb.PanicError,
)


def _checksum(key: bytes, value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=DIGEST_BYTES, key=key[:64]).digest()


class _Environment:
    """One open LMDB folder, shared by every `Store` of this process on it.

    LMDB forbids to open a folder twice in one process (its file locks belong to the process), and threads
    that each make features do just that.
    """

    _open: dict[Path, _Environment] = {}  # noqa: RUF012 — one per process by LMDB's own rule
    _lock = threading.Lock()

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder, self.users = folder, 0
        self._shelves: dict[str, Any] = {}
        self.env = lmdb.open(str(folder), map_size=limit_bytes, max_dbs=MAX_SHELVES, metasync=False, max_readers=512)
        self.env.reader_check()  # places of killed readers would keep old pages from being used again
        self._fill_up()

    @classmethod
    def take(cls, folder: Path, limit_bytes: int) -> _Environment:
        """Open the folder, or join those who have it open."""
        with cls._lock:
            folder.mkdir(parents=True, exist_ok=True)
            folder = folder.resolve()
            found = cls._open.get(folder) or cls(folder, limit_bytes)
            cls._open[folder] = found
            found.users += 1
            return found

    def leave(self) -> None:
        """Close when the last user leaves."""
        with self._lock:
            self.users -= 1
            if self.users == 0:
                self.env.close()
                if self._open.get(self.folder) is self:
                    del self._open[self.folder]

    def discard(self) -> None:
        """Take the files away under their users' feet: who has them open goes on reading, the next to open starts afresh."""
        with self._lock:
            if self._open.get(self.folder) is self:
                del self._open[self.folder]
                _remove(self.folder)

    def shelf(self, name: str) -> Any:
        """Return LMDB's handle of a shelf, which is made when it is new."""
        if name not in self._shelves:
            with self.env.begin(write=True) as txn:  # open_db's own transaction would wait for other threads without letting them run
                handle = self.env.open_db(name.encode(), txn=txn)
            self._shelves[name] = handle  # only now may other threads use it
        return self._shelves[name]

    def size_bytes(self) -> int:
        """Return how long the file is by its own account."""
        return int((self.env.info()["last_pgno"] + 1) * self.env.stat()["psize"])

    def _fill_up(self) -> None:
        """Lengthen a file that was cut short with zeros: reading past its end would kill the process, zeros are found out."""
        file = self.folder / "data.mdb"
        if file.stat().st_size < self.size_bytes():
            with self.env.begin(write=True):  # no other process makes the file longer meanwhile
                if file.stat().st_size < self.size_bytes():
                    os.truncate(file, self.size_bytes())


def _remove(folder: Path) -> None:
    """Remove a store; the rename comes first, so that nobody opens half of one."""
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.{time.monotonic_ns()}.part")
    with contextlib.suppress(FileNotFoundError):
        folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


class Store:
    """One LMDB folder with shelves of checksummed values.

    Any number may be open on one folder, in one process or several.

    Args:
        folder: Where the store lives; made when absent.
        limit_bytes: The most that the store may take on disk.

    Attributes:
        damaged: How many values were found damaged since opening; a store that had to be started afresh counts as one.

    Raises:
        ResourceError: The folder cannot be written to.
    """

    def __init__(self, folder: Path, *, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self.folder, self.limit_bytes = folder, limit_bytes
        self.damaged = 0
        self._lock = threading.Lock()
        with self._failures():
            try:
                self._environment = _Environment.take(folder, limit_bytes)
            except _BROKEN:
                self.damaged += 1
                _remove(folder)
                self._environment = _Environment.take(folder, limit_bytes)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._environment.leave()

    def describe(self, shelf: str, about: dict[str, Any]) -> None:
        """Write what a shelf holds, and that it was used now."""
        key = _ABOUT + shelf.encode()
        record = _stamped(key, json.dumps({"about": about, "used": time.time()}).encode())

        def write(environment: _Environment) -> None:
            environment.shelf(shelf)
            with environment.env.begin(write=True) as txn:
                txn.put(key, record)

        self._attempt(write, keep=shelf)

    def shelves(self) -> dict[str, dict[str, Any]]:
        """Return ``{shelf: {"about", "used", "entries", "bytes"}}`` for every shelf that was described or holds something."""
        return self._attempt(_list)

    def get(self, shelf: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the value of each key, or None where it is absent or damaged (counted in ``damaged``)."""
        values, damaged = self._attempt(lambda environment: _read(environment, shelf, keys), keep=shelf)
        self.damaged += damaged
        return values

    def put(self, shelf: str, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Write all items in one transaction; when the store is full, drop the shelves unused for longest first.

        Raises:
            ResourceError: The disk is full, or this shelf alone outgrows the limit.
        """
        stamped = [(key, _stamped(key, value)) for key, value in items]
        needed = sum(len(value) for _, value in stamped)

        def write(environment: _Environment) -> None:
            database = environment.shelf(shelf)
            with environment.env.begin(write=True) as txn:
                for key, value in stamped:
                    txn.put(key, value, db=database)

        self._make_room(needed, shelf)
        self._attempt(write, keep=shelf, needed=needed)

    def clear(self, shelves: Iterable[str] | None = None) -> None:
        """Empty the named shelves, or give back the disk space of all of them."""
        if shelves is None:
            self._attempt(self._start_afresh)
        for name in shelves or ():
            self._attempt(lambda environment, name=name: _empty(environment, name))  # type: ignore[misc]

    def size_bytes(self) -> int:
        """Return what the store takes on disk."""
        files = [file.stat() for file in self.folder.iterdir()]
        return sum(getattr(file, "st_blocks", 0) * 512 or file.st_size for file in files)

    def _make_room(self, needed: int, keep: str) -> None:
        """Drop shelves until so many bytes more stay within the limit less its reserve."""
        budget = self.limit_bytes - self.limit_bytes // RESERVE
        while (held := sum(entry["bytes"] for entry in self.shelves().values())) + needed > budget:
            if held > self._environment.size_bytes():  # more than the file has: the counts are damaged
                self.damaged += 1
                self._start_afresh(self._environment)
            else:
                self._drop_oldest(keep)

    def _drop_oldest(self, keep: str) -> None:
        others = {name: entry for name, entry in self.shelves().items() if name != keep and entry["entries"]}
        if not others:
            raise ResourceError(
                "The cache is full",
                where=self.folder,
                expected=f"at most {self.limit_bytes:,} bytes for one set of features",
                got="more",
                hint="Use fewer images or `--features pooled`",
            )
        oldest = min(others, key=lambda name: others[name]["used"])
        environment = self._environment
        try:
            _empty(environment, oldest)
        except lmdb.MapFullError:  # the reserve is used up as well
            self._start_afresh(environment)

    def _start_afresh(self, broken: _Environment) -> None:
        """Go on with an empty store; threads that meet the same damage do it once, and those still reading end in peace."""
        with self._lock:
            if self._environment is broken:
                broken.discard()
                self._environment = _Environment.take(self.folder, self.limit_bytes)

    def _attempt(self, work: Callable[[_Environment], T], *, keep: str = "", needed: int | None = None) -> T:
        """Do work; where the store is full drop old shelves, where its structure is damaged start it afresh, and do it again."""
        with self._failures(needed):
            for _ in range(MAX_RENEWALS):
                environment = self._environment
                try:
                    return self._fit(work, keep)
                except _BROKEN:
                    self.damaged += 1
                    self._start_afresh(environment)
            return self._fit(work, keep)

    def _fit(self, work: Callable[[_Environment], T], keep: str) -> T:
        while True:
            try:
                return work(self._environment)
            except lmdb.MapFullError:
                self._drop_oldest(keep)

    @contextlib.contextmanager
    def _failures(self, needed: int | None = None) -> Iterator[None]:
        """Turn what LMDB and the system raise into errors of ours."""
        try:
            yield
        except (lmdb.Error, OSError) as error:
            raise self._failure(error, needed) from error

    def _failure(self, error: Exception, needed: int | None) -> SeefitError:
        if getattr(error, "errno", None) == errno.ENOSPC or os.strerror(errno.ENOSPC) in str(error):
            return resource_error(OSError(errno.ENOSPC, "No space"), self.folder / "data.mdb", needed)
        return ResourceError(
            "Cannot use the cache",
            where=self.folder,
            expected="a healthy store in a folder that may be written to",
            got=str(error),
            hint="Run `seefit cache --clear`, or set SEEFIT_CACHE to a folder that you may write to",
        )


def _stamped(key: bytes, value: bytes) -> bytes:
    return _checksum(key, value) + value


def _checked(key: bytes, stored: memoryview | bytes) -> bytes | None:
    """Return the value without its checksum, or None when the two do not agree."""
    value = bytes(stored[DIGEST_BYTES:])
    return value if bytes(stored[:DIGEST_BYTES]) == _checksum(key, value) else None


def _parsed(key: bytes, stored: bytes | None) -> dict[str, Any]:
    """Return a shelf's description; a damaged one counts as absent."""
    record = _checked(key, stored) if stored else None
    parsed: dict[str, Any] = json.loads(record) if record else {}
    return parsed


def _read(environment: _Environment, shelf: str, keys: Sequence[bytes]) -> tuple[list[bytes | None], int]:
    database = environment.shelf(shelf)
    longest = environment.size_bytes()
    with environment.env.begin(db=database, buffers=True) as txn:
        stored = ((key, txn.get(key)) for key in keys)
        # A damaged length could reach past the end of the file: nothing of such a value is touched.
        found = [(view is not None, _checked(key, view) if view is not None and len(view) <= longest else None) for key, view in stored]
    return [value for _, value in found], sum(there and value is None for there, value in found)


def _list(environment: _Environment) -> dict[str, dict[str, Any]]:
    with environment.env.begin() as txn:
        entries = {bytes(key): bytes(value) for key, value in txn.cursor()}
    listing = {}
    for key in entries:
        if key.startswith(_ABOUT):
            continue
        database = environment.shelf(key.decode())
        with environment.env.begin() as txn:
            stat = txn.stat(database)
        size = (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]) * stat["psize"]
        about = _parsed(_ABOUT + key, entries.get(_ABOUT + key))
        if about or stat["entries"]:
            listing[key.decode()] = {"about": {}, "used": 0.0, **about, "entries": stat["entries"], "bytes": size}
    return listing


def _empty(environment: _Environment, shelf: str) -> None:
    database = environment.shelf(shelf)
    with environment.env.begin(write=True) as txn:
        txn.drop(database, delete=False)  # other processes may have the shelf open
    with environment.env.begin(write=True) as txn:  # LMDB uses pages again only two transactions after they were freed
        txn.put(_ABOUT + shelf.encode(), b"")
