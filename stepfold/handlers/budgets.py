"""Money is reserved before a model is asked and settled when its outcome is recorded.

A reservation is an estimate that is on the high side. It is made in every account that the call is
paid from, or in none; when it does not fit, or when nobody knows the price, the call does not go
out. What a process that died had reserved is held until somebody finds the outcome in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec
from msgspec.structs import replace

from stepfold.events.event import (
    Generated,
    GenerationFailed,
    Reasoned,
    ReasonFailed,
    RetrievalFailed,
    RetrievalReturned,
)
from stepfold.events.values import BudgetStep
from stepfold.policy.budget import Account, Budgets, accounts, decode_budgets, step, worse
from stepfold.streams.log import (
    Balance,
    Balances,
    Hold,
    Log,
    LogConflict,
    LogUnavailable,
    Shelf,
    ShelfUnreadable,
)

LOOK_S = 1.0
"""How long a change of the budgets, or of another process's spending, may go unnoticed by `step`.
A reservation always looks at the account itself.
"""
STALE_S = 60.0
"""What is held for longer is looked up in the log."""
SWEEP_S = 20.0
RACES_MAX = 1_000
Paid = Reasoned | ReasonFailed | Generated | GenerationFailed | RetrievalReturned | RetrievalFailed
log = logging.getLogger("stepfold.budgets")


class BudgetRefused(Exception):
    """The call does not fit into a budget; the text says which, and how much is left."""


class Keeper:
    """The accounts, as this process uses them. `step` answers from memory, `reserve` from the
    accounts.
    """

    def __init__(
        self,
        shelf: Shelf,
        balances: Balances,
        steps: Log,
        clock: Callable[[], datetime],
        *,
        look_s: float = LOOK_S,
    ) -> None:
        self._shelf = shelf
        self._balances = balances
        self._log = steps
        self._clock = clock
        self._look_s = look_s
        self._raw: bytes | None = None
        self._budgets = Budgets()
        self._known: dict[str, Balance] = {}
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def any(self) -> bool:
        return bool(self._budgets.budgets)

    def step(
        self, customer: str, conversation: str, agent: str
    ) -> tuple[BudgetStep, Decimal | None]:
        """How far the budgets of a conversation are used up; what is left of the narrowest one."""
        reached: BudgetStep = ""
        left: Decimal | None = None
        for account in self._accounts(customer, conversation, agent):
            used = self._known.get(account.name, Balance()).used_usd
            reached = worse(reached, step(account.budget, used))
            rest = account.budget.limit_usd - used
            left = rest if left is None else min(left, rest)
        return reached, left

    async def reserve(
        self, key: tuple[str, str], agent: str, call: str, usd: Decimal | None
    ) -> None:
        """Hold `usd` for a call in all its accounts; BudgetRefused. Again for the same call it
        changes nothing.
        """
        found = self._accounts(*key, agent)
        if not found:
            return
        if usd is None:
            raise BudgetRefused(
                "nobody knows its price, and there is a budget: add the price to prices.toml"
            )
        handle, held = "/".join((*key, call)), []
        try:
            for account in found:
                await self._hold(account, handle, usd)
                held.append(account.name)
        except BudgetRefused:
            for name in held:
                await self._settle(name, handle, Decimal(0))
            raise

    async def settle(
        self, key: tuple[str, str], agent: str, call: str, usd: Decimal | None
    ) -> None:
        """The call is over: what it cost takes the place of what was held for it. Of an unknown
        cost the estimate stands.
        """
        handle = "/".join((*key, call))
        for name in [name for name, known in self._known.items() if handle in known.held]:
            await self._settle(name, handle, usd)

    async def look(self) -> None:
        """Take over what others have changed. ShelfUnreadable, once for each change."""
        raw = await self._shelf.appointed()
        if raw is not None and raw != self._raw:
            self._raw = raw
            self._budgets = _decoded(raw)
        if self.any:
            for name, balance in (await self._balances.all()).items():
                if balance.seq > self._known.get(name, Balance()).seq:
                    self._known[name] = balance

    async def sweep(self) -> None:
        """Settle what is held for calls that are over, whoever held it."""
        before = self._clock() - timedelta(seconds=STALE_S)
        for name, balance in list(self._known.items()):
            for handle, hold in list(balance.held.items()):
                if hold.at < before:
                    await self._sweep(name, handle)

    async def keep(self) -> None:
        """Look and sweep, until cancelled. What is in the way is told when it begins."""
        swept, away = 0.0, False
        while True:
            await asyncio.sleep(self._look_s)
            swept += self._look_s
            try:
                await self.look()
                if swept >= SWEEP_S:
                    swept = 0.0
                    await self.sweep()
                away = False
            except LogUnavailable as error:
                if not away:
                    log.warning("the budgets stay as they are: %s", error)
                away = True
            except ShelfUnreadable as error:
                log.warning("the budgets stay as they are: %s", error)

    def _accounts(self, customer: str, conversation: str, agent: str) -> Sequence[Account]:
        now = self._clock()
        return tuple(accounts(self._budgets, customer, conversation, agent, now))

    async def _hold(self, account: Account, handle: str, usd: Decimal) -> None:
        budget = account.budget

        def held(balance: Balance) -> Balance:
            if handle in balance.held:
                return balance
            left = budget.limit_usd - balance.used_usd
            if usd > left:
                what = f"the {budget.period} budget of {budget.scope} {account.name.split('.')[2]}"
                raise BudgetRefused(
                    f"about {usd:f} USD do not fit into {what}: {max(left, Decimal(0)):f} of"
                    f" {budget.limit_usd:f} USD are left"
                )
            return replace(balance, held={**balance.held, handle: Hold(usd, self._clock())})

        await self._change(account.name, held)

    async def _settle(self, name: str, handle: str, usd: Decimal | None) -> None:
        def settled(balance: Balance) -> Balance:
            if handle not in balance.held:
                return balance
            rest = {key: hold for key, hold in balance.held.items() if key != handle}
            paid = balance.held[handle].usd if usd is None else usd
            return replace(balance, spent_usd=balance.spent_usd + paid, held=rest)

        await self._change(name, settled)

    async def _change(self, name: str, change: Callable[[Balance], Balance]) -> None:
        """Change an account under its fence, in this process one after the other."""
        async with self._locks[name]:
            balance = self._known.get(name) or await self._balances.get(name)
            try:
                change(balance)
            except BudgetRefused:  # others may have settled meanwhile
                balance = await self._balances.get(name)
            for _ in range(RACES_MAX):
                changed = change(balance)
                if changed is balance:
                    self._known[name] = balance
                    return
                try:
                    self._known[name] = await self._balances.put(name, changed)
                except LogConflict:
                    balance = await self._balances.get(name)
                else:
                    return
        raise LogUnavailable(f"account {name}: lost {RACES_MAX} races")

    async def _sweep(self, name: str, handle: str) -> None:
        customer, conversation, call = handle.split("/")
        for entry in await self._log.read(customer, conversation):
            if isinstance(entry.event, Paid) and entry.event.call == call:
                await self._settle(name, handle, _cost(entry.event))
                return


def _decoded(raw: bytes) -> Budgets:
    try:
        return decode_budgets(raw)
    except msgspec.DecodeError as error:
        raise ShelfUnreadable(
            f"the budgets on this log are of another version of stepfold ({error}): upgrade, or"
            " apply others with `stepfold budget apply FILE`"
        ) from error


def _cost(paid: Paid) -> Decimal | None:
    """None when the price of any part of it is not known."""
    if not isinstance(paid, RetrievalReturned | RetrievalFailed):
        return paid.cost_usd
    return total(each.cost_usd for each in paid.spent)


def total(costs: Iterable[Decimal | None]) -> Decimal | None:
    """US dollars; None when one of them is not known."""
    told = list(costs)
    return None if None in told else sum((each for each in told if each), Decimal(0))
