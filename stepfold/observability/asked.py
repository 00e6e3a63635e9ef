"""What was asked for, by call: outcomes name their call only. Pure."""

from __future__ import annotations

from collections import OrderedDict

from stepfold.events.envelope import Entry
from stepfold.events.event import (
    CodeRequested,
    GenerationRequested,
    ReasonRequested,
    RetrievalRequested,
    ToolOutcome,
    ToolRequested,
)
from stepfold.observability.said import ModelOutcome
from stepfold.policy.agent import SEARCH

OPEN_MAX = 20_000
"""How many calls may be open; the oldest is forgotten first."""


class Asked:
    """Takes the steps of any number of conversations."""

    def __init__(self) -> None:
        self._names: OrderedDict[tuple[str, str, str], str] = OrderedDict()

    def take(self, entry: Entry) -> str:
        """The model or tool whose outcome this is, by the name it was asked for; empty when it was
        asked before the first of the steps, or never.
        """
        match entry.event:
            case (
                ReasonRequested(call=call, model=name) | GenerationRequested(call=call, model=name)
            ):
                return self._remember(entry, call, name)
            case ToolRequested(call=call, name=name) | CodeRequested(call=call, name=name):
                return self._remember(entry, call, name)
            case RetrievalRequested(call=call):
                return self._remember(entry, call, SEARCH)
            case event if isinstance(event, ToolOutcome | ModelOutcome):
                return self._names.pop((*entry.key, event.call), "")
            case _:
                return ""

    def _remember(self, entry: Entry, call: str, name: str) -> str:
        self._names[*entry.key, call] = name
        if len(self._names) > OPEN_MAX:
            self._names.popitem(last=False)
        return ""
