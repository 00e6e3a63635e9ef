"""A version of an agent is named by what it may do; a change of anything is another version."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from stepfold.policy.agent import (
    SEARCH,
    Agent,
    Limits,
    decode_agent,
    digest,
    encode_agent,
    offered,
)
from stepfold.testing import AGENT


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "x"},
        {"instructions": "x"},
        {"models": ("x",)},
        {"tools": ()},
        {"collections": ()},
        {"passages_max": 6},
        {"second_message": "merge"},
        {"limits": Limits(steps_max=3)},
        {"limits": Limits(cost_usd_max=Decimal("0.1"))},
    ],
)
def test_a_change_of_anything_is_another_version(changes: dict[str, Any]) -> None:
    assert digest(replace(AGENT, **changes)) != digest(AGENT)


def test_a_version_is_named_as_it_was_when_the_first_log_was_written() -> None:
    named = "sha256:d252deace57793ed645305a3ce11ec1945f976269aabd6ac2b83f3404290737e"

    assert digest(Agent(name="help-desk", tools=("look_up",))) == named


def test_a_version_is_read_as_it_was_written() -> None:
    agent = replace(AGENT, limits=Limits(cost_usd_max=Decimal("0.10"), turn_s=5.5))

    assert decode_agent(encode_agent(agent)) == agent


def test_an_agent_with_knowledge_is_offered_the_search() -> None:
    assert offered(AGENT) == ("look_up", SEARCH)


def test_an_agent_without_knowledge_is_offered_its_tools_only() -> None:
    assert offered(replace(AGENT, collections=())) == ("look_up",)
