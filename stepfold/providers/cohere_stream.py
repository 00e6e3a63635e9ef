"""The events of a chat, put together to the answer that the API gives without a stream. Pure.

Its last event is `message-end`, which says whether the answer failed, too. What a message does not
have is left out, as it is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stepfold.events.values import Delta, Usage
from stepfold.providers.cohere_answer import failed, usage_of
from stepfold.providers.failures import cut, unreadable
from stepfold.providers.wire import Json, decoded

_FAILED = ("ERROR", "TIMEOUT")


class Assembly:
    def __init__(self) -> None:
        self.ended = False
        self._answer: Json = {}
        self._contents: dict[Any, Json] = {}
        self._calls: dict[Any, Json] = {}
        self._citations: list[Json] = []
        self._plan = ""

    def take(self, event: str, data: str) -> Sequence[Delta]:
        if data.strip() == "[DONE]":
            return ()
        told = decoded(data)
        if told is None:
            raise unreadable(data, "an event of the stream is no JSON object")
        try:
            return self._take(told)
        except (AttributeError, LookupError, TypeError) as error:
            raise unreadable(
                data, f"an event of the stream has another shape: {error!r}"
            ) from error

    def whole(self) -> Json:
        if not self.ended:
            raise cut("message-end is missing")
        said = {
            "content": list(self._contents.values()),
            "tool_plan": self._plan,
            "tool_calls": list(self._calls.values()),
            "citations": self._citations,
        }
        message = {key: value for key, value in said.items() if value}
        return {**self._answer, "message": {"role": "assistant", **message}}

    @property
    def usage(self) -> Usage | None:
        return usage_of(self._answer)

    def _take(self, told: Json) -> Sequence[Delta]:
        message: Json = (told.get("delta") or {}).get("message") or {}
        index = told.get("index")
        match told.get("type"):
            case "message-start":
                self._answer["id"] = told.get("id") or ""
            case "content-start":
                self._contents[index] = {**message["content"]}
            case "content-delta":
                return self._say(index, message["content"])
            case "tool-plan-delta":
                self._plan += message["tool_plan"]
                return [Delta("thinking", message["tool_plan"])]
            case "tool-call-start":
                self._call(index, _one(message["tool_calls"]))
            case "tool-call-delta":
                written = _one(message["tool_calls"])["function"]["arguments"]
                self._calls[index]["function"]["arguments"] += written
            case "citation-start":
                told_here = message["citations"]
                self._citations += told_here if isinstance(told_here, list) else [told_here]
            case "message-end":
                self._end(told.get("delta") or {})
            case _:
                pass  # ends of parts, and what may be added one day
        return ()

    def _say(self, index: object, more: Json) -> Sequence[Delta]:
        content = self._contents.setdefault(
            index, {"type": "thinking" if "thinking" in more else "text"}
        )
        if text := more.get("text"):
            content["text"] = content.get("text", "") + text
            return [Delta("text", text)]
        if thinking := more.get("thinking"):
            content["thinking"] = content.get("thinking", "") + thinking
            return [Delta("thinking", thinking)]
        return ()

    def _call(self, index: object, call: Json) -> None:
        function = call["function"]
        written = function.get("arguments") or ""
        self._calls[index] = {**call, "function": {**function, "arguments": written}}

    def _end(self, delta: Json) -> None:
        self._answer |= {key: value for key, value in delta.items() if value is not None}
        if delta.get("finish_reason") in _FAILED:
            raise failed(self._answer)
        self.ended = True


def _one(told: Any) -> Json:
    """The documentation does not say whether one call stands in a list: both are sent."""
    call: Json = told[0] if isinstance(told, list) else told
    return call
