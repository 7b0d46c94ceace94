"""Reading an ONNX file that somebody else made: typed errors for whatever is in it. ``fuzz/`` looks longer, with atheris."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seefit.bundle.model_file import read_model
from seefit.errors import ArtefactError
from tiny import tiny_network

ROOT = Path(__file__).parents[1]
MODEL = tiny_network().SerializeToString()


def read(data: bytes, file: Path) -> None:
    file.write_bytes(data)
    try:
        model = read_model(file)
    except ArtefactError as error:
        assert error.exit_code == 5
        return
    assert not any(tensor.external_data for tensor in model.graph.initializer)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_any_bytes(data: bytes, tmp_path: Path) -> None:
    read(data, tmp_path / "model.onnx")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.integers(0, len(MODEL) - 1), cut=st.integers(0, 8), put=st.binary(max_size=8))
def test_a_model_with_a_changed_place(start: int, cut: int, put: bytes, tmp_path: Path) -> None:
    read(MODEL[:start] + put + MODEL[start + cut :], tmp_path / "model.onnx")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed")
@pytest.mark.parametrize("target", ["manifest", "tensors", "gallery", "model"])
def test_some_seconds_of_atheris(target: str, tmp_path: Path) -> None:
    # no limit of memory: on Linux a process begins with the peak of the one that started it
    command = [
        sys.executable,
        str(ROOT / "fuzz" / "bundle.py"),
        target,
        "-max_total_time=8",
        "-seed=1",
        "-rss_limit_mb=0",
        f"-artifact_prefix={tmp_path}/",
    ]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert "Done" in answer.stderr
