"""Whose words a model had read when it wanted something: its own company's, or a stranger's."""

from __future__ import annotations

from collections.abc import Iterable

from stepfold.events.transcript import CONTACT, FILE, HOSTED
from stepfold.policy.agent import RUN_CODE, SEARCH, Agent
from stepfold.policy.gate import trusts, trusts_knowledge


def tainted(agent: Agent, read: Iterable[str], contact: str) -> bool:
    """Is any of the sources a stranger, in a turn of this contact? What they write themselves is no
    stranger's word; what they attach may be, and what another contact wrote is.
    """
    return any(_strange(agent, source, contact) for source in read)


def _strange(agent: Agent, source: str, contact: str) -> bool:
    if source.startswith(CONTACT):
        return source != CONTACT + contact
    if source in (FILE, HOSTED):
        return True
    if source in agent.tools:
        return not trusts(agent, source)
    return not trusts_knowledge(agent) if source == SEARCH else source != RUN_CODE
