"""Whose words a model has read when it wants something: its own company's, or a stranger's."""

from __future__ import annotations

from collections.abc import Iterable

from stepfold.events.transcript import Heard, Item, Result, Thought
from stepfold.events.values import HostedTool
from stepfold.policy.agent import RUN_CODE, SEARCH, Agent
from stepfold.policy.gate import trusts, trusts_knowledge

_SAID = frozenset({"ok", "failed", "unknown"})
"""Where words of the tool's may stand: why an outcome is unknown is often told by the far side."""


def tainted(agent: Agent, transcript: Iterable[Item], call: str) -> bool:
    """Had a stranger's text been read before this call was wanted? What a contact writes is no
    stranger's, what a contact attaches may be.
    """
    for item in transcript:
        if _strange(agent, item):
            return True
        if isinstance(item, Thought) and any(each.call == call for each in item.calls):
            return False
    return False


def _strange(agent: Agent, item: Item) -> bool:
    match item:
        case Heard():
            return bool(item.files)
        case Thought():
            return any(isinstance(part, HostedTool) for part in item.parts)
        case Result():
            return item.status in _SAID and not _trusted(agent, item.name)


def _trusted(agent: Agent, name: str) -> bool:
    if name in agent.tools:
        return trusts(agent, name)
    return trusts_knowledge(agent) if name == SEARCH else name == RUN_CODE
