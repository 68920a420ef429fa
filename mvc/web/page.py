"""One self-contained page: templates, style and script in one text that fetches nothing.

Names and values in a page come from whoever made the commits. Jinja escapes them for HTML; before
that, every text loses the characters by which it could pretend to be something else
(mvc.base.escape). A content security policy lets only our own style and script run, by their
hashes, and allows no request at all.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from mvc._version import VERSION
from mvc.base.escape import escaped
from mvc.web.wording import exact, figure, inexact

if TYPE_CHECKING:
    from jinja2 import Environment

LONG_PIECE = 24
_PIECES = re.compile(r"[./]")
_INERT = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}


def render(template: str, document: object, **view: Any) -> str:
    """Return a page: `document` is kept in it as JSON for programs, `view` is what people see."""
    environment = _environment()
    style, script = _static("page.css"), _static("page.js")
    return environment.get_template(template).render(
        **view,
        version=VERSION,
        policy=_policy(style, script),
        style=_trusted(style),
        script=_trusted(script),
        document=_trusted(as_inert_json(document)),
    )


def as_inert_json(document: object) -> str:
    """Return JSON that stays data inside a script element, whatever its strings say."""
    text = json.dumps(document, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.translate(_INERT)


def _policy(style: str, script: str) -> str:
    allowed = {
        "default-src": "'none'",
        "style-src": _hash(style),
        "script-src": _hash(script),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{what} {source}" for what, source in allowed.items())


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _finalized(value: Any) -> Any:
    """Make plain text harmless; markup of our own stays as it is."""
    return escaped(value) if type(value) is str else value


def _breakable(name: str) -> str:
    """Return a name whose lines may break after dots and slashes, and in long pieces."""
    from markupsafe import Markup, escape

    shown = escaped(name)
    marks = "./_" if any(len(piece) > LONG_PIECE for piece in _PIECES.split(shown)) else "./"
    text = str(escape(shown))
    for mark in marks:
        text = text.replace(mark, mark + "<wbr>")
    return Markup(text)  # noqa: S704 - escaped above


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = Environment(
        loader=PackageLoader("mvc.web"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"figure": figure, "exact": exact, "inexact": inexact, "breakable": _breakable}
    return found


@cache
def _static(name: str) -> str:
    from importlib.resources import files

    return (files("mvc.web") / "static" / name).read_text("utf-8")


def _trusted(text: str) -> str:
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - our own files, and JSON without angle brackets
