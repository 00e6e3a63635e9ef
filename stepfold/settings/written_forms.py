"""What can be written in a file of routes: its tables, key by key, and the names in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from msgspec import UNSET, Meta, Struct, UnsetType

from stepfold.events.values import Effort
from stepfold.handlers.choosing import AGENT, REQUEST
from stepfold.routing import Need
from stepfold.settings.catalogue import Does

MODELS, PROVIDERS = "models", "providers"
TAKEN = frozenset({MODELS, PROVIDERS, AGENT, REQUEST})
"""What no task can be called."""
CUSTOMER = "customer"
SCOPES = (CUSTOMER, "agent")
NAME = re.compile(r"[a-z][a-z0-9_-]*")
NAMED = "a name has small letters, digits, - and _, and begins with a letter"


Words = tuple[Annotated[str, Meta(min_length=1)], ...]
Count = Annotated[int, Meta(ge=1)]


class WhenForm(Struct, frozen=True):
    customers: Words = ()
    channels: Words = ()
    languages: Words = ()
    needs: tuple[Need, ...] = ()
    not_needs: tuple[Need, ...] = ()
    tokens_max: Count | None = None
    budget_left_min_usd: Annotated[float, Meta(ge=0)] | None = None
    hours: str = ""


class WithForm(Struct, frozen=True):
    effort: Effort = ""
    output_tokens_max: Count | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    tool_choice: str = ""
    parallel: bool = True
    cache: bool = True


class SkillsForm(Struct, frozen=True):
    does: Does | UnsetType = UNSET
    tools: bool | UnsetType = UNSET
    vision: bool | UnsetType = UNSET
    structured: bool | UnsetType = UNSET
    context: Count | UnsetType = UNSET


Kind = Literal["openai-chat"]
"""What a server of one's own may speak."""


class ServerForm(Struct, frozen=True):
    kind: Kind = "openai-chat"
    base_url: Annotated[str, Meta(pattern=r"^https?://[^\s/]+")] = ""
    key_env: Annotated[str, Meta(pattern="^[A-Z_][A-Z0-9_]*$")] = ""
    at_once: Count | None = None


class LimitsForm(Struct, frozen=True):
    attempts_max: Count = 3
    repairs_max: Annotated[int, Meta(ge=0)] = 2


FORMS: Mapping[str, str] = {
    "hours": 'from-to in UTC, such as "8-18", or "22-6" over midnight',
    "base_url": "an address such as https://models.example.com/v1",
    "key_env": "the name of a variable, such as EXAMPLE_API_KEY, and never the key itself",
}
"""How a value is written where its type does not say it."""
KNOWN: Mapping[str, tuple[str, ...]] = {
    "does": get_args(Does),
    "effort": tuple(effort for effort in get_args(Effort) if effort),
    "kind": get_args(Kind),
    "needs": get_args(Need),
    "not_needs": get_args(Need),
}


def unnamed(task: str) -> str:
    """Why no task can be called so; empty where one can."""
    if task in TAKEN:
        return f"task {task!r}: that word is taken"
    return "" if NAME.fullmatch(task) else f"task {task!r}: {NAMED}"
