"""The way to an MCP server that is a program: JSON-RPC, a message a line, over stdin and stdout.

The library's own transport passes on half of our environment, reads lines without a limit and lets
the program write to our stderr. Here a program gets PATH and what its file names; a line, the words
beside the answers and its stderr are limited; and what it is told to keep secret is not repeated.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCError, JSONRPCResponse, jsonrpc_message_adapter
from msgspec import Struct

UNASKED_MAX = 10_000
"""Messages of a server between two of its answers."""
GARBAGE_LINES_MAX = 100
"""Lines on stdout that are no JSON-RPC: some programs greet."""
STDERR_LINES_MAX = 200
STDERR_CHARS_MAX = 500
STOP_S = 2.0
"""So long a program may take to end after its stdin was closed, and again after SIGTERM."""
LAST_WORDS_S = 1.0
"""So long we wait, once a program says nothing more, to learn how it ended."""
log = logging.getLogger("stepfold.mcp")

Ending = Callable[[str], Awaitable[str]]
"""How the program ended; what it is given, where it did not end."""
Received = SessionMessage | Exception
Streams = tuple[MemoryObjectReceiveStream[Received], MemoryObjectSendStream[SessionMessage]]


class Program(Struct, frozen=True):
    """`environment` is all that it gets; `folder` is where it stands, ours when empty."""

    name: str
    command: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str
    bytes_max: int
    hide: Callable[[str], str]


@asynccontextmanager
async def program(started: Program, gone: asyncio.Future[str]) -> AsyncIterator[Streams]:
    """The streams of a started program, which is stopped when the block ends. `gone` is told why
    there will be no more answers. OSError when it cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        started.command,
        *started.arguments,
        env=dict(started.environment),
        cwd=started.folder or None,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=started.bytes_max,
        start_new_session=True,
    )
    to_us, ours = anyio.create_memory_object_stream[Received](0)
    theirs, to_them = anyio.create_memory_object_stream[SessionMessage](0)
    last: list[str] = []
    overhearing = asyncio.create_task(_overhear(started, process, last))
    ending = partial(_how_it_ended, process, overhearing, last)
    tasks = [
        asyncio.create_task(_hear(started, process, to_us, gone, ending)),
        asyncio.create_task(_tell(process, to_them, to_us, gone, ending)),
        overhearing,
    ]
    try:
        yield ours, theirs
    finally:
        await asyncio.shield(_stop(process, tasks, patient=not gone.done()))
        for stream in (to_us, ours, theirs, to_them):
            stream.close()


async def _hear(
    started: Program,
    process: asyncio.subprocess.Process,
    to_us: MemoryObjectSendStream[Received],
    gone: asyncio.Future[str],
    ending: Ending,
) -> None:
    """Hands on what the program says, until it ends or says too much."""
    assert process.stdout is not None
    why = ""
    unasked = garbage = 0
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:
                why = f"it sent a message of more than {started.bytes_max:,} bytes"
                break
            if not line:
                break
            try:
                message = jsonrpc_message_adapter.validate_json(line, by_name=False)
            except ValueError:
                garbage += 1
                log.debug("%s: no JSON-RPC: %r", started.name, line[:STDERR_CHARS_MAX])
                if garbage > GARBAGE_LINES_MAX:
                    why = f"it sent {garbage} lines that are no JSON-RPC"
                    break
                continue
            answers = isinstance(message, JSONRPCResponse | JSONRPCError)
            unasked = 0 if answers else unasked + 1
            if unasked > UNASKED_MAX:
                why = f"it sent {unasked:,} messages that nobody asked for"
                break
            await to_us.send(SessionMessage(message))
    _end(gone, why or await ending("its output ended"))
    to_us.close()


async def _tell(
    process: asyncio.subprocess.Process,
    to_them: MemoryObjectReceiveStream[SessionMessage],
    to_us: MemoryObjectSendStream[Received],
    gone: asyncio.Future[str],
    ending: Ending,
) -> None:
    assert process.stdin is not None
    try:
        async for each in to_them:
            text = each.message.model_dump_json(by_alias=True, exclude_unset=True)
            process.stdin.write(text.encode() + b"\n")
            await process.stdin.drain()
    except OSError:
        _end(gone, await ending("it takes nothing any more"))
        to_us.close()


async def _how_it_ended(
    process: asyncio.subprocess.Process,
    overhearing: asyncio.Task[None],
    last: Sequence[str],
    otherwise: str,
) -> str:
    """Its exit and its last words, if it ends at once; `otherwise` where it does not."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LAST_WORDS_S):
            await process.wait()
            await asyncio.wait((overhearing,))
    if process.returncode is None:
        return otherwise
    how = f"exit code {process.returncode}"
    if process.returncode < 0:
        how = signal.Signals(-process.returncode).name
    return f"it ended ({how}): {last[-1]}" if last else f"it ended ({how}) without a word"


async def _overhear(started: Program, process: asyncio.subprocess.Process, last: list[str]) -> None:
    """Its stderr goes to our log up to a limit, and is read on so that it can write. `last` holds
    the last line of it that says something.
    """
    assert process.stderr is not None
    lines = 0
    while chunk := await _line(process.stderr):
        lines += 1
        text = started.hide(chunk.decode(errors="replace").strip())[:STDERR_CHARS_MAX]
        last[:] = [text] if text else last
        if lines <= STDERR_LINES_MAX:
            log.info("%s says: %s", started.name, text)
        elif lines == STDERR_LINES_MAX + 1:
            log.info("%s says more, which is not kept", started.name)


async def _line(stream: asyncio.StreamReader) -> bytes:
    """A line, or as much as there is of a line without end."""
    try:
        return await stream.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        return await stream.read(error.consumed)


async def _stop(
    process: asyncio.subprocess.Process, tasks: list[asyncio.Task[None]], *, patient: bool
) -> None:
    """Close its stdin, wait; SIGTERM to its group, wait; SIGKILL."""
    assert process.stdin is not None
    process.stdin.close()
    if process.returncode is None and not (patient and await _ended(process)):
        _signal(process, signal.SIGTERM)
        await _ended(process)
    _signal(process, signal.SIGKILL)  # what it left behind as well
    await _ended(process)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    process._transport.close()  # type: ignore[attr-defined]  # a child of it may hold the pipes


async def _ended(process: asyncio.subprocess.Process) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(STOP_S):
            await process.wait()
    return process.returncode is not None


def _signal(process: asyncio.subprocess.Process, which: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, which)


def _end(gone: asyncio.Future[str], why: str) -> None:
    if not gone.done():
        gone.set_result(why)
