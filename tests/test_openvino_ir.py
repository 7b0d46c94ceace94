"""OpenVINO's files: fp32 weights, no class map, and a typed error without the package."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from seefit.deploy.finished import open_finished
from seefit.deploy.openvino_ir import write_openvino_export
from seefit.errors import ResourceError


def test_the_weights_stay_in_fp32_and_the_map_is_left_out(little: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install seefit[fast]")
    write_openvino_export(open_finished(little), tmp_path)
    text = (tmp_path / "model.xml").read_text()
    assert 'element_type="f16"' not in text
    assert "map_bias" not in text
    assert "unknown" in text
    assert not list(tmp_path.glob("tmp*"))


def test_without_openvino_there_is_a_hint(little: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ResourceError, match="Cannot export to OpenVINO"):
        write_openvino_export(open_finished(little), tmp_path)
