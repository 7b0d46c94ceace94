"""The page of a served model: one template, a style sheet and a few plain modules, all in this package; nothing from the network.

The server sends it under `POLICY`, so that nothing on it runs or is styled but files of the package. Both languages are in the
page, so that a switch loses no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from seefit.bundle.predict import ALL_CLASSES
from seefit.deploy.serve.correcting import correction_route
from seefit.deploy.serve.corrections import MOST_IMAGES, Corrections
from seefit.deploy.serve.limits import Limits
from seefit.drawing import PALETTE, shown
from seefit.report.words import LANGUAGES, Words

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, Response

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
KINDS = "image/jpeg,image/png,image/webp,image/gif,image/bmp,image/tiff"
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FILES = ("page.css", "icon.svg", "page.js", "words.js", "asking.js", "intake.js", "answer.js", "batch.js")
FORM_BYTES = 4_096  # of a form around its file, generously
MOST_NAMES = 8  # classes that the page names at its top
HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"}


@dataclass(frozen=True)
class Facts:
    """What the page says of the model.

    Attributes:
        name: Of the model.
        hash: Of its bundle.
        classes: Names, in the order of the outputs.
        manifest: Of its bundle.
    """

    name: str
    hash: str
    classes: Sequence[str]
    manifest: Mapping[str, Any]

    def helps(self) -> list[str]:
        """Return keys of the sentences that tell what the answers mean, as far as the model gives them."""
        trust = self.manifest.get("trust") or {}
        score = "help_score" if self.manifest.get("calibrated", True) else "help_uncalibrated"
        there = {score: True, "help_set": trust.get("sets"), "help_none": trust.get("unknown"), "help_heat": True, "help_doubt": True}
        return [key for key, is_there in there.items() if is_there]

    def values(self) -> dict[str, Any]:
        """Return what fills the places of the sentences in every language."""
        trust = self.manifest.get("trust") or {}
        coverage, rate = (trust.get("sets") or {}).get("coverage", 0), (trust.get("unknown") or {}).get("rate", 0)
        shares = {"coverage": f"{100 * coverage:.0f}", "rate": f"{100 * rate:.0f}"}
        return {"name": shown(self.name, 60), "hash": self.hash[:12], "count": f"{len(self.classes):,}", **shares}


@dataclass(frozen=True)
class Serving:
    """What the page must know of the server.

    Attributes:
        limits: What it takes.
        key: Whether it asks for a key.
        corrections: Where corrections are kept; None where they are not wanted.
    """

    limits: Limits = field(default_factory=Limits)
    key: bool = False
    corrections: Corrections | None = None


def mount_page(app: FastAPI, facts: Callable[[], Facts], serving: Serving = Serving()) -> None:
    """Add the page at ``/``, its files below ``/static/``, and where they are wanted corrections at ``/corrections``.

    Args:
        app: The server. It checks hosts, origins and the key before a request comes here.
        facts: Tells of the model that is served now.
        serving: What the page must know of the server.
    """
    from starlette.responses import HTMLResponse, JSONResponse, Response
    from starlette.routing import Route

    def page(request: Request) -> HTMLResponse:
        lang = choose_language(request.query_params.get("lang"), request.headers.get("accept-language", ""))
        headers = {**HEADERS, "Content-Security-Policy": POLICY, "Content-Language": lang, "Cache-Control": "no-store"}
        return HTMLResponse(render_page(facts(), lang, serving), headers=headers)

    def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in FILES:
            return JSONResponse({"error": {"code": 2, "message": "Nothing of that name.", "hint": "The page is at /."}}, 404)
        return Response(read_file(name), media_type=TYPES[name[name.rindex(".") :]], headers=HEADERS)

    app.router.routes += [Route("/", page), Route("/static/{name}", static)]
    if serving.corrections is not None:
        app.router.routes.append(correction_route(serving.corrections, serving.limits))


def choose_language(asked: str | None, accepted: str) -> str:
    """Return the language that was asked for, else the first of the browser's that there is, else English.

    Args:
        asked: ``en``, ``zh`` or anything else.
        accepted: The header ``Accept-Language``: ``zh-CN,zh;q=0.9,en;q=0.8``.
    """
    if asked in LANGUAGES:
        return asked

    def weight(entry: str) -> float:
        number = entry.partition("q=")[2].strip()
        return float(number) if number.replace(".", "", 1).isdecimal() else 1.0

    wanted = sorted(accepted[:1000].split(","), key=weight, reverse=True)
    languages = (entry.partition(";")[0].partition("-")[0].strip().lower() for entry in wanted if weight(entry) > 0)
    return next((lang for lang in languages if lang in LANGUAGES), "en")


def render_page(facts: Facts, lang: str, serving: Serving = Serving()) -> str:
    """Return the page in a language, ``en`` or ``zh``; everything in it is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    told = _told(facts, serving)
    loader = PackageLoader("seefit.deploy.serve", "assets")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    other = next(name for name in LANGUAGES if name != lang)
    says = {name: _Say(name, told["facts"] | told["shown"][name]) for name in LANGUAGES}
    page = environment.get_template("page.html")
    title = "seefit" if serving.key else f"{shown(facts.name, 60)} · seefit"
    text = page.render(title=title, say=says[lang], other=says[other], told=told, kinds=KINDS, helps=facts.helps())
    return text.encode("utf-8", "replace").decode("utf-8")


