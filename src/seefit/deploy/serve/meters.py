"""Figures of a server for Prometheus. Each worker counts for itself; the answer of ``/metrics`` is the sum over all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

Sample = tuple[str, tuple[tuple[str, str], ...], float]
Snapshot = list[tuple[str, str, str, list[Sample]]]  # name, help, type, samples

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
METHODS = {"GET", "HEAD", "POST"}


class Meters:
    """The figures of one worker.

    Args:
        waiting: Tells how many images wait.
        model: Tells name and hash of the model.
    """

    def __init__(self, waiting: Callable[[], int], model: Callable[[], Mapping[str, str]]) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._registry = registry = CollectorRegistry()
        self._requests = Counter("seefit_requests", "Requests answered", ["method", "route", "status"], registry=registry)
        self._seconds = Histogram("seefit_request_seconds", "Time per request", ["route"], buckets=SECONDS, registry=registry)
        self._bytes = Counter("seefit_received_bytes", "Bytes of bodies", registry=registry)
        self._images = Counter("seefit_images", "Images by outcome", ["outcome"], registry=registry)
        Gauge("seefit_waiting_images", "Images in the queue", registry=registry).set_function(waiting)
        self._model, self._info = model, Gauge("seefit_workers", "Workers by the model they serve", ["model", "hash"], registry=registry)

    def request(self, scope: MutableMapping[str, Any], status: int, seconds: float, received: int) -> None:
        """Count a request that ended; routes go by their pattern, since names that clients make up have no end."""
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        self._bytes.inc(received)

    def images(self, answered: int, refused: int) -> None:
        """Count images that were answered, and those that could not be decoded."""
        self._images.labels("answered").inc(answered)
        self._images.labels("undecodable").inc(refused)

    def snapshot(self) -> Snapshot:
        """Return the figures as plain objects."""
        self._info.clear()
        self._info.labels(**self._model()).set(1)
        return [
            (family.name, family.documentation, family.type, [(s.name, tuple(sorted(s.labels.items())), s.value) for s in family.samples])
            for family in self._registry.collect()
        ]


def exposition(snapshots: Sequence[Snapshot]) -> bytes:
    """Return the sum of the figures of several workers in the text format of Prometheus."""
    from prometheus_client import generate_latest
    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector

    class Sum(Collector):  # type: ignore[misc]
        def collect(self) -> Iterator[Any]:
            for name, text, kind, samples in _summed(snapshots):
                metric = Metric(name, text, kind)
                for sample, labels, value in samples:
                    metric.add_sample(sample, dict(labels), value)
                yield metric

    text: bytes = generate_latest(Sum())
    return text


def _summed(snapshots: Sequence[Snapshot]) -> Iterable[tuple[str, str, str, list[Sample]]]:
    families: dict[tuple[str, str, str], dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for snapshot in snapshots:
        for name, text, kind, samples in snapshot:
            sums = families.setdefault((name, text, kind), {})
            for sample, labels, value in samples:
                if not sample.endswith("_created"):  # when a worker first counted: no sum
                    sums[sample, labels] = sums.get((sample, labels), 0.0) + value
    return [(*family, [(*key, value) for key, value in sums.items()]) for family, sums in families.items()]
