"""How long a user waits: `seefit train demo:elpv` from start to finish, `import seefit`, `seefit --help`, one prediction.

    python benchmarks/wall_time.py [--rounds 3]

Every figure is a whole process, timed from outside. `first` starts with an empty cache folder, `empty` with only the
converted backbone in it, `full` with everything kept. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from seefit.data.demo import read_demo

SEEFIT = str(Path(sys.executable).with_name("seefit"))


def timed(command: list[str], cache: Path) -> float:
    """Run a command and return its seconds."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "SEEFIT_CACHE": str(cache)})
    return time.perf_counter() - start


def train(folder: Path, cache: Path) -> float:
    """Train into a new run folder and return the seconds."""
    shutil.rmtree(folder / "run", ignore_errors=True)
    return timed([SEEFIT, "train", "demo:elpv", "--out", str(folder / "run"), "--quiet"], cache)


def one_round(folder: Path) -> dict[str, float]:
    """Measure everything once."""
    cache = folder / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    found = {"first": train(folder, cache)}
    for name in ("features", "scan"):
        shutil.rmtree(cache / name)
    found["empty"] = train(folder, cache)
    found["full"] = train(folder, cache)
    picture = str(read_demo("demo:elpv").samples[0].path)
    found["predict"] = timed([SEEFIT, "predict", str(folder / "run"), picture], cache)
    found["help"] = timed([SEEFIT, "--help"], cache)
    found["import"] = timed([sys.executable, "-c", "import seefit"], cache)
    found["python"] = timed([sys.executable, "-c", "pass"], cache)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rounds = [one_round(Path(folder)) for _ in range(args.rounds)]
    seconds = {name: round(statistics.median(found[name] for found in rounds), 2) for name in rounds[0]}
    peak = round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
    print(json.dumps({"rounds": args.rounds, "seconds": seconds, "peak_memory_mb": peak}))


if __name__ == "__main__":
    main()
