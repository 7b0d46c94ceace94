"""Bundles: what loads, and everything that must be refused before it does harm."""

from __future__ import annotations

from pathlib import Path

from seefit.bundle.bundle import load


def test_a_bundle_loads_and_answers_as_it_did_when_written(tiny_bundle: Path) -> None:
    bundle = load(tiny_bundle)
    bundle.verify()
    assert bundle.classes == ("defective", "functional")
