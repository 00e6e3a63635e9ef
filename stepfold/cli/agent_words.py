"""What an agent may do, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from stepfold.cli.screen import count, lapse, price
from stepfold.policy.agent import Agent, Answers, Limits
from stepfold.policy.effect import Effect, Recovery
from stepfold.policy.grant import Approval, Grant
from stepfold.policy.grants import resolve
from stepfold.policy.toolspec import ToolSpec

SECOND_MESSAGE: Mapping[str, str] = {
    "wait": "waits for its own turn",
    "merge": "is heard by the running turn",
    "supersede": "cancels the running turn",
}
EFFECT: Mapping[Effect, str] = {
    "read": "reads",
    "write": "writes",
    "external": "reaches the world outside",
}
RECOVERY: Mapping[Recovery, str] = {
    "never_repeat": "never run twice",
    "idempotent": "may be repeated with the same key",
    "reconcile": "looked up before it is repeated",
}
STANDS_FOR: Mapping[str, str] = {
    "{customer}": "the conversation's customer",
    "{contact}": "the contact who writes",
    "{conversation}": "the conversation's name",
}
NOT_KNOWN = "what it does is not known here"
FREE = "from before there were rules for single tools: whatever it does, nobody is asked"


class Part(Struct, frozen=True):
    """A headline, and what it says line by line."""

    head: str
    lines: tuple[str, ...]


def parts(
    agent: Agent, specs: Mapping[str, ToolSpec], *, pinned: bool, servers: Sequence[str] = ()
) -> Iterator[Part]:
    """`specs` are the tools that are known here; a `pinned` version knows itself what its were.
    `servers` are MCP servers, of which it is known only whose tools they are.
    """
    every = {name: specs.get(name, ToolSpec(name)) for name in agent.tools}
    known = agent if pinned else resolve(agent, every)
    yield Part("told", tuple(_told(agent)))
    yield Part("models", (", then ".join(agent.models) or "those of the routes",))
    if agent.collections:
        yield Part("knowledge", tuple(_knowledge(agent)))
    told = agent.grants if pinned else specs
    tools = (
        f"{name}: {'; '.join(_tool(grant, '' if name in told else _unknown(name, servers)))}"
        if (grant := known.grants.get(name))
        else f"{name}: {FREE}"
        for name in agent.tools
    )
    yield Part("tools", tuple(tools) or ("none: whatever a model calls is refused",))
    yield Part("code", (f"runs in {agent.sandbox}" if agent.sandbox else "none is run",))
    yield Part("answers", tuple(_answers(agent.answers or Answers())))
    if agent.channels:
        yield Part("channels", (f"only {' and '.join(agent.channels)}",))
    yield Part("a second message", (SECOND_MESSAGE[agent.second_message],))
    yield Part("limits", tuple(_limits(agent.limits)))


def _told(agent: Agent) -> Iterator[str]:
    if agent.persona:
        yield f"it is: {agent.persona}"
    yield agent.instructions or "no instructions"


def _knowledge(agent: Agent) -> Iterator[str]:
    for name in agent.collections:
        word = "the company's own word" if name in agent.trusted else "a stranger's word"
        yield f"{name}: {word}"
    yield f"{count(agent.passages_max, 'passage')} of a search"


def _unknown(name: str, servers: Sequence[str]) -> str:
    whose = next((each for each in servers if name.startswith(f"{each}_")), "")
    return f"what it does, the MCP server {whose} tells when it is started" if whose else NOT_KNOWN


def _tool(grant: Grant, unknown: str) -> Iterator[str]:
    """`unknown`: why it cannot be told what the tool does."""
    yield unknown or f"{EFFECT[grant.effect]}, {RECOVERY[grant.recovery]}"
    for argument, schema in grant.arguments.items():
        yield f"{argument} must be {constraint(schema)}"
    if grant.approval:
        yield _approval(grant.approval)
    if grant.safe:
        yield "after a stranger's text it needs no approval"
    elif grant.effect != "read" and not (grant.approval and not grant.approval.unless):
        yield "after a stranger's text somebody must agree"


def _approval(rule: Approval) -> str:
    people = "somebody must agree" if rule.people == 1 else f"{rule.people} people must agree"
    told = f"{people} within {lapse(rule.expires_s * 1000)}"
    if not rule.unless:
        return told
    fits = " and ".join(f"{name} is {constraint(schema)}" for name, schema in rule.unless.items())
    return f"{told}, unless {fits}"


def constraint(schema: Mapping[str, Any]) -> str:
    """A JSON Schema in words, as far as it is of a few words: `at most 50`; else as it stands."""
    told = [_keyword(word, value) for word, value in schema.items() if word != "type"]
    kind = schema.get("type")
    if None in told or not isinstance(kind, str | None):
        return f"a fit for {msgspec.json.encode(schema).decode()}"
    words = [word for word in told if word]
    return " and ".join(words) or (_article(kind) if kind else "given")


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aio' else 'a'} {kind}"


def _keyword(word: str, value: Any) -> str | None:  # noqa: PLR0911
    match word:
        case "const":
            return _value(value)
        case "enum" if isinstance(value, list):
            return f"one of {', '.join(map(_value, value))}"
        case "minimum":
            return f"at least {value}"
        case "maximum":
            return f"at most {value}"
        case "exclusiveMinimum":
            return f"above {value}"
        case "exclusiveMaximum":
            return f"below {value}"
        case "minLength":
            return f"at least {count(value, 'character')} long"
        case "maxLength":
            return f"at most {count(value, 'character')} long"
        case "pattern":
            return f"a text with {value}"
        case "description" | "title" | "$comment":
            return ""
        case _:
            return None


def _value(value: Any) -> str:
    if isinstance(value, str) and value in STANDS_FOR:
        return STANDS_FOR[value]
    return msgspec.json.encode(value).decode()


def _answers(rules: Answers) -> Iterator[str]:
    if rules.cite:
        instead = rules.handoff if rules.otherwise == "hand_off" else rules.refusal
        yield f"only with a quote from the knowledge; else it says: {instead}"
    else:
        yield "with or without a quote from the knowledge"
    if rules.characters_max is not None:
        yield f"at most {count(rules.characters_max, 'character')}"
    if rules.languages:
        yield f"in {' or '.join(rules.languages)}"


def _limits(limits: Limits) -> Iterator[str]:
    spent = "" if limits.cost_usd_max is None else f", {price(limits.cost_usd_max)}"
    yield (
        f"of a turn: {count(limits.steps_max, 'ask')}, {lapse(limits.turn_s * 1000)}{spent};"
        f" {count(limits.calls_max, 'call')} an answer, {lapse(limits.call_s * 1000)} a call"
    )
    yield (
        f"{count(limits.attempts_max, 'round')} through the models, waiting"
        f" {lapse(limits.backoff_s * 1000)} to {lapse(limits.backoff_s_max * 1000)} between"
    )
