"""What `stepfold serve` tells others while the log grows: spans with `--traces`, numbers with
`--metrics`. Neither can hold up the work, nor end it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import typer
from msgspec import Struct

from stepfold.app import TRACES, Opened
from stepfold.cli.exits import CommandRefused, hide_password, text
from stepfold.observability.counting import Counting, counting
from stepfold.observability.live import AT_ONCE, KINDS, Live
from stepfold.observability.metrics import Lane
from stepfold.observability.otlp import SpanSender, address
from stepfold.observability.page import place, serving
from stepfold.observability.prometheus import TYPE
from stepfold.observability.prometheus import text as page
from stepfold.observability.pushing import interval_s, pushing
from stepfold.observability.spans import Spans
from stepfold.observability.together import Together
from stepfold.streams import jetstream
from stepfold.streams.config import ACK_WAIT_S, STEPS, TIMERS
from stepfold.streams.lanes import Lanes


class Page(Struct, frozen=True):
    """Where the numbers are to be had."""

    host: str
    port: int


class Push(Struct, frozen=True):
    """Where the numbers are sent, and how often."""

    place: str
    every_s: float


class Watched(Struct, frozen=True):
    """`traces` is where a receiver takes them, empty when nobody is to be told."""

    traces: str = ""
    metrics: Page | Push | None = None


def watched(traces: str | None, metrics: str | None) -> Watched:
    """What the two options mean."""
    return Watched(address(traces) if traces else "", _metrics(metrics) if metrics else None)


def _metrics(told: str) -> Page | Push:
    try:
        if "://" in told:
            return Push(address(told, "metrics"), interval_s())
        return Page(*place(told))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--metrics") from error


@asynccontextmanager
async def watching(found: Opened, wanted: Watched) -> AsyncIterator[Mapping[str, str]]:
    """Until the block ends; yields what is told where, without passwords."""
    said: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        if wanted.traces:
            await stack.enter_async_context(tracing(found, wanted.traces))
            said["traces"] = hide_password(wanted.traces)
        if wanted.metrics:
            where = await stack.enter_async_context(_measuring(found, wanted.metrics))
            said["metrics"] = hide_password(where)
        yield said


@asynccontextmanager
async def tracing(
    found: Opened, place: str, *, ack_wait_s: float = ACK_WAIT_S
) -> AsyncIterator[None]:
    """Tell the spans of the log from now on. A receiver that is away holds AT_ONCE steps of this
    lane, and nothing of any other.
    """
    sender = await asyncio.to_thread(SpanSender, place)

    async def send(spans: Spans) -> None:
        await asyncio.to_thread(sender.send, spans)

    live = Live(found.log, Together(send).tell)
    filters = [f"steps.*.*.{kind}" for kind in KINDS]
    await jetstream.prepare_consumer(
        found.client, STEPS, TRACES, filters, ack_wait_s=ack_wait_s, begin="next"
    )
    lanes = Lanes(found.client, pulse_s=ack_wait_s / 3)
    lanes.mount(TRACES, live.take, at_once=AT_ONCE)
    await lanes.start()
    try:
        yield
    finally:
        live.stop()
        sender.close()
        await lanes.stop()


@asynccontextmanager
async def _measuring(found: Opened, wanted: Page | Push) -> AsyncIterator[str]:
    async def look() -> Mapping[str, Lane]:
        streams = [await jetstream.standing(found.client, name) for name in (STEPS, TIMERS)]
        return {name: Lane(*lane) for lanes in streams for name, lane in lanes.items()}

    async with counting(found.log, look) as counts:
        if isinstance(wanted, Push):
            async with pushing(counts, wanted.place, wanted.every_s):
                yield wanted.place
        else:
            async with _page(counts, wanted) as where:
                yield where


@asynccontextmanager
async def _page(counts: Counting, wanted: Page) -> AsyncIterator[str]:
    async def render() -> bytes:
        return page(await counts.now())

    async with AsyncExitStack() as stack:
        try:
            serve = serving(wanted.host, wanted.port, render, TYPE)
            where = await stack.enter_async_context(serve)
        except OSError as error:
            raise CommandRefused(
                f"--metrics {wanted.host}:{wanted.port}: {text(error)}: name another port, or 0 for"
                " one that is free"
            ) from error
        yield where
