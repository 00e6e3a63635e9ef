"""What decisions know of the world, kept up to date beside them: deciding never waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from stepfold.events.values import BudgetStep
from stepfold.handlers.budgets import Keeper
from stepfold.handlers.choosing import World
from stepfold.routing import Routes, decode_routes
from stepfold.streams.log import LogUnavailable, Shelf, content_digest

LOOK_S = 1.0
"""How long a change of the routes may take to be noticed."""
log = logging.getLogger("stepfold.worlds")


class Worlds:
    """Call it for the world of one conversation, now."""

    def __init__(
        self, routes: Shelf, clock: Callable[[], datetime], keeper: Keeper | None = None
    ) -> None:
        self._shelf = routes
        self._clock = clock
        self._keeper = keeper
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
        """Take over the current routes, when they are others than before."""
        raw = await self._shelf.appointed()
        if raw is not None and raw != self._raw:
            self._routes, self._table, self._raw = decode_routes(raw), content_digest(raw), raw
            log.info("routes %s", self._table)

    async def keep(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except LogUnavailable as error:
                log.warning("the routes stay as they are: %s", error)
