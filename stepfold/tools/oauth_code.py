"""Authorizing by a person in a browser: authorization code with PKCE.

What was begun is kept sealed, one for each customer, until the browser comes back: its state counts
once, for the customer for whom it was made, at exactly the address that was named.
"""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import msgspec
from msgspec import Struct

from stepfold.streams.log import LogConflict
from stepfold.tools.oauth_errors import AuthorizationRefused, NotOurs
from stepfold.tools.oauth_record import Record, Records, encoder, hidden
from stepfold.tools.oauth_server import AuthorizationServer, Clock, Tokens, code_of, harmless
from stepfold.tools.oauth_table import Auth
from stepfold.tools.vault import Place, Secret, Vault

PENDING = "pending"
PENDING_S = 600.0
"""How long a person may take."""
STATE_BYTES, VERIFIER_BYTES = 32, 64
CHANGES_MAX = 20
"""How often another change may come first."""


class _Begun(Struct, frozen=True):
    state: Secret
    verifier: Secret
    redirect: str
    at: datetime


class _Back(Struct, frozen=True):
    """What the browser brought."""

    state: str
    code: str = ""
    error: str = ""
    said: str = ""
    issuer: str = ""


_decoder = msgspec.json.Decoder(_Begun, dec_hook=hidden)


class Authorizing:
    """Of one connection."""

    def __init__(self, auth: Auth, vault: Vault, server: AuthorizationServer, clock: Clock) -> None:
        self._auth = auth
        self._vault = vault
        self._records = Records(vault, auth.connection)
        self._server = server
        self._clock = clock

    async def begin(self, customer: str, redirect: str) -> str:
        """The address to open in a browser. What was begun before for this customer is over."""
        if self._auth.kind != "oauth2_code":
            raise AuthorizationRefused(f"{self._name} needs no person: it authorizes itself")
        begun = _Begun(
            state=Secret(secrets.token_urlsafe(STATE_BYTES)),
            verifier=Secret(secrets.token_urlsafe(VERIFIER_BYTES)),
            redirect=redirect,
            at=self._clock(),
        )
        told = await self._server.authorize_url(
            redirect=redirect, state=begun.state, verifier=begun.verifier
        )
        place = self._place(customer)
        for _ in range(CHANGES_MAX):
            try:
                revision = await self._vault.revision(place)
                await self._vault.put(place, encoder.encode(begun), after=revision)
            except LogConflict:
                continue
            return told
        raise AuthorizationRefused(f"{self._name} is being authorized by others all the time")

    async def finish(self, customer: str, url: str) -> Tokens:
        """Redeem what the browser brought back to `url`, for the customer whose person that is, and
        keep it. AuthorizationRefused; NotOurs ends nothing.
        """
        place = self._place(customer)
        value, revision = await self._vault.get(place)
        if value is None:
            raise AuthorizationRefused(
                f"{self._name}: no authorization is open for this customer, or it was used"
                " already: begin again"
            )
        begun = _decoder.decode(value)
        back = self._read(url, begun)
        try:
            await self._vault.forget(place, after=revision)
        except LogConflict:
            raise AuthorizationRefused(f"{self._name}: it was used already: begin again") from None
        await self._check(back, begun)
        tokens = await self._server.redeem(
            Secret(back.code), redirect=begun.redirect, verifier=begun.verifier
        )
        await self._keep(self._auth.holder(customer), tokens)
        return tokens

    def _read(self, url: str, begun: _Begun) -> _Back:
        """What stands in `url`, once it is sure that it answers what was begun."""
        at, _, query = url.partition("?")
        if at != begun.redirect.partition("?")[0]:
            raise NotOurs(
                f"{self._name}: the browser came back to another address than {begun.redirect}"
            )
        told = parse_qs(urlsplit("?" + query).query)
        if any(len(values) > 1 for values in told.values()):
            raise NotOurs(f"{self._name}: the answer names a parameter twice")
        names = {"state": "state", "code": "code", "error": "error", "iss": "issuer"}
        names["error_description"] = "said"
        back = _Back(**{"state": ""} | {names[k]: v[0] for k, v in told.items() if k in names})
        if not hmac.compare_digest(back.state.encode(), begun.state.reveal().encode()):
            raise NotOurs(
                f"{self._name}: the state is not the one that was given: whoever came back is not"
                " who was sent, or a newer authorization was begun"
            )
        return back

    async def _check(self, back: _Back, begun: _Begun) -> None:
        if self._clock() - begun.at > timedelta(seconds=PENDING_S):
            raise AuthorizationRefused(f"{self._name}: that took too long: begin again")
        issuer = self._auth.issuer
        told = issuer and (await self._server.endpoints()).tells_issuer
        if (told or (issuer and back.issuer)) and back.issuer != issuer:
            raise AuthorizationRefused(f"{self._name}: another server answered than {issuer}")
        if back.error or not back.code:
            why = code_of(back.error) or "it brought no code"
            more = harmless(back.said)
            raise AuthorizationRefused(
                f"{self._name}: not authorized: {why}{f' ({more})' if more else ''}"
            )

    async def _keep(self, holder: str, tokens: Tokens) -> None:
        """Whatever was there, this is newer."""
        for _ in range(CHANGES_MAX):
            revision = await self._records.revision(holder)
            try:
                await self._records.put(holder, Record(tokens), after=revision)
            except LogConflict:
                continue
            return
        raise AuthorizationRefused(f"{self._name}: others change its tokens all the time")

    def _place(self, customer: str) -> Place:
        return Place(PENDING, self._auth.connection, self._auth.holder(customer))

    @property
    def _name(self) -> str:
        return f"connection {self._auth.connection!r}"
