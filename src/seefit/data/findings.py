"""Looking at every file once, in parallel: what its content is, kept in the cache by content hash."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import PIL

from seefit.console import QUIET, Console
from seefit.data.dataset import Sample
from seefit.data.duplicates import fingerprint
from seefit.data.image import DECODER_VERSION, MAX_PIXELS, Undecodable, Unreadable, decode_with_info, read_file
from seefit.environment import cache_folder, threads
from seefit.store import Store

SCAN_VERSION = 2
GONE = "the file is gone or changed, and nothing is kept of what it was"
_BATCH = 16  # images per task: small enough for an even load, large enough that handing over costs nothing
_AHEAD = 32  # tasks per worker that may be begun before their turn: enough to be busy while the cache waits for the disk
_KEEP_EVERY = 1024  # new findings per write to the cache, which waits for the disk each time


@dataclass(frozen=True, slots=True)
class Finding:
    """What one file is.

    Attributes:
        sha256: Of the content, in hexadecimal; empty when the content could not be read.
        size_bytes: Of the file.
        reason: Why the file cannot be used, or None.
        unreadable: Whether the system refused to read it, which says nothing of the image.
        format: As in `seefit.data.image.Decoded`, like ``mode``, ``width`` and ``height``.
        fingerprint: As in `seefit.data.duplicates.fingerprint`.
        recalled: Whether the file itself is gone or changed, and the cache told this of the content it had.
    """

    sha256: str
    size_bytes: int
    reason: str | None = None
    unreadable: bool = False
    format: str = ""
    mode: str = ""
    width: int = 0
    height: int = 0
    fingerprint: bytes = b""
    recalled: bool = False


_Batch = list[tuple[Finding, bool]]


def find(
    samples: Sequence[Sample], *, max_pixels: int = MAX_PIXELS, known: Mapping[Sample, str] | None = None, console: Console = QUIET
) -> tuple[list[Finding], int]:
    """Read and decode every file fully, or take from the cache what is known of its content.

    Args:
        samples: The files to look at.
        max_pixels: Images with more pixels are not decoded.
        known: The sha256 of what some files are known to hold: where such a file is gone or holds something else, what the cache knows
            of that content takes its place.
        console: Where the bar is shown.

    Returns:
        A finding per sample, in order, and the number of damaged cache entries that were worked out again.

    Raises:
        ResourceError: The cache folder cannot be written to.
    """
    shelf = f"scan-{SCAN_VERSION}.{DECODER_VERSION}-{max_pixels}-pillow-{PIL.__version__}"
    findings: list[Finding] = []
    fresh: list[tuple[bytes, bytes]] = []
    with Store(cache_folder("scan")) as store, console.bar("Checking images", len(samples)) as advance:
        store.describe(shelf, {"scan": SCAN_VERSION, "decoder": DECODER_VERSION, "max_pixels": max_pixels, "pillow": PIL.__version__})
        store.get(shelf, [])  # opens the shelf before threads read from it
        try:
            for batch in _in_order(partial(_look_at, store, shelf, max_pixels, known or {}), samples):
                findings.extend(found for found, _ in batch)
                fresh.extend((bytes.fromhex(found.sha256), _pack(found)) for found, is_new in batch if is_new)
                if len(fresh) >= _KEEP_EVERY:
                    store.put(shelf, fresh)
                    fresh = []
                advance(len(batch))
        finally:
            store.put(shelf, fresh)
        return findings, store.damaged


def _in_order(look: Callable[[Sequence[Sample]], _Batch], samples: Sequence[Sample]) -> Iterator[_Batch]:
    """Run ``look`` over batches of samples in threads; yield the results in order, holding only a few of them."""
    workers = threads()
    batches = (samples[i : i + _BATCH] for i in range(0, len(samples), _BATCH))
    with ThreadPoolExecutor(workers, thread_name_prefix="scan") as pool:
        pending: deque[Future[_Batch]] = deque(pool.submit(look, batch) for batch in islice(batches, _AHEAD * workers))
        try:
            while pending:
                done = pending.popleft().result()
                pending.extend(pool.submit(look, batch) for batch in islice(batches, 1))
                yield done
        finally:
            for future in pending:
                future.cancel()


def _look_at(store: Store, shelf: str, max_pixels: int, known: Mapping[Sample, str], samples: Sequence[Sample]) -> _Batch:
    """Return what each file is, and whether that is new to the cache."""
    batch: _Batch = []
    for sample in samples:
        found, is_new = _look_at_one(store, shelf, max_pixels, sample)
        expected = known.get(sample)
        if expected is not None and expected != found.sha256:
            found, is_new = _recall(store, shelf, expected, found), False
        batch.append((found, is_new))
    return batch


def _look_at_one(store: Store, shelf: str, max_pixels: int, sample: Sample) -> tuple[Finding, bool]:
    try:
        data = read_file(sample.path)
    except (Undecodable, Unreadable) as error:
        return Finding("", 0, error.reason, isinstance(error, Unreadable)), False
    digest = hashlib.sha256(data)
    known = store.get(shelf, [digest.digest()])[0]
    if known is not None:
        return _unpack(digest.hexdigest(), len(data), known), False
    try:
        image = decode_with_info(data, max_pixels=max_pixels)
    except Undecodable as error:
        return Finding(digest.hexdigest(), len(data), error.reason), True
    mark = fingerprint(image.picture)
    return Finding(digest.hexdigest(), len(data), None, False, image.format, image.mode, image.width, image.height, mark), True


def _recall(store: Store, shelf: str, sha256: str, instead: Finding) -> Finding:
    """Return what is kept of a content that its file does not have any more."""
    if instead.unreadable:
        return instead
    value = store.get(shelf, [bytes.fromhex(sha256)])[0]
    kept = _unpack(sha256, 0, value) if value is not None else None
    return Finding("", 0, GONE) if kept is None or kept.reason is not None else replace(kept, recalled=True)


def _pack(found: Finding) -> bytes:
    return json.dumps([found.reason, found.format, found.mode, found.width, found.height]).encode() + b"\n" + found.fingerprint


def _unpack(sha256: str, size: int, value: bytes) -> Finding:
    head, _, mark = value.partition(b"\n")
    reason, kind, mode, width, height = json.loads(head)
    return Finding(sha256, size, reason, False, kind, mode, width, height, mark)
