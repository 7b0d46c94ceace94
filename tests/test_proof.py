"""The proof of an export: on which images, what it allows, and what it names."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from seefit.console import Console
from seefit.deploy.finished import Finished, open_finished
from seefit.deploy.odd_images import odd_images
from seefit.deploy.proof import prove
from seefit.errors import ArtefactError

Images = Sequence[NDArray[np.uint8]]


def halves(images: Images) -> NDArray[Any]:
    return np.full((len(images), 2), 0.5)


def shifted(by: float) -> Any:
    return lambda images: halves(images) + np.array([by, -by])


@pytest.fixture
def finished(little: Path) -> Finished:
    return open_finished(little)


def test_within_a_thousandth_is_proven_on_every_validation_image(finished: Finished) -> None:
    proof = prove(finished, halves, shifted(0.00099))
    assert (proof.part, proof.golden, proof.gone) == ("val", len(odd_images()), 0)
    assert proof.images == len(finished.part("val").samples) > 0
    assert proof.largest == pytest.approx(0.00099)
    assert f"Proven on {proof.images} validation images and {len(odd_images())} odd ones" in proof.sentence()


@pytest.mark.parametrize("wrong", [0.0011, float("nan")])
def test_beyond_it_the_images_are_named(finished: Finished, wrong: float) -> None:
    with pytest.raises(ArtefactError) as caught:
        prove(finished, halves, shifted(wrong))
    assert caught.value.exit_code == 5
    count = len(finished.part("val").samples) + len(odd_images())
    assert caught.value.message.startswith(f"The export answers differently: {count} of {count} images.")
    assert "'odd rgb.png' by " in caught.value.message
    assert f"and {count - 5} more" in caught.value.message


def test_one_wrong_image_is_enough(finished: Finished) -> None:
    calls = 0

    def once(images: Images) -> NDArray[Any]:
        nonlocal calls
        calls += 1
        answers = halves(images)
        if calls == 2:
            answers[-1] += [0.2, -0.2]
        return answers

    with pytest.raises(ArtefactError, match=r"1 of .* images"):
        prove(finished, once, halves)


def test_without_a_validation_part_training_images_stand_in(finished: Finished) -> None:
    rows = [replace(row, split="train") for row in finished.rows]
    proof = prove(replace(finished, rows=rows), halves, halves)
    assert (proof.part, proof.images) == ("train", len(rows))


def test_images_that_are_gone_or_changed_are_counted(finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moved = replace(finished, root=Path(shutil.copytree(finished.root, tmp_path / "photos")))
    first, second, *rest = moved.part("val").samples
    first.path.unlink()
    second.path.write_bytes(rest[0].path.read_bytes())
    proof = prove(moved, halves, halves)
    assert (proof.gone, proof.images) == (2, len(rest))
    assert "2 are gone or changed since" in proof.sentence()
    proof = prove(replace(finished, root=tmp_path / "nowhere"), halves, halves, console=Console())
    assert (proof.images, proof.golden) == (0, len(odd_images()))
    assert "proven on the odd ones alone" in capsys.readouterr().err
