"""The page of a served model in a browser, with what was said and asked for on it."""

from __future__ import annotations

from typing import Any

from made_server import png

DROP = """([name, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const given = new DataTransfer();
  given.items.add(new File([bytes], name, { type: "image/png" }));
  for (const kind of ["dragover", "drop"])
    document.querySelector("main").dispatchEvent(new DragEvent(kind, { dataTransfer: given, bubbles: true, cancelable: true }));
}"""
PASTE = """([name, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const given = new DataTransfer();
  given.items.add(new File([bytes], name, { type: "image/png" }));
  document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: given, bubbles: true, cancelable: true }));
}"""


class View:
    """A page with what was said and asked for on it."""

    def __init__(self, browser: Any, address: str, width: int = 1400, **context: Any) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, **context)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(address)
        self.page.wait_for_selector("html[data-ready]")

    def choose(self, *names: str, data: bytes | None = None) -> None:
        files = [
            {"name": name, "mimeType": "image/png", "buffer": png(40 + 9 * i) if data is None else data} for i, name in enumerate(names)
        ]
        self.page.set_input_files("#choose", files)

    def answered(self) -> str:
        """Wait for the answer that is shown and return its title."""
        self.page.wait_for_selector("#answer[data-state=done], #answer[data-state=failed]")
        return str(self.page.inner_text("#answer h2"))

    def all_answered(self) -> None:
        self.page.wait_for_selector(".progress[hidden]", state="attached")

    def status(self) -> str:
        return str(self.page.inner_text("#status"))
