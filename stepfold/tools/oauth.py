"""Tokens for a connection's requests, customer by customer: read from the vault at each request,
so that what is revoked anywhere is used nowhere any more, and renewed in time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from msgspec import Struct

from stepfold.streams.log import LogConflict
from stepfold.streams.memory import utc_now
from stepfold.tools.oauth_code import Authorizing
from stepfold.tools.oauth_errors import AuthTableRefused, NeedsAuthorization
from stepfold.tools.oauth_record import Records
from stepfold.tools.oauth_renewal import CHANGES_MAX, Renewal
from stepfold.tools.oauth_server import AuthorizationServer, Clock, Revoked, Tokens
from stepfold.tools.oauth_table import Auth, read_auth
from stepfold.tools.vault import SealBroken, Secret, Vault, VaultAway

YOUNG_S = 5.0
"""A token of that age that is refused was not refused for its age: another would be too."""
BEARER = "Bearer "
NOTHING = Revoked(told=False, reason="there was nothing", found=False)

NO_NEED: Literal["needs no authorization"] = "needs no authorization"
"""How a connection stands whose requests show something else than OAuth's tokens, or nothing."""
State = Literal["authorized", "needs authorization", "not authorized", "needs no authorization"]


class Standing(Struct, frozen=True):
    """How a customer's authorization stands; times in ISO 8601, empty = not known."""

    connection: str
    customer: str
    state: State
    reason: str = ""
    since: str = ""
    expires_at: str = ""
    renewable: bool = False
    scopes: tuple[str, ...] = ()


class OAuthCredentials:
    """Those of one connection; `authorizing` is how a person gives them. `lease_s` is how long
    another process may take to renew a token before it is held to be dead.
    """

    def __init__(
        self, auth: Auth, vault: Vault, *, clock: Clock = utc_now, lease_s: float | None = None
    ) -> None:
        self._auth = auth
        self._clock = clock
        self._records = Records(vault, auth.connection)
        self._server = AuthorizationServer(auth, clock)
        self._renewal = Renewal(auth, self._records, self._server, clock, lease_s=lease_s)
        self.authorizing = Authorizing(auth, vault, self._server, clock)

    async def headers(self, customer: str) -> dict[str, str]:
        """What a request for `customer` carries. NeedsAuthorization, ServerRefused, ServerAway,
        VaultError: all of them say that no request was made.
        """
        return _headers(await self._renewal.usable(self._holder(customer)))

    async def rejected(self, customer: str, sent: Mapping[str, str]) -> dict[str, str] | None:
        """The resource answered 401 to a request with the headers `sent`: the headers to try once
        more with, or None when another token would be refused as well.
        """
        holder = self._holder(customer)
        token = Secret(sent.get("Authorization", "").removeprefix(BEARER))
        tokens = (await self._records.get(holder)).record.tokens
        if tokens is not None and tokens.access == token and self._is_young(tokens):
            return None
        return _headers(await self._renewal.usable(holder, token))

    async def status(self, customer: str) -> Standing:
        record = (await self._records.get(self._holder(customer))).record
        tokens = record.tokens
        if tokens is None:
            state: State = "needs authorization" if record.needs else "not authorized"
            return Standing(self._auth.connection, customer, state, record.needs)
        return Standing(
            connection=self._auth.connection,
            customer=customer,
            state="authorized",
            since=tokens.at.isoformat(),
            expires_at=tokens.expires_at.isoformat() if tokens.expires_at else "",
            renewable=tokens.refresh is not None or self._auth.kind == "oauth2_client",
            scopes=tokens.scopes,
        )

    async def holders(self) -> tuple[str, ...]:
        """The customers of whom something is kept; `@all` where they share."""
        return await self._records.holders()

    async def revoke(self, customer: str) -> Revoked:
        """Have the server take the tokens back, and forget them whatever it says. VaultAway."""
        holder = self._holder(customer)
        unsaved = self._renewal.drop(holder)
        dropped = None if unsaved is None else await self._server.revoke(unsaved)
        for _ in range(CHANGES_MAX):
            revision = await self._records.revision(holder)
            told = await self._revoke(holder)
            try:
                await self._records.forget(holder, after=revision)
            except LogConflict:  # renewed meanwhile: those go too
                continue
            return told if told.found or dropped is None else dropped
        raise VaultAway(f"connection {self._auth.connection!r}: its tokens change all the time")

    async def close(self) -> None:
        """Wait for renewals that are under way."""
        await self._renewal.close()

    async def _revoke(self, holder: str) -> Revoked:
        try:
            tokens = (await self._records.get(holder)).record.tokens
        except SealBroken as error:
            return Revoked(False, f"they cannot be read: {error}")
        return await self._server.revoke(tokens) if tokens else NOTHING

    def _holder(self, customer: str) -> str:
        holder = self._auth.holder(customer)
        if not holder:
            why = "its tokens are a customer's, and this call is for none"
            raise NeedsAuthorization(self._auth.connection, "", why)
        return holder

    def _is_young(self, tokens: Tokens) -> bool:
        return (self._clock() - tokens.at).total_seconds() < YOUNG_S


class OAuthConnections:
    """The credentials of connections by their file, as a loader of connections asks for them."""

    def __init__(self, vault: Vault, environment: Mapping[str, str]) -> None:
        self._vault = vault
        self._environment = environment
        self._made: list[OAuthCredentials] = []

    def __call__(self, path: Path) -> OAuthCredentials:
        """AuthTableRefused."""
        auth = read_auth(path, self._environment)
        if auth is None:
            raise AuthTableRefused([f"{path}: there is no table [auth] of a kind of OAuth 2"])
        self._made.append(OAuthCredentials(auth, self._vault))
        return self._made[-1]

    async def close(self) -> None:
        """Wait for renewals that are under way, before the store is closed."""
        for each in self._made:
            await each.close()


def _headers(tokens: Tokens) -> dict[str, str]:
    return {"Authorization": BEARER + tokens.access.reveal()}
