"""Items of an answer to the parts of the AI SDK's UI message stream (v1). Pure.

The versions 6 and 7 of the npm package `ai` read them. Tools were run here, so each is told as
`providerExecuted`, and as `dynamic` since a client does not know their types.
"""

from __future__ import annotations

from typing import Any

import msgspec

from stepfold.gateway.doors import Json
from stepfold.gateway.items import (
    Began,
    Called,
    Ended,
    Given,
    Item,
    Piece,
    Settled,
    Thought,
    Told,
    Waits,
)
from stepfold.gateway.placing import Placed, is_page

FINISHES = {"length": "length", "content_filter": "content-filter", "stop": "stop"}
_RUN_HERE = {"dynamic": True, "providerExecuted": True}


class Parts:
    """One message of the agent while it is made. `thinking` is told only where it was asked for."""

    def __init__(self, message: str, conversation: str, *, thinking: bool = False) -> None:
        self._message = message
        self._conversation = conversation
        self._thinking = thinking
        self._step = False
        self._text = ""
        self._thought = ""

    def begin(self) -> list[Json]:
        about = {"conversation": self._conversation}
        return [{"type": "start", "messageId": self._message, "messageMetadata": about}]

    def take(self, item: Item) -> list[Json]:
        if isinstance(item, Thought):
            return self._think(item) if self._thinking else []
        return [*self._end_thought(), *self._take(item)]

    def _take(self, item: Item) -> list[Json]:  # noqa: PLR0911  (one case after the other)
        match item:
            case Began():
                told = self._end_step()
                self._step = True
                return [*told, {"type": "start-step"}]
            case Piece(part=part, text=text):
                return [*self._begin_text(part), {"type": "text-delta", "id": part, "delta": text}]
            case Told():
                return self._end_text()
            case Called(call=call, name=name, arguments=arguments):
                wanted = {"toolCallId": call, "toolName": name, "input": arguments, **_RUN_HERE}
                return [{"type": "tool-input-available", **wanted}]
            case Settled():
                return [_settled(item)]
            case Waits(call=call):
                about = {"type": "data-waiting", "id": call}
                return [{**about, "data": msgspec.to_builtins(item)}]
            case Given():
                return self._given(item)
            case Ended():
                return self._ended(item)
            case _:
                return []

    # -- text and thoughts --------------------------------------------------------------------

    def _begin_text(self, part: str) -> list[Json]:
        if self._text == part:
            return []
        told, self._text = self._end_text(), part
        return [*told, {"type": "text-start", "id": part}]

    def _end_text(self, citations: list[Json] | None = None) -> list[Json]:
        if not self._text:
            return []
        part, self._text = self._text, ""
        more = {"citations": citations} if citations else {}
        return [{"type": "text-end", "id": part, **more}]

    def _think(self, thought: Thought) -> list[Json]:
        told: list[Json] = []
        if self._thought != thought.call:
            told = [*self._end_thought(), {"type": "reasoning-start", "id": f"t-{thought.call}"}]
            self._thought = thought.call
        delta = {"id": f"t-{thought.call}", "delta": thought.text}
        return [*told, {"type": "reasoning-delta", **delta}]

    def _end_thought(self) -> list[Json]:
        call, self._thought = self._thought, ""
        return [{"type": "reasoning-end", "id": f"t-{call}"}] if call else []

    def _end_step(self) -> list[Json]:
        step, self._step = self._step, False
        return [*self._end_text(), *([{"type": "finish-step"}] if step else [])]

    # -- ends ---------------------------------------------------------------------------------

    def _given(self, given: Given) -> list[Json]:
        sources = [_source(n, each) for n, each in enumerate(given.citations, start=1)]
        citations = [
            _citation(given.text, each, source)
            for each, source in zip(given.citations, sources, strict=True)
        ]
        about: dict[str, Any] = {"outcome": given.outcome, "turn": given.turn}
        if given.usage is not None:
            about["usage"] = {
                "inputTokens": given.usage.input,
                "outputTokens": given.usage.output,
                "totalTokens": (given.usage.input or 0) + (given.usage.output or 0),
            }
        finish = FINISHES.get(given.finish, "other")
        return [
            *self._end_text(citations),
            *({"type": f"source-{each.pop('sourceType')}", **each} for each in sources),
            *self._end_step(),
            {"type": "finish", "finishReason": finish, "messageMetadata": about},
        ]

    def _ended(self, ended: Ended) -> list[Json]:
        told = self._end_text()
        if ended.kind == "cancelled":
            return [*told, *self._end_step(), {"type": "abort", "reason": ended.why}]
        return [*told, {"type": "error", "errorText": f"no answer: {ended.why}"}]


def _settled(settled: Settled) -> Json:
    call = {"toolCallId": settled.call, **_RUN_HERE}
    if settled.why:
        return {"type": "tool-output-error", "errorText": settled.why, **call}
    output = msgspec.to_builtins(settled.result)
    return {"type": "tool-output-available", "output": output, **call}


def _source(number: int, cite: Placed) -> Json:
    citation = cite.citation
    source = {
        "sourceId": f"c{number}",
        "title": cite.title,
        "providerMetadata": {"stepfold": msgspec.to_builtins(citation)},
    }
    if is_page(citation.document):
        return {"sourceType": "url", "url": citation.document, **source}
    more = {"mediaType": "text/plain", "filename": citation.document}
    return {"sourceType": "document", **more, **source}


def _citation(answer: str, cite: Placed, source: Json) -> Json:
    """As version 7 hangs it on a text; places there count UTF-16 units."""
    about = {"type": "source", "id": source["sourceId"]}
    about |= {name: value for name, value in source.items() if name != "sourceId"}
    return {
        "source": about,
        "startIndex": _utf16(answer[: cite.start]),
        "endIndex": _utf16(answer[: cite.end]),
        "citedText": cite.citation.quote,
    }


def _utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
