"""What the gateway answers, as data: each door with its path, who may come in, and what it says.

The table of doors is the routes, the rights and the OpenAPI description at once. A door is either
for callers with one of its `scopes`, or `public` and says why nobody has to show a key.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from msgspec import Struct
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from stepfold.events.traces import caller
from stepfold.gateway.front import Front
from stepfold.gateway.principal import Principal
from stepfold.gateway.problems import problem
from stepfold.gateway.refusals import FrontRefused

BODY_BYTES_MAX = 2_000_000
"""The longest text there may be, however it is escaped."""
NOBODY = Principal("", frozenset(), "nobody")

Json = dict[str, Any]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class Asked(Struct, frozen=True):
    """One request that was let in."""

    front: Front
    who: Principal
    request: Request

    @property
    def trace(self) -> str:
        """The caller's `traceparent`, empty when there is none."""
        shown = self.request.headers.get("traceparent", "")
        return shown.strip() if caller(shown) else ""

    def named(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])


class Parameter(Struct, frozen=True):
    """`schema` is JSON Schema; what stands in the path is required."""

    name: str
    place: Literal["path", "query", "header"]
    schema: Json
    meaning: str
    required: bool = False


class Answer(Struct, frozen=True):
    """`shape` is a msgspec Struct, or None where `media` is no JSON of ours; `also` are other media
    that the same answer comes in when it is asked for so.
    """

    meaning: str
    shape: type[Struct] | None = None
    media: str = "application/json"
    example: Any = None
    headers: Mapping[str, str] = {}
    also: tuple[str, ...] = ()


class About(Struct, frozen=True):
    """What OpenAPI says of a door, beside what follows from the door itself (openapi.py)."""

    name: str
    summary: str
    meaning: str = ""
    body: type[BaseModel] | None = None
    example: Any = None
    parameters: tuple[Parameter, ...] = ()
    answers: Mapping[int, Answer] = {}
    refusals: tuple[int, ...] = ()
    tag: str = ""


Run = Callable[[Asked], Awaitable[Response]]
Tell = Callable[[FrontRefused, Request], Response]


class Door(Struct, frozen=True):
    """`about` None: it is not in the description. `told` is how a refusal is told. What is not
    `limited` may be asked as often as anybody likes.
    """

    method: Method
    path: str
    run: Run
    about: About | None = None
    scopes: tuple[str, ...] = ()
    public: str = ""
    told: Tell = problem
    bytes_max: int = BODY_BYTES_MAX
    limited: bool = True

    def __post_init__(self) -> None:
        assert bool(self.scopes) != bool(self.public), f"{self.path}: for whom is it?"
