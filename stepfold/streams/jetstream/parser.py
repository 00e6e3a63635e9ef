"""The wire, for readers of a whole log: messages of a tapped subscription go straight to their tap.

nats-py's parser matches two patterns, copies the buffer and awaits four times for each message.
Where a subscription is tapped, its frames are cut out of what was read in one loop; every other
frame is handed to nats-py as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from nats.protocol.parser import AWAITING_MSG_PAYLOAD, Parser

CRLF = b"\r\n"
STATUS = b"NATS/1.0 "
"""How the headers begin of what the server says of itself: a heartbeat, a question, an end."""
BARE, HEADED = [b"MSG"], [b"HMSG"]
WORDS_WITH_REPLY = 5
"""`MSG <subject> <sid> <reply> <bytes>`; HMSG has the bytes of its headers before that of all."""


class Tap(Protocol):
    """Neither may raise for what strangers put into a message: it would end the reader."""

    def take(self, subject: bytes, reply: bytes, payload: bytes, headers: bytes) -> None:
        """One message, as the connection reads it."""
        ...

    async def told(self, reply: bytes, headers: bytes) -> None:
        """Something that the server says of itself."""
        ...


class TappingParser(Parser):
    """`taps` by the id of their subscription; it may change at any time."""

    def __init__(self, client: Any, taps: Mapping[int, Tap]) -> None:
        super().__init__(client)
        self._taps = taps

    async def parse(self, data: bytes = b"") -> None:
        while data and self._taps:
            if self.state == AWAITING_MSG_PAYLOAD:  # of a frame that is nats-py's
                missing = self.needed + len(CRLF) - len(self.buf)
                await super().parse(data[:missing])
                data = data[missing:]
                continue
            data = bytes(self.buf) + data
            self.buf.clear()
            begin, whole = await self._take(data)
            end = data.find(CRLF, begin) + len(CRLF) if whole else 0
            if end < len(CRLF):
                self.buf += data[begin:]
                return
            await super().parse(data[begin:end])
            data = data[end:]
        if data:
            await super().parse(data)

    async def _take(self, data: bytes) -> tuple[int, bool]:
        """Gives away the tapped frames at the beginning of `data`: where the next frame begins, and
        whether that is another's. It is not when its tap waits for the rest of it.
        """
        at = 0
        while (end := data.find(CRLF, at)) >= 0:
            words = data[at:end].split()
            headed = words[:1] == HEADED
            if not headed and words[:1] != BARE:
                return at, True
            tap = self._taps.get(int(words[2]))
            if tap is None:
                return at, True
            start = end + len(CRLF)
            stop = start + int(words[-1])
            if stop + len(CRLF) > len(data):
                return at, False
            body = start + int(words[-2]) if headed else start
            reply = words[3] if len(words) == WORDS_WITH_REPLY + headed else b""
            if data.startswith(STATUS, start, body):
                await tap.told(reply, data[start:body])
            else:
                tap.take(words[1], reply, data[body:stop], data[start:body])
            at = stop + len(CRLF)
        return at, False
