"""Server-sent events, from the lines of a body to (event, data). Pure."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator


class Events:
    """Feed it lines without their ends; an event is complete at a blank line."""

    def __init__(self) -> None:
        self._event = ""
        self._data: list[str] = []

    def line(self, line: str) -> tuple[str, str] | None:
        """(event, data) when `line` completes one; lines that were never completed are lost."""
        if not line:
            if not self._data:
                self._event = ""
                return None
            told = self._event, "\n".join(self._data)
            self._event, self._data = "", []
            return told
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        return None


def events(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    reader = Events()
    for line in lines:
        if told := reader.line(line):
            yield told


async def aevents(lines: AsyncIterable[str]) -> AsyncIterator[tuple[str, str]]:
    reader = Events()
    async for line in lines:
        if told := reader.line(line):
            yield told
