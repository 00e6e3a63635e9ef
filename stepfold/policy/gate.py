"""What an agent may do with a tool, asked of its pinned version: may it call it so, and does
somebody have to agree? Asked twice, when a model calls and when a worker is to run it. Pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from stepfold.events.values import Arguments
from stepfold.policy.agent import RUN_CODE, SEARCH, Agent, offered
from stepfold.policy.grant import Approval, Grant
from stepfold.policy.schema import mismatch

AFTER_STRANGERS = Approval()
"""The rule for an effect that is wanted after a stranger's text, where the agent has none."""


OWN = frozenset({SEARCH, RUN_CODE})
"""What an agent has by its fields needs nobody, unless a rule says so."""


class Who(Struct, frozen=True):
    """For whom a call is wanted: what the templates of a constraint stand for."""

    customer: str = ""
    contact: str = ""
    conversation: str = ""


NOBODY = Who()


def why_not(agent: Agent, name: str, arguments: Arguments, who: Who = NOBODY) -> str | None:
    """Why this agent must not call this tool so; None = it may, as far as it is up to the agent."""
    known = offered(agent)
    if name not in known:
        told = ", ".join(known) or "none"
        return f"tool {name!r} is not allowed for agent {agent.name!r} (allowed: {told})"
    grant = agent.grants.get(name)
    if grant is None or not grant.arguments:
        return None
    if missing := _missing(grant.arguments, arguments):
        return f"agent {agent.name!r} must give {name!r} the argument {missing!r}"
    why = _unfit(arguments, grant.arguments, who)
    return f"agent {agent.name!r} may not call {name!r} so: {why}" if why else None


def approval_for(
    agent: Agent, name: str, arguments: Arguments, who: Who = NOBODY, *, tainted: bool
) -> tuple[Approval, str] | None:
    """Who has to agree to this call, and why; None = nobody."""
    grant = agent.grants.get(name) if name in OWN else grant_of(agent, name)
    if grant is None:
        return None
    rule = grant.approval
    if rule is not None and (why := _agreed_before(rule, arguments, who)):
        return rule, f"{name!r} needs approval{why}"
    if tainted and grant.effect != "read" and not grant.safe:
        why = f"{name!r} has an effect, and it is wanted after text of a stranger"
        return rule or AFTER_STRANGERS, why
    return None


def trusts(agent: Agent, name: str) -> bool:
    """Is what this tool returns the company's own word? Without grants nothing is asked."""
    grant = grant_of(agent, name)
    return grant is None or grant.trusted


def grant_of(agent: Agent, name: str) -> Grant | None:
    """None for an agent that was pinned before there were grants; of another one, a tool that
    nobody knew then is as dangerous as any.
    """
    if not agent.grants:
        return None
    return agent.grants.get(name) or Grant()


def trusts_knowledge(agent: Agent) -> bool:
    """Is all that the agent finds in its knowledge the company's own word?"""
    return not agent.grants or set(agent.collections) <= set(agent.trusted)


def digest_of_call(who: Who, call: str, name: str, arguments: Arguments) -> str:
    """What an approval is bound to: this call of this tool with these arguments, here."""
    said = [who.customer, who.conversation, call, name, arguments]
    return "sha256:" + hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()


def _agreed_before(rule: Approval, arguments: Arguments, who: Who) -> str:
    """Empty when the arguments are those that need nobody, else what speaks against it."""
    if not rule.unless:
        return " always"
    if missing := _missing(rule.unless, arguments):
        return f" unless {missing!r} is given"
    why = _unfit(arguments, rule.unless, who)
    return f": {why}" if why else ""


def _missing(schemas: Mapping[str, Any], arguments: Arguments) -> str:
    """A null is nothing that was given: a tool may put its own default in its place."""
    given = (name for name, value in arguments.items() if value is not None)
    return min(schemas.keys() - set(given), default="")


def _unfit(arguments: Arguments, schemas: dict[str, Any], who: Who) -> str | None:
    untold = [name for name in _templates(schemas) if not getattr(who, name)]
    if untold:
        return f"the {untold[0]} is not known"
    schema = {"type": "object", "properties": _filled(schemas, who)}
    return mismatch(arguments, schema)


def _filled(schema: Any, who: Who, *, pattern: bool = False) -> Any:
    """The schema with its templates filled in. In a `pattern` a name stands for itself."""
    if isinstance(schema, dict):
        return {
            name: _filled(part, who, pattern=name == "pattern") for name, part in schema.items()
        }
    if isinstance(schema, list):
        return [_filled(part, who) for part in schema]
    if not isinstance(schema, str):
        return schema

    def value(found: re.Match[str]) -> str:
        told: str = getattr(who, found[1])
        return re.escape(told) if pattern else told

    return _TEMPLATE.sub(value, schema)


def _templates(schema: Any) -> list[str]:
    """The templates that stand anywhere in it."""
    return _TEMPLATE.findall(msgspec.json.encode(schema).decode())


_TEMPLATE = re.compile("{(" + "|".join(Who.__struct_fields__) + ")}")
