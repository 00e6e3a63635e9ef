"""The names that the calls of one request go by: each provider's own, unless it repeats. Pure.

A conversation that several providers had a part in may hold one id twice, and Anthropic refuses
that. The first one keeps it, so that what was sent before is sent the same again.
"""

from __future__ import annotations

from stepfold.events.values import ToolCall
from stepfold.providers.wire import ID_CHARS_MAX, call_id


class CallIds:
    """Named in the order of the conversation; a result then goes by its call's name."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._taken: set[str] = set()

    def keep(self, call: ToolCall) -> None:
        """A call of a turn that is sent as it was."""
        self._take(call, call.provider_call)

    def name(self, call: ToolCall) -> str:
        told = call_id(call.provider_call, call.call)
        if told in self._taken:
            told = call_id("", call.call)
        number = 1
        while told in self._taken:
            number += 1
            end = f"_{number}"
            told = told[: ID_CHARS_MAX - len(end)] + end
        return self._take(call, told)

    def of(self, call: str) -> str:
        return self._names.get(call) or call_id("", call)

    def _take(self, call: ToolCall, name: str) -> str:
        self._names[call.call] = name
        self._taken.add(name)
        return name
