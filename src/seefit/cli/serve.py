"""``seefit serve``: a model behind HTTP on this computer; never imports torch."""

from __future__ import annotations

import os
import re
import shlex
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from seefit.bundle.bundle import load
from seefit.bundle.manifest import MANIFEST, folder_of, read_manifest
from seefit.console import Console, one_line
from seefit.errors import UsageError
from seefit.files import to_json

if TYPE_CHECKING:
    from seefit.deploy.serve.corrections import Corrections

KEY_LENGTH, LONGEST_KEY = 16, 1_024
_LOCAL = {"127.0.0.1", "localhost", "::1"}
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")


def serve(
    run: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    name: str | None = None,
    workers: int = 1,
    api_key_file: Path | None = None,
    allow_host: list[str] | None = None,
    max_bytes: int | None = None,
    max_pixels: int | None = None,
    timeout: float | None = None,
    corrections: Path | None = None,
    json_output: bool = False,
    console: Console,
) -> int:
    """Serve a model until told to stop.

    Args:
        run: A run, a bundle or an export.
        host: Address to listen at.
        port: Likewise; 0 for any that is free.
        name: By which clients know the model; None for the folder's.
        workers: Processes that answer.
        api_key_file: Holds the key that clients must send; None for no key.
        allow_host: Further names by which clients may call the server.
        max_bytes: Of one request.
        max_pixels: Of one image.
        timeout: Seconds for a request.
        corrections: Folder for corrections from the page; None where they are not wanted.
        json_output: Print ``{"url", "model", "hash", "pid"}`` on stdout when ready.
        console: Where to say how to reach it.

    Raises:
        UsageError: An address that cannot be listened at, a bad key file, or a part of the install that is missing.
        ArtefactError: The model is damaged.
    """
    _check_installed()
    from seefit.deploy.serve.app import create_app
    from seefit.deploy.serve.guard import LOGGER, Access
    from seefit.deploy.serve.limits import make_limits
    from seefit.deploy.serve.listening import listen, open_socket
    from seefit.deploy.serve.logs import Log
    from seefit.deploy.serve.workers import Parent, Plan

    limits = make_limits(body_bytes=max_bytes, pixels=max_pixels, seconds=timeout)
    key = None if api_key_file is None else read_key(api_key_file)
    model = model_name(run) if name is None else check_name(name)
    access = Access(known_hosts(host, allow_host or []), addresses=host not in _LOCAL, key=key)
    kept = None if corrections is None else open_corrections(corrections, run, console)
    if workers < 1:
        raise UsageError("Bad number of workers", where="--workers", expected="at least 1", got=str(workers), hint="Leave it out for 1")
    with open_socket(host, port) as opened:
        if host not in _LOCAL:
            open_to = "to everybody who can reach this computer" if key is None else "to everybody who has the key"
            console.warn(
                f"listening at {host}: open {open_to}, without encryption. The default, 127.0.0.1, is open to this computer alone."
            )
        url = f"http://{f'[{host}]' if ':' in host else host}:{opened.getsockname()[1]}"
        log = Log(sys.stderr, requests=not console.quiet)

        def on_ready(found: str) -> None:
            if json_output:
                print(to_json({"url": url, "model": model, "hash": found, "pid": os.getpid()}), flush=True)
            console.say(f"{one_line(model)} is served at {url} (how to ask: {url}/docs). Ctrl-C ends it.")

        if workers > 1:
            return Parent(Plan(run, model, limits, access, console.quiet, corrections), opened, workers, log).run(on_ready)
        bundle = load(run)
        log.take_over("uvicorn.error", LOGGER)
        app = create_app(bundle, model, limits=limits, access=access, log=log, corrections=kept)
        listen(app, opened, limits, lambda: on_ready(bundle.hash))
    return 0


def _check_installed() -> None:
    missing = [name for name in ("fastapi", "uvicorn", "python_multipart", "prometheus_client") if find_spec(name) is None]
    if missing:
        raise UsageError(
            "Cannot serve",
            where="this install of seefit",
            expected="its extra serve",
            got=f"no {', '.join(missing)}",
            hint='Run `pip install "seefit[serve]"`',
        )


def open_corrections(folder: Path, run: Path, console: Console) -> Corrections:
    """Make the folder for corrections and say what becomes of them.

    Raises:
        ArtefactError: There is no model.
        ResourceError: The folder cannot be made.
    """
    from seefit.deploy.serve.corrections import MOST_BYTES, MOST_IMAGES, Corrections

    kept = Corrections(folder, read_manifest(folder_of(run))["classes"])
    most = f"at most {MOST_IMAGES:,} pictures and {MOST_BYTES // 2**20:,} MB"
    console.say(f"Pictures whose answer people correct on the page are kept in {one_line(str(folder))}: {kept.count():,} so far, {most}.")
    console.say(f"Learn from them: seefit train {shlex.quote(one_line(str(kept.data)))} --extend {shlex.quote(one_line(str(run)))}")
    return kept


def read_key(path: Path) -> bytes:
    """Return the key in a file, without the line end.

    Raises:
        UsageError: The file cannot be read, or holds no key that a header can carry.
    """
    hint = "Write a long random text into it, such as that of `openssl rand -hex 32`"
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        got = error.strerror or str(error)
        raise UsageError("Cannot read the key", where=path, expected="a readable file", got=got, hint=hint) from error
    if not KEY_LENGTH <= len(key) <= LONGEST_KEY or not all(33 <= byte <= 126 for byte in key):
        expected = f"one line of {KEY_LENGTH} to {LONGEST_KEY:,} ASCII letters without spaces"
        raise UsageError("Bad key", where=path, expected=expected, got=f"{len(key):,} bytes", hint=hint)
    return key


def check_name(name: str) -> str:
    """Return a name of a model that can be part of an address.

    Raises:
        UsageError: It cannot.
    """
    if not _NAME.fullmatch(name):
        expected, hint = "1 to 64 letters, digits, points, underscores and dashes", "Choose another --name"
        raise UsageError("Bad name of a model", where="--name", expected=expected, got=repr(name[:80]), hint=hint)
    return name


def model_name(run: Path) -> str:
    """Return the name of a run's folder, as far as it can be part of an address: of ``runs/cells/bundle`` ``cells``."""
    there = run.resolve()
    folder = there.parent if there.name == "bundle" and (there / MANIFEST).is_file() else there
    return re.sub(r"[^A-Za-z0-9._-]+", "-", folder.name).strip("-.")[:64] or "model"


def known_hosts(host: str, allowed: list[str]) -> frozenset[str]:
    """Return the names by which clients may call a server that listens at a host."""
    from seefit.deploy.serve.guard import LOOPBACK

    own = {f"[{host}]" if ":" in host else host} if host not in _LOCAL else set()
    if host not in _LOCAL:
        own.add(socket.gethostname().lower())
    return LOOPBACK | {name.lower() for name in (*own, *allowed)}
