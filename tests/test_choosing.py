"""Which backbones there are to choose from."""

from __future__ import annotations

from pathlib import Path

import pytest

from seefit.choosing import backbones_here
from tiny import plant_little


def test_packaged_backbones_and_own_weights_come_cheapest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert backbones_here() == ["lite0", "lite1", "lite2"]
    monkeypatch.setenv("SEEFIT_WEIGHTS", str(tmp_path))
    name = plant_little(tmp_path)
    assert backbones_here() == ["lite0", "lite1", "lite2", name]
    (tmp_path / "tf_efficientnet_lite0.safetensors").write_bytes(b"")
    assert backbones_here().count("tf_efficientnet_lite0") == 0
