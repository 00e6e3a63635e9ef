"""Spans of several steps in one request, and each step knows what became of its own."""

from __future__ import annotations

import asyncio

from stepfold.observability.otlp import ExportRefused, ReceiverAway
from stepfold.observability.spans import Spans, spans
from stepfold.observability.together import Together
from tests.observability.made import WHOLE, recorded

SPANS = spans(recorded(WHOLE))
STEPS = [SPANS[0:1], SPANS[1:4], SPANS[4:5], SPANS[5:6]]


class Receiver:
    """Takes one request at a time, when it is let; no request with `poison` in it."""

    def __init__(self, poison: Spans = (), *, away: bool = False) -> None:
        self.requests: list[Spans] = []
        self.open = asyncio.Event()
        self._poison = poison
        self._away = away

    async def __call__(self, told: Spans) -> None:
        self.requests.append(told)
        await self.open.wait()
        if self._away:
            raise ReceiverAway("away")
        if set(map(id, told)) & set(map(id, self._poison)):
            raise ExportRefused("400")


async def tell_all(receiver: Receiver) -> list[BaseException | None]:
    """What each step hears; all of them come while the first one is on its way."""
    together = Together(receiver)
    telling = [asyncio.create_task(together.tell(step)) for step in STEPS[:1]]
    while not receiver.requests:
        await asyncio.sleep(0)
    telling += [asyncio.create_task(together.tell(step)) for step in STEPS[1:]]
    await asyncio.sleep(0)
    receiver.open.set()
    return await asyncio.gather(*telling, return_exceptions=True)


async def test_what_comes_during_a_request_goes_with_the_next_one() -> None:
    receiver = Receiver()

    heard = await tell_all(receiver)

    assert receiver.requests == [STEPS[0], SPANS[1:6]]
    assert heard == [None] * 4


async def test_what_is_refused_together_is_sent_one_by_one() -> None:
    receiver = Receiver(poison=STEPS[2])

    heard = await tell_all(receiver)

    assert receiver.requests == [STEPS[0], SPANS[1:6], *STEPS[1:]]
    assert [type(each) for each in heard] == [type(None), type(None), ExportRefused, type(None)]


async def test_all_hear_that_the_receiver_is_away() -> None:
    receiver = Receiver(away=True)

    heard = await tell_all(receiver)

    assert len(receiver.requests) == 2
    assert {str(each) for each in heard} == {"away"}


async def test_who_stops_waiting_stops_nobody_else() -> None:
    receiver = Receiver()
    together = Together(receiver)
    first, second = (asyncio.create_task(together.tell(step)) for step in STEPS[:2])
    while not receiver.requests:
        await asyncio.sleep(0)

    first.cancel()
    receiver.open.set()
    await second

    assert first.cancelled()
    assert sum(map(len, receiver.requests)) == 4
