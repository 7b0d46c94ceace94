"""Training that is interrupted between two epochs, as by Ctrl-C."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import pytest


@contextlib.contextmanager
def broken_off(after: int) -> Iterator[None]:
    """Interrupt what trains inside the block when so many epochs are trained, of all its networks together; it must come so far."""
    from seefit.training import finetune as loop

    real, begun = loop._one_epoch, itertools.count()

    def one_epoch(*arguments: Any) -> Any:
        if next(begun) == after:
            raise KeyboardInterrupt
        return real(*arguments)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "_one_epoch", one_epoch)
        yield
