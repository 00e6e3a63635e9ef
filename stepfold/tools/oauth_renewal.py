"""Tokens renewed in time, and once, however many ask.

In one process all wait for one task. Of several processes the one that put its lease into the
record asks, and the others use what it gets. A lease that does not change for its time is held to
be dead.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from contextlib import suppress
from datetime import timedelta
from functools import partial

from msgspec.structs import replace

from stepfold.streams.log import LogConflict
from stepfold.tools.oauth_errors import NeedsAuthorization, ServerAway, ServerRefused
from stepfold.tools.oauth_record import Found, Record, Records
from stepfold.tools.oauth_server import INVALID_GRANT, AuthorizationServer, Clock, Tokens
from stepfold.tools.oauth_table import SHARED, Auth
from stepfold.tools.tool import ToolError
from stepfold.tools.vault import Secret, VaultAway

LEEWAY_S = 60.0
"""A token is renewed so long before it is over, one of short life a tenth of that life before."""
SAVE_S = 10.0
"""How long storing what was got is tried: the refresh token that it came from is used up."""
LEASE_MARGIN_S = 15.0
LEASE_OLD_S = 600.0
"""More than the clocks of two machines differ."""
LEASES_MAX = 3
LOOK_S, LOOK_S_MAX = 0.02, 0.5
CHANGES_MAX = 20

log = logging.getLogger("stepfold.oauth")


class Renewal:
    """Of one connection. Its errors say that no request was made with a token."""

    def __init__(
        self,
        auth: Auth,
        records: Records,
        server: AuthorizationServer,
        clock: Clock,
        *,
        lease_s: float | None = None,
        save_s: float = SAVE_S,
    ) -> None:
        self._auth = auth
        self._records = records
        self._server = server
        self._clock = clock
        self._save_s = save_s
        self._lease_s = lease_s or auth.reach.timeout_s + save_s + LEASE_MARGIN_S
        self._running: dict[str, asyncio.Task[Tokens]] = {}
        self._unsaved: dict[str, tuple[Record, Tokens]] = {}
        self._leases: dict[str, tuple[int, float]] = {}

    async def usable(self, holder: str, refused: Secret | None = None) -> Tokens:
        """Tokens that are good now, and other ones than those that a resource `refused`."""
        tokens = (await self._saved(holder)).record.tokens
        while tokens is None or not self._good(tokens, refused):
            try:
                tokens = await asyncio.shield(self._renewal(holder, refused))
            except ServerAway:
                if tokens is None or refused is not None or self._over(tokens):
                    raise
                return tokens
            if refused is None:
                return tokens
        return tokens

    def drop(self, holder: str) -> Tokens | None:
        """Give up what was got and could not be stored."""
        _, tokens = self._unsaved.pop(holder, (None, None))
        return tokens

    async def close(self) -> None:
        """Wait for what is under way: cut off, it may lose a refresh token that counts once."""
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    # -- good or not ----------------------------------------------------------------------------

    def _good(self, tokens: Tokens | None, refused: Secret | None) -> bool:
        if tokens is None or tokens.access == refused:
            return False
        if tokens.expires_at is None:
            return True
        life_s = (tokens.expires_at - tokens.at).total_seconds()
        leeway = timedelta(seconds=min(LEEWAY_S, life_s / 10))
        return self._clock() < tokens.expires_at - leeway

    def _over(self, tokens: Tokens) -> bool:
        return tokens.expires_at is not None and self._clock() >= tokens.expires_at

    def _check_renewable(self, holder: str, record: Record) -> None:
        """NeedsAuthorization."""
        if self._auth.kind == "oauth2_client" or (record.tokens and record.tokens.refresh):
            return
        why = "it is not authorized yet"
        if record.tokens:
            why = "its token is over, and the server gave none to renew it with"
        raise self._needs(holder, record.needs or why)

    def _needs(self, holder: str, why: str) -> NeedsAuthorization:
        return NeedsAuthorization(self._auth.connection, "" if holder == SHARED else holder, why)

    @property
    def _name(self) -> str:
        return f"connection {self._auth.connection!r}"

    # -- one renewal for all who ask ------------------------------------------------------------

    def _renewal(self, holder: str, refused: Secret | None) -> asyncio.Task[Tokens]:
        """The one that runs; begun if none does. Nobody who stops waiting cuts it off."""
        if holder not in self._running:
            task = asyncio.create_task(self._renew(holder, refused))
            self._running[holder] = task
            task.add_done_callback(partial(self._ended, holder))
        return self._running[holder]

    def _ended(self, holder: str, task: asyncio.Task[Tokens]) -> None:
        del self._running[holder]
        if not task.cancelled():
            task.exception()  # whoever waited has it; nobody may be left

    async def _renew(self, holder: str, refused: Secret | None) -> Tokens:
        until, look_s = time.monotonic() + LEASES_MAX * self._lease_s, LOOK_S
        while True:
            found = await self._records.get(holder)
            tokens = found.record.tokens
            if tokens is not None and self._good(tokens, refused):
                return tokens
            self._check_renewable(holder, found.record)
            await self._server.endpoints()
            if self._free(holder, found):
                mine = await self._lease(holder, found)
                if mine is not None:
                    return await self._ask(holder, mine)
                continue
            if time.monotonic() > until:
                raise ServerAway(f"{self._name}: other processes renew its token without end")
            await asyncio.sleep(look_s)
            look_s = min(2 * look_s, LOOK_S_MAX)

    def _free(self, holder: str, found: Found) -> bool:
        """Whether nobody else asks. Whoever does has the lease for its time by our own watch, since
        the clocks of machines differ.
        """
        since = found.record.leased_at
        if since is None or abs(self._clock() - since) > timedelta(seconds=LEASE_OLD_S):
            return True
        revision, seen = self._leases.get(holder, (0, 0.0))
        if revision != found.revision:
            self._leases[holder] = (found.revision, time.monotonic())
            return False
        return time.monotonic() - seen > self._lease_s

    async def _lease(self, holder: str, found: Found) -> Found | None:
        """None when somebody else was quicker."""
        name = secrets.token_hex(8)
        leased = replace(found.record, lease=name, leased_at=self._clock())
        try:
            return Found(leased, await self._records.put(holder, leased, after=found.revision))
        except LogConflict:
            return None

    async def _ask(self, holder: str, mine: Found) -> Tokens:
        old = mine.record.tokens
        try:
            if old is not None and old.refresh is not None:
                new = await self._server.refresh(old.refresh, old.scopes)
            else:
                new = await self._server.own()
        except ToolError as error:
            if isinstance(error, ServerRefused) and error.code == INVALID_GRANT:
                return await self._lost(holder, mine)
            await self._release(holder, mine)
            raise
        self._unsaved[holder] = (mine.record, new)
        return await self._kept(holder, mine.revision)

    async def _lost(self, holder: str, mine: Found) -> Tokens:
        """The refresh token is worth nothing any more; unless somebody was quicker, say so."""
        why = "the server takes its refresh token no longer (withdrawn, used twice, or too old)"
        old = mine.record.tokens
        try:
            await self._records.put(holder, Record(needs=why), after=mine.revision)
        except LogConflict:
            tokens = (await self._records.get(holder)).record.tokens
            if tokens is not None and self._good(tokens, old.access if old else None):
                return tokens
        error = self._needs(holder, why)
        log.warning("%s", error)
        raise error

    async def _release(self, holder: str, mine: Found) -> None:
        free = replace(mine.record, lease="", leased_at=None)
        with suppress(LogConflict, VaultAway):  # then the lease ends by itself
            await self._records.put(holder, free, after=mine.revision)

    # -- keeping what was got -------------------------------------------------------------------

    async def _saved(self, holder: str) -> Found:
        """The record, after what this process got and could not store yet."""
        if holder in self._unsaved and holder not in self._running:
            await self._keep(holder, await self._records.revision(holder))
        return await self._records.get(holder)

    async def _kept(self, holder: str, revision: int) -> Tokens:
        until, look_s = time.monotonic() + self._save_s, LOOK_S
        while True:
            try:
                return await self._keep(holder, revision)
            except VaultAway:
                if time.monotonic() > until:
                    raise
            await asyncio.sleep(look_s)
            look_s = min(2 * look_s, LOOK_S_MAX)

    async def _keep(self, holder: str, revision: int) -> Tokens:
        leased, new = self._unsaved[holder]
        for _ in range(CHANGES_MAX):
            try:
                await self._records.put(holder, Record(new), after=revision)
            except LogConflict:
                record, revision = await self._records.get(holder)
                if record.tokens == leased.tokens and not record.needs:
                    continue  # only a lease has changed: ours is the newest
                return await self._outrun(holder, record)
            self.drop(holder)
            return new
        raise VaultAway(f"{self._name}: others change its tokens all the time")

    async def _outrun(self, holder: str, record: Record) -> Tokens:
        """Somebody changed the record while we asked: what stands there counts."""
        new = self.drop(holder)
        if record.tokens is not None:
            return record.tokens
        if new is not None:  # revoked meanwhile, so ours go too
            await self._server.revoke(new)
        raise self._needs(holder, record.needs or "its authorization was revoked")
