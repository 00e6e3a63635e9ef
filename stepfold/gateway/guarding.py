"""Who is let in: the key or token that a request shows, the site whose page sent it, how often.

A page of another site gets an answer only where the key names its origin. No cookie is looked at
here, so a page cannot send what it does not have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus

from starlette.requests import Request

from stepfold.gateway import keys, visitors
from stepfold.gateway.doors import NOBODY, Door
from stepfold.gateway.front import Front
from stepfold.gateway.keys import Key, Keys
from stepfold.gateway.limits import Limiting
from stepfold.gateway.principal import Principal
from stepfold.gateway.refusals import FrontRefused, refusing
from stepfold.gateway.streaming import STILL
from stepfold.gateway.visitors import Visitors

BEARER = "bearer"
HEADERS_ALLOWED = (
    "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, MCP-Protocol-Version,"
    " Mcp-Session-Id, Traceparent, User-Agent, X-Conversation"
)
CLIENTS = ("mcp-", "openai-", "x-stainless-")
"""What the clients of others' protocols send begins so; which of them grows with their versions."""
CLIENTS_MAX = 40
HEADERS_SHOWN = (
    "Location, Mcp-Session-Id, Retry-After, X-Conversation, X-Request-Id, X-Should-Retry"
)
PREFLIGHT_S = 600
_EVER = datetime.min.replace(tzinfo=UTC)
_NAME = re.compile(r"[a-z0-9-]{1,64}")

SECURITY = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""What every answer says, unless its door says otherwise."""


class Guard:
    """`visitors` None: this process has no key for their tokens."""

    def __init__(
        self, front: Front, keys: Keys, visitors: Visitors | None, limits: Limiting
    ) -> None:
        self.keys = keys
        self.visitors = visitors
        self.limits = limits
        self._front = front

    async def admit(self, door: Door, request: Request) -> Principal:
        """Who calls; FrontRefused (401, 403, 429) when it may not."""
        if door.limited:
            self.limits.arrived(address_of(request))
        if door.public:
            return NOBODY
        who, key, origin = await self._known(request)
        request.scope[STILL] = partial(self._still, request)
        self._check_origin(request, key, origin)
        self.limits.admitted(who)
        if not who.may(*door.scopes):
            wants = " or ".join(door.scopes)
            why = f"this needs the scope {wants}; yours: {', '.join(sorted(who.scopes)) or 'none'}"
            raise FrontRefused(403, "Not permitted", why)
        return who

    async def _still(self, request: Request) -> bool:
        """Would it be let in again? A log that is away turns nobody out."""
        try:
            await self._known(request)
        except FrontRefused as error:
            return error.status != HTTPStatus.UNAUTHORIZED
        return True

    async def _known(self, request: Request) -> tuple[Principal, Key, str]:
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        shown = shown.strip()
        if scheme.lower() != BEARER or not shown:
            raise FrontRefused(401, "Not signed in", "show a key: Authorization: Bearer sfk_…")
        with refusing():
            if shown.startswith(visitors.PREFIX):
                found = await self._visitor(shown, self._front.clock())
            else:
                key = await self.keys.check(shown)
                found = (keys.principal(key), key, "") if key else None
        if found is None:
            if STILL not in request.scope and not self._was_ours(shown):
                self.limits.refused(address_of(request))
            why = "this key or token is unknown, expired or revoked: ask for another"
            raise FrontRefused(401, "Not signed in", why)
        return found

    def _was_ours(self, shown: str) -> bool:
        """A token that was good once is no guess: an old page shows it again and again."""
        return self.visitors is not None and self.visitors.claims(shown, _EVER) is not None

    async def _visitor(self, shown: str, now: datetime) -> tuple[Principal, Key, str] | None:
        claims = self.visitors.claims(shown, now) if self.visitors else None
        if claims is None:
            return None
        key = await self.keys.known(claims.key)
        if key is None or not key.good(now) or key.customer != claims.customer:
            return None
        return visitors.principal(claims), key, claims.origin

    @staticmethod
    def _check_origin(request: Request, key: Key, claimed: str) -> None:
        origin = request.headers.get("origin", "")
        allowed = (claimed,) if claimed else key.origins
        if origin and not is_own(request, origin) and origin not in allowed:
            known = ", ".join(allowed) or "none"
            why = f"pages of {origin[:200]} may not use this key (known: {known})"
            raise FrontRefused(403, "Wrong origin", why)


def address_of(request: Request) -> str:
    return request.client.host if request.client else ""


def is_own(request: Request, origin: str) -> bool:
    """Is the page one that this gateway served itself?"""
    host = request.headers.get("host", "").lower()
    return origin.lower() in (f"http://{host}", f"https://{host}")


def cross_origin(request: Request) -> Mapping[str, str]:
    """What lets a page of another site read the answer. It was refused by now, or may have it."""
    origin = request.headers.get("origin", "")
    if not origin or is_own(request, origin):
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": HEADERS_SHOWN,
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Vary": "Origin",
    }


def preflight(request: Request, methods: str) -> Mapping[str, str]:
    """A browser asks whether it may ask; who may is known only when it shows its key."""
    return {
        **cross_origin(request),
        "Access-Control-Allow-Methods": methods,
        "Access-Control-Allow-Headers": ", ".join((HEADERS_ALLOWED, *_of_clients(request))),
        "Access-Control-Max-Age": str(PREFLIGHT_S),
    }


def _of_clients(request: Request) -> list[str]:
    """What it asks for of the headers that only clients of others' protocols send."""
    asked = request.headers.get("access-control-request-headers", "").lower().split(",")
    names = [name for each in asked if _NAME.fullmatch(name := each.strip())]
    return [name for name in names if name.startswith(CLIENTS)][:CLIENTS_MAX]
