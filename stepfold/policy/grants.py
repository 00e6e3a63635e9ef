"""What the tools are in themselves, written into an agent before it is pinned."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from stepfold.policy.agent import Agent
from stepfold.policy.effect import EFFECTS
from stepfold.policy.grant import Grant
from stepfold.policy.toolspec import ToolSpec


def resolve(agent: Agent, specs: Mapping[str, ToolSpec]) -> Agent:
    """The agent with a grant for each of its tools that is known, as dangerous as it is by now."""
    grants = {
        name: _grant(agent.grants.get(name, Grant()), specs[name])
        for name in agent.tools
        if name in specs
    }
    return replace(agent, grants={**agent.grants, **grants})


def _grant(grant: Grant, spec: ToolSpec) -> Grant:
    return replace(grant, effect=spec.effect, recovery=spec.recovery, trusted=spec.trusted)


def outgrown(grant: Grant, spec: ToolSpec) -> str | None:
    """Why the tool is no longer what was granted; None when it does no more than that."""
    if EFFECTS.index(spec.effect) > EFFECTS.index(grant.effect):
        told = f"it was appointed as {grant.effect}, and is {spec.effect} now"
        return f"tool {spec.name!r} does more than this version of the agent allows: {told}"
    return None
