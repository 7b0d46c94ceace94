"""How much later than the API the page shows its first answer: from dropping a picture to the answer on the screen.

    python benchmarks/page.py [RUN] [IMAGE …] [--repeats 20]

Starts ``seefit serve RUN`` on this computer and opens its page in Chromium, which must be installed. Each picture is sent to the API
and dropped on the page in turn, so that both see the same load. Needs ``.[serve,dev]``; the pictures are of `demo:elpv` unless others are
named, and so is a RUN that is not. Prints one JSON line; ends with 1 when the median on the page is over 300 ms above that of the API.
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from serving_client import run_of, seefit_serve

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
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("images", nargs="*", type=Path)
    parser.add_argument("--repeats", type=int, default=20)
    args = parser.parse_args()
    chromium = next((found for found in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if found), None)
    with run_of(args.run) as run, seefit_serve(run) as (port, _, _), sync_playwright() as started:
        address = f"http://127.0.0.1:{port}/"
        browser = started.chromium.launch(executable_path=chromium, args=["--headless", "--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(address)
        api, shown = measure(page, address, args.images or some_images(), args.repeats)
        browser.close()
    more = statistics.median(shown) - statistics.median(api)
    for name, times in (("API", api), ("page", shown)):
        line = f"{name:5} median {statistics.median(times):6.0f} ms, from {min(times):.0f} to {max(times):.0f} ms, {len(times)} pictures"
        print(line, file=sys.stderr)
    print(json.dumps({"api_ms": statistics.median(api), "page_ms": statistics.median(shown), "more_ms": more, "pictures": len(api)}))
    sys.exit(more > MOST_MS)


if __name__ == "__main__":
    main()
