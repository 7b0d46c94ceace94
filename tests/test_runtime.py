"""Running the graph: order, bounds, threads and memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from seefit.bundle import runtime
from seefit.bundle.bundle import load
from seefit.bundle.graph import split
from seefit.bundle.runtime import Reference, in_batches, open_session, ordered_map
from seefit.errors import ArtefactError, UsageError

PICTURE = np.random.default_rng(0).integers(0, 256, (61, 43, 3)).astype(np.uint8)


def own_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("seefit")}


def memory_mb() -> float:
    """Return the memory that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


class Source:
    """Numbers from 0 on that remember how many were taken."""

    def __init__(self, end: int) -> None:
        self.taken, self.end = 0, end

    def __iter__(self) -> Iterator[int]:
        for number in range(self.end):
            self.taken += 1
            yield number


def test_results_come_in_the_order_of_the_items() -> None:
    def slow_at_first(number: int) -> int:
        time.sleep(0.01 if number % 5 == 0 else 0)
        return number * number

    assert list(ordered_map(slow_at_first, range(40), workers=4)) == [n * n for n in range(40)]


def test_items_are_worked_on_beside_each_other() -> None:
    both = threading.Barrier(2, timeout=10)  # one worker alone would never pass it
    assert len(list(ordered_map(lambda _: both.wait(), range(6), workers=2))) == 6


def test_no_items_give_no_results() -> None:
    assert list(ordered_map(str, [], workers=2)) == []


@pytest.mark.parametrize(("workers", "ahead"), [(1, 0), (2, 4), (3, 1)])
def test_what_is_under_way_is_bounded(workers: int, ahead: int) -> None:
    source = Source(1_000_000)
    results = ordered_map(lambda number: number, source, workers=workers, ahead=ahead)
    for done in range(1, 6):
        next(results)
        assert source.taken - done < workers * (ahead + 1)
    results.close()  # type: ignore[attr-defined]


def test_nothing_starts_before_the_first_result_is_asked_for() -> None:
    source = Source(10)
    ordered_map(str, source, workers=2)
    assert source.taken == 0
    assert own_threads() == set()


def test_threads_end_when_the_consumer_stops() -> None:
    worked: list[int] = []
    results = ordered_map(worked.append, Source(1_000), workers=2)
    next(results)
    assert own_threads()
    results.close()  # type: ignore[attr-defined]
    assert own_threads() == set()
    assert len(worked) <= 10


def test_an_exception_of_the_function_arrives_in_its_place() -> None:
    def work(number: int) -> int:
        if number == 3:
            raise KeyError(number)
        return number

    found = []
    with pytest.raises(KeyError, match="3"):
        for number in ordered_map(work, Source(1_000_000), workers=2):
            found.append(number)
    assert found == [0, 1, 2]
    assert own_threads() == set()


def test_an_exception_of_the_items_is_passed_on() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the folder is gone")

    with pytest.raises(OSError, match="the folder is gone"):
        list(ordered_map(str, items(), workers=2))
    assert own_threads() == set()


def test_batches_keep_the_order_and_the_last_may_be_shorter() -> None:
    assert list(in_batches("abcde", 2)) == [["a", "b"], ["c", "d"], ["e"]]
    assert list(in_batches("abcd", 2)) == [["a", "b"], ["c", "d"]]
    assert list(in_batches("", 2)) == []


def test_a_batch_is_given_as_soon_as_it_is_full() -> None:
    source = Source(1_000_000)
    assert next(in_batches(source, 3)) == [0, 1, 2]
    assert source.taken == 3


def test_the_parts_answer_as_the_merged_graph(tiny_bundle: Path) -> None:
    import onnx

    model = onnx.load(tiny_bundle / "model.onnx")
    reference = Reference(*split(model))
    names = ["probabilities", "logits", "features"]
    whole = open_session(model, intra_threads=1).run(names, {"image": PICTURE[np.newaxis]})
    batch = np.stack([reference.pixels(PICTURE), np.zeros((3, 32, 32), np.float32)])
    for of_parts, of_whole in zip(reference.run(batch, names), whole, strict=True):
        np.testing.assert_allclose(of_parts[0], of_whole[0], rtol=0, atol=1e-6)


