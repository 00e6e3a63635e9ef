"""The chat widget: its script for everybody, and a page to try it on for who develops.

The script has no secret: what a visitor may do is in the token that the page gets from its own
server (visitors.py). It is small because it is sent packed.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Mapping
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from stepfold.gateway.doors import Asked, Door
from stepfold.gateway.guarding import is_own
from stepfold.gateway.refusals import FrontRefused, refusing
from stepfold.gateway.shapes import Token, answer
from stepfold.gateway.visitors import Claims, expiry
from stepfold.gateway.web import gateway_of

FRESH_S = 600
"""How long a browser keeps the script before it asks whether there is another."""
DEMO_TOKEN_S = 3_600
DEMO_CONTACT = "visitor"
DEMO_HOSTS = ("localhost", "127.0.0.1", "[::1]")
DEMO_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)

_FOLDER = files("stepfold.gateway") / "assets"
JAVASCRIPT, CSS, HTML = (f"text/{kind}; charset=utf-8" for kind in ("javascript", "css", "html"))


async def script(asked: Asked) -> Response:
    """Any page may load it, also with `crossorigin`."""
    headers = {
        "Access-Control-Allow-Origin": "*",
        "Cache-Control": f"public, max-age={FRESH_S}",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    return _asset(asked.request, "widget.js", JAVASCRIPT, headers)


def _asset(request: Request, name: str, media: str, headers: Mapping[str, str]) -> Response:
    raw = (_FOLDER / name).read_bytes()
    tag = f'"{hashlib.sha256(raw).hexdigest()[:16]}"'
    told = {**headers, "ETag": tag, "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match", "").removeprefix("W/") == tag:
        return Response(status_code=304, headers=told)
    if "gzip" in request.headers.get("accept-encoding", ""):
        told["Content-Encoding"] = "gzip"
        raw = gzip.compress(raw, mtime=0)
    return Response(raw, headers=told, media_type=media)


def demo_doors(key: str) -> tuple[Door, ...]:
    """A page at `/demo` on which anybody may talk, as a visitor for whom the key of this id
    vouches: only for a gateway that its developer alone reaches.
    """

    async def page(asked: Asked) -> Response:
        _refuse_elsewhere(asked.request)
        headers = {"Content-Security-Policy": DEMO_POLICY, "Cache-Control": "no-cache"}
        return _asset(asked.request, "demo.html", HTML, headers)

    async def style(asked: Asked) -> Response:
        _refuse_elsewhere(asked.request)
        return _asset(asked.request, "widget.demo.css", CSS, {"Cache-Control": "no-cache"})

    async def token(asked: Asked) -> Response:
        _refuse_elsewhere(asked.request)
        return await _token(asked, key)

    why = "is there only where a developer tries the widget"
    return (
        Door("GET", "/demo", page, public=why),
        Door("GET", "/demo/page.css", style, public=why),
        Door("POST", "/demo/token", token, public=why),
    )


def _refuse_elsewhere(request: Request) -> None:
    """A strange site can give its own name this machine's address, and is then no other site to a
    browser: the name is what tells it. FrontRefused (403).
    """
    host = re.sub(r":[0-9]*$", "", request.headers.get("host", "").lower())
    if host not in DEMO_HOSTS:
        why = f"the demo is for this machine alone: open it at {' or '.join(DEMO_HOSTS)}"
        raise FrontRefused(403, "Wrong host", why)


async def _token(asked: Asked, key: str) -> Response:
    guard = gateway_of(asked.request).guard
    origin = asked.request.headers.get("origin", "")
    if origin and not is_own(asked.request, origin):
        raise FrontRefused(403, "Wrong origin", "this token is for the page /demo only")
    with refusing():
        vouching = await guard.keys.known(key)
    if guard.visitors is None or vouching is None:
        raise FrontRefused(503, "No visitors", "the key of this demo is gone: start it again")
    ends = expiry(asked.front.clock(), DEMO_TOKEN_S)
    claims = Claims(key, vouching.customer, DEMO_CONTACT, int(ends.timestamp()))
    return answer(Token(guard.visitors.token(claims), DEMO_CONTACT, ends), 201)


DOORS = (Door("GET", "/widget.js", script, public="is the same for everybody"),)
