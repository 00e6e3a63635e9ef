"""The chunks of streamGenerateContent, put together to one answer. Pure.

Its last chunk has a `finishReason`, or says that the prompt was blocked. Each chunk counts anew
what was used until then; one that cannot be read is the answer's error, and not the stream's.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

from stepfold.events.values import Delta, Usage
from stepfold.providers.failures import cut, unreadable
from stepfold.providers.google_answer import answered, usage_of
from stepfold.providers.google_failures import refusal
from stepfold.providers.lines import lines
from stepfold.providers.model import Malformed
from stepfold.providers.wire import Json, decoded

_PLAIN = frozenset({"text", "thought"})
_FIELDS = ("data:", "event:", "id:", "retry:", ":")


class Framing:
    """Makes events of what stands in a stream without being one: Google writes the error that ends
    it as bare JSON, in lines.
    """

    def __init__(self) -> None:
        self._bare = ""

    def line(self, line: str) -> str:
        if not self._bare and (not line or line.startswith(_FIELDS)):
            return line + "\n"
        self._bare += line.strip()
        if decoded(self._bare) is None:
            return ""
        told, self._bare = self._bare, ""
        return f"data: {told}\n\n"


async def framed(body: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    framing = Framing()
    async for line in lines(body):
        yield framing.line(line).encode()


class Assembly:
    """`usage` is what it has cost so far, as the last chunk tells that counts it readably."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self._answer: Json = {}
        self._candidate: Json = {}
        self._content: Json = {}
        self._parts: list[Json] = []

    def take(self, event: str, data: str) -> Sequence[Delta]:
        chunk = decoded(data)
        if chunk is None:
            raise unreadable(data, "a chunk of the stream is no JSON object")
        if isinstance(error := chunk.get("error"), dict):
            raise refusal(_status(error.get("code")), data)
        with suppress(Malformed):
            self.usage = usage_of(chunk) or self.usage
        told = answered({key: chunk[key] for key in chunk.keys() - {"usageMetadata"}})
        self._answer |= {key: chunk[key] for key in chunk.keys() - {"candidates"}}
        if not told.candidates:
            return ()
        self._merge(chunk["candidates"][0])
        content = told.candidates[0].content
        return [
            Delta("thinking" if part.thought else "text", part.text)
            for part in (content.parts if content else ())
            if part.text
        ]

    @property
    def ended(self) -> bool:
        feedback = self._answer.get("promptFeedback") or {}
        return bool(self._candidate.get("finishReason") or feedback.get("blockReason"))

    def whole(self) -> Json:
        if self.ended:
            return self._whole()
        raise cut("no chunk has a finishReason")

    def _whole(self) -> Json:
        if not self._candidate:
            return self._answer
        content = {**self._content, "parts": self._parts} if self._parts else self._content
        return {**self._answer, "candidates": [{**self._candidate, "content": content}]}

    def _merge(self, candidate: Json) -> None:
        told = {key: value for key, value in candidate.items() if value is not None}
        for key, value in told.items():
            if key == "content":
                self._content |= {name: value[name] for name in value.keys() - {"parts"}}
                for part in value.get("parts", ()):
                    self._add(part)
            elif key == "citationMetadata":
                self._candidate[key] = _longer(self._candidate.get(key, {}), value)
            elif isinstance(value, dict) and isinstance(before := self._candidate.get(key), dict):
                self._candidate[key] = {**before, **value}
            else:
                self._candidate[key] = value

    def _add(self, part: Json) -> None:
        """Text goes on where it stopped. A part with a signature stays by itself, and what is
        neither text nor signature too.
        """
        plain = part.keys() <= _PLAIN
        if plain and not part.get("text"):
            return
        last = self._parts[-1] if self._parts else {}
        goes_on = plain and "text" in last and last.keys() <= _PLAIN
        if goes_on and bool(last.get("thought")) == bool(part.get("thought")):
            self._parts[-1] = {**last, "text": last["text"] + part["text"]}
        else:
            self._parts.append(part)


def _longer(told: Json, more: Json) -> Json:
    """Citations come with the text that they are of: each chunk adds its own."""
    joined: dict[str, Any] = {**told, **more}
    for key in told.keys() & more.keys():
        if isinstance(told[key], list) and isinstance(more[key], list):
            joined[key] = told[key] + more[key]
    return joined


def _status(code: object) -> int:
    return code if isinstance(code, int) else 500