def test_forward_yields_the_features_of_each_batch_in_order(tiny_bundle: Path) -> None:
    reference = load(tiny_bundle).reference
    batches = list(np.random.default_rng(1).normal(size=(3, 2, 3, 32, 32)).astype(np.float32))
    found = list(reference.forward(iter(batches)))
    assert [features.shape for features in found] == [(2, 24)] * 3
    for batch, features in zip(batches, found, strict=True):
        np.testing.assert_array_equal(features, reference.run(batch, ["features"])[0])


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_memory_is_given_back_after_a_large_image_and_the_session_goes_on(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = np.zeros((2000, 2000, 3), np.uint8)
    reference = load(tiny_bundle).reference
    before = reference.pixels(PICTURE)
    start = memory_mb()
    reference.pixels(large)
    assert memory_mb() - start < 30
    np.testing.assert_array_equal(reference.pixels(PICTURE), before)
    monkeypatch.setattr(runtime, "LARGE", large.size)  # not above it: nothing is given back, which proves that the figure can tell
    reference.pixels(large)
    assert memory_mb() - start > 60


def test_batches_run_beside_each_other_on_as_many_threads_as_the_environment_says(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = load(tiny_bundle).reference
    batch = np.stack([reference.pixels(PICTURE)] * reference.batch)
    for count in (1, 3):
        monkeypatch.setenv("SEEFIT_THREADS", str(count))
        together = threading.Barrier(count, timeout=10)

        def run(
            pixels: NDArray[np.float32], outputs: Sequence[str], *, together: threading.Barrier = together
        ) -> list[NDArray[np.float32]]:
            together.wait()  # breaks unless so many run at once
            return [pixels]

        monkeypatch.setattr(reference, "run", run)
        assert len(list(reference.forward([list(batch)] * (2 * count)))) == 2 * count
        assert reference._network.get_session_options().intra_op_num_threads == 1


def test_the_number_of_threads_does_not_change_the_answer(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = []
    for count in ("1", "3"):
        monkeypatch.setenv("SEEFIT_THREADS", count)
        reference = load(tiny_bundle).reference
        answers.append(reference.run(reference.pixels(PICTURE)[np.newaxis], ["probabilities"])[0])
    np.testing.assert_allclose(answers[0], answers[1], rtol=0, atol=1e-4)


def test_a_bad_number_of_threads_is_no_fault_of_the_bundle(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEEFIT_THREADS", "²")  # a digit, but no number
    reference = load(tiny_bundle).reference
    with pytest.raises(UsageError) as caught:
        list(reference.forward([[np.zeros((3, 8, 8), np.float32)]]))
    assert caught.value.message == "Bad environment variable: SEEFIT_THREADS. Expected a whole number of at least 1, got '²'."


def test_what_the_runtime_cannot_do_is_told_in_our_words(tiny_bundle: Path) -> None:
    reference = load(tiny_bundle).reference
    with pytest.raises(ArtefactError) as caught:
        reference.run(np.zeros((1, 3, 8, 8), np.float32), ["features", "logits"])
    assert caught.value.message == (
        "The model cannot be run: inputs of shape (1, 3, 8, 8). "
        "Expected the outputs features, logits, got an error of ONNX Runtime (InvalidArgument)."
    )


def test_memory_that_cannot_be_had_is_no_fault_of_the_model() -> None:
    import onnx

    model = onnx.parser.parse_model("""
    <ir_version: 10, opset_import: ["" : 20]>
    big (int64[1] pixels) => (float[N] features) { features = ConstantOfShape(pixels) }""")
    session = open_session(model, intra_threads=1)
    with pytest.raises(MemoryError):
        runtime.run_session(session, ["features"], {"pixels": np.array([2**50])})
