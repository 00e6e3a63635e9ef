"""What a request says beside its body: numbers in the query, its own id, where it goes on."""

from __future__ import annotations

import re
import secrets

from starlette.requests import Request

from stepfold.gateway.doors import Parameter
from stepfold.gateway.refusals import FrontRefused

POSITION_MAX = 10**18 - 1
PAGE_MAX, PAGE = 200, 50
_ID = re.compile(r"[\x21-\x7e]{1,128}")
_NUMBER = re.compile(r"[0-9]{1,18}")

CONVERSATION = Parameter(
    "conversation",
    "path",
    {"type": "string", "pattern": "^[A-Za-z0-9_=+@:~-]{1,128}$"},
    "Its name.",
)
AFTER = Parameter(
    "after",
    "query",
    {"type": "integer", "minimum": 0, "maximum": POSITION_MAX, "default": 0},
    "Only what is beyond this position.",
)
LIMIT = Parameter(
    "limit",
    "query",
    {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE},
    "At most so many.",
)
IDEMPOTENCY = Parameter(
    "Idempotency-Key",
    "header",
    {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[\\x21-\\x7e]{1,128}$"},
    "Your own id of this message: sent again with the same body it is the same message, with"
    " another body it is refused (409).",
)


def number(request: Request, parameter: Parameter) -> int:
    """FrontRefused (422) when it is none, or out of its bounds."""
    schema = parameter.schema
    shown = request.query_params.getlist(parameter.name)
    if not shown:
        return int(schema["default"])
    least, most = int(schema["minimum"]), int(schema["maximum"])
    if len(shown) == 1 and _NUMBER.fullmatch(shown[0]) and least <= int(shown[0]) <= most:
        return int(shown[0])
    why = f"{parameter.name}={','.join(shown)[:100]} is no number from {least} to {most}"
    raise FrontRefused(422, "Wrong query", why)


def choice(request: Request, parameter: Parameter) -> str:
    """One of its words, empty when it is not there. FrontRefused (422)."""
    shown = request.query_params.getlist(parameter.name)
    known = parameter.schema["enum"]
    if not shown:
        return ""
    if len(shown) == 1 and shown[0] in known:
        return shown[0]
    why = f"{parameter.name}={','.join(shown)[:100]} is unknown (known: {', '.join(known)})"
    raise FrontRefused(422, "Wrong query", why)


def check_query(request: Request, parameters: tuple[Parameter, ...]) -> None:
    """FrontRefused (422) for a name that nobody knows: it is a mistake, and would go unseen."""
    known = [each.name for each in parameters if each.place == "query"]
    for name in request.query_params:
        if name not in known:
            told = ", ".join(known) or "none"
            raise FrontRefused(422, "Wrong query", f"unknown {name[:100]!r} (known: {told})")


def id_of(request: Request) -> str:
    """The caller's own id of what it asks, else a new one; FrontRefused (422)."""
    shown = request.headers.getlist("idempotency-key")
    if not shown:
        return secrets.token_hex(8)
    if len(shown) == 1 and _ID.fullmatch(shown[0]):
        return shown[0]
    why = "it is 1 to 128 visible ASCII characters without spaces"
    raise FrontRefused(422, "Wrong Idempotency-Key", why)
