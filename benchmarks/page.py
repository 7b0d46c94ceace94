"""How much later than the API the page shows its first answer: from dropping a picture to the answer on the screen.

    python benchmarks/page.py RUN [IMAGE …] [--repeats 20]

Starts ``seefit serve RUN`` on this computer and opens its page in Chromium, which must be installed. Each picture is sent to the API
and dropped on the page in turn, so that both see the same load. Needs ``.[serve,dev]``; the pictures are of `demo:elpv` unless others are
named. Target: the median on the page at most 300 ms above that of the API.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MOST_MS = 300.0
DROP = """async ([name, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const given = new DataTransfer();
  given.items.add(new File([bytes], name));
  const answer = document.getElementById("answer");
  answer.dataset.state = "";
  const start = performance.now();
  const shown = new Promise((resolve) => {
    const watch = new MutationObserver(() => {
      if (answer.dataset.state !== "done") return;
      watch.disconnect();
      requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now())));
    });
    watch.observe(answer, { attributes: true, childList: true, subtree: true });
  });
  document.dispatchEvent(new DragEvent("drop", { dataTransfer: given, bubbles: true, cancelable: true }));
  return (await shown) - start;
}"""


@contextlib.contextmanager
def serving(run: str) -> Iterator[str]:
    """Start the server, wait until it is ready, and end it in the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "from seefit.cli.main import run; run()"
    process = subprocess.Popen([sys.executable, "-c", code, "serve", run, "--port", str(port), "--quiet"])
    try:
        yield wait_for(f"http://127.0.0.1:{port}/", process)
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_for(address: str, process: subprocess.Popen[bytes]) -> str:
    while process.poll() is None:
        try:
            urllib.request.urlopen(f"{address}v2/health/ready", timeout=5).close()
            return address
        except urllib.error.URLError:
            time.sleep(0.05)
    sys.exit("The server did not start.")


def measure(page: Any, address: str, images: list[Path], repeats: int) -> tuple[list[float], list[float]]:
    """Return milliseconds of the API and of the page."""
    api, shown = [], []
    for turn in range(repeats + 1):
        image = images[turn % len(images)]
        data = image.read_bytes()
        start = time.perf_counter()
        answer = page.request.post(f"{address}predict", multipart={"file": {"name": image.name, "mimeType": "image/png", "buffer": data}})
        answer.json()
        api.append(1000 * (time.perf_counter() - start))
        shown.append(page.evaluate(DROP, [image.name, base64.b64encode(data).decode("ascii")]))
        page.reload()
    return api[1:], shown[1:]  # the first of each warms up


def some_images() -> list[Path]:
    import elpv_dataset

    return sorted((Path(elpv_dataset.__file__).parent / "data" / "images").glob("*.png"))[:20]


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("images", nargs="*", type=Path)
    parser.add_argument("--repeats", type=int, default=20)
    args = parser.parse_args()
    chromium = next((found for found in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if found), None)
    with serving(args.run) as address, sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--headless", "--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(address)
        api, shown = measure(page, address, args.images or some_images(), args.repeats)
        browser.close()
    more = statistics.median(shown) - statistics.median(api)
    for name, times in (("API", api), ("page", shown)):
        print(f"{name:5} median {statistics.median(times):6.0f} ms, from {min(times):.0f} to {max(times):.0f} ms, {len(times)} pictures")
    print(f"the page shows its answer {more:.0f} ms later; at most {MOST_MS:.0f} ms: {'kept' if more <= MOST_MS else 'NOT kept'}")


if __name__ == "__main__":
    main()
