"""The table of routes: for each task its candidates in order, with the conditions of each.

A table is known by the digest of its canonical JSON. Every decision names the table it was made by,
and every table is kept, so that a replay can route again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

import msgspec
from msgspec import Struct

from stepfold.events.values import Options

Need = Literal["tools", "vision", "structured"]
ServerKind = Literal["openai-chat", "shipped"]


class Can(Struct, frozen=True, omit_defaults=True):
    """What a model can do. `context` is in tokens, 0 = not known and so not checked."""

    tools: bool = True
    vision: bool = False
    structured: bool = True
    context: int = 0


class Conditions(Struct, frozen=True, omit_defaults=True):
    """When a candidate is one; what is empty or None does not matter. `hours` are [from, to) UTC,
    and may pass midnight; `tokens_max` bounds the prompt, estimated; all of `needs` must be needed,
    and none of `not_needs`.
    """

    customers: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    not_needs: tuple[Need, ...] = ()
    tokens_max: int | None = None
    budget_left_min_usd: Decimal | None = None
    hours: tuple[int, int] | None = None


class Candidate(Struct, frozen=True, omit_defaults=True):
    """A model, or all candidates of another `task`; of its own task, those of the next wider route
    (for all, where this one is for a customer or an agent).
    """

    model: str = ""
    task: str = ""
    when: Conditions = Conditions()
    options: Options | None = None


class Route(Struct, frozen=True, omit_defaults=True):
    """The candidates of a task, for all or for one customer or agent. `shadow` models are asked as
    well, to compare. `attempts_max` are rounds through the candidates, `repairs_max` answers that
    are mended.
    """

    task: str
    candidates: tuple[Candidate, ...]
    shadow: tuple[Candidate, ...] = ()
    customer: str = ""
    agent: str = ""
    attempts_max: int = 3
    repairs_max: int = 2

    @property
    def name(self) -> str:
        scope = [f"agent {self.agent}"] * bool(self.agent)
        scope += [f"customer {self.customer}"] * bool(self.customer)
        return " for ".join((self.task, " and ".join(scope))) if scope else self.task


class Server(Struct, frozen=True, omit_defaults=True):
    """A server that speaks a provider's API. `key_env` names the variable with its key, in the
    environment of the workers; the key itself is in no table. Of a provider that ships, kind
    `shipped`, it only says `at_once`: how many calls a process makes at once, 0 = as many as usual.
    """

    kind: ServerKind
    base_url: str
    key_env: str = ""
    at_once: int = 0


class Routes(Struct, frozen=True, omit_defaults=True):
    """`models` says what each candidate can do; one that is not there can do everything. The models
    of `providers`, by the name before the slash, are asked at servers of one's own.
    """

    routes: tuple[Route, ...] = ()
    models: Mapping[str, Can] = {}
    providers: Mapping[str, Server] = {}


def digest(routes: Routes) -> str:
    """`sha256:` and the hash of the table's canonical JSON."""
    return "sha256:" + hashlib.sha256(encode_routes(routes)).hexdigest()


def encode_routes(routes: Routes) -> bytes:
    return msgspec.json.encode(routes, order="sorted")


def decode_routes(raw: bytes) -> Routes:
    return msgspec.json.decode(raw, type=Routes)
