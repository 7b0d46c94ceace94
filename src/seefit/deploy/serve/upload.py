"""The multipart form of an upload, parsed as it comes and kept in memory: never on disk, never beyond the limits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from seefit.deploy.serve.limits import Limits
from seefit.deploy.serve.refusals import Refusal, refuse

FIELD = "file"
MAX_HEADERS, MAX_HEADER_BYTES = 8, 4_096  # of one part
HINT = f"Send images as multipart/form-data in the field {FIELD}, which may repeat: curl -F {FIELD}=@image.jpg"


@dataclass
class Upload:
    """One file of a form.

    Attributes:
        name: That the client gave it; empty where it gave none.
        kind: Its content type, likewise.
        data: What is in it.
    """

    name: str
    kind: str
    data: bytes


@dataclass
class _Part:
    key: str = ""
    name: str = ""
    kind: str = ""
    header: bytearray = field(default_factory=bytearray)
    value: bytearray = field(default_factory=bytearray)
    data: bytearray = field(default_factory=bytearray)


async def read_form(content_type: str, chunks: AsyncIterator[bytes], limits: Limits) -> list[Upload]:
    """Read the files of a form.

    Args:
        content_type: The header of the request.
        chunks: Its body; whoever gives it bounds its bytes.
        limits: Of the server.

    Raises:
        Refusal: 415 for another content type; 400 for a broken form, a foreign field, or none; 413 for too many files.
    """
    parser = FormParser(content_type, limits)
    async for chunk in chunks:
        parser.feed(chunk)
    return parser.finish()


class FormParser:
    """Takes the body of a form piece by piece.

    Args:
        content_type: The header of the request.
        limits: Of the server.

    Raises:
        Refusal: As in `read_form`, here and in every method.
    """

    def __init__(self, content_type: str, limits: Limits) -> None:
        from python_multipart.exceptions import FormParserError
        from python_multipart.multipart import MultipartParser, parse_options_header

        kind, options = parse_options_header(content_type.encode("latin-1", "replace"))
        if kind != b"multipart/form-data":
            got = kind.decode("latin-1")[:60] or "none"
            raise refuse(415, "Unsupported content type", expected="multipart/form-data", got=got, hint=HINT)
        self.uploads: list[Upload] = []
        self._limits, self._part, self._ended = limits, _Part(), False
        calls = ("part_begin", "part_data", "part_end", "header_field", "header_value", "header_end", "headers_finished", "end")
        callbacks: Any = {f"on_{name}": getattr(self, f"_{name}") for name in calls}
        try:
            self._parser = MultipartParser(
                options.get(b"boundary", b""), callbacks, max_header_count=MAX_HEADERS, max_header_size=MAX_HEADER_BYTES
            )
        except FormParserError as error:
            raise _broken() from error
        if not options.get(b"boundary"):
            raise _broken()

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        from python_multipart.exceptions import FormParserError

        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _broken() from error

    def finish(self) -> list[Upload]:
        """Return the files when the whole body has come."""
        if not self._ended:
            raise _broken()
        if not self.uploads:
            raise refuse(400, "No image", expected=f"at least one file in the field {FIELD}", got="none", hint=HINT)
        return self.uploads

    def _part_begin(self) -> None:
        if len(self.uploads) >= self._limits.images:
            most = f"at most {self._limits.images} images"
            raise refuse(413, "Too many images", expected=most, got="more", hint="Send them in several requests")
        self._part = _Part()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._part.header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._part.value += data[start:end]

    def _header_end(self) -> None:
        from python_multipart.multipart import parse_options_header

        part = self._part
        name, (value, options) = bytes(part.header).lower(), parse_options_header(bytes(part.value))
        if name == b"content-disposition":
            part.key, part.name = (options.get(key, b"").decode("utf-8", "replace") for key in (b"name", b"filename"))
        elif name == b"content-type":
            part.kind = value.decode("latin-1").lower()
        part.header, part.value = bytearray(), bytearray()

    def _headers_finished(self) -> None:
        if self._part.key != FIELD:
            got = f"the field {self._part.key[:40]!r}" if self._part.key else "a part without a name"
            raise refuse(400, "Unknown field", expected=f"the field {FIELD}", got=got, hint=HINT)

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._part.data += data[start:end]

    def _part_end(self) -> None:
        self.uploads.append(Upload(self._part.name, self._part.kind, bytes(self._part.data)))

    def _end(self) -> None:
        self._ended = True


def _broken() -> Refusal:
    return refuse(400, "Cannot read the form", expected="multipart/form-data with a boundary and its end", got="something else", hint=HINT)
