"""A key-value store that survives kill -9, is shared by processes, checks what it reads, and is bounded.

LMDB gives transactions, many readers and one writer across processes. Each value carries a checksum; a
damaged value counts as absent and is reported, never returned. Entries live in named shelves; when the
store outgrows its limit, the shelf that was unused for longest goes first.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import lmdb

from seefit.errors import ResourceError

DIGEST_BYTES = 8
MAX_SHELVES = 4096
DEFAULT_LIMIT_BYTES = 20 * 2**30
_ABOUT = b"about:"  # prefix of the shelf descriptions in the main database


def _checksum(key: bytes, value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=DIGEST_BYTES, key=key[:64]).digest()


class Store:
    """One LMDB folder with shelves of checksummed values.

    Args:
        folder: Where the store lives; made when absent.
        limit_bytes: The most that the store may take on disk.

    Raises:
        ResourceError: The folder cannot be written to.
    """

    def __init__(self, folder: Path, *, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self.folder = folder
        self.damaged = 0
        self._shelves: dict[str, Any] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._env = lmdb.open(str(folder), map_size=limit_bytes, max_dbs=MAX_SHELVES, metasync=False, max_readers=512)
        except (lmdb.Error, OSError) as error:
            raise self._failure(error) from error

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._env.close()

    def _failure(self, error: Exception) -> ResourceError:
        return ResourceError(
            "Cannot use the cache",
            where=self.folder,
            expected="a healthy store with free disk space",
            got=str(error),
            hint="Run `seefit cache --clear`, or set SEEFIT_CACHE to a folder that you may write to",
        )

    def _shelf(self, name: str) -> Any:
        if name not in self._shelves:
            self._shelves[name] = self._env.open_db(name.encode())
        return self._shelves[name]

    def describe(self, shelf: str, about: dict[str, Any]) -> None:
        """Write what a shelf holds, and that it was used now."""
        record = json.dumps({"about": about, "used": time.time()}).encode()
        self._write(lambda txn: txn.put(_ABOUT + shelf.encode(), record))

    def shelves(self) -> dict[str, dict[str, Any]]:
        """Return ``{shelf: {"about", "used", "entries", "bytes"}}`` for every shelf."""
        with self._env.begin() as txn:
            found = [(bytes(key), bytes(value)) for key, value in txn.cursor() if bytes(key).startswith(_ABOUT)]
        listing = {}
        for key, value in found:
            name = key[len(_ABOUT) :].decode()
            database = self._shelf(name)
            with self._env.begin() as txn:
                stat = txn.stat(database)
            pages = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
            listing[name] = {**json.loads(value), "entries": stat["entries"], "bytes": pages * stat["psize"]}
        return listing

    def get(self, shelf: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the value of each key, or None where it is absent or damaged (counted in ``damaged``)."""
        database = self._shelf(shelf)
        values: list[bytes | None] = []
        with self._env.begin(db=database) as txn:
            for key in keys:
                stored = txn.get(key)
                value = stored[DIGEST_BYTES:] if stored is not None else None
                if stored is not None and value is not None and stored[:DIGEST_BYTES] != _checksum(key, value):
                    self.damaged += 1
                    value = None
                values.append(value)
        return values

    def put(self, shelf: str, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Write all items in one transaction; when the store is full, drop the shelf unused for longest and try again.

        Raises:
            ResourceError: The disk is full, or this shelf alone outgrows the limit.
        """
        stamped = [(key, _checksum(key, value) + value) for key, value in items]
        database = self._shelf(shelf)
        while True:
            try:
                with self._env.begin(write=True) as txn:
                    for key, value in stamped:
                        txn.put(key, value, db=database)
                return
            except lmdb.MapFullError as error:
                if not self._drop_oldest(keep=shelf):
                    raise self._failure(error) from error
            except (lmdb.Error, OSError) as error:
                raise self._failure(error) from error

    def clear(self, shelves: Iterable[str] | None = None) -> None:
        """Empty the named shelves, or all of them."""
        for name in list(self.shelves() if shelves is None else shelves):
            database = self._shelf(name)

            def drop(txn: Any, database: Any = database, name: str = name) -> None:
                txn.drop(database, delete=False)
                txn.delete(_ABOUT + name.encode())

            self._write(drop)

    def size_bytes(self) -> int:
        """Return what the store takes on disk."""
        return sum(f.stat().st_blocks * 512 if hasattr(os.stat_result, "st_blocks") else f.stat().st_size for f in self.folder.iterdir())

    def _drop_oldest(self, keep: str) -> bool:
        others = {name: entry for name, entry in self.shelves().items() if name != keep and entry["entries"]}
        if not others:
            return False
        self.clear([min(others, key=lambda name: others[name]["used"])])
        return True

    def _write(self, work: Any) -> None:
        try:
            with self._env.begin(write=True) as txn:
                work(txn)
        except (lmdb.Error, OSError) as error:
            raise self._failure(error) from error
