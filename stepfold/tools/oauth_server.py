"""The authorization server, as a client talks to it. Only this file knows authlib.

What it says reaches an error as its code (RFC 6749, 5.2) and, where a person reads it, its
description without anything that could be a token.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TypeVar

import httpx2
import msgspec
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7009 import prepare_revoke_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oauth2.rfc8414 import get_well_known_url
from msgspec import Struct
from msgspec.structs import replace

from stepfold.tools.guard import client
from stepfold.tools.oauth_errors import OAuthError, ServerAway, ServerRefused
from stepfold.tools.oauth_table import SEEN, Auth
from stepfold.tools.tool import ToolError
from stepfold.tools.vault import Secret

Clock = Callable[[], datetime]
Form = TypeVar("Form", bound=Struct)

TOKEN_CHARS_MAX = 64 * 1024
LIFETIME_S_MAX = 10 * 365 * 86_400
SAID_CHARS_MAX = 200
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
METHODS = {"basic": "client_secret_basic", "post": "client_secret_post", "none": "none"}
INVALID_GRANT = "invalid_grant"
BUSY = frozenset({"temporarily_unavailable", "server_error", "slow_down"})
_CODE = re.compile(r"[a-z_]{1,40}")
_LONG_WORD = re.compile(r"[^\s]{20,}")
HTTP_OK, HTTP_ERROR, HTTP_SERVER_ERROR, HTTP_BUSY = 200, 400, 500, 429


class Tokens(Struct, frozen=True):
    """`at` is when they were given; `expires_at` None: the server does not say."""

    access: Secret
    at: datetime
    refresh: Secret | None = None
    expires_at: datetime | None = None
    scopes: tuple[str, ...] = ()


class Endpoints(Struct, frozen=True):
    """Where the server is asked; empty = it has none. `tells_issuer`: RFC 9207, it names itself
    when it sends a browser back.
    """

    authorize: str
    token: str
    revoke: str
    tells_issuer: bool = False


class Revoked(Struct, frozen=True):
    """`told`: the authorization server has taken the tokens back; `reason`: why not. `found`: there
    was something to take back.
    """

    told: bool
    reason: str = ""
    found: bool = True


class _Metadata(Struct, frozen=True):
    """RFC 8414, what is needed of it."""

    issuer: str
    token_endpoint: str = ""
    authorization_endpoint: str = ""
    revocation_endpoint: str = ""
    code_challenge_methods_supported: tuple[str, ...] | None = None
    authorization_response_iss_parameter_supported: bool = False


class _Answer(Struct, frozen=True):
    """Of the token endpoint."""

    access_token: str = ""
    token_type: str = "bearer"
    expires_in: float | None = None
    refresh_token: str | None = None
    scope: str | None = None
    error: str = ""
    error_description: str | None = None


class AuthorizationServer:
    """That of one connection. Its methods raise ServerRefused or ServerAway."""

    def __init__(self, auth: Auth, clock: Clock) -> None:
        self._auth = auth
        self._clock = clock
        self._endpoints: Endpoints | None = None
        self._client_auth = ClientAuth(
            auth.client_id,
            auth.client_secret.reveal() if auth.client_secret else None,
            METHODS[auth.client_auth],
        )

    async def endpoints(self) -> Endpoints:
        """Those of the file; what it does not name, the issuer tells, and is asked once."""
        if self._endpoints is None:
            told = await self._discover() if self._auth.issuer else _Metadata("")
            self._endpoints = Endpoints(
                authorize=self._auth.authorize_url or told.authorization_endpoint,
                token=self._auth.token_url or told.token_endpoint,
                revoke=self._auth.revoke_url or told.revocation_endpoint,
                tells_issuer=told.authorization_response_iss_parameter_supported,
            )
        return self._endpoints

    async def authorize_url(self, *, redirect: str, state: Secret, verifier: Secret) -> str:
        """Where a person's browser goes."""
        auth, where = self._auth, (await self.endpoints()).authorize
        if not where:
            raise ServerRefused(f"{self._name} has no authorization endpoint: set authorize_url")
        told = prepare_grant_uri(
            where,
            client_id=auth.client_id,
            response_type="code",
            redirect_uri=redirect,
            scope=" ".join(auth.scopes) or None,
            state=state.reveal(),
            code_challenge=create_s256_code_challenge(verifier.reveal()),
            code_challenge_method="S256",
            **auth.authorize_with,
        )
        return str(told)

    async def redeem(self, code: Secret, *, redirect: str, verifier: Secret) -> Tokens:
        """The tokens for an authorization code."""
        return await self._ask(
            "authorization_code",
            code=code.reveal(),
            redirect_uri=redirect,
            code_verifier=verifier.reveal(),
        )

    async def refresh(self, refresh: Secret, scopes: tuple[str, ...]) -> Tokens:
        """New tokens; the refresh token stays the same where the server gives no other."""
        given = await self._ask("refresh_token", refresh_token=refresh.reveal())
        return replace(given, refresh=given.refresh or refresh, scopes=given.scopes or scopes)

    async def own(self) -> Tokens:
        """A token for the client itself."""
        given = await self._ask("client_credentials", scope=" ".join(self._auth.scopes))
        return replace(given, refresh=None)

    async def revoke(self, tokens: Tokens) -> Revoked:
        """RFC 7009, the refresh token first. It raises nothing: whatever happens there, the tokens
        are to be forgotten here.
        """
        try:
            where = (await self.endpoints()).revoke
            if not where:
                return Revoked(False, f"{self._name} has no revocation endpoint")
            await self._revoke(where, "refresh_token", tokens.refresh)
            await self._revoke(where, "access_token", tokens.access)
        except ToolError as error:
            return Revoked(False, str(error))
        return Revoked(True)

    # -- asking ---------------------------------------------------------------------------------

    async def _ask(self, grant: str, **parameters: str) -> Tokens:
        where = (await self.endpoints()).token
        if not where:
            raise ServerRefused(f"{self._name} has no token endpoint: set token_url")
        body = prepare_token_request(grant, **parameters, **self._auth.token_with)
        response = await self._post(where, body)
        answer = _decoded(response, _Answer)
        if response.status_code != HTTP_OK or answer is None or answer.error:
            raise self._refused(response, answer)
        return self._tokens(answer)

    async def _revoke(self, where: str, hint: str, token: Secret | None) -> None:
        if token is None:
            return
        body, _ = prepare_revoke_token_request(token.reveal(), hint)
        response = await self._post(where, body)
        if response.status_code >= HTTP_ERROR:
            raise self._refused(response, _decoded(response, _Answer))

    async def _post(self, where: str, body: str) -> httpx2.Response:
        where, headers, body = self._client_auth.prepare("POST", where, dict(FORM), body)
        return await self._send("POST", where, headers, body)

    async def _send(
        self, method: str, where: str, headers: Mapping[str, str], body: str = ""
    ) -> httpx2.Response:
        reach = self._auth.reach
        if method == "POST":  # what is sent is for this address and for no other
            reach = replace(reach, redirects_max=0)
        try:
            async with asyncio.timeout(reach.timeout_s), client(reach) as web:
                return await web.request(method, where, headers=dict(headers), content=body)
        except (httpx2.HTTPError, TimeoutError, OSError) as error:
            why = type(error).__name__  # the text of some holds what was sent
            raise ServerAway(f"{self._name} cannot be reached ({why}): try again later") from None

    def _refused(self, response: httpx2.Response, answer: _Answer | None) -> OAuthError:
        status = response.status_code
        code = code_of(answer.error) if answer else ""
        said = f" {code}" if code else ""
        if status >= HTTP_SERVER_ERROR or status == HTTP_BUSY or code in BUSY:
            return ServerAway(f"{self._name} cannot now (HTTP {status}{said}): try again later")
        if not code:
            return ServerAway(
                f"{self._name} gives no OAuth answer (HTTP {status}): is token_url right?"
            )
        secret = self._auth.client_secret
        more = harmless(answer.error_description, secret) if answer else ""
        return ServerRefused(f"{self._name} refuses: {code}{f' ({more})' if more else ''}", code)

    def _tokens(self, answer: _Answer) -> Tokens:
        texts = (answer.access_token, answer.refresh_token or "")
        if answer.token_type.lower() != "bearer":
            raise ServerRefused(f"{self._name} gives no bearer token, and no other kind is known")
        if not SEEN.fullmatch(texts[0]) or max(map(len, texts)) > TOKEN_CHARS_MAX:
            raise ServerAway(f"{self._name} gives no usable token: is token_url right?")
        now, lifetime = self._clock(), answer.expires_in
        known = lifetime is not None and 0 < lifetime < LIFETIME_S_MAX
        return Tokens(
            access=Secret(answer.access_token),
            at=now,
            refresh=Secret(answer.refresh_token) if answer.refresh_token else None,
            expires_at=now + timedelta(seconds=lifetime) if known and lifetime else None,
            scopes=tuple((answer.scope or "").split()) or self._auth.scopes,
        )

    # -- discovery ------------------------------------------------------------------------------

    async def _discover(self) -> _Metadata:
        """RFC 8414; else where OpenID Connect keeps the same."""
        issuer = self._auth.issuer
        openid = issuer.rstrip("/") + "/.well-known/openid-configuration"
        for where in (get_well_known_url(issuer, external=True), openid):
            response = await self._send("GET", where, {"Accept": "application/json"})
            if response.status_code >= HTTP_SERVER_ERROR:
                raise ServerAway(f"{issuer} cannot now (HTTP {response.status_code}): later")
            told = _decoded(response, _Metadata) if response.status_code == HTTP_OK else None
            if told is not None:
                return self._checked(told)
        raise ServerRefused(f"{issuer} tells no endpoints (RFC 8414): set token_url in the file")

    def _checked(self, told: _Metadata) -> _Metadata:
        issuer, methods = self._auth.issuer, told.code_challenge_methods_supported
        if told.issuer != issuer:
            raise ServerRefused(
                f"the metadata of {issuer} are those of {told.issuer[:SAID_CHARS_MAX]!r}:"
                " set `issuer` to exactly what the server calls itself"
            )
        if self._auth.kind == "oauth2_code" and methods is not None and "S256" not in methods:
            raise ServerRefused(f"{issuer} does not support PKCE with S256")
        for where in (told.token_endpoint, told.authorization_endpoint, told.revocation_endpoint):
            if where and where.partition("://")[0] not in self._auth.reach.schemes:
                raise ServerRefused(f"{issuer} names an endpoint of another scheme than https")
        return told

    @property
    def _name(self) -> str:
        return f"connection {self._auth.connection!r}: its authorization server"


def _decoded(response: httpx2.Response, form: type[Form]) -> Form | None:
    """None when it is no JSON of that form."""
    try:
        return msgspec.json.decode(response.content, type=form, strict=False)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def code_of(said: str) -> str:
    """An error code as RFCs write them, else nothing."""
    return said if _CODE.fullmatch(said) else ""


def harmless(said: str | None, secret: Secret | None = None) -> str:
    """A stranger's words, without control codes, `secret` and whatever is as long as a token."""
    plain = "".join(each if each.isprintable() else " " for each in said or "")
    if secret is not None:
        plain = plain.replace(secret.reveal(), "***")
    return _LONG_WORD.sub("***", plain)[:SAID_CHARS_MAX].strip()
