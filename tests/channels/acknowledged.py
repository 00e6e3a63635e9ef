"""How long Slack and Teams wait for our answer while a model takes its time, in numbers:

python -m tests.channels.acknowledged [seconds of the model, 30] [messages, 40]
"""

from __future__ import annotations

import asyncio
import functools
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from msgspec import Struct

from stepfold.channels.slack.names import Thread
from stepfold.channels.teams.parse import conversation_name
from stepfold.events.event import ResponseDelivered
from stepfold.events.values import Delta
from stepfold.providers.model import Prompt, Reply
from tests.channels.slack_fake import slack
from tests.channels.slack_office import Office, office
from tests.channels.teams_fake import TENANT
from tests.channels.teams_world import site
from tests.waiting import eventually

WORDS = 10
T = TypeVar("T")


class Slow:
    """A model that takes so many seconds for ten words."""

    name = "scripted"

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def reply(self, prompt: Prompt, /) -> Reply:
        for number in range(WORDS):
            await asyncio.sleep(self._seconds / WORDS)
            if prompt.hear is not None:
                prompt.hear(Delta("text", f"{number} "))
        return Reply("".join(f"{number} " for number in range(WORDS)), model="scripted")


class Took(Struct, frozen=True):
    """Seconds: how long each webhook waited, and until everything was delivered."""

    channel: str
    acknowledged_s: tuple[float, ...]
    delivered_s: float

    def __str__(self) -> str:
        worst_ms = max(self.acknowledged_s) * 1e3
        middle_ms = sorted(self.acknowledged_s)[len(self.acknowledged_s) // 2] * 1e3
        many = len(self.acknowledged_s)
        return (
            f"{self.channel:6} {many} messages at once: acknowledged within {worst_ms:.0f} ms "
            f"(half of them {middle_ms:.0f} ms), all delivered after {self.delivered_s:.1f} s"
        )


async def in_slack(folder: Path, seconds: float, many: int) -> Took:
    with slack() as fake:
        async with office(folder, fake, model=Slow(seconds)) as here:
            begun = time.perf_counter()
            sends = [functools.partial(here.says, f"question {n}") for n in range(many)]
            took = await _timed(sends)
            for _, thread in took:
                told = functools.partial(_is_told, here, thread)
                await eventually(told, seconds + 60)
            return Took("Slack", tuple(s for s, _ in took), time.perf_counter() - begun)


async def _is_told(here: Office, thread: Thread) -> bool:
    return any(isinstance(step.event, ResponseDelivered) for step in await here.steps(thread))


async def in_teams(folder: Path, seconds: float, many: int) -> Took:
    async with site(folder, models={"scripted": Slow(seconds)}) as made:
        places = [f"a:{number}" for number in range(many)]

        def says(place: str) -> dict[str, object]:
            where = {"id": place, "conversationType": "personal", "tenantId": TENANT}
            return made.fake.says("When?", conversation=where)

        begun = time.perf_counter()
        took_s = await made.post_all([says(place) for place in places])
        for place in places:
            name = conversation_name(TENANT, place)

            async def is_delivered() -> bool:
                return "response.delivered" in await made.kinds(name)  # noqa: B023

            await eventually(is_delivered, seconds + 60)
        return Took("Teams", tuple(took_s), time.perf_counter() - begun)


async def _timed(sends: Sequence[Callable[[], Awaitable[T]]]) -> list[tuple[float, T]]:
    async def timed(send: Callable[[], Awaitable[T]]) -> tuple[float, T]:
        begun = time.perf_counter()
        given = await send()
        return time.perf_counter() - begun, given

    return list(await asyncio.gather(*(timed(send) for send in sends)))


async def main(seconds: float, many: int) -> None:
    for measured in (in_slack, in_teams):
        with TemporaryDirectory() as folder:
            print(await measured(Path(folder), seconds, many), flush=True)


if __name__ == "__main__":
    seconds, many = (sys.argv[1:] + ["30", "40"][len(sys.argv) - 1 :])[:2]
    asyncio.run(main(float(seconds), int(many)))
