"""Fuzzes the upload parser and the inference protocol with atheris: whatever comes, they read it or refuse it, in bounded time.

    python tests/fuzz_requests.py [-max_total_time=60] [CORPUS]

`SEEDS` are where it begins; what once broke a parser is kept in `CRASHERS`. `test_fuzz_requests.py` asks for all of them in the fast
suite and runs this for a few seconds in the slow one.
"""

from __future__ import annotations

import sys
import tempfile
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

BINARY = b'{"inputs":[{"name":"image","datatype":"UINT8","shape":[1,1,1,3],"parameters":{"binary_data_size":3}}]}'
FORM_HEAD = b'f--edge\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n'
SEEDS = [  # the first letter says whom it is for
    FORM_HEAD + b"Content-Type: image/png\r\n\r\n\x89PNG\r\n--edge--\r\n",
    FORM_HEAD + b"\r\nx\r\n" + FORM_HEAD[1:] + b"\r\n\r\n--edge--\r\n",
    b"f--edge--\r\n",
    b'p{"id":"1","inputs":[{"name":"image","datatype":"UINT8","shape":[1,1,1,3],"data":[[[[0,128,255]]]]}],"outputs":[{"name":"label"}]}',
    b'p{"inputs":[{"name":"image","datatype":"BYTES","shape":[1],"data":["eA=="]}],"parameters":{"binary_data_output":true}}',
    b"b" + len(BINARY).to_bytes(2, "little") + BINARY + b"\x00\x80\xff",
]
CRASHERS: list[bytes] = []


def try_request(data: bytes) -> None:
    """Hand bytes to a parser; anything but a result or a refusal is raised."""
    from seefit.bundle.bundle import Bundle
    from seefit.deploy.serve.limits import Limits
    from seefit.deploy.serve.protocol import read_infer
    from seefit.deploy.serve.refusals import Refusal
    from seefit.deploy.serve.upload import FormParser

    limits, kind, rest = Limits(images=4, pixels=10_000, json_bytes=100_000), data[:1], data[1:]
    bundle = cast("Bundle", SimpleNamespace(classes=("a", "b"), refuses=True, hash="0" * 64))
    try:
        if kind == b"f":
            parser = FormParser("multipart/form-data; boundary=edge", limits)
            middle = len(rest) // 2
            parser.feed(rest[:middle])
            parser.feed(rest[middle:])
            parser.finish()
        elif kind == b"b":
            read_infer(rest[2:], str(int.from_bytes(rest[:2], "little")), bundle, limits)
        else:
            read_infer(rest, None, bundle, limits)
    except Refusal as refusal:
        if refusal.status not in {400, 413, 415, 422}:
            raise
        refusal.body()


def main(arguments: list[str]) -> None:
    """Fuzz until libFuzzer's own options say that it is enough."""
    import atheris

    with atheris.instrument_imports(include=["seefit.deploy.serve", "python_multipart"]):
        for name in ("python_multipart.multipart", "seefit.deploy.serve.protocol", "seefit.deploy.serve.upload"):
            import_module(name)

    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate([*SEEDS, *CRASHERS]):
            Path(corpus, f"seed-{number}").write_bytes(seed)
        fuzz: Any = atheris
        fuzz.Setup([*arguments, corpus], try_request)
        fuzz.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
