"""The command line as tests use it: in this process, where it is quick, or in one of its own."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seefit.cli.main import main

ENTRY = "from seefit.cli.main import run; run()"


@dataclass(frozen=True)
class Answer:
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    def error(self) -> dict[str, Any]:
        """Return the error object of ``--json``, after a look at its form."""
        body = self.json
        assert set(body) == {"error"}
        assert set(body["error"]) == {"code", "message", "hint"}
        assert body["error"]["code"] == self.code
        assert "Traceback" not in self.err
        return dict(body["error"])


def seefit(*arguments: object) -> Answer:
    """Run one command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return Answer(code, out.getvalue(), err.getvalue())


def start(*arguments: object, code: str = ENTRY, cwd: Path | None = None, **environment: object) -> subprocess.Popen[str]:
    """Start one command, or other Python code, in a process of its own; None takes a variable out of its environment."""
    command: Sequence[str] = [sys.executable, "-c", code, *map(str, arguments)]
    merged = {**os.environ, **environment}
    env = {name: str(value) for name, value in merged.items() if value is not None}
    interruptible = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd, env=env, preexec_fn=interruptible)


def seefit_process(*arguments: object, code: str = ENTRY, cwd: Path | None = None, **environment: object) -> Answer:
    """Run one command, or other Python code, in a process of its own and wait for it."""
    process = start(*arguments, code=code, cwd=cwd, **environment)
    out, err = process.communicate(timeout=600)
    return Answer(process.returncode, out, err)
