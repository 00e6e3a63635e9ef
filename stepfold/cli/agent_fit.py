"""Does what an agent's file says of single arguments fit the tools that there are? Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from stepfold.cli.agent_words import STANDS_FOR, constraint
from stepfold.policy.agent import Agent
from stepfold.policy.schema import mismatch
from stepfold.policy.toolspec import ToolSpec

REFUSED = "every call of it would be refused"
NEVER_FREE = "every call of it would wait for people"

Schema = Mapping[str, Any]


def misfits(agent: Agent, spec: ToolSpec) -> Iterator[str]:
    """What of the rules for a tool is about no argument of it, or permits no value of one."""
    grant = agent.grants.get(spec.name)
    if grant is None:
        return
    yield from _held(spec, grant.arguments, REFUSED)
    if grant.approval is not None:
        yield from _held(spec, grant.approval.unless, NEVER_FREE)


def near(word: str, known: Mapping[str, Any]) -> str:
    """What may have been meant, and all that there is."""
    found = get_close_matches(word, known, n=1)
    hint = f"did you mean {found[0]!r}? " if found else ""
    return f"{hint}known: {', '.join(sorted(known)) or 'none'}"


def _held(spec: ToolSpec, rules: Mapping[str, Schema], so: str) -> Iterator[str]:
    known = spec.parameters.get("properties")
    if not isinstance(known, dict):
        return
    for name, rule in rules.items():
        if name not in known:
            yield f"the tool {spec.name!r} has no argument {name!r} ({near(name, known)}): {so}"
        elif why := _never(rule, known[name], spec.parameters):
            yield f"the argument {name!r} of the tool {spec.name!r} {why}: {so}"


def _never(rule: Schema, argument: Any, whole: Schema) -> str:
    """Why no value fits both; empty where one may."""
    if not isinstance(argument, dict):
        return ""
    schema = {**argument, **{key: whole[key] for key in ("$defs",) if key in whole}}
    values = [rule["const"]] if "const" in rule else rule.get("enum", ())
    if values and all(_foreign(value, schema) for value in values):
        return f"can never be {constraint(rule)} (it is {constraint(_told(argument))})"
    wanted, had = _types(rule), _types(argument)
    if not values and wanted and had and not _common(wanted, had):
        return f"is {' or '.join(sorted(had))}, never {' or '.join(sorted(wanted))}"
    return ""


def _foreign(value: Any, schema: dict[str, Any]) -> bool:
    """A template becomes a text, of which nothing more is known."""
    if isinstance(value, str) and any(template in value for template in STANDS_FOR):
        types = _types(schema)
        return bool(types) and "string" not in types
    return mismatch(value, schema) is not None


def _told(argument: Schema) -> Schema:
    """What of it is said in a few words."""
    return {key: argument[key] for key in ("type", "enum", "const") if key in argument}


def _types(schema: Schema) -> frozenset[str]:
    """Those that a value may have; empty where nothing is said of that."""
    told = schema.get("type")
    if told is not None:
        return frozenset(told if isinstance(told, list) else [told])
    parts = [_types(each) for each in schema.get("anyOf", ()) if isinstance(each, dict)]
    return frozenset().union(*parts) if parts and all(parts) else frozenset()


def _common(some: frozenset[str], others: frozenset[str]) -> bool:
    whole = {"integer", "number"}
    return bool(some & others) or bool(some & whole and others & whole)
