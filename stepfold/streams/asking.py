"""What calls have said so far, asked of whoever says it, until there is an answer.

Nobody is waited for: an answer is told when it comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from stepfold.streams.jetstream import Connection
from stepfold.streams.tokens import Said, ask_said

WAITS_S = (0.25, 0.5, 1.0, 2.0, 4.0)
"""How long an answer is waited for before the same is asked again. After the last one, only words
that show a gap make it worth asking.
"""


class Asking:
    """At most one question about each call of a conversation at a time."""

    def __init__(
        self,
        client: Connection,
        customer: str,
        conversation: str,
        tell: Callable[[Said], None],
    ) -> None:
        self._client = client
        self._key = customer, conversation
        self._tell = tell
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def tasks(self) -> tuple[asyncio.Task[None], ...]:
        """To be ended by whoever asks no more."""
        return tuple(self._tasks.values())

    def begin(self, call: str) -> bool:
        """False when it is asked already."""
        known = self._tasks.get(call)
        if known is not None and not known.done():
            return False
        self._tasks[call] = asyncio.create_task(self._ask(call))
        return True

    def stop(self, call: str) -> None:
        """Its answer, if there still is one, is not wanted any more."""
        if call in self._tasks:
            self._tasks.pop(call).cancel()

    async def _ask(self, call: str) -> None:
        clock = asyncio.get_running_loop().time
        for wait_s in WAITS_S:
            again = clock() + wait_s
            said = await ask_said(self._client, *self._key, call, timeout_s=wait_s)
            if said is not None:
                self._tell(said)
                return
            await asyncio.sleep(again - clock())  # where nobody serves it is known at once
