"""The page over HTTP, as a client of our own sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from stepfold.observability import page
from stepfold.observability.page import LOOPBACK, place, serving


async def render() -> bytes:
    return b"made 1\n"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with serving(LOOPBACK, 0, render, "text/made") as address:
        yield int(address.removesuffix("/metrics").rpartition(":")[2])


async def ask(port: int, request: bytes) -> tuple[list[str], bytes]:
    """(the lines of the answer's head, its body)."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    writer.write(request)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return head.decode().splitlines(), body


async def test_the_page_is_what_was_rendered(port: int) -> None:
    head, body = await ask(port, b"GET /metrics?x=1 HTTP/1.1\r\nHost: here\r\n\r\n")

    assert head[0] == "HTTP/1.1 200 OK"
    assert {"Content-Type: text/made", "Content-Length: 7"} <= set(head)
    assert body == b"made 1\n"


async def test_a_head_has_no_body(port: int) -> None:
    head, body = await ask(port, b"HEAD /metrics HTTP/1.1\r\n\r\n")

    assert "Content-Length: 7" in head
    assert body == b""


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET / HTTP/1.1", "404 Not Found"),
        (b"POST /metrics HTTP/1.1", "405 Method Not Allowed"),
        (b"nonsense", "405 Method Not Allowed"),
    ],
)
async def test_anything_else_is_refused(port: int, request_line: bytes, status: str) -> None:
    head, _ = await ask(port, request_line + b"\r\n\r\n")

    assert head[0] == f"HTTP/1.1 {status}"


async def test_a_page_that_cannot_be_made_is_an_error_and_the_next_one_may_be() -> None:
    pages = [ValueError("broken")]

    async def once() -> bytes:
        if pages:
            raise pages.pop()
        return b"made 1\n"

    async with serving(LOOPBACK, 0, once, "text/made") as address:
        port = int(address.removesuffix("/metrics").rpartition(":")[2])
        heads = [(await ask(port, b"GET /metrics HTTP/1.1\r\n\r\n"))[0][0] for _ in range(2)]

    assert heads == ["HTTP/1.1 500 Internal Server Error", "HTTP/1.1 200 OK"]


@pytest.mark.parametrize("request_", [b"", b"GET /metrics", b"x" * 2 * page.HEAD_BYTES_MAX])
async def test_who_asks_for_nothing_is_let_go(
    port: int, request_: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "REQUEST_S", 0.05)
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    writer.write(request_)

    try:
        answer = await reader.read()
    except ConnectionResetError:  # what was sent had not all been read
        answer = b""

    writer.close()
    assert answer == b""


async def test_more_connections_than_the_limit_are_closed(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "CONNECTIONS_MAX", 1)
    _, first = await asyncio.open_connection(LOOPBACK, port)
    reader, second = await asyncio.open_connection(LOOPBACK, port)

    assert await reader.read() == b""
    first.close()
    second.close()


async def test_its_end_does_not_wait_for_who_is_silent() -> None:
    async with serving(LOOPBACK, 0, render, "text/made") as address:
        port = int(address.removesuffix("/metrics").rpartition(":")[2])
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.write(b"GET")

    with suppress(ConnectionResetError):  # it never came as far as to be read
        assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9464", (LOOPBACK, 9464)),
        (":9464", (LOOPBACK, 9464)),
        ("0.0.0.0:9464", ("0.0.0.0", 9464)),
        ("[::1]:0", ("::1", 0)),
    ],
)
def test_a_place_is_loopback_unless_it_names_a_host(text: str, expected: tuple[str, int]) -> None:
    assert place(text) == expected


@pytest.mark.parametrize("text", ["", "here", "here:", "1:2:x", "65536", "-1"])
def test_what_is_no_place_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="as 9464"):
        place(text)
