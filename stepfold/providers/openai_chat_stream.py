"""A stream of OpenAI's Chat Completions, put together to the answer that it is in pieces. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from stepfold.events.values import Usage
from stepfold.providers.failures import cut, unreadable
from stepfold.providers.model import Delta
from stepfold.providers.openai_failures import told as failed
from stepfold.providers.openai_shared import count, details, shaped
from stepfold.providers.wire import Json, decoded

DONE = "[DONE]"
_ANSWER = ("id", "created", "model", "service_tier", "system_fingerprint", "usage")
_HEARD: Mapping[str, Literal["text", "thinking"]] = {
    "content": "text",
    "refusal": "text",
    "reasoning": "thinking",
    "reasoning_content": "thinking",
}


class Assembly:
    """Done with `[DONE]` after a reason to finish. The usage may come before or after that reason,
    in a chunk without choices or with them: the last that is told counts.
    """

    def __init__(self) -> None:
        self._answer: Json = {"object": "chat.completion"}
        self._message: Json = {"role": "assistant", "content": None}
        self._calls: list[Json] = []
        self._places: dict[object, int] = {}
        self._finish = ""
        self._done = False

    @property
    def ended(self) -> bool:
        return self._done and bool(self._finish)

    @property
    def usage(self) -> Usage | None:
        return usage(self._answer)

    def take(self, event: str, data: str) -> Sequence[Delta]:
        with shaped(data):
            return self._take(event, data)

    def _take(self, event: str, data: str) -> Sequence[Delta]:
        if data.strip() == DONE:
            self._done = True
            return ()
        told = decoded(data)
        if told is None:
            raise unreadable(data, "an event of the stream is not JSON")
        if told.get("error") or event == "error":
            raise failed(told.get("error") or told, data)
        self._answer |= {key: told[key] for key in _ANSWER if told.get(key) is not None}
        heard: list[Delta] = []
        for choice in told.get("choices") or ():
            if not choice.get("index"):
                self._finish = choice.get("finish_reason") or self._finish
                heard += self._add(details(choice, "delta"))
        return heard

    def whole(self) -> Json:
        if not self._done:
            raise cut("it has no [DONE]")
        if not self._finish:
            raise cut("it gives no reason to finish")
        calls = {"tool_calls": self._calls} if self._calls else {}
        choice = {"index": 0, "finish_reason": self._finish, "message": self._message | calls}
        return {**self._answer, "choices": [choice]}

    def _add(self, delta: Json) -> Sequence[Delta]:
        """Text goes on where it ended, whatever the field; lists grow."""
        heard: list[Delta] = []
        for key, value in delta.items():
            before = self._message.get(key)
            if key == "tool_calls":
                self._call(value or ())
            elif isinstance(value, str) and key != "role":
                self._message[key] = (before or "") + value
                if value and key in _HEARD:
                    heard.append(Delta(_HEARD[key], value))
            elif isinstance(value, list) and isinstance(before, list):
                before.extend(value)
            elif value is not None:
                self._message[key] = value
        return heard

    def _call(self, pieces: Sequence[Json]) -> None:
        for piece in pieces:
            call, told = self._calls[self._place(piece)], details(piece, "function")
            call |= {name: piece[name] for name in ("id", "type") if piece.get(name)}
            function = call["function"]
            function["name"] = function.get("name") or told.get("name") or ""
            function["arguments"] = function.get("arguments", "") + (told.get("arguments") or "")

    def _place(self, piece: Json) -> int:
        """Which call a piece belongs to: that of its index, but servers give one index to several
        calls with ids of their own, or none at all.
        """
        key = piece.get("index", next(reversed(self._places), 0))
        place, named = self._places.get(key), piece.get("id")
        if place is None or (named and self._calls[place]["id"] not in ("", named)):
            place = self._places[key] = len(self._calls)
            self._calls.append({"id": "", "type": "function", "function": {}})
        return place


def usage(raw: Json) -> Usage | None:
    told = raw.get("usage")
    if not isinstance(told, dict):
        return None
    into, out = details(told, "prompt_tokens_details"), details(told, "completion_tokens_details")
    return Usage(
        input=count(told, "prompt_tokens"),
        output=count(told, "completion_tokens"),
        cached=count(into, "cached_tokens"),
        cache_write=count(into, "cache_write_tokens"),
        thinking=count(out, "reasoning_tokens"),
        audio_in=count(into, "audio_tokens"),
        audio_out=count(out, "audio_tokens"),
        raw=told,
    )
