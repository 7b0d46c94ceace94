"""How long a search of 30 probes takes, and whether one that is killed loses a trial or runs one twice.

    python benchmarks/tune.py              # once to fill the cache with features, then 30 trials in one go and 30 with kills
    python benchmarks/tune.py --trials 6   # a short look

On two idle cores 30 trials should take 3 minutes with features kept. The other search is killed (-9) after every few trials, in the middle
of one, and gone on with by `seefit tune --out FOLDER`; it must end with the same trials. Needs the extras demo, fast, offline and tune. The
search sees folds of the training part alone; each search scores its winner on the test part of the default split, as the demo shows it.
"""

from __future__ import annotations

import argparse
import csv
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMAND = [sys.executable, "-c", "from seefit.cli.main import run; run()", "tune"]
KILL_AFTER = 7  # trials
MIDDLE_S = 1.0  # after the last of these ended
TOLD = ("trial", "state", "score", "folds", "why")  # how a trial ended; its other columns are what it tried


def main() -> None:
    """Search in one go and with kills; print seconds and what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=30)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        search(Path(folder) / "first", arguments.trials)  # fills the cache
        started = time.perf_counter()
        search(whole, arguments.trials)
        seconds = time.perf_counter() - started
        kills = search_with_kills(killed, arguments.trials)
        record = json.loads((whole / "tune.json").read_text())
        expected, found = trials(whole), trials(killed)
        answer = {
            "seconds": round(seconds, 1),
            "seconds_of_trials": record["seconds"],
            "trials": len(expected),
            "kills": kills,
            "lost": len(set(expected) - set(found)),
            "twice": len(found) - len({settings_of(trial) for trial in found}),
            "same": expected == found,
        }
    print(json.dumps(answer))


def search(folder: Path, count: int) -> None:
    """Search to the end, or go on with a search."""
    data = [] if (folder / "tune.yaml").is_file() else ["demo:elpv"]
    subprocess.run([*COMMAND, *data, "--trials", str(count), "--out", str(folder), "--quiet"], check=True, stdout=sys.stderr)


def search_with_kills(folder: Path, count: int) -> int:
    """Search, killed in the middle of a trial after every few; return how often that was."""
    kills = 0
    for stop in range(KILL_AFTER, count, KILL_AFTER):
        data = [] if (folder / "tune.yaml").is_file() else ["demo:elpv"]
        process = subprocess.Popen([*COMMAND, *data, "--trials", str(count), "--out", str(folder), "--quiet"], stdout=sys.stderr)
        while process.poll() is None and len(trials(folder)) < stop:
            time.sleep(0.1)
        time.sleep(MIDDLE_S)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    search(folder, count)
    return kills


def trials(folder: Path) -> list[tuple[tuple[str, str], ...]]:
    """Return the trials that came to an end, each with its settings and how it ended, without its time."""
    file = folder / "trials.csv"
    if not file.is_file():
        return []
    with open(file, newline="", encoding="utf-8") as handle:
        return [tuple((name, value) for name, value in row.items() if name != "seconds") for row in csv.DictReader(handle)]


def settings_of(trial: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Return what a trial tried alone."""
    return tuple((name, value) for name, value in trial if name not in TOLD)


if __name__ == "__main__":
    main()
