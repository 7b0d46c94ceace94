"""What seefit raises: one template, five kinds, one set of exit codes.

Every message reads ``<what failed>: <where>. Expected <x>, got <y>.`` and every hint is one sentence that
names the command or argument that fixes it. The same object is the console line, the exit code, the JSON
body on stdout and the answer of the server.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import ClassVar, NoReturn


class SeefitError(Exception):
    """A failure that the user can act on.

    Args:
        what: What failed, without a full stop: ``"Cannot read the labels"``.
        where: The file, folder, option or class it failed at.
        expected: What would have been right.
        got: What was there instead.
        hint: One sentence naming the command or argument that fixes it.
    """

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, what: str, *, where: object, expected: str, got: str, hint: str) -> None:
        self.message = f"{what}: {where}. Expected {expected}, got {got}."
        self.hint = hint if hint.endswith(".") else hint + "."
        super().__init__(f"{self.message} {self.hint}")

    def to_json(self) -> dict[str, dict[str, str | int]]:
        """Return the object that ``--json`` prints and the server answers."""
        return {"error": {"code": self.exit_code, "message": self.message, "hint": self.hint}}


class UsageError(SeefitError):
    """A wrong option, name or value (exit 2)."""

    exit_code = 2
    http_status = 400


class DataError(SeefitError):
    """Images or labels that cannot be used (exit 3)."""

    exit_code = 3
    http_status = 422


class RunError(SeefitError):
    """A run folder in a state that forbids the command (exit 4)."""

    exit_code = 4
    http_status = 409


class ArtefactError(SeefitError):
    """A bundle or export that is damaged, foreign or unsafe (exit 5)."""

    exit_code = 5
    http_status = 409


class ResourceError(SeefitError):
    """Disk, memory, a read-only place or missing weights (exit 6)."""

    exit_code = 6
    http_status = 507


def raise_all(problems: Sequence[SeefitError]) -> None:
    """Raise every problem of one input together; do nothing when there is none.

    Raises:
        SeefitError: The only problem itself, or one error of the first problem's kind whose message holds
            one line per problem.
    """
    if not problems:
        return
    if len(problems) == 1:
        raise problems[0]
    joined = problems[0]
    joined.message = "\n".join(problem.message for problem in problems)
    joined.hint = "\n".join(dict.fromkeys(problem.hint for problem in problems))
    joined.args = (f"{joined.message}\n{joined.hint}",)
    raise joined


def unknown_name(kind: str, name: str, known: Iterable[str], *, error: type[SeefitError] = UsageError) -> NoReturn:
    """Raise for an unknown name with the closest match and the list of known ones.

    Args:
        kind: What the name stands for: ``"backbone"``.
        name: The name as the user wrote it.
        known: All accepted names.
        error: The kind of error to raise.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    guess = f"Did you mean {close[0]!r}? " if close else ""
    shown = ", ".join(names[:40]) + (f" … ({len(names)} in all)" if len(names) > 40 else "")
    raise error(f"Unknown {kind}", where=name, expected=f"a known {kind}", got=repr(name), hint=f"{guess}Choose one of: {shown}")
