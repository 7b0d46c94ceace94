"""The store against flipped bytes, truncation, kill -9, other processes and threads, a full disk and its own limit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from seefit.errors import ResourceError
from seefit.store import Store

KEYS = [i.to_bytes(32, "big") for i in range(64)]
VALUES = [bytes([i]) * 16_000 for i in range(64)]


def fill(folder: Path) -> None:
    with Store(folder) as store:
        store.describe("shelf", {"about": "it"})
        store.put("shelf", zip(KEYS, VALUES, strict=True))


def change(file: Path, work: Callable[[bytearray], object]) -> None:
    data = bytearray(file.read_bytes())
    work(data)
    file.write_bytes(data)


def python(code: str, *args: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *map(str, args)], stdout=subprocess.PIPE, text=True)


def test_values_come_back_and_absent_ones_are_none(tmp_path: Path) -> None:
    fill(tmp_path / "store")
    with Store(tmp_path / "store") as store:
        assert store.get("shelf", [KEYS[3], b"absent", KEYS[0]]) == [VALUES[3], None, VALUES[0]]
        assert store.get("other shelf", [KEYS[3]]) == [None]
        assert store.damaged == 0


def test_a_flipped_byte_in_a_value_is_found_counted_and_made_good(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    fill(folder)

    def flip(data: bytearray) -> None:
        data[data.index(VALUES[7]) + 5] ^= 1

    change(folder / "data.mdb", flip)
    with Store(folder) as store:
        assert store.get("shelf", KEYS) == [*VALUES[:7], None, *VALUES[8:]]
        assert store.damaged == 1
        store.put("shelf", [(KEYS[7], VALUES[7])])
    with Store(folder) as store:
        assert store.get("shelf", KEYS) == VALUES
        assert store.damaged == 0


def test_a_value_under_the_key_of_another_is_not_returned(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with Store(folder) as store:
        store.put("shelf", [(b"key-of-the-first", b"first value"), (b"key-of-the-other", b"other value")])

    def swap(data: bytearray) -> None:
        data[:] = data.replace(b"key-of-the-first", b"key-of-nobody-at").replace(b"key-of-the-other", b"key-of-the-first")

    change(folder / "data.mdb", swap)
    with Store(folder) as store:
        assert store.get("shelf", [b"key-of-the-first"]) == [None]
        assert store.damaged == 1


@pytest.mark.parametrize("seed", range(3))
def test_no_flipped_bit_anywhere_gives_a_wrong_value(tmp_path: Path, seed: int) -> None:
    folder, rng = tmp_path / "store", random.Random(seed)
    fill(folder)
    whole = (folder / "data.mdb").read_bytes()
    for _ in range(25):
        data = bytearray(whole)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        (folder / "data.mdb").write_bytes(data)
        with Store(folder) as store:
            found = store.get("shelf", KEYS)
            assert all(value in (None, right) for value, right in zip(found, VALUES, strict=True))
            store.put("shelf", [(key, right) for key, value, right in zip(KEYS, found, VALUES, strict=True) if value is None])
            assert store.get("shelf", KEYS) == VALUES


CUTTER = """
import os, shutil, sys
from pathlib import Path
from seefit.store import Store
keys = [i.to_bytes(32, "big") for i in range(64)]
values = [bytes([i]) * 16_000 for i in range(64)]
whole = Path(sys.argv[1])
for left in (0, 1, 100, 4096, 8192, 12_288, 100_000, 1_000_000):
    folder = whole.with_name(f"left-{left}")
    shutil.copytree(whole, folder)
    os.truncate(folder / "data.mdb", left)
    with Store(folder) as store:
        found = store.get("shelf", keys)
        store.put("shelf", zip(keys, values))
        wrong = any(value not in (None, right) for value, right in zip(found, values))
        print(left, None in found, wrong, store.get("shelf", keys) == values, store.damaged > 0, flush=True)
