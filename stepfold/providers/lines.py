"""The lines of a body of bytes. Pure.

Only CR, LF and CRLF end a line. `str.splitlines`, which HTTP clients use, would also cut at U+2028
and U+0085, and these stand unescaped inside the JSON of server-sent events.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterator


class Lines:
    """Feed it bytes, in pieces of any size; a line is complete at its end."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[str]:
        """A piece that ends in CR waits for the next one: an LF may follow."""
        pieces = (self._rest + data).splitlines(keepends=True)
        self._rest = b""
        if pieces and not pieces[-1].endswith(b"\n"):
            self._rest = pieces.pop()
        return (piece.rstrip(b"\r\n").decode(errors="replace") for piece in pieces)

    def end(self) -> Iterator[str]:
        """What a body without a last line's end still held."""
        rest, self._rest = self._rest, b""
        return (line.decode(errors="replace") for line in rest.splitlines())


async def lines(body: AsyncIterable[bytes]) -> AsyncIterator[str]:
    reader = Lines()
    async for data in body:
        for line in reader.feed(data):
            yield line
    for line in reader.end():
        yield line
