"""How fast `seefit serve` answers, against the bare call and against a plain FastAPI handler with the same graph.

    python benchmarks/serving.py [RUN] [--seconds 15] [--rounds 3] [--connections 64] [--images 200]

Client and server run on this computer, in processes of their own. RUN is a run or a bundle; without one `demo:elpv` is trained on.
The images are 300 px PNGs of `demo:elpv`. The bare call is decode and the same graph in a loop, from bytes in memory: with as many
threads and images a batch as the server where images per second are compared, one image after the other where latencies are. The
plain handler is what a tutorial shows: `def predict(file: UploadFile)`, uvicorn, one run of the graph a request. It is compared twice:
with every connection asking as fast as answers come, where the mean latency follows from the images per second alone (connections /
rate, Little's law), and with requests that come at the same rate to both. Sides take turns; medians of rounds. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from seefit.bundle.bundle import Bundle, load
from seefit.bundle.runtime import BATCH, in_batches, ordered_map
from seefit.data.demo import read_demo
from seefit.data.image import decode
from seefit.environment import threads
from serving_client import Load, in_own_process, predict_request, put_load, run_of, seefit_serve

SAME_LOAD = 0.7  # of the images/s of the bare call: requests come at this rate to both servers, whatever they answer


def bare(run: Path, images: Sequence[bytes], seconds: float) -> tuple[float, Load]:
    """Return images a second with the threads and batches of the server, and what one image after the other takes."""
    import numpy as np

    bundle = load(run)

    def batch(items: list[bytes]) -> int:
        pixels = np.stack([bundle.reference.pixels(decode(item)) for item in items])
        bundle.reference.run(pixels, _outputs(bundle))
        return len(items)

    def endless() -> Iterator[bytes]:
        until = time.perf_counter() + seconds
        at = 0
        while time.perf_counter() < until:
            yield images[at % len(images)]
            at += 1

    begun = time.perf_counter()
    done = sum(ordered_map(batch, in_batches(endless(), BATCH), workers=threads()))
    rate = done / (time.perf_counter() - begun)
    latencies, begun = [], time.perf_counter()
    for item in endless():
        start = time.perf_counter()
        batch([item])
        latencies.append(time.perf_counter() - start)
    return rate, Load(time.perf_counter() - begun, latencies, {}, 0.0)


def _outputs(bundle: Bundle) -> list[str]:
    return ["probabilities", *(["unknown"] if bundle.refuses else [])]


def plain(run: Path, pipe: Any) -> None:
    """Serve the graph as a tutorial does."""
    import numpy as np
    import uvicorn
    from fastapi import FastAPI, UploadFile

    bundle, app = load(run), FastAPI()

    def predict(file: UploadFile) -> dict[str, Any]:
        pixels = bundle.reference.pixels(decode(file.file.read()))
        probabilities, *_ = bundle.reference.run(np.stack([pixels]), _outputs(bundle))
        ranked = sorted(zip(bundle.classes, probabilities[0].tolist(), strict=True), key=lambda entry: -entry[1])
        return {"predictions": [{"label": label, "score": score} for label, score in ranked]}

    predict.__annotations__["file"] = UploadFile  # written as text in this module
    app.post("/predict", response_model=None)(predict)
    config = uvicorn.Config(app, port=0, access_log=False, log_level="error")
    opened = config.bind_socket()
    pipe.send(opened.getsockname()[1])
    uvicorn.Server(config).run(sockets=[opened])


@contextlib.contextmanager
def plain_server(run: Path) -> Iterator[int]:
    """Start the plain handler; yield its port."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=plain, args=(run, theirs))
    process.start()
    try:
        yield mine.recv()
    finally:
        process.terminate()
        process.join()


def measure(run: Path, requests: Sequence[bytes], images: Sequence[bytes], connections: int, seconds: float) -> dict[str, float]:
    """Return the figures of one round."""
    bare_rate, one = in_own_process(bare, run, images, seconds)
    found = {"bare_images_s": bare_rate, "bare_p50_ms": one.percentile(0.5), "bare_p99_ms": one.percentile(0.99)}
    with seefit_serve(run) as (port, _, ready):
        found["ready_s"] = ready
        in_own_process(put_load, port, requests, 2, 1.0)  # a first look: memory, caches
        alone = in_own_process(put_load, port, requests, 1, seconds)
        top = in_own_process(put_load, port, requests, connections, seconds)
        half = in_own_process(put_load, port, requests, connections, seconds, top.rate / 2)
        same = in_own_process(put_load, port, requests, connections, seconds, SAME_LOAD * bare_rate)
    found["served_same_load_p99_ms"] = same.percentile(0.99)
    found |= {f"served_p{p}_ms": alone.percentile(p / 100) for p in (50, 99)}
    found |= {"served_images_s": top.rate, "served_top_p99_ms": top.percentile(0.99), "served_half_p99_ms": half.percentile(0.99)}
    found |= {"client_ms": 1_000 * top.client_s / len(top.latencies), "not_200": sum(n for s, n in top.statuses.items() if s != 200)}
    with plain_server(run) as port:
        in_own_process(put_load, port, requests, 2, 1.0)
        other = in_own_process(put_load, port, requests, connections, seconds)
        same = in_own_process(put_load, port, requests, connections, seconds, SAME_LOAD * bare_rate)
    found["plain_same_load_p99_ms"] = same.percentile(0.99)
    return found | {"plain_images_s": other.rate, "plain_top_p99_ms": other.percentile(0.99)}


def ratios(found: dict[str, float]) -> dict[str, float]:
    """Return the figures that the aims are about."""
    return {
        "served_of_bare": found["served_images_s"] / found["bare_images_s"],
        "p50_of_bare": found["served_p50_ms"] / found["bare_p50_ms"],
        "p99_of_bare": found["served_p99_ms"] / found["bare_p99_ms"],
        "half_load_p99_of_bare": found["served_half_p99_ms"] / found["bare_p99_ms"],
        "served_of_plain": found["served_images_s"] / found["plain_images_s"],
        "same_load_p99_of_plain": found["served_same_load_p99_ms"] / found["plain_same_load_p99_ms"],
        "p99_of_plain": found["served_top_p99_ms"] / found["plain_top_p99_ms"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--images", type=int, default=200)
    args = parser.parse_args()
    samples = read_demo("demo:elpv").samples
    images = [sample.path.read_bytes() for sample in samples[:: max(1, len(samples) // args.images)]]
    requests = [predict_request(image) for image in images]
    with run_of(args.run) as run:
        rounds = [measure(run, requests, images, args.connections, args.seconds) for _ in range(args.rounds)]
    compared = [ratios(found) for found in rounds]
    median = {key: round(statistics.median(entry[key] for entry in entries), 3) for entries in (rounds, compared) for key in entries[0]}
    print(json.dumps({"connections": args.connections, "seconds": args.seconds, "rounds": args.rounds, **median}))


if __name__ == "__main__":
    main()
