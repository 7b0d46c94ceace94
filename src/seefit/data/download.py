"""Fetching one file by http or https."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import shutil
import string
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seefit.console import QUIET, Console
from seefit.errors import DataError, ResourceError, UsageError
from seefit.files import resource_error

TIMEOUT_S = 30
CHUNK_BYTES = 2**18


def fetch(url: str, path: Path, *, limit_bytes: int, console: Console = QUIET) -> str:
    """Fetch a URL into a file.

    Args:
        url: An http or https address; redirects to other schemes are not followed.
        path: Where the bytes go; incomplete when an error is raised.
        limit_bytes: The most that is fetched.
        console: Where progress is shown.

    Returns:
        The SHA-256 of the bytes, in hexadecimal.

    Raises:
        UsageError: The address is not http or https.
        DataError: The file is larger than ``limit_bytes``.
        ResourceError: No network, no such file on the server, an incomplete answer, or a full disk.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise UsageError(
            "Cannot fetch",
            where=url,
            expected="an http or https address",
            got=url.partition(":")[0],
            hint="Fetch the file yourself and give its path",
        )
    try:
        answer = _opener().open(urllib.parse.quote(url, safe=string.punctuation), timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        raise _unreachable(url, f"the answer {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unreachable(url, f"no answer ({getattr(error, 'reason', error)})") from error
    with answer:
        return _save(url, answer, path, limit_bytes, console)


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener that knows http and https and nothing else (the usual one also opens ``file:`` and ``ftp:``)."""
    opener = urllib.request.OpenerDirector()
    handlers = (
        "ProxyHandler",
        "UnknownHandler",
        "HTTPHandler",
        "HTTPSHandler",
        "HTTPDefaultErrorHandler",
        "HTTPRedirectHandler",
        "HTTPErrorProcessor",
    )
    for name in handlers:
        opener.add_handler(getattr(urllib.request, name)())
    opener.addheaders = [("User-Agent", "seefit")]
    return opener


def _save(url: str, answer: Any, path: Path, limit_bytes: int, console: Console) -> str:
    declared = answer.headers.get("Content-Length") or ""
    length = int(declared) if declared.isdigit() else 0
    if length > limit_bytes:
        raise _too_large(url, limit_bytes, length)
    if length > shutil.disk_usage(path.parent).free:
        raise resource_error(OSError(errno.ENOSPC, "no space"), path, length)
    digest, done = hashlib.sha256(), 0
    with _writing(path), open(path, "wb") as handle, console.bar("Fetching", length, "bytes") as advance:
        for data in _chunks(url, answer):
            done += len(data)
            if done > limit_bytes:
                raise _too_large(url, limit_bytes, done)
            digest.update(data)
            handle.write(data)
            advance(len(data))
    if done < length:
        raise _unreachable(url, f"{done:,} of {length:,} bytes")
    return digest.hexdigest()


def _chunks(url: str, answer: Any) -> Iterator[bytes]:
    """Yield the bytes of an answer; a lost connection is told apart from a full disk here."""
    try:
        while data := answer.read(CHUNK_BYTES):
            yield data
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(url, f"a lost connection ({error})") from error


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise resource_error(error, path) from error


def _too_large(url: str, limit_bytes: int, size_bytes: int) -> DataError:
    return DataError(
        "The file is too large",
        where=url,
        expected=f"at most {limit_bytes:,} bytes",
        got=f"{size_bytes:,}",
        hint="Fetch and unpack it yourself, and give seefit the folder",
    )


def _unreachable(url: str, got: str) -> ResourceError:
    return ResourceError(
        "Cannot fetch",
        where=url,
        expected="the whole file",
        got=got,
        hint="Check the address and the network, or fetch the file elsewhere and give seefit its path",
    )
