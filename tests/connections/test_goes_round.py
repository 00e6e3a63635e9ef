"""A tool that stands for others does not go round what an agent's rules say of them."""

from __future__ import annotations

from typing import Any

import pytest

from stepfold.app import Parts, misfit
from stepfold.knowledge.memory import MemoryKnowledge
from stepfold.policy.agent import Agent
from stepfold.policy.grant import Approval, Grant
from stepfold.tools.tool import FunctionTool, ToolSpec


async def nothing(arguments: dict[str, Any], call: str) -> None:
    return None


class Any_(FunctionTool):
    stands_for = frozenset({"desk_ticket"})


READ = FunctionTool(ToolSpec("desk_ticket", effect="read"), nothing)
USE = Any_(ToolSpec("desk_use_tool", effect="read"), nothing)
PARTS = Parts(knowledge=MemoryKnowledge({}), tools={"desk_ticket": READ, "desk_use_tool": USE})
RULES = [Grant(arguments={"customer": {"const": "{customer}"}}), Grant(approval=Approval())]


def agent(**grants: Grant) -> Agent:
    return Agent("desk", tools=("desk_ticket", "desk_use_tool"), grants=grants)


@pytest.mark.parametrize("rule", RULES)
def test_an_agent_with_rules_for_one_of_them_is_refused(rule: Grant) -> None:
    why = misfit(agent(desk_ticket=rule), PARTS)

    assert why is not None
    assert "'desk_use_tool' can run 'desk_ticket' too, and would go round the rules" in why


@pytest.mark.parametrize("rule", RULES)
def test_unless_its_names_are_ruled_too(rule: Grant) -> None:
    names = Grant(arguments={"name": {"enum": ["list_tickets"]}})

    assert misfit(agent(desk_ticket=rule, desk_use_tool=names), PARTS) is None


def test_without_rules_it_may_have_both() -> None:
    assert misfit(agent(), PARTS) is None
