"""Runs of seefit that are killed (-9), each in a process of its own, from one that has imported everything already.

As a program: reads one JSON object per line, ``{"moment": ..., "arguments": [...], "cache": ...}``, starts that command in a
copy of itself which dies at the moment, and answers with how the copy ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn


def die(*_: object, **__: object) -> NoReturn:
    """End this process as kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def die_at(moment: str) -> None:
    """Arm this process.

    Args:
        moment: ``before NAME`` and ``after NAME``: around the moment when a file gets this name, ``before 2 NAME`` the second time.
            ``keep SHELF``: when the cache keeps something on a shelf whose name begins so (features have hexadecimal names: ``keep``).
            ``within PHASE SECONDS``: so long after a phase began.
    """
    what, *rest = moment.split(" ")
    {"before": _at_rename, "after": _at_rename, "keep": _at_keep, "within": _in_phase}[what](what, rest)


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
            timer = threading.Timer(float(rest[1]), die)
            timer.daemon = True
            timer.start()
        return phase(self, name)

    Clock.phase = enter  # type: ignore[method-assign]


def main() -> None:
    """Answer requests until there are no more."""
    import openvino  # noqa: F401
    import sklearn.linear_model  # noqa: F401

    from seefit import pipeline  # noqa: F401
    from seefit.bundle.runtime import _onnxruntime
    from seefit.cli.main import main as seefit

    _onnxruntime()
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            os.environ["SEEFIT_CACHE"] = request["cache"]
            os.chdir(request["folder"])
            with open(request["log"], "w") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                die_at(request["moment"])
                code = seefit(request["arguments"])
            os._exit(code)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
