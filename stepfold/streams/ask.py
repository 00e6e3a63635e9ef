"""Questions to one process and its answers, over core NATS: any bytes in, any number of bytes out.

An answer that is larger than a message is sent in several. Each carries its number, so that a lost
one shows, and the last one says that it is the last, or that the answer is an error.

    AskError
    ├── NobodyAnswers    no process serves this subject
    ├── AnswerLost       not all of the answer came in time: ask again
    └── AskRefused       the process says why it will not answer
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from stepfold.streams.jetstream import Connection, Message

Handler = Callable[[bytes], Awaitable[bytes]]
"""A question to its answer. What it raises as AskRefused is told to whoever asked."""

PART_BYTES = 512 * 1024
ANSWER_BYTES_MAX = 256 * 1024 * 1024
PARTS_UNREAD_MAX = 64
"""How many parts are sent before the asker has confirmed that it still reads."""

NUMBER = "Stepfold-Part"
END = "Stepfold-End"
DONE, REFUSED = "done", "refused"

log = logging.getLogger("stepfold.ask")


class AskError(Exception):
    """There is no answer."""


class NobodyAnswers(AskError):
    """No process serves this subject."""


class AnswerLost(AskError):
    """Not all of the answer came in time."""


class AskRefused(AskError):
    """The process says why it will not answer."""


@asynccontextmanager
async def serve(client: Connection, subject: str, handler: Handler) -> AsyncIterator[None]:
    """Answer questions on `subject`, each in a task of its own, until the block ends."""
    tasks: set[asyncio.Task[None]] = set()

    async def on_message(message: Message) -> None:
        task = asyncio.create_task(_answer(client, message, handler))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    subscription = await client.subscribe(subject, cb=on_message)
    try:
        yield
    finally:
        if client.is_connected:
            await subscription.unsubscribe()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _answer(client: Connection, message: Message, handler: Handler) -> None:
    end = DONE
    try:
        answer = await handler(message.data)
        if len(answer) > ANSWER_BYTES_MAX:
            end, answer = REFUSED, _too_large(len(answer))
    except AskRefused as error:
        end, answer = REFUSED, str(error).encode()
    except Exception as error:
        log.exception("a question on %s could not be answered", message.subject)
        end, answer = REFUSED, f"{type(error).__name__}: {error}".encode()
    starts = range(0, max(len(answer), 1), PART_BYTES)
    for number, start in enumerate(starts):
        headers = {NUMBER: str(number)}
        if number == len(starts) - 1:
            headers[END] = end
        part = answer[start : start + PART_BYTES]
        await client.publish(message.reply, part, headers=headers)
        if number % PARTS_UNREAD_MAX == PARTS_UNREAD_MAX - 1:
            await client.flush()


def _too_large(size: int) -> bytes:
    return f"the answer has {size} bytes, at most {ANSWER_BYTES_MAX} are sent".encode()


async def ask(client: Connection, subject: str, question: bytes, *, timeout_s: float) -> bytes:
    """The whole answer, within `timeout_s`."""
    inbox = client.new_inbox()
    arrived: asyncio.Queue[Message] = asyncio.Queue()
    subscription = await client.subscribe(
        inbox, cb=arrived.put, pending_msgs_limit=-1, pending_bytes_limit=-1
    )
    try:
        async with asyncio.timeout(timeout_s):
            await client.publish(subject, question, reply=inbox)
            return await _collect(arrived, subject)
    except TimeoutError as error:
        why = f"no whole answer on {subject} within {timeout_s:g} s: ask again"
        raise AnswerLost(why) from error
    finally:
        if client.is_connected:
            await subscription.unsubscribe()


async def _collect(arrived: asyncio.Queue[Message], subject: str) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await arrived.get()
        headers = message.headers or {}
        if headers.get("Status") == "503":
            raise NobodyAnswers(f"no process answers on {subject}")
        if headers.get(NUMBER) != str(len(parts)):
            raise AnswerLost(f"part {len(parts)} of the answer on {subject} was lost: ask again")
        parts.append(message.data)
        if END in headers:
            break
    whole = b"".join(parts)
    if headers[END] == REFUSED:
        raise AskRefused(whole.decode(errors="replace"))
    return whole
