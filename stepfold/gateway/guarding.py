"""Who is let in: the key or token that a request shows, the site whose page sent it, how often.

A page of another site gets an answer only where the key names its origin. No cookie is looked at
here, so a page cannot send what it does not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.requests import Request

from stepfold.gateway import keys, visitors
from stepfold.gateway.doors import NOBODY, Door
from stepfold.gateway.front import Front, FrontRefused, Principal, refusing
from stepfold.gateway.keys import Key, Keys
from stepfold.gateway.limits import Limiting
from stepfold.gateway.problems import request_id
from stepfold.gateway.streaming import STILL
from stepfold.gateway.visitors import Visitors

BEARER = "bearer"
HEADERS_ALLOWED = (
    "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Traceparent, X-Conversation"
)
HEADERS_SHOWN = "Location, Retry-After, X-Conversation, X-Request-Id"
PREFLIGHT_S = 600

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

    async def principal(self, shown: str) -> Principal | None:
        """Whose a key is, shown elsewhere than in Authorization; None when it is none."""
        with refusing():
            key = await self.keys.check(shown)
        return keys.principal(key) if key else None

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
            if STILL not in request.scope:
                self.limits.refused(address_of(request))
            why = "this key or token is unknown, expired or revoked: ask for another"
            raise FrontRefused(401, "Not signed in", why)
        return found

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
    return urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()


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
        "Access-Control-Allow-Headers": HEADERS_ALLOWED,
        "Access-Control-Max-Age": str(PREFLIGHT_S),
    }


__all__ = ["SECURITY", "Guard", "cross_origin", "preflight", "request_id"]
