"""A server as its clients see it: `seefit serve` in a process of its own on a free port of loopback, and plain sockets to it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

# Writing a file after the start, or having torch, is told on stderr.
ENTRY = """
import atexit, os, sys
import seefit.deploy.serve.limits as limits
changed = {changed}
if changed:
    limits.make_limits = lambda **_: limits.Limits(**changed)
def look(event, arguments):
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR) and arguments[0] != "/dev/null":
        os.write(2, f"WROTE {{arguments[0]}}\\n".encode())
def told():
    os.write(2, f"TORCH {{'torch' in sys.modules}}\\n".encode())
if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.addaudithook(look)
    atexit.register(told)
    from seefit.cli.main import run
    run()
"""
BOUNDARY = "edge"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


@dataclass
class Running:
    """A server that answers.

    Attributes:
        port: Where.
        model: Name of what it serves.
        hash: Of it.
        process: The server.
        said: The file that its stderr goes to: a pipe that nobody reads would hold it up.
    """

    port: int
    model: str
    hash: str
    process: subprocess.Popen[str]
    said: Path

    def connect(self) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def ask(self, request: bytes) -> Reply:
        """Send a request on a connection of its own and read the answer."""
        with self.connect() as connection:
            connection.sendall(request)
            return read_reply(connection)

    def takes_nobody_in(self) -> bool:
        """Return whether connections are refused within five seconds."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                self.connect().close()
            except OSError:
                return True
            time.sleep(0.05)
        return False

    def stop(self) -> tuple[int, str]:
        """Send SIGTERM; return exit code and stderr."""
        self.process.send_signal(signal.SIGTERM)
        return self.end()

    def end(self) -> tuple[int, str]:
        """Wait for the end; return exit code and stderr."""
        self.process.wait(30)
        return self.process.returncode, self.said.read_text()


@dataclass(frozen=True)
class Reply:
    """An answer: status, headers by lower-case name, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    def error(self) -> dict[str, Any]:
        """Return the error object, after a look at its form."""
        assert set(self.json) == {"error"}
        assert set(self.json["error"]) == {"code", "message", "hint"}
        assert "seefit/" not in self.body.decode()
        assert "Traceback" not in self.body.decode()
        error: dict[str, Any] = self.json["error"]
        return error


@contextlib.contextmanager
def serving(folder: Path, *arguments: object, **limits: float) -> Iterator[Running]:
    """Serve a bundle; its process is ended whatever happens."""
    command = [sys.executable, "-c", ENTRY.format(changed=limits), "serve", folder, "--port", 0, "--json", *arguments]
    environment = {**os.environ, "SEEFIT_THREADS": "2"}
    handle, name = tempfile.mkstemp(suffix=".log")
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=handle, text=True, env=environment)
    os.close(handle)
    try:
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or lines[-1] != "}\n":
            lines.append(process.stdout.readline())
            assert lines[-1], Path(name).read_text()
        said = json.loads("".join(lines))
        yield Running(int(said["url"].rpartition(":")[2]), said["model"], said["hash"], process, Path(name))
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
        Path(name).unlink()


def read_reply(connection: socket.socket) -> Reply:
    """Read one answer with a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65_536)
        assert more, f"the connection ended: {data!r}"
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
    while len(body) < int(headers["content-length"]):
        more = connection.recv(65_536)
        assert more, "the body is shorter than it said"
        body += more
    return Reply(int(first.split()[1]), headers, body)


def form(*files: tuple[str, bytes], field: str = "file", kind: str = "image/png") -> bytes:
    """Return the body of a form with files."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\nContent-Type: {kind}\r\n\r\n'.encode()
        + data
        + b"\r\n"
        for name, data in files
    ]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def post(path: str, body: bytes, *, kind: str = FORM, host: str = "localhost", **headers: str) -> bytes:
    """Return a POST request."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def get(path: str, *, host: str = "localhost", **headers: str) -> bytes:
    """Return a GET request."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def picture(seed: int = 0, side: int = 40) -> bytes:
    """Return a PNG of chance."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def bomb(side: int = 30_000) -> bytes:
    """Return a small PNG whose header says that it is huge."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