@dataclass(frozen=True)
class _Say:
    """Sentences of one language, filled with what is known of the model."""

    name: str
    filled: Mapping[str, Any]

    @property
    def lang(self) -> str:
        return sentences(self.name)["tag"]

    def __call__(self, key: str) -> str:
        return sentences(self.name)[key].format(**self.filled)


def _told(facts: Facts, serving: Serving) -> dict[str, Any]:
    """Return what the modules of the page must know."""
    corrections, largest = serving.corrections, serving.limits.body_bytes - FORM_BYTES
    about = {} if serving.key else facts.values()
    shares = {key: facts.values()[key] for key in ("coverage", "rate")}
    kept = {} if corrections is None else {"kept": f"{corrections.count():,}", "most": f"{MOST_IMAGES:,}"}
    return {
        "classes": [] if serving.key else list(facts.classes),  # behind a key the page, which needs none, tells nothing of the model
        "many": len(facts.classes) > ALL_CLASSES,
        "bytes": largest,
        "key": serving.key,
        "corrections": corrections is not None,
        "full": corrections is not None and corrections.is_full(),
        "facts": {**about, **shares, **kept, "size": f"{largest / 2**20:.0f}"},
        "shown": {name: {} if serving.key else {"names": Words(name).names(list(facts.classes), MOST_NAMES)} for name in LANGUAGES},
        "words": {name: sentences(name) for name in LANGUAGES},
    }


@cache
def sentences(lang: str) -> dict[str, str]:
    """Return the sentences of the page in one language, by keys without ``serve.``."""
    words = Words(lang)
    percent = words("format.percent", number="{number}")
    general = {
        "tag": words("page.lang"),
        "percent": percent,
        "over": f"> {percent}",  # short, for a column of a table on a phone
        "under": f"< {percent}",
        "quoted": words("format.quoted", name="{name}"),
        "comma": words("format.comma"),
    }
    return words.under("serve.") | general


@cache
def read_file(name: str) -> bytes:
    """Return one of `FILES`; the style sheet with the colours of the report."""
    data = resources.files("seefit.deploy.serve").joinpath("assets", name).read_bytes()
    if name != "page.css":
        return data
    light, dark = ("; ".join(f"--sf-{key}: {colours[scheme]}" for key, colours in PALETTE.items()) for scheme in (0, 1))
    return data.replace(b"{{ light }}", light.encode()).replace(b"{{ dark }}", dark.encode())
