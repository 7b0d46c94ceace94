"""Looking at files: steady order, what is kept by content, what is never kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seefit.data import findings
from seefit.data.dataset import Sample
from seefit.data.findings import find
from seefit.data.image import Decoded, Unreadable, decode_with_info
from seefit.environment import cache_folder


def samples_of(folder: Path) -> list[Sample]:
    return [Sample(path, path.name, "a") for path in sorted(folder.iterdir())]


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    """Seventy PNG files: more than the batches that are waited for at once."""
    folder = tmp_path / "squares"
    folder.mkdir()
    for i in range(70):
        Image.new("RGB", (i + 1, 5), (i, 0, 0)).save(folder / f"{i:02}.png")
    return folder


@pytest.mark.parametrize("threads", ["1", "3"])
def test_findings_come_in_the_order_of_the_files(squares: Path, monkeypatch: pytest.MonkeyPatch, threads: str) -> None:
    monkeypatch.setenv("SEEFIT_THREADS", threads)
    monkeypatch.setattr(findings, "_BATCH", 3)
    found, damaged = find(samples_of(squares))
    assert [one.width for one in found] == list(range(1, 71))
    assert {(one.format, one.mode, one.height, one.reason) for one in found} == {("PNG", "RGB", 5, None)}
    assert damaged == 0


def test_a_second_look_decodes_nothing(squares: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (squares / "bad.png").write_bytes(b"<html>")
    first, _ = find(samples_of(squares))
    monkeypatch.setattr(findings, "decode_with_info", lambda *args, **options: pytest.fail("decoded again"))
    again, _ = find(samples_of(squares))
    assert again == first
    assert again[-1].reason == "HTML page, not an image"


def test_another_limit_is_another_finding(squares: Path) -> None:
    assert find(samples_of(squares)[69:])[0][0].reason is None
    assert "over the limit" in (find(samples_of(squares)[69:], max_pixels=100)[0][0].reason or "")


def test_a_changed_file_is_looked_at_again(squares: Path) -> None:
    find(samples_of(squares))
    Image.new("L", (9, 9)).save(squares / "00.png")
    assert find(samples_of(squares))[0][0].mode == "L"


def test_a_damaged_entry_of_the_cache_is_worked_out_again(squares: Path) -> None:
    first, _ = find(samples_of(squares))
    (data,) = cache_folder("scan").glob("**/data.mdb")
    content = data.read_bytes()
    right, wrong = b'"PNG", "RGB", 4, 5', b'"PNG", "RGB", 9, 5'
    assert right in content
    data.write_bytes(content.replace(right, wrong))
    again, damaged = find(samples_of(squares))
    assert (again, damaged) == (first, 1)


def test_a_file_that_the_system_refuses_is_apart_and_not_kept(squares: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise Unreadable(path, PermissionError(13, "Permission denied"))

    monkeypatch.setattr(findings, "read_file", refuse)
    found = find(samples_of(squares)[:1])[0][0]
    assert (found.unreadable, found.reason, found.sha256) == (True, "Permission denied", "")
    monkeypatch.undo()


def test_a_missing_file_is_skipped(tmp_path: Path) -> None:
    found = find([Sample(tmp_path / "gone.png", "gone.png", "a")])[0][0]
    assert (found.unreadable, found.reason) == (False, "no such file")


def test_what_was_found_before_an_interruption_is_kept(squares: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = iter(range(50))

    def interrupted(data: bytes, *, max_pixels: int) -> Decoded:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return decode_with_info(data, max_pixels=max_pixels)

    monkeypatch.setenv("SEEFIT_THREADS", "1")
    monkeypatch.setattr(findings, "decode_with_info", interrupted)
    with pytest.raises(KeyboardInterrupt):
        find(samples_of(squares))
    count = 0

    def counted(data: bytes, *, max_pixels: int) -> Decoded:
        nonlocal count
        count += 1
        return decode_with_info(data, max_pixels=max_pixels)

    monkeypatch.setattr(findings, "decode_with_info", counted)
    found, _ = find(samples_of(squares))
    assert len(found) == 70
    assert count < 40


def test_the_fingerprint_is_of_the_upright_picture(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(0, 250, 5, dtype=np.uint8), (50, 1))
    exif = Image.Exif()
    exif[274] = 3
    Image.fromarray(ramp).save(tmp_path / "a.png")
    Image.fromarray(ramp[::-1, ::-1]).save(tmp_path / "b.png", exif=exif)
    one, two = find(samples_of(tmp_path))[0]
    assert one.sha256 != two.sha256
    assert one.fingerprint == two.fingerprint


def test_what_is_kept_of_a_known_content_stands_for_a_file_that_is_gone_or_changed(squares: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = samples_of(squares)[:4]
    first, _ = find(samples)
    known = {sample: finding.sha256 for sample, finding in zip(samples, first, strict=True)}
    samples[0].path.unlink()
    Image.new("L", (9, 9)).save(samples[1].path)
    found, _ = find(samples, known=known)
    assert [finding.recalled for finding in found] == [True, True, False, False]
    assert [(one.sha256, one.width, one.fingerprint) for one in found] == [(one.sha256, one.width, one.fingerprint) for one in first]
    assert [finding.reason for finding in find(samples)[0]] == ["no such file", None, None, None]
    unknown, _ = find(samples, known=dict.fromkeys(samples, "00" * 32))
    assert {finding.reason for finding in unknown} == {findings.GONE}
    assert {finding.sha256 for finding in unknown} == {""}


def test_a_known_file_that_the_system_refuses_is_told_as_such(squares: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = samples_of(squares)[:1]
    known = {samples[0]: find(samples)[0][0].sha256}

    def refuse(path: Path) -> bytes:
        raise Unreadable(path, PermissionError(13, "Permission denied"))

    monkeypatch.setattr(findings, "read_file", refuse)
    found, _ = find(samples, known=known)
    assert found[0].unreadable
    assert found[0].reason == "Permission denied"
