"""Who signed a request: only the Bot Framework may speak for Microsoft Teams.

The keys come from its OpenID metadata, are kept for a day, and are fetched again when half of it is
over, and for a key that is not known, at most once a minute. What is refused is refused in the same
words, whatever is wrong.

    Untrusted    the token is missing, forged, too old, or for somebody else
    KeysAway     the keys cannot be had now, so nothing can be said of it
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import httpx2
import jwt
import msgspec
from msgspec import Struct

from stepfold.channels.teams.config import TeamsConfig
from stepfold.tools.guard import client
from stepfold.tools.tool import ToolError

CHANNEL = "msteams"
ALGORITHMS = ["RS256"]
REQUIRED = ["exp", "iat", "iss", "aud", "serviceurl"]
LEEWAY_S = 300
"""Clocks differ; Microsoft names so much."""
KEYS_S = 24 * 3600.0
RENEWED_S = KEYS_S / 2
"""From then on newer ones are looked for, while these serve on."""
AGAIN_S, SOON_S = 60.0, 5.0
TOKEN_CHARS_MAX = 16_384
BEARER = "Bearer "
HTTP_OK = 200


class Untrusted(Exception):
    """It says nothing of what is wrong: whoever forges would learn from it."""


class KeysAway(Exception):
    """Those who sign cannot be reached."""


class _Metadata(Struct, frozen=True):
    jwks_uri: str


class _KeySet(Struct, frozen=True):
    keys: list[dict[str, Any]]


class _Key(Struct, frozen=True):
    key: Any
    endorsements: tuple[str, ...]


class Trust:
    """One per process. `clock` is a monotonic one."""

    def __init__(self, config: TeamsConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._keys: Mapping[str, _Key] = {}
        self._fetched_at = -float("inf")
        self._asked_at = -float("inf")
        self._fetching = asyncio.Lock()
        self._renewing: asyncio.Task[None] | None = None

    async def service_url(self, authorization: str) -> str:
        """The service that the token speaks for. Untrusted, KeysAway."""
        token = authorization.removeprefix(BEARER)
        if token == authorization or not 0 < len(token) <= TOKEN_CHARS_MAX:
            raise Untrusted
        try:
            name = str(jwt.get_unverified_header(token).get("kid", ""))
        except jwt.PyJWTError:
            raise Untrusted from None
        key = await self._key(name)
        if key.endorsements and CHANNEL not in key.endorsements:
            raise Untrusted
        return _claimed(token, key, self._config)

    async def _key(self, name: str) -> _Key:
        if self._age_s() > RENEWED_S and self._may_ask() and not self._is_old():
            self._renewing = asyncio.create_task(self._renew())
        if self._is_old() or name not in self._keys:
            async with self._fetching:
                if (self._is_old() or name not in self._keys) and self._may_ask():
                    await self._fetch()
        if self._is_old():
            raise KeysAway("the keys of the Bot Framework are not known")
        if name not in self._keys:
            raise Untrusted
        return self._keys[name]

    async def _renew(self) -> None:
        async with self._fetching:
            if self._age_s() > RENEWED_S and self._may_ask():
                with suppress(KeysAway):
                    await self._fetch()

    def _age_s(self) -> float:
        return self._clock() - self._fetched_at

    def _is_old(self) -> bool:
        return self._age_s() > KEYS_S

    def _may_ask(self) -> bool:
        return self._clock() - self._asked_at > AGAIN_S

    async def _fetch(self) -> None:
        """On failure the keys that are known stay; KeysAway when there are none."""
        self._asked_at = self._clock()
        try:
            where = await self._get(self._config.openid_url, _Metadata)
            told = await self._get(where.jwks_uri, _KeySet)
        except (httpx2.HTTPError, ToolError, msgspec.MsgspecError, OSError) as error:
            if self._is_old():
                self._asked_at -= AGAIN_S - SOON_S  # nothing is known: ask again soon
                raise KeysAway(f"{self._config.openid_url}: {type(error).__name__}") from None
            return
        self._keys = {str(each.get("kid", "")): key for each in told.keys if (key := _key(each))}
        self._fetched_at = self._clock()

    async def _get(self, url: str, form: type[Any]) -> Any:
        async with client(self._config.reach) as web:
            response = await web.get(url)
        if response.status_code != HTTP_OK:
            raise httpx2.HTTPError(f"HTTP {response.status_code}")
        return msgspec.json.decode(response.content, type=form)


def same_service(claimed: str, told: str) -> bool:
    """Is the activity's own serviceUrl the one that was signed?"""
    return hmac.compare_digest(claimed.rstrip("/").encode(), told.rstrip("/").encode())


def _key(told: dict[str, Any]) -> _Key | None:
    """None for a key of a kind that is not used here."""
    try:
        made = jwt.PyJWK(told, algorithm=ALGORITHMS[0])
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    endorsed = told.get("endorsements")
    names = tuple(map(str, endorsed)) if isinstance(endorsed, list) else ()
    return _Key(made.key, names)


def _claimed(token: str, key: _Key, config: TeamsConfig) -> str:
    try:
        claims = jwt.decode(
            token,
            key.key,
            algorithms=ALGORITHMS,
            audience=config.app_id,
            issuer=config.issuer,
            leeway=LEEWAY_S,
            options={"require": REQUIRED},
        )
    except (jwt.PyJWTError, ValueError):
        raise Untrusted from None
    service = claims["serviceurl"]
    if not isinstance(service, str) or not service:
        raise Untrusted
    return service
