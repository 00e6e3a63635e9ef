"""Who connects and asks nothing keeps nobody else out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

import pytest
from starlette.responses import Response

from stepfold.gateway.doors import Asked, Door
from stepfold.gateway.serving import Made, Patience, gateway_on, serving
from stepfold.gateway.shapes import Health, answer
from tests.gateway.house import ENVIRONMENT, LIMIT_S, House

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
HURRIED = Patience(head_s=0.2)


class Line(NamedTuple):
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, path: str = "/healthz") -> bytes:
        """The status that is answered; empty when there is none any more."""
        self.writer.write(HEALTH.replace(b"/healthz", path.encode()))
        async with asyncio.timeout(LIMIT_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await self.reader.readexactly(int(length))
        return head.split()[1]

    async def ended(self) -> bytes:
        """What came before the other side closed it."""
        async with asyncio.timeout(LIMIT_S):
            return await self.reader.read()


class Street:
    """A gateway, and connections to it."""

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self._port = int(url.rpartition(":")[2])
        self._stack = stack

    async def connect(self, said: bytes = b"") -> Line:
        line = Line(*await asyncio.open_connection("127.0.0.1", self._port))
        self._stack.callback(line.writer.close)
        line.writer.write(said)
        return line


@asynccontextmanager
async def street(home: House, patience: Patience, *doors: Door) -> AsyncIterator[Street]:
    made = Made(doors=(*home.gateways[home.url].doors, *doors))
    gateway = gateway_on(home.found, home.here, home.knowledge, made=made, environment=ENVIRONMENT)
    async with (
        serving(gateway, "127.0.0.1", 0, patience=patience) as url,
        AsyncExitStack() as stack,
    ):
        yield Street(url, stack)


@pytest.mark.parametrize("said", [b"", b"GET /healthz HTTP/1.1\r\nHost: loc", b"G"])
async def test_who_does_not_ask_is_hung_up_on(home: House, said: bytes) -> None:
    async with street(home, HURRIED) as here:
        line = await here.connect(said)

        assert await line.ended() == b""


async def test_the_head_of_a_later_request_may_not_take_for_ever_either(home: House) -> None:
    async with street(home, HURRIED) as here:
        line = await here.connect()
        assert await line.ask() == b"200"

        line.writer.write(b"GET /heal")

        assert await line.ended() == b""


async def test_who_has_asked_may_be_silent_for_longer_and_ask_again(home: House) -> None:
    async with street(home, HURRIED) as here:
        line = await here.connect()
        assert await line.ask() == b"200"
        later = await here.connect()
        assert await later.ended() == b""

        assert await line.ask() == b"200"


async def test_an_answer_may_take_longer_than_its_question(home: House) -> None:
    may = asyncio.Event()

    async def slow(asked: Asked) -> Response:
        await may.wait()
        return answer(Health("ok"))

    door = Door("GET", "/slow", slow, public="is slow")
    async with street(home, HURRIED, door) as here:
        line = await here.connect()
        asking = asyncio.create_task(line.ask("/slow"))
        later = await here.connect()
        assert await later.ended() == b""
        may.set()

        assert await asking == b"200"


async def test_the_rest_of_a_body_that_nobody_wants_leaves_the_connection_open(
    home: House,
) -> None:
    head = b"POST /v1/conversations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n"
    async with street(home, HURRIED) as here:
        line = await here.connect(head)
        told = await line.reader.readuntil(b"\r\n\r\n")
        length = told.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await line.reader.readexactly(int(length))
        line.writer.write(b"{}")
        later = await here.connect()
        assert await later.ended() == b""

        assert told.split()[1] == b"401"
        assert await line.ask() == b"200"


async def test_one_address_has_so_many_connections_and_no_more(home: House) -> None:
    async with street(home, Patience(connections=2, proxies="")) as here:
        first, second = await here.connect(), await here.connect()
        third = await here.connect()
        assert await third.ended() == b""
        first.writer.close()
        await first.writer.wait_closed()

        assert await second.ask() == b"200"
        assert await (await here.connect()).ask() == b"200"


async def test_a_proxy_has_as_many_connections_as_it_likes(home: House) -> None:
    async with street(home, Patience(connections=1, proxies="127.0.0.1")) as here:
        lines = [await here.connect() for _ in range(3)]

        assert [await line.ask() for line in lines] == [b"200"] * 3
