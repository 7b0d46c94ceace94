"""The upload parser: whatever comes, in whatever pieces, it gives files or a refusal."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("python_multipart", reason="the extra serve is not installed")

from seefit.deploy.serve.limits import Limits
from seefit.deploy.serve.refusals import Refusal
from seefit.deploy.serve.upload import FormParser, Upload, read_form
from served import BOUNDARY, FORM, form

LIMITS = Limits(images=3)
FILES = st.lists(st.tuples(st.text("abc-é.", min_size=1, max_size=8), st.binary(max_size=200)), min_size=1, max_size=3)


def parse(body: bytes, cuts: Sequence[int] = (), kind: str = FORM) -> list[Upload]:
    parser = FormParser(kind, LIMITS)
    edges = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    for start, end in itertools.pairwise(edges):
        parser.feed(body[start:end])
    return parser.finish()


def status(body: bytes, kind: str = FORM) -> int:
    with pytest.raises(Refusal) as caught:
        parse(body, kind=kind)
    return caught.value.status


@given(FILES, st.lists(st.integers(0, 2_000), max_size=12))
@settings(max_examples=60, deadline=None)
def test_files_come_through_whole_however_the_body_is_cut(files: list[tuple[str, bytes]], cuts: list[int]) -> None:
    assert [(upload.name, upload.data, upload.kind) for upload in parse(form(*files), cuts)] == [(*file, "image/png") for file in files]


@given(
    st.binary(max_size=400) | st.binary(max_size=300).map(lambda noise: form(("a", b"x"))[:60] + noise),
    st.sampled_from([FORM, "multipart/form-data; boundary=\xff"]),
)
@settings(max_examples=200, deadline=None)
def test_noise_is_refused_or_read_and_nothing_else(body: bytes, kind: str) -> None:
    try:
        uploads = parse(body, kind=kind)
    except Refusal as refusal:
        assert refusal.status in {400, 413, 415}
    else:
        assert all(isinstance(upload.data, bytes) for upload in uploads)


@given(FILES, st.integers(0, 2_000), st.integers(0, 255))
@settings(max_examples=100, deadline=None)
def test_one_changed_byte_is_refused_or_read_and_nothing_else(files: list[tuple[str, bytes]], at: int, byte: int) -> None:
    body = bytearray(form(*files))
    body[at % len(body)] = byte
    try:
        parse(bytes(body))
    except Refusal as refusal:
        assert refusal.status in {400, 413}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("", 415),
        ("application/json", 415),
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=" + "b" * 1_000, 400),
        ("multipart/mixed; boundary=a", 415),
    ],
)
def test_other_content_types(kind: str, expected: int) -> None:
    assert status(form(("a", b"x")), kind) == expected


def test_forms_that_are_refused() -> None:
    assert status(form(("a", b"x"), field="image")) == 400
    assert status(form(*[("a", b"x")] * 4)) == 413
    assert status(f"--{BOUNDARY}--\r\n".encode()) == 400
    assert status(form(("a", b"x"))[:-4]) == 400, "no end"
    many = "".join(f"X-{i}: y\r\n" for i in range(20))
    assert status(f"--{BOUNDARY}\r\n{many}\r\nx\r\n--{BOUNDARY}--\r\n".encode()) == 400
    assert status(f"--{BOUNDARY}\r\nX: {'y' * 5_000}\r\n\r\nx\r\n--{BOUNDARY}--\r\n".encode()) == 400


def test_a_form_is_read_as_it_comes() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        body = form(("é.png", b"abc"))
        for at in range(0, len(body), 7):
            yield body[at : at + 7]

    (upload,) = asyncio.run(read_form(FORM, chunks(), LIMITS))
    assert (upload.name, upload.data) == ("é.png", b"abc")
