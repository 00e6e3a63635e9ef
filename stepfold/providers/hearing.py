"""From the body of an answer to its JSON, whole or as a stream of events. No SDK."""

from __future__ import annotations

from collections.abc import AsyncIterable
from contextlib import suppress
from typing import Protocol

from stepfold.events.values import Usage
from stepfold.providers.failures import cut, unreachable, unreadable
from stepfold.providers.lines import lines
from stepfold.providers.model import BODY_CHARS_MAX, Hear, ModelError
from stepfold.providers.sse import aevents
from stepfold.providers.wire import Assembly, Json, decoded

EVENT_STREAM = "text/event-stream"


class Reckoned(Assembly, Protocol):
    """An assembly that knows whether its end has come, and what was used so far."""

    @property
    def ended(self) -> bool: ...

    @property
    def usage(self) -> Usage | None:
        """A ModelError when it is told in another shape than the API's."""
        ...


def whole(body: bytes) -> Json:
    """Malformed when it is no JSON object, whatever the status said."""
    told = decoded(body)
    if told is None:
        raise unreadable(body.decode(errors="replace"), "no JSON object")
    return told


async def assembled(
    body: AsyncIterable[bytes],
    assembly: Reckoned,
    hear: Hear | None,
    lost: tuple[type[Exception], ...],
) -> Json:
    """The answer of a stream. `lost` are the connection's errors: after the terminal event they no
    longer matter. A ModelError tells what was used all the same, and what was told last.
    """
    last = ""
    try:
        try:
            async for event, data in aevents(lines(body)):
                last = data
                for delta in assembly.take(event, data):
                    if hear is not None:
                        hear(delta)
        except lost as error:
            if not assembly.ended:
                raise broken(error) from error
        return assembly.whole()
    except ModelError as error:
        error.body = error.body or last[:BODY_CHARS_MAX]
        costing(error, assembly)
        raise


def broken(error: Exception) -> ModelError:
    """The connection's end in the middle of an answer."""
    told = unreachable(error)
    return told if told.reason == "timeout" else cut(str(told))


def costing(error: ModelError, assembly: Reckoned) -> ModelError:
    """`error`, with what was used until it came; without, where that is told in a shape that cannot
    be read: the error stays what it is.
    """
    if error.usage is None:
        with suppress(ModelError):
            error.usage = assembly.usage
    return error
