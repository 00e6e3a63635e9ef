"""The form of an HTTP tool's file, as pydantic reads it: what each value must be by itself."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)
from pydantic import field_validator as checked

from stepfold.policy.effect import Effect, Recovery
from stepfold.policy.schema import broken
from stepfold.policy.toolspec import RESULT_CHARS_MAX
from stepfold.tools.guard_addresses import is_network
from stepfold.tools.http_plan import Method
from stepfold.tools.http_templates import template

OWN_HEADERS = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "te", "trailer"}
    | {"traceparent", "tracestate", "transfer-encoding", "upgrade"}
)
"""What is said of the connection is ours to say."""
SECRET_WORDS = ("authorization", "cookie", "key", "secret", "token")
"""What stands in a header with such a word in its name is a secret."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+):\d{1,5}")


def _text(told: object) -> object:
    """A value of a query as text."""
    if isinstance(told, bool):
        return "true" if told else "false"
    return str(told) if isinstance(told, int | float) else told


def _template(told: str) -> str:
    template(told)
    return told


def _sendable(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a header")
        if name.lower() in OWN_HEADERS or name.lower().startswith("proxy-"):
            raise ValueError(f"{name} is set by stepfold itself: leave it out")
        told = template(value)
        if not (told.variables or told.gaps) and _secret(name):
            raise ValueError(f'no secret stands in a file: write {name} = "${{env:NAME}}"')
    return headers


def _address(url: str) -> str:
    template(url)
    if "#" in url:
        raise ValueError("what follows a # is never sent: leave it out")
    return url


Word = Annotated[str, StringConstraints(min_length=1)]
Url = Annotated[str, AfterValidator(_address)]
Query = dict[Word, Annotated[str, BeforeValidator(_text), AfterValidator(_template)]]
Headers = Annotated[dict[Word, str], AfterValidator(_sendable)]
Schema = dict[str, Any]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ReachForm(_Table):
    """What may be reached beyond https on port 443 of the public internet."""

    schemes: tuple[Annotated[str, StringConstraints(pattern="^https?$")], ...] = ()
    ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = ()
    private: tuple[str, ...] = ()
    bytes_max: Annotated[int, Field(ge=1_000, le=100_000_000)] = 5_000_000
    redirects_max: Annotated[int, Field(ge=0, le=10)] = 3

    @checked("private")
    @classmethod
    def _named(cls, private: tuple[str, ...]) -> tuple[str, ...]:
        for each in private:
            if is_network(each):
                _check_network(each)
            elif not _HOST_PORT.fullmatch(each):
                way_out = 'write a network as "10.1.0.0/16", or a host and port as "erp.local:8080"'
                raise ValueError(
                    f"{each!r} is neither a network nor a host with its port: {way_out}"
                )
        return private


class RequestForm(_Table):
    url: Url
    query: Query = {}
    body: dict[str, Any] | None = None
    result_at: str = ""


class LookupForm(RequestForm):
    """The request that tells whether a call happened. It has the tool's headers if none."""

    method: Literal["GET", "HEAD", "POST"] = "GET"
    headers: Headers | None = None
    absent: tuple[Annotated[int, Field(ge=400, le=499)], ...] = ()


class HttpForm(RequestForm):
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")]
    description: Word
    method: Method = "GET"
    headers: Headers = {}
    parameters: Schema = {}
    result: Schema = {}
    effect: Effect | None = None
    recovery: Recovery | None = None
    idempotency_header: Annotated[str, StringConstraints(pattern=_TOKEN.pattern)] = (
        "Idempotency-Key"
    )
    trusted: bool = False
    timeout_s: Annotated[float, Field(gt=0, le=600, allow_inf_nan=False)] = 30
    result_chars_max: Annotated[int, Field(ge=100, le=1_000_000)] = RESULT_CHARS_MAX
    reach: ReachForm = ReachForm()
    lookup: LookupForm | None = None

    @checked("result")
    @classmethod
    def _is_schema(cls, result: Schema) -> Schema:
        why = broken(result)
        if why:
            raise ValueError(why)
        return result


def _secret(header: str) -> bool:
    return any(word in header.lower() for word in SECRET_WORDS)


def _check_network(text: str) -> None:
    try:
        ip_network(text)
    except ValueError as error:
        way_out = f"write {ip_network(text, strict=False)}"
        raise ValueError(f"{error}: {way_out}") from None
