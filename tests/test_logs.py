"""Logs: one JSON object a line, whatever is in it."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

from seefit.deploy.serve.logs import Log


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_request_is_one_line_without_its_query() -> None:
    stream = io.StringIO()
    Log(stream).request({"method": "POST", "path": "/predict\n\x1b" + "x" * 500, "query_string": b"explain=secret"}, 200, 0.0123, 45)
    (line,) = lines(stream)
    assert {key: line[key] for key in ("level", "message", "method", "status", "ms", "bytes")} == {
        "level": "info",
        "message": "request",
        "method": "POST",
        "status": 200,
        "ms": 12.3,
        "bytes": 45,
    }
    assert len(line["path"]) == 200
    assert "secret" not in stream.getvalue()


def test_quiet_leaves_out_requests_alone() -> None:
    stream = io.StringIO()
    log = Log(stream, requests=False)
    log.request({"method": "GET", "path": "/"}, 200, 0, 0)
    log.event("serves another model", hash="1")
    log.failure("it broke", ValueError("so"))
    first, second = lines(stream)
    assert (first["hash"], second["error"], second["level"]) == ("1", "ValueError: so", "error")
    Log(None).event("nothing")


def test_what_libraries_log_becomes_lines_too() -> None:
    stream = io.StringIO()
    Log(stream).take_over("test.library")
    logger = logging.getLogger("test.library")
    logger.info("not this")
    logger.warning("careful %d", 3)
    try:
        raise RuntimeError("deep inside")
    except RuntimeError as error:
        logger.error("broken", exc_info=error)
    first, second = lines(stream)
    assert (first["message"], first["level"], "deep inside" in "".join(second["trace"])) == ("careful 3", "warning", True)
