"""Before a provider: how many calls at once, and none for a while after too many failed.

Whoever is turned away gets a `ModelBusy` at once, so that the next candidate is asked instead.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from stepfold.providers.model import Model, ModelBusy, Prompt, Reply
from stepfold.providers.room import Room

AT_ONCE = 64
"""Calls of one provider that one process makes at once, where the routes do not say it."""
WAIT_S = 5.0
"""How long a call waits for its turn before it is turned away."""
FAILURES_MAX = 8
"""After so many failures in a row the provider is left alone."""
OPEN_S = 20.0
"""For so long; then one call tries whether it is back."""
STALL_S = 20.0
"""A call that is given up after so long has failed, whoever gave it up."""
ITS_OWN = frozenset({"unavailable", "overloaded", "unreachable", "timeout", "cut", "malformed"})
"""Reasons that are the provider's trouble, not ours."""


class Gated:
    """A model behind a gate. `clock` tells seconds that only grow; `at_once` may change at any
    time.
    """

    def __init__(
        self,
        model: Model,
        name: str,
        *,
        at_once: int = AT_ONCE,
        wait_s: float = WAIT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._name = name
        self._room = Room(at_once)
        self._wait_s = wait_s
        self._clock = clock
        self._failures = 0
        self._shut_until = 0.0
        self._trying = False

    @property
    def at_once(self) -> int:
        return self._room.size

    @at_once.setter
    def at_once(self, at_once: int) -> None:
        self._room.size = at_once

    async def reply(self, prompt: Prompt, /) -> Reply:
        trial = self._check()
        try:
            await self._wait()
            try:
                return await self._ask(prompt)
            finally:
                self._room.leave()
        finally:
            self._trying = self._trying and not trial

    async def _ask(self, prompt: Prompt) -> Reply:
        begin = self._clock()
        try:
            reply = await self._model.reply(prompt)
        except ModelBusy as error:
            if error.reason in ITS_OWN:
                self._failed()
            raise
        except asyncio.CancelledError:
            if self._clock() - begin > STALL_S:  # nobody would wait longer; a cancel is no failure
                self._failed()
            raise
        else:
            self._failures = 0
            return reply

    def _check(self) -> bool:
        """Is this the one call that tries whether a provider that was left alone is back?"""
        if self._failures < FAILURES_MAX:
            return False
        left_s = self._shut_until - self._clock()
        if left_s > 0 or self._trying:
            raise ModelBusy(
                f"{self._name} failed {self._failures} times in a row and is left alone",
                reason="circuit_open",
                delay_s=max(left_s, 1.0),
            )
        self._trying = True
        return True

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._wait_s):
                await self._room.enter()
        except TimeoutError:
            raise ModelBusy(
                f"{self._name} has as many calls as this process makes at once",
                reason="at_capacity",
                delay_s=1.0,
            ) from None

    def _failed(self) -> None:
        self._failures += 1
        if self._failures >= FAILURES_MAX:
            self._shut_until = self._clock() + OPEN_S
