"""The fuzzer of requests: its seeds and what it once found, and in the slow suite a few seconds of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("python_multipart", reason="the extra serve is not installed")

import fuzz_requests
from fuzz_requests import CRASHERS, SEEDS, try_request


@pytest.mark.parametrize("data", [*SEEDS, *CRASHERS])
def test_seeds_and_crashers_are_read_or_refused(data: bytes) -> None:
    try_request(data)


@pytest.mark.slow
def test_nothing_breaks_in_a_few_seconds_of_fuzzing(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris is not installed")
    command = [
        sys.executable,
        fuzz_requests.__file__,
        "-max_total_time=8",
        "-timeout=5",
        "-rss_limit_mb=2048",
        f"-artifact_prefix={tmp_path}/",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, [path.read_bytes() for path in tmp_path.iterdir()]) == (0, []), done.stderr[-3_000:]
