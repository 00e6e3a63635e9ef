"""What decisions know of the world, kept up to date beside them: deciding never waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

import msgspec

from stepfold.events.values import BudgetStep
from stepfold.handlers.budgets import Keeper
from stepfold.handlers.choosing import World
from stepfold.routing import Routes, decode_routes
from stepfold.streams.log import LogUnavailable, Shelf, ShelfUnreadable, content_digest

LOOK_S = 1.0
"""How long a change of the routes may take to be noticed."""
log = logging.getLogger("stepfold.worlds")


class Worlds:
    """Call it for the world of one conversation, now."""

    def __init__(
        self,
        routes: Shelf,
        clock: Callable[[], datetime],
        keeper: Keeper | None = None,
        *,
        look_s: float = LOOK_S,
    ) -> None:
        self._shelf = routes
        self._clock = clock
        self._keeper = keeper
        self._look_s = look_s
        self._raw: bytes | None = None
        self._routes = Routes()
        self._table = ""

    def __call__(self, customer: str, conversation: str, agent: str) -> World:
        budget: BudgetStep = ""
        left: Decimal | None = None
        if self._keeper is not None and self._keeper.any:
            budget, left = self._keeper.step(customer, conversation, agent)
        return World(
            customer=customer,
            conversation=conversation,
            routes=self._routes,
            table=self._table,
            hour=self._clock().hour,
            budget=budget,
            budget_left_usd=left,
        )

    @property
    def routes(self) -> Routes:
        return self._routes

    async def look(self) -> None:
        """Take over the current routes, when they are others than before. ShelfUnreadable, once."""
        raw = await self._shelf.appointed()
        if raw is None or raw == self._raw:
            return
        self._raw = raw
        try:
            self._routes, self._table = decode_routes(raw), content_digest(raw)
        except msgspec.DecodeError as error:
            raise ShelfUnreadable(
                f"the routes on this log are of another version of stepfold ({error}): upgrade, or"
                " apply others with `stepfold route apply FILE`"
            ) from error
        log.info("routes %s", self._table)

    async def keep(self) -> None:
        """Look again and again, until cancelled. What is in the way is told when it begins."""
        away = False
        while True:
            await asyncio.sleep(self._look_s)
            try:
                await self.look()
                away = False
            except LogUnavailable as error:
                if not away:
                    log.warning("the routes stay as they are: %s", error)
                away = True
            except ShelfUnreadable as error:
                log.warning("the routes stay as they are: %s", error)
