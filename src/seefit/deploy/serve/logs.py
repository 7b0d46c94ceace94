"""What a server writes down: one JSON object a line, without anything of the images, their names or the key."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import IO, Any

LONGEST_PATH = 200


class Log:
    """Lines of JSON.

    Args:
        stream: Where to write; None writes nothing.
        requests: Whether every request is written, or only what goes wrong.
    """

    def __init__(self, stream: IO[str] | None, *, requests: bool = True) -> None:
        self._stream, self._requests = stream, requests

    def request(self, scope: Mapping[str, Any], status: int, seconds: float, received: int) -> None:
        """Write a request that ended; what stands behind a question mark is left out."""
        if self._requests:
            path = str(scope["path"])[:LONGEST_PATH]
            self._write("info", "request", method=scope["method"], path=path, status=status, ms=round(1000 * seconds, 2), bytes=received)

    def event(self, what: str, **facts: Any) -> None:
        """Write that something happened."""
        self._write("info", what, **facts)

    def failure(self, what: str, error: BaseException) -> None:
        """Write what went wrong inside."""
        self._write("error", what, error=f"{type(error).__name__}: {error}", trace=traceback.format_exception(error)[-8:])

    def take_over(self, *names: str) -> None:
        """Write what libraries log under these names, from warnings up."""
        for name in names:
            logger = logging.getLogger(name)
            logger.handlers, logger.propagate = [_Handler(self)], False
            logger.setLevel(logging.WARNING)

    def _write(self, level: str, what: str, **facts: Any) -> None:
        if self._stream is None:
            return
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "message": what, **facts}
        self._stream.write(json.dumps(line, ensure_ascii=True) + "\n")
        self._stream.flush()


class _Handler(logging.Handler):
    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        facts = {} if record.exc_info is None else {"trace": traceback.format_exception(record.exc_info[1])[-8:]}
        self._log._write(record.levelname.lower(), record.getMessage(), **facts)
