"""Whether `seefit serve` stands a long crowd with hostile requests in it: no wrong answer, no 500, no growing memory.

    python benchmarks/serving_soak.py [RUN] [--minutes 10] [--connections 64] [--hostile 0.05]

Every connection asks about images of `demo:elpv` whose answers were taken from a single client before, and compares; a share of the
requests is hostile: damaged, huge, malformed, half sent, under foreign names. Prints one JSON line; exit 1 when anything is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seefit.data.demo import read_demo
from serving_client import Connection, connect, in_own_process, predict_request, run_of, seefit_serve

PAGE_BYTES = 4_096


def hostile_requests(image: bytes) -> list[tuple[str, bytes]]:
    """Return requests that must be refused, by name."""
    whole = predict_request(image)
    plain = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"
    return [
        ("truncated image", predict_request(image[: len(image) // 2])),
        ("no image", predict_request(b"<html>not an image</html>" * 20)),
        ("empty", predict_request(b"")),
        ("foreign host", whole.replace(b"Host: localhost", b"Host: evil.example")),
        ("foreign origin", whole.replace(b"Host: localhost", b"Host: localhost\r\nOrigin: http://evil.example")),
        ("json", plain + b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"),
        ("declared too large", plain + b"Content-Type: multipart/form-data; boundary=a\r\nContent-Length: 999999999\r\n\r\n"),
        ("no http", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
        ("half a request", whole[: len(whole) // 2]),
        ("unknown model", b"GET /v2/models/..%2f..%2fetc HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("deep json", _infer(b"[" * 50_000)),
        ("lying tensor", _infer(b'{"inputs":[{"name":"image","datatype":"UINT8","shape":[1,60000,60000,3],"data":[1]}]}')),
    ]


def _infer(body: bytes) -> bytes:
    head = (
        f"POST /v2/models/model/infer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass
class Seen:
    """What the crowd saw."""

    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    hostile: Counter[str] = field(default_factory=Counter)
    memory_mb: list[tuple[float, float]] = field(default_factory=list)


async def _attack(port: int, name: str, request: bytes, seen: Seen) -> None:
    """Send one hostile request on a connection of its own."""
    connection = await connect(port)
    try:
        if name == "half a request":  # and go away
            connection.transport.write(request)
            await asyncio.sleep(0.05)
            return
        status, _ = await asyncio.wait_for(connection.ask(request), 60)
        seen.statuses[status] += 1
        if not (400 <= status < 500 or status == 503):
            seen.wrong.append(f"{name} gave {status}")
    except (ConnectionError, ValueError):
        seen.statuses[0] += 1  # hung up on
    except TimeoutError:
        seen.wrong.append(f"{name} had no answer")
    finally:
        seen.hostile[name] += 1
        connection.transport.close()


async def _client(
    port: int, requests: Sequence[bytes], expected: Sequence[Any], hostile: float, until: float, seed: int, seen: Seen
) -> None:
    draw = random.Random(seed)
    attacks = hostile_requests(requests[0].partition(b"\r\n\r\n")[2].partition(b"\r\n\r\n")[2])
    connection: Connection | None = None
    while time.monotonic() < until:
        if draw.random() < hostile:
            await _attack(port, *draw.choice(attacks), seen)
            continue
        at = draw.randrange(len(requests))
        try:
            connection = connection or await connect(port)
            status, body = await asyncio.wait_for(connection.ask(requests[at]), 60)
        except (ConnectionError, TimeoutError) as error:
            seen.wrong.append(f"image {at}: {type(error).__name__}")
            connection = None
            continue
        seen.statuses[status] += 1
        if status == 503:
            await asyncio.sleep(1)
        elif status != 200 or json.loads(body) != expected[at]:
            seen.wrong.append(f"image {at}: {status} {body[:300]!r}")


async def _watch(pid: int, until: float, seen: Seen) -> None:
    begun = time.monotonic()
    while time.monotonic() < until:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        seen.memory_mb.append((time.monotonic() - begun, pages * PAGE_BYTES / 2**20))
        await asyncio.sleep(min(5.0, max(0.5, (until - begun) / 60)))


def crowd(port: int, pid: int, requests: Sequence[bytes], connections: int, hostile: float, seconds: float) -> Seen:
    """Ask once alone, then together; return what was seen."""

    async def run() -> Seen:
        alone, seen = await connect(port), Seen()
        expected = [json.loads((await alone.ask(request))[1]) for request in requests]
        alone.transport.close()
        until = time.monotonic() + seconds
        clients = (_client(port, requests, expected, hostile, until, seed, seen) for seed in range(connections))
        await asyncio.gather(_watch(pid, until, seen), *clients)
        return seen

    return asyncio.run(run())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--hostile", type=float, default=0.05)
    parser.add_argument("--images", type=int, default=100)
    args = parser.parse_args()
    samples = read_demo("demo:elpv").samples
    requests = [predict_request(sample.path.read_bytes()) for sample in samples[:: len(samples) // args.images]]
    with run_of(args.run) as run, seefit_serve(run, "--name", "model") as (port, pid, _):
        seen: Seen = in_own_process(crowd, port, pid, requests, args.connections, args.hostile, 60 * args.minutes)
    third = max(1, len(seen.memory_mb) // 3)
    early, late = (max(mb for _, mb in part) for part in (seen.memory_mb[third : 2 * third] or seen.memory_mb, seen.memory_mb[-third:]))
    print(
        json.dumps(
            {
                "minutes": args.minutes,
                "connections": args.connections,
                "statuses": dict(sorted(seen.statuses.items())),
                "hostile": dict(seen.hostile),
                "wrong": len(seen.wrong),
                "examples": seen.wrong[:5],
                "memory_mb": {
                    "middle third": round(early, 1),
                    "last third": round(late, 1),
                    "most": round(max(m for _, m in seen.memory_mb), 1),
                },
            }
        )
    )
    sys.exit(1 if seen.wrong or seen.statuses[500] or late > 1.1 * early else 0)


if __name__ == "__main__":
    main()
