"""One operation of a description, as it is kept: all that is needed to offer it and to call it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from stepfold.tools.openapi.brief import tokens
from stepfold.tools.openapi.reading import Json

Where = Literal["path", "query", "header", "cookie"]
BODY = "body"
"""The argument that is sent as the body."""


class Argument(Struct, frozen=True, omit_defaults=True):
    """A parameter: `name` as the model says it, `parameter` as the server calls it. With `json` the
    value is sent as JSON, else in `style`.
    """

    name: str
    parameter: str
    where: Where
    style: str
    explode: bool
    json: bool = False


class Body(Struct, frozen=True, omit_defaults=True):
    """`argument` holds the body, sent as `media`: JSON, or with `form` the fields of a form, of
    which those in `deep` are written name[key]=value.
    """

    media: str
    argument: str = BODY
    form: bool = False
    deep: tuple[str, ...] = ()


class Operation(Struct, frozen=True, omit_defaults=True):
    """`parameters` is the JSON Schema of all arguments together. `doubt` says why its method may
    not tell its effect: such an operation is enabled by its whole name only. `key_header` is the
    header in which the description wants an idempotency key. `cut` says what of its schema was left
    out for its size. `objects`: every good answer is a JSON object. `answers` are what good ones
    are, by status, as far as they are described.
    """

    name: str
    method: str
    path: str
    description: str = ""
    tags: tuple[str, ...] = ()
    parameters: Json = {}
    arguments: tuple[Argument, ...] = ()
    body: Body | None = None
    doubt: str = ""
    deprecated: bool = False
    key_header: str = ""
    cut: str = ""
    objects: bool = False
    about: str = ""
    security: tuple[str, ...] = ()
    answers: dict[str, Json] = {}

    @property
    def reads(self) -> bool:
        """By its method alone."""
        return self.method in ("get", "head")

    @property
    def tokens(self) -> int:
        return tokens(self.name, self.description, self.parameters)


class Skipped(Struct, frozen=True):
    """An operation that cannot be offered, and why."""

    name: str
    method: str
    path: str
    reason: str


class Scheme(Struct, frozen=True, omit_defaults=True):
    """How the description says that callers show who they are. `kind` is apiKey, http, oauth2, …;
    `name` and `where` are those of an apiKey, `scheme` that of http (basic, bearer); the URLs and
    scopes are those of the first flow of oauth2.
    """

    id: str
    kind: str
    name: str = ""
    where: str = ""
    scheme: str = ""
    flow: str = ""
    authorize_url: str = ""
    token_url: str = ""
    scopes: tuple[str, ...] = ()


class Server(Struct, frozen=True, omit_defaults=True):
    """`url` may have {variables}; `variables` are their defaults, `allowed` the values they may
    have where the description lists them.
    """

    url: str
    variables: dict[str, str] = {}
    allowed: dict[str, tuple[str, ...]] = {}


class Catalogue(Struct, frozen=True, omit_defaults=True):
    """All of a description that is kept. `digest` names the file it was made from."""

    title: str
    version: str
    digest: str
    characters: int
    servers: tuple[Server, ...] = ()
    schemes: tuple[Scheme, ...] = ()
    operations: tuple[Operation, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    format: int = 1

    def names(self) -> Sequence[str]:
        return tuple(operation.name for operation in self.operations)
