"""Out of memory: told from other errors, and half as many images at once until they fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seefit.errors import ResourceError
from seefit.memory import Memory, is_out_of_memory
from test_cache import Listener

TORCH = "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."


@pytest.mark.parametrize(
    ("error", "it_is"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."), True),
        (RuntimeError(TORCH), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("Exception from src/inference/src/cpp/core.cpp:112: std::bad_alloc"), True),
        (RuntimeError("Expected all tensors to have the same memory format"), False),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_that_say_that_memory_ran_out(error: Exception, it_is: bool) -> None:
    assert is_out_of_memory(error) is it_is


def test_what_numpy_and_torch_really_raise() -> None:
    with pytest.raises(MemoryError) as numpy_error:
        np.empty(2**62, np.uint8)
    assert is_out_of_memory(numpy_error.value)
    with pytest.raises(RuntimeError) as torch_error:
        torch.empty(2**62, dtype=torch.uint8)
    assert is_out_of_memory(torch_error.value)


@pytest.mark.parametrize(("count", "most", "sizes"), [(8, 8, [8]), (8, 5, [4, 4]), (7, 3, [1, 2, 2, 2]), (9, 1, [1] * 9), (1, 1, [1])])
def test_work_is_done_on_everything_in_equal_pieces_that_fit(count: int, most: int, sizes: list[int]) -> None:
    seen: list[int] = []

    def work(piece: slice) -> list[int]:
        if piece.stop - piece.start > most:
            raise RuntimeError(TORCH)
        seen.append(piece.stop - piece.start)
        return list(range(count))[piece]

    found = Memory().each(count, work, seen.clear)
    assert [i for piece in found for i in piece] == list(range(count))
    assert sorted(seen) == sorted(sizes)


def test_a_halving_is_told_once_and_lasts() -> None:
    heard, tried = Listener(), []

    def work(piece: slice) -> None:
        tried.append(piece.stop - piece.start)
        if tried[-1] > 20:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    memory = Memory("training", "steps stay those of whole batches", heard)
    memory.each(64, work)
    memory.each(64, work)
    assert tried == [64, 32, *[16] * 8]
    assert memory.images == 16
    assert heard.warned == [
        "Out of memory: training goes on with 32 instead of 64 images at once; steps stay those of whole batches",
        "Out of memory: training goes on with 16 instead of 32 images at once; steps stay those of whole batches",
    ]


def test_what_was_done_is_undone_before_it_is_done_again() -> None:
    done: list[str] = []

    def work(piece: slice) -> None:
        done.append(f"{piece.start}:{piece.stop}")
        if piece.stop - piece.start > 2 and piece.start:
            raise MemoryError

    memory = Memory()
    memory.images = 4
    memory.each(8, work, lambda: done.append("undo"))
    assert done == ["0:4", "4:8", "undo", "0:2", "2:4", "4:6", "6:8"]


def test_one_image_that_does_not_fit_is_a_matter_of_resources() -> None:
    def work(piece: slice) -> None:
        raise RuntimeError(f"{TORCH}\nand more")

    with pytest.raises(ResourceError) as caught:
        Memory("training").each(3, work)
    assert caught.value.exit_code == 6
    assert caught.value.message == f"Out of memory: training. Expected room for one image at a time, got {TORCH}"
    assert caught.value.hint == "Close other programs, or use a smaller --image-size or --backbone."


def test_other_errors_are_left_alone() -> None:
    def work(piece: slice) -> None:
        raise RuntimeError("shapes do not match")

    memory = Memory()
    with pytest.raises(RuntimeError, match="shapes do not match"):
        memory.each(8, work)
    assert memory.images is None
