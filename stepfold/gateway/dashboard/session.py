"""Who is signed in: a sealed cookie that names a key, so that a key that is revoked is out at once.

The cookie is HttpOnly and SameSite=Strict. What changes something shows the token of the session
too, and comes from a page of ours: a page of another site has neither.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Callable
from datetime import datetime
from urllib.parse import parse_qs

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from stepfold.gateway.keys import Key, Keys, principal
from stepfold.gateway.principal import OPERATOR, READ, Principal
from stepfold.gateway.refusals import FrontRefused, refusing
from stepfold.tools import vault
from stepfold.tools.vault import VaultError

COOKIE, ENTRY = "stepfold_session", "stepfold_entry"
PLACE, ENTRY_PLACE = "dashboard.session.1", "dashboard.entry.1"
LASTS_S = 12 * 3600
ENTRY_S = 3600
COOKIE_CHARS_MAX = 2_000
FORM_BYTES_MAX = 64_000
FIELDS_MAX = 20


class Claims(Struct, frozen=True):
    """What the cookie says. `token` must come back with every change."""

    key: str
    token: str
    expires: int


class Session(Struct, frozen=True):
    """`person` is how the log names who decides here: what the key was made for."""

    who: Principal
    person: str
    token: str

    @property
    def operator(self) -> bool:
        """Does who runs the installation look? Then at all customers."""
        return OPERATOR in self.who.scopes


class Sessions:
    def __init__(self, keys: Keys, seal: vault.Keys, clock: Callable[[], datetime]) -> None:
        self._keys = keys
        self._seal = seal
        self._clock = clock

    async def open(self, shown: str) -> Claims | None:
        """A session for whoever shows a key that may look; None for any other."""
        with refusing():
            key = await self._keys.check(shown)
        if key is None or not _may_look(key):
            return None
        expires = int(self._clock().timestamp()) + LASTS_S
        return Claims(key.id, secrets.token_urlsafe(24), expires)

    async def of(self, request: Request) -> Session | None:
        claims = self._claims(PLACE, request.cookies.get(COOKIE, ""))
        if claims is None:
            return None
        with refusing():
            key = await self._keys.known(claims.key)
        if key is None or not key.good(self._clock()) or not _may_look(key):
            return None
        return Session(principal(key), key.name or f"key {key.id}", claims.token)

    def entry(self) -> Claims:
        """What a sign-in must bring back."""
        return Claims("", secrets.token_urlsafe(24), int(self._clock().timestamp()) + ENTRY_S)

    def entered(self, request: Request) -> Claims | None:
        return self._claims(ENTRY_PLACE, request.cookies.get(ENTRY, ""))

    def put(self, response: Response, request: Request, claims: Claims) -> None:
        """An empty key is of a sign-in that is not done yet."""
        name, place, lasts_s = (COOKIE, PLACE, LASTS_S) if claims.key else (
            ENTRY, ENTRY_PLACE, ENTRY_S,
        )  # fmt: skip
        sealed = self._seal.seal(place, msgspec.json.encode(claims))
        value = base64.urlsafe_b64encode(sealed).decode().rstrip("=")
        _set(response, request, name, value, lasts_s)

    @staticmethod
    def forget(response: Response, request: Request, name: str = COOKIE) -> None:
        _set(response, request, name, "", 0)

    def _claims(self, place: str, shown: str) -> Claims | None:
        """None for what is none of ours, was changed, or has expired."""
        if not shown or len(shown) > COOKIE_CHARS_MAX:
            return None
        try:
            sealed = base64.urlsafe_b64decode(shown + "==")
            claims = msgspec.json.decode(self._seal.open(place, sealed), type=Claims)
        except (ValueError, binascii.Error, VaultError):
            return None
        return claims if self._clock().timestamp() < claims.expires else None


def _may_look(key: Key) -> bool:
    return OPERATOR in key.scopes or principal(key).may(READ)


def _set(response: Response, request: Request, name: str, value: str, lasts_s: int) -> None:
    response.set_cookie(
        name,
        value,
        max_age=lasts_s,
        path=request.scope.get("root_path") or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form, each once; FrontRefused (413, 422)."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES_MAX:
            why = f"a form may have {FORM_BYTES_MAX} bytes here: send less"
            raise FrontRefused(413, "Too large", why)
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError as error:
        raise FrontRefused(422, "Wrong form", f"the form cannot be read: {error}") from error
    return {name: values[-1] for name, values in fields.items()}


def check_form(request: Request, token: str, shown: str) -> None:
    """FrontRefused (403) for a form that is not from a page of this session."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    if site not in ("same-origin", "none") or not hmac.compare_digest(token, shown):
        why = "the form is not of this session: load the page again and send it once more"
        raise FrontRefused(403, "Form refused", why)