"""


def test_a_file_cut_short_never_kills_the_process(tmp_path: Path) -> None:
    fill(tmp_path / "store")
    with python(CUTTER, tmp_path / "store") as child:
        assert child.stdout is not None
        said = child.stdout.read().splitlines()
    cuts = (0, 1, 100, 4096, 8192, 12_288, 100_000, 1_000_000)
    assert said == [f"{left} True False True {left > 0}" for left in cuts]  # an empty file is a new store, not a damaged one


def test_a_file_of_something_else_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "data.mdb").write_bytes(b"<html>" * 5000)
    with Store(tmp_path / "store") as store:
        assert store.damaged == 1
        store.put("shelf", [(b"key", b"value")])
        assert store.get("shelf", [b"key"]) == [b"value"]


def test_damage_met_by_many_threads_is_made_good_once(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    fill(folder)
    change(folder / "data.mdb", lambda data: data.__setitem__(slice(3 * 4096, None), bytes(len(data) - 3 * 4096)))
    with Store(folder) as store, Store(folder) as other:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda key: store.get("shelf", [key])[0], KEYS))
        assert found == [None] * len(KEYS)
        assert store.damaged
        store.put("shelf", zip(KEYS, VALUES, strict=True))
        assert store.get("shelf", KEYS) == VALUES
        assert other.get("shelf", KEYS) in ([None] * len(KEYS), VALUES)
    with Store(folder) as store:
        assert store.get("shelf", KEYS) == VALUES


def test_two_stores_on_one_folder_in_one_process(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with Store(folder) as first:
        first.put("shelf", [(b"a", b"1")])
        with Store(tmp_path / "." / "store") as second:
            assert second.get("shelf", [b"a"]) == [b"1"]
            second.put("shelf", [(b"b", b"2")])
        assert first.get("shelf", [b"a", b"b"]) == [b"1", b"2"]


def test_threads_with_a_store_each(tmp_path: Path) -> None:
    def work(number: int) -> list[bytes | None]:
        mine = [(f"{number}-{i}".encode(), f"value {number} {i}".encode()) for i in range(20)]
        with Store(tmp_path / "store") as store:
            store.describe(f"shelf {number % 3}", {"number": number % 3})
            for item in mine:
                store.put(f"shelf {number % 3}", [item])
            return store.get(f"shelf {number % 3}", [key for key, _ in mine])

    with ThreadPoolExecutor(8) as pool:
        for number, values in enumerate(pool.map(work, range(24))):
            assert values == [f"value {number} {i}".encode() for i in range(20)]


WRITER = """
import sys
from pathlib import Path
from seefit.store import Store
folder, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
with Store(folder) as store:
    store.describe("shelf", {})
    print("ready", flush=True)
    for i in range(count):
        store.put("shelf", [(f"{name}-{i}-{k}".encode(), (f"{name}-{i}-{k} " * 500).encode()) for k in range(20)])
        print(i, flush=True)
"""


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    writers = [python(WRITER, tmp_path / "store", name, 15) for name in ("a", "b", "c")]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.close()
    keys = [f"{name}-{i}-{k}".encode() for name in "abc" for i in range(15) for k in range(20)]
    with Store(tmp_path / "store") as store:
        assert store.get("shelf", keys) == [(key.decode() + " ").encode() * 500 for key in keys]
        assert store.shelves()["shelf"]["entries"] == len(keys)


def test_a_killed_writer_leaves_a_healthy_store(tmp_path: Path) -> None:
    for run in range(3):
        with python(WRITER, tmp_path / "store", run, 100_000) as writer:
            assert writer.stdout is not None
            committed = [writer.stdout.readline() for _ in range(3 + run)]
            writer.send_signal(signal.SIGKILL)
        keys = [f"{run}-{i}-{k}".encode() for i in range(len(committed) - 1) for k in range(20)]
        with Store(tmp_path / "store") as store:
            assert store.get("shelf", keys) == [(key.decode() + " ").encode() * 500 for key in keys]
            assert store.damaged == 0
            store.put("shelf", [(b"after", b"the kill")])


def test_the_oldest_shelf_goes_when_the_store_is_full(tmp_path: Path) -> None:
    limit = 2**20
    with Store(tmp_path / "store", limit_bytes=limit) as store:
        for name in ("first", "second", "third"):
            store.describe(name, {"name": name})
            store.put(name, [(key, bytes(15_000)) for key in KEYS[:15]])
        store.describe("first", {"name": "first"})  # used again: now the second is the oldest
        store.put("third", [(key, bytes(15_000)) for key in KEYS[15:35]])
        assert sorted(store.shelves()) == ["first", "third"]
        assert store.get("third", KEYS[:35]) == [bytes(15_000)] * 35
        assert store.get("first", KEYS[:15]) == [bytes(15_000)] * 15
        assert store.get("second", KEYS[:1]) == [None]
        assert store.size_bytes() <= limit + 16_384  # the lock file beside it


def test_a_long_life_within_the_limit(tmp_path: Path) -> None:
    with Store(tmp_path / "store", limit_bytes=2**21) as store:
        for i in range(60):
            store.describe(f"shelf {i}", {"i": i})
            store.put(f"shelf {i}", [(key, os.urandom(2_000 + 311 * (i % 7))) for key in KEYS])
            assert None not in store.get(f"shelf {i}", KEYS)
        assert 2 <= len(store.shelves()) <= 10
        assert store.damaged == 0


def test_one_shelf_over_the_limit_is_an_error_and_keeps_what_was_there(tmp_path: Path) -> None:
    with Store(tmp_path / "store", limit_bytes=2**20) as store:
        store.put("shelf", [(KEYS[0], b"kept")])
        with pytest.raises(ResourceError) as caught:
            store.put("shelf", [(key, bytes(100_000)) for key in KEYS])
        assert caught.value.exit_code == 6
        assert (
            caught.value.message
            == f"The cache is full: {tmp_path}/store. Expected at most 1,048,576 bytes for one set of features, got more."
        )
        assert store.get("shelf", [KEYS[0]]) == [b"kept"]


def test_clearing_gives_the_disk_space_back(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    fill(folder)
    with Store(folder) as store:
        assert store.size_bytes() > 10**6
        store.clear()
        assert store.shelves() == {}
        assert store.get("shelf", KEYS[:1]) == [None]
        assert store.size_bytes() < 10**5
        store.put("shelf", [(b"key", b"value")])
    with Store(folder) as store:
        assert store.get("shelf", [b"key"]) == [b"value"]
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_clearing_one_shelf_leaves_the_others(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        for name in ("one", "two"):
            store.describe(name, {"name": name})
            store.put(name, [(b"key", name.encode())])
        store.clear(["one"])
        assert list(store.shelves()) == ["two"]
        assert store.get("one", [b"key"]) == [None]
        assert store.get("two", [b"key"]) == [b"two"]


def test_shelves_say_what_they_hold(tmp_path: Path) -> None:
    fill(tmp_path / "store")
    with Store(tmp_path / "store") as store:
        store.put("nobody described this", [(b"key", b"value")])
        shelves = store.shelves()
    assert shelves["shelf"]["about"] == {"about": "it"}
    assert shelves["shelf"]["entries"] == 64
    assert 64 * 16_000 < shelves["shelf"]["bytes"] < 2 * 64 * 16_000
    assert shelves["nobody described this"]["about"] == {}


@pytest.fixture
def read_only_folder() -> Iterator[Path]:
    """Give a folder that may be read but not written to, also when the tests run as root."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "locked").mkdir()
        folder.chmod(0o755)
        (folder / "locked").chmod(0o555)
        user = os.geteuid()
        try:
            if user == 0:
                os.seteuid(65_534)
            yield folder / "locked"
        finally:
            os.seteuid(user)
            (folder / "locked").chmod(0o755)


