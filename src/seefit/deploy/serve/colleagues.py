"""What concerns all workers of a server at once: a new model, and the figures of all. Here for a worker that is alone; see `workers`."""

from __future__ import annotations

import asyncio
import threading
from typing import Protocol

from seefit.bundle.bundle import Bundle, load
from seefit.deploy.serve.meters import Meters, Snapshot
from seefit.errors import SeefitError


class Served:
    """The model that is served now.

    Args:
        name: By which clients know it.
        bundle: Replaced as a whole by a reload; whoever works with one keeps it.
    """

    def __init__(self, name: str, bundle: Bundle) -> None:
        self.name, self.bundle = name, bundle
        self._next: Bundle | None = None

    def prepare(self) -> str:
        """Load what is at the place of the model now, verify it by its golden images, and return its hash; the old one is served on.

        Raises:
            ArtefactError: It is damaged, or answers differently than it should.
        """
        bundle = load(self.bundle.folder)
        bundle.verify()
        open_explainer(bundle)
        self._next = bundle
        return bundle.hash

    def switch(self) -> None:
        """Serve what was prepared."""
        if self._next is not None:
            self.bundle, self._next = self._next, None

    def drop(self) -> None:
        """Forget what was prepared."""
        self._next = None


def open_explainer(bundle: Bundle) -> None:
    """Open what explains answers, since the files of a bundle may be replaced later; an export that explains nothing stays as it is."""
    try:
        _ = bundle.explainer
    except SeefitError:
        return


class Colleagues(Protocol):
    """All workers of a server, seen from one of them."""

    async def reload(self) -> str:
        """Have all workers serve what is at the place of the model now, and return its hash.

        Raises:
            SeefitError: One of them cannot; then all serve the old one.
        """
        ...

    async def snapshots(self) -> list[Snapshot]:
        """Return the figures of each."""
        ...


class Alone:
    """A worker without others.

    Args:
        served: Its model.
        meters: Its figures.
    """

    def __init__(self, served: Served, meters: Meters) -> None:
        self._served, self._meters, self._lock = served, meters, threading.Lock()

    async def reload(self) -> str:
        """As in `Colleagues`."""
        return await asyncio.to_thread(self._reload)

    def _reload(self) -> str:
        with self._lock:
            found = self._served.prepare()
            self._served.switch()
            return found

    async def snapshots(self) -> list[Snapshot]:
        """As in `Colleagues`."""
        return [self._meters.snapshot()]
