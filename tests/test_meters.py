"""Figures: counted by each worker, summed over all."""

from __future__ import annotations

import pytest

pytest.importorskip("prometheus_client", reason="the extra serve is not installed")

from prometheus_client.parser import text_string_to_metric_families

from seefit.deploy.serve.meters import Meters, exposition


def test_figures_of_workers_are_summed() -> None:
    workers = []
    for hash, count in (("old", 2), ("new", 3), ("new", 5)):
        meters = Meters(lambda: 4, lambda hash=hash: {"model": "m", "hash": hash})  # type: ignore[misc]
        for _ in range(count):
            meters.request({"method": "POST", "route": type("R", (), {"path": "/predict"})}, 200, 0.03, 100)
        meters.images(count, 1)
        workers.append(meters.snapshot())
    found = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposition(workers).decode())
        for sample in family.samples
    }
    assert found["seefit_requests_total", (("method", "POST"), ("route", "/predict"), ("status", "200"))] == 10
    assert found["seefit_request_seconds_bucket", (("le", "0.05"), ("route", "/predict"))] == 10
    assert found["seefit_request_seconds_bucket", (("le", "0.02"), ("route", "/predict"))] == 0
    assert found["seefit_received_bytes_total", ()] == 1_000
    assert found["seefit_images_total", (("outcome", "undecodable"),)] == 3
    assert found["seefit_waiting_images", ()] == 12
    assert found["seefit_workers", (("hash", "new"), ("model", "m"))] == 2
    assert not any(name.endswith("_created") for name, _ in found)


def test_names_that_clients_make_up_do_not_grow_the_figures() -> None:
    meters = Meters(lambda: 0, lambda: {"model": "m", "hash": "0"})
    for i in range(50):
        meters.request({"method": f"M{i}", "path": f"/{i}"}, 404, 0, 0)
    text = exposition([meters.snapshot()]).decode()
    assert 'seefit_requests_total{method="other",route="other",status="404"} 50.0' in text
