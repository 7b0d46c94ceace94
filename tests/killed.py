"""Runs of seefit that are killed (-9), each in a process of its own, from one that has imported everything already.

As a program: imports the modules that are named, reads one JSON object per line, ``{"moment": ..., "arguments": [...], ...}``,
starts that command in a copy of itself which dies at the moment, and answers with how the copy ended.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn


class Killer:
    """A process that starts commands and lets them be killed.

    Args:
        modules: What it imports beforehand.
    """

    def __init__(self, *modules: str) -> None:
        command = [sys.executable, __file__, *modules]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def kill(self, moment: str, folder: Path, *arguments: object) -> int:
        """Run a command in a folder, in the present environment, until a moment (see `die_at`), and return its exit code."""
        request = {"moment": moment, "arguments": [str(argument) for argument in arguments], "folder": str(folder)}
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({**request, "environment": dict(os.environ)}) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """Let the process end."""
        self._process.communicate()


def die(*_: object, **__: object) -> NoReturn:
    """End this process as kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def die_at(moment: str) -> None:
    """Arm this process.

    Args:
        moment: ``before NAME`` and ``after NAME``: around the moment when a file gets this name, ``before 2 NAME`` the second time.
            ``keep SHELF``: when the cache keeps something on a shelf whose name begins so (features have hexadecimal names: ``keep``).
            ``within PHASE SECONDS``: so long after a phase began. ``inside MODULE:FUNCTION N``: when that is called the n-th time.
            ``at SECONDS``: so long after the start. ``never``.
    """
    what, *rest = moment.split(" ")
    ways = {"before": _at_rename, "after": _at_rename, "keep": _at_keep, "within": _in_phase, "inside": _at_call, "at": _at_time}
    if what != "never":
        ways[what](what, rest)


def _at_rename(what: str, rest: list[str]) -> None:
    name, left = rest[-1], int(rest[0]) if len(rest) > 1 else 1
    rename = Path.replace

    def replace(self: Path, target: Any) -> Path:
        nonlocal left
        left -= Path(target).name == name
        if left == 0 and what == "before":
            die()
        renamed = rename(self, target)
        if left == 0:
            die()
        return renamed

    Path.replace = replace  # type: ignore[assignment, method-assign]


def _at_keep(what: str, rest: list[str]) -> None:
    from seefit.store import Store

    put = Store.put

    def keep(self: Store, shelf: str, items: Any) -> None:
        if shelf.startswith("scan-") == (rest == ["scan-"]):
            die()
        put(self, shelf, items)

    Store.put = keep  # type: ignore[method-assign]


def _in_phase(what: str, rest: list[str]) -> None:
    from seefit.pipeline import Clock

    phase = Clock.phase

    def enter(self: Clock, name: str) -> Any:
        if name == rest[0]:
            _at_time(what, rest[1:])
        return phase(self, name)

    Clock.phase = enter  # type: ignore[method-assign]


def _at_time(what: str, rest: list[str]) -> None:
    timer = threading.Timer(float(rest[0]), die)
    timer.daemon = True
    timer.start()


def _at_call(what: str, rest: list[str]) -> None:
    name, left = rest[0], int(rest[1])
    module, _, path = name.partition(":")
    *outer, last = path.split(".")
    holder = importlib.import_module(module)
    for part in outer:
        holder = getattr(holder, part)
    function = getattr(holder, last)

    def called(*arguments: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            die()
        return function(*arguments, **options)

    setattr(holder, last, called)


def main() -> None:
    """Answer requests until there are no more."""
    for name in ("openvino", "sklearn.linear_model", "seefit.pipeline", *sys.argv[1:]):
        importlib.import_module(name)
    from seefit.bundle.runtime import _onnxruntime
    from seefit.cli.main import main as seefit

    _onnxruntime()
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            os.environ.clear()
            os.environ.update(request["environment"])
            os.chdir(request["folder"])
            with open("log", "w") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                die_at(request["moment"])
                code = seefit(request["arguments"])
            os._exit(code)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
