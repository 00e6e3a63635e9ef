"""One version of an agent: what it is told, which models, tools and knowledge it may use, how much.

A conversation is pinned to a version by its digest; a change of any field is another version.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import Literal

import msgspec
from msgspec import Struct

from stepfold.policy.grant import Grant

SEARCH = "search"
"""The tool that every agent with knowledge has: retrieval from its collections."""

RUN_CODE = "run_code"
"""The tool that every agent with a sandbox has."""

SecondMessage = Literal["wait", "merge", "supersede"]


class Limits(Struct, frozen=True, omit_defaults=True):
    """`steps_max`, `cost_usd_max` and `turn_s` are per turn, `calls_max` per answer, `attempts_max`
    rounds through the models per ask, `call_s` per call. Reaching one is an event with a reason.
    """

    steps_max: int = 12
    calls_max: int = 16
    attempts_max: int = 3
    cost_usd_max: Decimal | None = None
    turn_s: float = 180.0
    call_s: float = 60.0
    backoff_s: float = 0.5
    backoff_s_max: float = 30.0


class Answers(Struct, frozen=True, omit_defaults=True):
    """What an answer must be. With `cite` one without an accepted quote from the knowledge is not
    given: the contact is told `refusal` instead, or `handoff` where `otherwise` says so. Of a
    longer one than `characters_max` the first sentences are given. The `languages` (BCP 47), the
    first of them by default, and the rules themselves are told to the model.
    """

    cite: bool = False
    otherwise: Literal["refuse", "hand_off"] = "refuse"
    refusal: str = "I cannot answer that from what I know here."
    handoff: str = "I cannot answer that myself, so I am passing it on to a colleague."
    characters_max: int | None = None
    languages: tuple[str, ...] = ()


class Agent(Struct, frozen=True, omit_defaults=True):
    """`second_message` says what a message during a run does: wait for its own turn, merge into
    the running one at the next ask, or supersede (cancel) it. `models` are tried in order. `grants`
    say what it may do with a tool; without one a tool is as it was before there were grants.
    What stands in a collection that is not `trusted` is a stranger's word. `sandbox` names where
    `run_code` runs; empty: the agent runs no code. `channels`: only there; empty: anywhere.
    """

    name: str
    instructions: str = ""
    models: tuple[str, ...] = ("extractive",)
    tools: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    passages_max: int = 5
    second_message: SecondMessage = "wait"
    limits: Limits = Limits()
    grants: dict[str, Grant] = {}
    trusted: tuple[str, ...] = ()
    answers: Answers | None = None
    persona: str = ""
    sandbox: str = ""
    channels: tuple[str, ...] = ()


def digest(agent: Agent) -> str:
    """`sha256:` and the hash of the agent's canonical JSON."""
    return "sha256:" + hashlib.sha256(encode_agent(agent)).hexdigest()


def encode_agent(agent: Agent) -> bytes:
    return msgspec.json.encode(agent, order="sorted")


def decode_agent(raw: bytes) -> Agent:
    return msgspec.json.decode(raw, type=Agent)


def offered(agent: Agent) -> tuple[str, ...]:
    """The tools that a model of this agent is shown; nothing else is permitted either."""
    own = (SEARCH,) if agent.collections else ()
    return (*agent.tools, *own, RUN_CODE) if agent.sandbox else (*agent.tools, *own)
