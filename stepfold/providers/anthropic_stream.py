"""The events of a message, put together to the answer that the API gives without a stream. Pure.

Its last event is `message_stop`. Usage counts what was used until then: a later count replaces an
earlier one.
"""

from __future__ import annotations

from collections.abc import Sequence

from stepfold.events.values import Delta, Usage
from stepfold.providers.anthropic_answer import failed, usage_of
from stepfold.providers.failures import cut, unreadable
from stepfold.providers.wire import Json, arguments, decoded


class Assembly:
    def __init__(self) -> None:
        self.ended = False
        self._message: Json = {}
        self._blocks: dict[int, Json] = {}
        self._inputs: dict[int, str] = {}

    def take(self, event: str, data: str) -> Sequence[Delta]:
        told = decoded(data)
        if told is None:
            raise unreadable(data, "an event of the stream is no JSON object")
        if told.get("type") == "error":
            raise failed(told)
        try:
            return self._take(told)
        except (AttributeError, LookupError, TypeError) as error:
            raise unreadable(
                data, f"an event of the stream has another shape: {error!r}"
            ) from error

    def whole(self) -> Json:
        if self.ended:
            for index in tuple(self._inputs):
                self._close(index)
            return {**self._message, "content": [self._blocks[n] for n in sorted(self._blocks)]}
        raise cut("message_stop is missing")

    @property
    def usage(self) -> Usage | None:
        return usage_of(self._message)

    def _take(self, told: Json) -> Sequence[Delta]:
        match told.get("type"):
            case "message_start":
                self._message = {**told["message"]}
            case "content_block_start":
                self._blocks[_index(told)] = {**told["content_block"]}
            case "content_block_delta":
                return self._add(told["index"], told["delta"])
            case "content_block_stop":
                self._close(told["index"])
            case "message_delta":
                self._change(told)
            case "message_stop":
                self.ended = True
            case _:
                pass  # `ping`, and what may be added one day
        return ()

    def _add(self, index: int, delta: Json) -> Sequence[Delta]:
        block = self._blocks[index]
        match delta["type"]:
            case "input_json_delta":
                self._inputs[index] = self._inputs.get(index, "") + delta["partial_json"]
            case "citations_delta":
                block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
            case "text_delta":
                block["text"] += delta["text"]
                return [Delta("text", delta["text"])]
            case "thinking_delta":
                block["thinking"] += delta["thinking"]
                return [Delta("thinking", delta["thinking"])]
            case _:
                self._merge(block, delta)
        return ()

    def _merge(self, block: Json, delta: Json) -> None:
        """A signature, and what the API may add one day: texts go on, the rest replaces."""
        for key, value in delta.items():
            if key != "type":
                told = block.get(key)
                goes_on = isinstance(told, str) and isinstance(value, str)
                block[key] = told + value if goes_on else value

    def _close(self, index: int) -> None:
        """An input that is no JSON object stays the text that it is; `reply` knows what then."""
        written = self._inputs.pop(index, "")
        if written:
            told = arguments(written)
            self._blocks[index]["input"] = written if told is None else told

    def _change(self, told: Json) -> None:
        usage = told.get("usage") or {}
        counted = {key: value for key, value in usage.items() if value is not None}
        self._message["usage"] = {**(self._message.get("usage") or {}), **counted}
        said = told["delta"].items()
        self._message |= {key: value for key, value in said if value is not None}
        self._message |= {key: told[key] for key in told.keys() - {"type", "usage", "delta"}}


def _index(told: Json) -> int:
    """The place of a block among the others."""
    index = told["index"]
    if not isinstance(index, int):
        raise TypeError(f"its index is {index!r}")
    return index
