"""Items of an answer to the events of AG-UI 1.0. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from stepfold.events.values import Usage
from stepfold.gateway.doors import Json
from stepfold.gateway.items import Called, Ended, Given, Item, Piece, Settled, Told, Waits
from stepfold.gateway.placing import Placed, address

PROTOCOL = "1.0"


class Run:
    """One run while it is made: an answer to one message."""

    def __init__(self, thread: str, run: str, prefix: str) -> None:
        self._of = {"threadId": thread, "runId": run}
        self._prefix = prefix
        self._text = ""

    def begin(self) -> list[Json]:
        return [{"type": "RUN_STARTED", **self._of, "protocolVersion": PROTOCOL}]

    def take(self, item: Item) -> list[Json]:
        match item:
            case Piece(part=part, text=text):
                return [*self._begin(part), self._event("TEXT_MESSAGE_CONTENT", delta=text)]
            case Told():
                return self._end()
            case Called():
                return _called(item)
            case Settled():
                return [self._settled(item)]
            case Waits():
                return [_custom("waiting", msgspec.to_builtins(item))]
            case Given():
                return self._given(item)
            case Ended():
                return self._ended(item)
            case _:
                return []

    def _begin(self, part: str) -> list[Json]:
        message = f"{self._prefix}.{part}"
        if message == self._text:
            return []
        told, self._text = self._end(), message
        return [*told, self._event("TEXT_MESSAGE_START", role="assistant")]

    def _end(self) -> list[Json]:
        if not self._text:
            return []
        told = [self._event("TEXT_MESSAGE_END")]
        self._text = ""
        return told

    def _event(self, type: str, **fields: Any) -> Json:
        return {"type": type, "messageId": self._text, **fields}

    def _settled(self, settled: Settled) -> Json:
        result = settled.result
        told = result if isinstance(result, str) else msgspec.json.encode(result).decode()
        return {
            "type": "TOOL_CALL_RESULT",
            "messageId": f"{self._prefix}.{settled.call}.result",
            "toolCallId": settled.call,
            "content": settled.why or told,
            "role": "tool",
        }

    def _given(self, given: Given) -> list[Json]:
        told = self._end()
        if given.citations:
            told.append(_custom("citations", [_cited(each) for each in given.citations]))
        usage = _usage(given.usage)
        finished = {"type": "RUN_FINISHED", **self._of, "outcome": {"type": "success"}, **usage}
        return [*told, finished]

    def _ended(self, ended: Ended) -> list[Json]:
        told = self._end()
        if ended.kind == "cancelled":
            outcome = {"outcome": {"type": "cancelled"}}
            return [*told, {"type": "RUN_FINISHED", **self._of, **outcome}]
        return [*told, failed(f"no answer: {ended.why}", ended.reason)]


def failed(message: str, code: str) -> Json:
    return {"type": "RUN_ERROR", "message": message, "code": code}


def _called(called: Called) -> list[Json]:
    of = {"toolCallId": called.call}
    return [
        {"type": "TOOL_CALL_START", **of, "toolCallName": called.name},
        {
            "type": "TOOL_CALL_ARGS",
            **of,
            "delta": msgspec.json.encode(called.arguments).decode(),
        },
        {"type": "TOOL_CALL_END", **of},
    ]


def _custom(name: str, value: Any) -> Json:
    return {"type": "CUSTOM", "name": name, "value": value}


def _cited(cite: Placed) -> Json:
    """`answerStart` and `answerEnd` count the code points of the answer."""
    told: Json = msgspec.to_builtins(cite.citation)
    about = {"title": cite.title, "url": address(cite.citation)}
    return {**told, **about, "answerStart": cite.start, "answerEnd": cite.end}


def _usage(usage: Usage | None) -> Json:
    if usage is None:
        return {}
    told = {
        "inputTokens": usage.input or 0,
        "outputTokens": usage.output or 0,
        "totalTokens": (usage.input or 0) + (usage.output or 0),
        "reasoningTokens": usage.thinking or 0,
        "cachedInputTokens": usage.cached or 0,
    }
    return {"usage": [told]}
