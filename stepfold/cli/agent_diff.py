"""In what two versions of an agent differ, key by key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from difflib import unified_diff
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from stepfold.policy.agent import Agent, Answers
from stepfold.policy.grant import Grant

TEXTS = frozenset({"instructions", "persona"})
OF_THE_TOOL = ("effect", "recovery", "trusted")
"""What a grant takes from the tool itself when its agent is appointed: no file says it."""

_FIELDS = Agent.__struct_fields__
_CONSTRAINTS = frozenset({"arguments", "unless"})


class Difference(Struct, frozen=True):
    """`a` and `b` are None where the one has no such key."""

    key: str
    a: Any
    b: Any


def differences(a: Agent, b: Agent, *, appointed: bool) -> list[Difference]:
    """In the order of the fields. Unless both were `appointed`, what their tools are in
    themselves is not compared.
    """
    shared = frozenset(a.tools) & frozenset(b.tools)
    was, now = (dict(_keys(each, shared, appointed=appointed)) for each in (a, b))
    keys = sorted({*was, *now}, key=lambda key: (_FIELDS.index(key.partition(".")[0]), key))
    found = [Difference(key, was.get(key), now.get(key)) for key in keys]
    return [each for each in found if each.a != each.b]


def lines(difference: Difference) -> Iterator[str]:
    """A text line by line, anything else as it was and is."""
    a, b = difference.a, difference.b
    if difference.key in TEXTS and "\n" in f"{a}{b}":
        yield f"{difference.key}:"
        changed = unified_diff(a.splitlines(), b.splitlines(), n=1, lineterm="")
        yield from (f"  {line}" for line in list(changed)[2:])
    elif a is None:
        yield f"{difference.key}: + {_shown(b)}"
    elif b is None:
        yield f"{difference.key}: - {_shown(a)}"
    else:
        yield f"{difference.key}: {_shown(a)} → {_shown(b)}"


def _keys(agent: Agent, shared: frozenset[str], *, appointed: bool) -> Iterator[tuple[str, Any]]:
    """Every key with its value, defaults too. Of a tool that is not `shared` what is unusual."""
    agent = replace(agent, answers=agent.answers or Answers())
    for name in _FIELDS:
        if name != "grants":
            yield from _flat(name, _plain(getattr(agent, name)))
    for name in agent.tools:
        told = _grant(agent.grants.get(name, Grant()), appointed=appointed)
        if name in shared:
            yield from _flat(f"tools.{name}", told)
        else:
            usual = _plain(Grant())
            yield f"tools.{name}", {key: told[key] for key in told if told[key] != usual[key]}


def _grant(grant: Grant, *, appointed: bool) -> Mapping[str, Any]:
    told = _plain(grant)
    return {key: told[key] for key in told if appointed or key not in OF_THE_TOOL}


def _plain(value: Any) -> Any:
    if isinstance(value, Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    return list(value) if isinstance(value, tuple) else value


def _flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A constraint of an argument is one value; what is not there has no key."""
    if isinstance(value, dict) and key.rpartition(".")[0].rpartition(".")[2] not in _CONSTRAINTS:
        for name, inner in value.items():
            yield from _flat(f"{key}.{name}", inner)
    elif value is not None:
        yield key, value


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, Decimal) else msgspec.json.encode(value).decode()