def test_a_read_only_place_is_exit_6(read_only_folder: Path) -> None:
    with pytest.raises(ResourceError) as caught:
        Store(read_only_folder / "store")
    assert caught.value.exit_code == 6
    assert caught.value.message.startswith(
        f"Cannot use the cache: {read_only_folder}/store. Expected a healthy store in a folder that may be"
    )
    assert "Permission denied" in caught.value.message
    assert caught.value.hint == "Run `seefit cache --clear`, or set SEEFIT_CACHE to a folder that you may write to."


def test_a_file_in_the_place_of_the_folder_is_exit_6(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(ResourceError, match="Cannot use the cache"):
        Store(tmp_path / "store")
    assert (tmp_path / "store").read_text() == "a file"


FILLER = """
import resource, signal, sys
from pathlib import Path
from seefit.errors import SeefitError
from seefit.store import Store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Store(Path(sys.argv[1])) as store:
    store.put("shelf", [(b"kept", b"value")])
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    try:
        store.put("shelf", [(bytes([i]) * 8, bytes(16_000)) for i in range(40)])
    except SeefitError as error:
        print(error.exit_code, error.message)
    print(store.get("shelf", [b"kept"]))
"""


def test_a_write_that_the_system_refuses_is_exit_6_and_loses_nothing(tmp_path: Path) -> None:
    with python(FILLER, tmp_path / "store") as child:
        assert child.stdout is not None
        said = child.stdout.read().splitlines()
    assert said[0].startswith(f"6 Cannot use the cache: {tmp_path}/store. Expected a healthy store")
    assert said[1] == "[b'value']"
    with Store(tmp_path / "store") as store:
        assert store.get("shelf", [b"kept"]) == [b"value"]
        assert store.damaged == 0


def test_a_full_disk_names_the_file_the_need_and_what_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import lmdb

    def full(name: str) -> None:
        raise lmdb.DiskError("mdb_txn_commit: No space left on device")

    with Store(tmp_path / "store") as store:
        monkeypatch.setattr(store._environment, "shelf", full)
        with pytest.raises(ResourceError) as caught:
            store.put("shelf", [(b"key", b"v" * 1000)])
    assert caught.value.message.startswith(f"The disk is full: {tmp_path}/store/data.mdb. Expected 1,008 bytes of free space, got ")
