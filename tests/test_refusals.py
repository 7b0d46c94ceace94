"""Refusals: a status and the error object, with nothing from inside in them."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("starlette", reason="the extra serve is not installed")

from seefit.data.image import Undecodable
from seefit.deploy.serve.refusals import broken, busy, not_found, printable_name, too_large, too_slow, undecodable


@pytest.mark.parametrize(
    ("reason", "kind", "status"),
    [
        ("0 bytes", "image/png", 400),
        ("0 bytes", "text/plain", 400),
        ("text, not an image", "text/plain", 415),
        ("text, not an image", "image/png", 422),
        ("text, not an image", "", 422),
        ("truncated PNG", "application/octet-stream", 422),
    ],
)
def test_statuses_of_images(reason: str, kind: str, status: int) -> None:
    assert undecodable("a.png", kind, Undecodable(reason)).status == status


def test_names_are_shortened_and_made_printable() -> None:
    assert printable_name("a\n\x1b[31m") == "a\\n\\x1b[31m"
    assert len(printable_name("x" * 1_000)) == 80
    refusal = undecodable("../" * 200, "", Undecodable("truncated PNG"))
    assert len(refusal.error.message) < 250


def test_answers() -> None:
    assert [refusal.status for refusal in (busy("a", "b"), too_slow(1), too_large(9), not_found("model", "x"), broken())] == [
        503,
        408,
        413,
        404,
        500,
    ]
    response = busy("at most 1", "2").response()
    assert (response.headers["retry-after"], response.headers["content-type"]) == ("1", "application/json")
    assert json.loads(bytes(response.body)) == {
        "error": {"code": 6, "message": "Too busy: the server. Expected at most 1, got 2.", "hint": "Ask again after 1 s."}
    }
