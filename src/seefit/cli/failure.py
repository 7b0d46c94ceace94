"""How a failure ends: the error's own words on stderr or as JSON on stdout, and the exit code. Tracebacks only on demand."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, NoReturn

import typer

from seefit.console import printable
from seefit.errors import ResourceError, SeefitError, UsageError, unknown_name
from seefit.files import to_json
from seefit.memory import is_out_of_memory

INTERRUPTED = 130
TERMINATED = 143
BUG = 1
STOPPED = "Interrupted. The features computed so far are kept: the same command finds them again."


def explain(error: BaseException, arguments: list[str]) -> int:
    """Tell the user what went wrong and return the exit code.

    Args:
        error: What was raised.
        arguments: The command line, without the program's name.
    """
    if isinstance(error, SystemExit):
        if error.code == TERMINATED:
            _say_stopped(error)
        return error.code if isinstance(error.code, int) else BUG
    if isinstance(error, typer.Exit):
        return int(error.exit_code)
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        _say_stopped(error)
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):  # the reader of our output went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if "--debug" in arguments:
        traceback.print_exception(error)
    known = _known(error, arguments)
    if known is None:
        return _bug(error, arguments)
    if "--json" in arguments:
        print(to_json(known.to_json()))
    else:
        print("\n".join(printable(line) for line in [f"error: {known.message}", known.hint, *_notes(error)]), file=sys.stderr)
    return known.exit_code


def _say_stopped(error: BaseException) -> None:
    """Say that the user or the system stopped the command, and where a run was begun how to go on with it."""
    notes = _notes(error)
    print("\n".join(["Interrupted. What is done so far is kept.", *map(printable, notes)]) if notes else STOPPED, file=sys.stderr)


def _notes(error: BaseException) -> list[str]:
    """Return what was added to an error on its way, such as how to go on with the run it ended."""
    return getattr(error, "__notes__", [])


def _known(error: BaseException, arguments: list[str]) -> SeefitError | None:
    if isinstance(error, SeefitError):
        return error
    if isinstance(error, typer.TyperException):
        try:
            _raise_usage(error, arguments)
        except UsageError as usage:
            return usage
    if is_out_of_memory(error):
        return ResourceError(
            "Out of memory",
            where="this machine",
            expected="enough memory",
            got="none left",
            hint="Close other programs, or use a smaller --image-size",
        )
    return None


def _raise_usage(error: typer.TyperException, arguments: list[str]) -> NoReturn:
    """Say in our own words what the parser found: an unknown option or command, or something missing or malformed."""
    context: Any = getattr(error, "ctx", None)
    where = context.command_path if context else "seefit"
    if context and hasattr(error, "possibilities"):
        known = [name for parameter in context.command.get_params(context) for name in parameter.opts if name.startswith("-")]
        unknown_name(f"option of {where}", str(getattr(error, "option_name", "")), known)
    commands = getattr(context.command, "commands", {}) if context else {}
    word = next((argument for argument in arguments if not argument.startswith("-")), "")
    if commands and word not in commands:
        unknown_name("command", word, commands)
    found = str(getattr(error, "format_message", lambda: str(error))()).rstrip(".")
    raise UsageError(
        "Cannot read the command line",
        where=where,
        expected="what its --help shows",
        got=(found[:1].lower() + found[1:]).removeprefix("got "),
        hint=f"See `{where} --help`",
    )


def _bug(error: BaseException, arguments: list[str]) -> int:
    """Write a log with versions that can be pasted into an issue."""
    from importlib.metadata import distributions

    versions = sorted(f"{d.metadata['Name']} {d.version}" for d in distributions())
    text = "\n".join(
        [
            "seefit stopped on a bug",
            f"command: seefit {' '.join(map(printable, arguments))}",
            f"python {platform.python_version()} on {platform.platform()}",
            "",
            "".join(traceback.format_exception(error)),
            *versions,
        ]
    )
    with tempfile.NamedTemporaryFile("w", prefix="seefit-", suffix=".log", delete=False, encoding="utf-8", errors="replace") as log:
        log.write(text)
    message = f"This is a bug in seefit: {type(error).__name__}: {printable(str(error))}"
    hint = f"Please report it with the log {Path(log.name)}."
    if "--json" in arguments:
        print(to_json({"error": {"code": BUG, "message": message, "hint": hint}}))
    else:
        print(f"error: {message}\n{hint}", file=sys.stderr)
    return BUG
