"""``/docs``: what the server answers, from the same description as ``/openapi.json``: one page, no script, nothing from the network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 52rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin: 2.5rem 0 .3rem; font-size: 1.1rem; overflow-wrap: anywhere }
code, pre { font: .9rem/1.45 ui-monospace, monospace }
pre { padding: .8rem; overflow-x: auto; border: 1px solid #8886; border-radius: .4rem }
table { border-collapse: collapse } td { padding: .1rem 1rem .1rem 0; vertical-align: top }
.method { padding: 0 .4rem; border: 1px solid; border-radius: .3rem; margin-right: .4rem; font-size: .85em }
"""
POLICY = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def render_handbook(schema: Mapping[str, Any]) -> str:
    """Return the page for an OpenAPI description."""
    title = escape(schema["info"]["title"])
    parts = [
        f"<section><h2><span class='method'>{method.upper()}</span><code>{escape(path)}</code></h2>{_operation(operation)}</section>"
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]
    intro = _paragraphs(schema["info"].get("description", ""))
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{title}</title><style>{STYLE}</style></head><body><main><h1>{title}</h1>{intro}"
        f"<p>The same for programs: <a href='/openapi.json'>/openapi.json</a></p>{''.join(parts)}</main></body></html>"
    )


def _operation(operation: Mapping[str, Any]) -> str:
    parameters = "".join(
        f"<tr><td><code>{escape(p['name'])}</code></td><td>{escape(p['in'])}</td><td>{escape(p.get('description', ''))}</td></tr>"
        for p in operation.get("parameters", [])
    )
    answers = "".join(
        f"<tr><td><code>{escape(status)}</code></td><td>{escape(answer.get('description', ''))}</td></tr>"
        for status, answer in operation.get("responses", {}).items()
    )
    tables = "".join(f"<table>{rows}</table>" for rows in (parameters, answers) if rows)
    return _paragraphs(operation.get("description", operation.get("summary", ""))) + tables


def _paragraphs(text: str) -> str:
    """Return paragraphs; those that are indented by four spaces are code."""
    blocks = [block for block in text.split("\n\n") if block.strip()]
    return "".join(
        f"<pre>{escape(block.strip())}</pre>" if block.startswith("    ") else f"<p>{escape(block.strip())}</p>" for block in blocks
    )
