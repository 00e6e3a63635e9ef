"""A model that answers from a list or a file: the double that tests, demos and benchmarks use."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path

import msgspec

from stepfold.providers.model import ModelFailed, Prompt, Reply

PROVIDER = "scripted"
ZERO = Decimal(0)


class ScriptedModel:
    """Gives `replies` in order, an error where one stands in the list, the last one again never.

    `prompts` keeps what it was asked; `delay_s` makes it slow.
    """

    def __init__(
        self,
        replies: Iterable[Reply | Exception],
        *,
        name: str = "scripted",
        delay_s: float = 0.0,
    ) -> None:
        self.name = name
        self.delay_s = delay_s
        self.prompts: list[Prompt] = []
        self._replies = iter(replies)
        self._given = 0

    async def reply(self, prompt: Prompt, /) -> Reply:
        self.prompts.append(prompt)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        reply = next(self._replies, None)
        if reply is None:
            raise ModelFailed(
                f"the script of {self.name!r} has ended after {self._given} replies",
                reason="script_ended",
            )
        self._given += 1
        if isinstance(reply, Exception):
            raise reply
        return _named(reply, self.name)


def _named(reply: Reply, name: str) -> Reply:
    cost = reply.cost_usd if reply.cost_usd is not None or reply.usage else ZERO
    return msgspec.structs.replace(
        reply, model=reply.model or name, provider=reply.provider or PROVIDER, cost_usd=cost
    )


def load_script(path: Path) -> Sequence[Reply]:
    """Replies from a JSONL file, one `Reply` a line; ValueError names the file and the line."""
    replies: list[Reply] = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            replies.append(msgspec.json.decode(line, type=Reply))
        except msgspec.DecodeError as error:
            raise ValueError(f"{path}:{number}: not a scripted reply: {error}") from error
    return replies
