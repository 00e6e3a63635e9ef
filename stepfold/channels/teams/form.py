"""The form of `channels/teams.toml`, as pydantic reads it: what each value must be by itself."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from stepfold.events.names import NameRefused, token
from stepfold.tools.guard_addresses import is_network
from stepfold.tools.secrets import REFERENCE

GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TENANTLESS = "botframework.com"
"""Where a bot of many tenants gets its token; Microsoft makes no new ones."""
_HOST_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+):\d{1,5}")


def _guid(told: str) -> str:
    if not GUID.fullmatch(told.lower()):
        raise ValueError("a GUID looks like 3d2b1c0a-0000-4000-8000-123456789abc: copy it whole")
    return told.lower()


def _tenant(told: str) -> str:
    return told if told == TENANTLESS else _guid(told)


def _reference(told: str) -> str:
    if not REFERENCE.fullmatch(told):
        raise ValueError('no secret stands in a file: write secret = "${env:NAME}"')
    return told


def _customer(told: str) -> str:
    try:
        return token("customer", told)
    except NameRefused as error:
        raise ValueError(str(error)) from None


def _address(told: str) -> str:
    if not told.startswith(("https://", "http://")) or "#" in told or "@" in told:
        raise ValueError("an address begins with https:// and names a host")
    return told.rstrip("/")


def _private(told: str) -> str:
    if not (is_network(told) or _HOST_PORT.fullmatch(told)):
        raise ValueError("it is no network (10.1.0.0/16) and no host:port")
    return told


Guid = Annotated[str, AfterValidator(_guid)]
Customer = Annotated[str, AfterValidator(_customer)]
Words = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]
Address = Annotated[str, AfterValidator(_address)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TextsForm(_Table):
    """What the channel itself says. `{tool}` stands for the name of a tool."""

    greeting: Words = "Hello! Ask me anything; I answer from what I know and quote it."
    thinking: Words = "Thinking…"
    searching: Words = "Searching the knowledge…"
    using: Words = "Using {tool}…"
    waiting: Words = "This needs somebody's approval. I will write when it is decided."
    abandoned: Words = "I could not answer that. Please try again, or ask in other words."
    stopped: Words = "Stopped."
    closed: Words = "I cannot go on in this conversation. Please tell whoever runs me."
    unfetched: Words = "[a file could not be fetched: {name}]"


class ReachForm(_Table):
    """What may be reached beyond https on port 443 of the public internet."""

    private: list[Annotated[str, AfterValidator(_private)]] = []


class TeamsForm(_Table):
    app_id: Guid
    secret: Annotated[str, AfterValidator(_reference)]
    tenant: Annotated[str, AfterValidator(_tenant)] = TENANTLESS
    cloud: Literal["public", "usgov", "usgovdod", "china"] = "public"
    customers: Annotated[dict[Guid, Customer], Field(min_length=1)]
    approvers: dict[Customer, list[Guid]] = {}
    approvals: dict[Customer, Words] = {}
    texts: TextsForm = TextsForm()
    login_url: Address = ""
    openid_url: Address = ""
    rest_hours: Annotated[int, Field(ge=0, le=8_760)] = 0
    anew: Words = "/new"
    reach: ReachForm = ReachForm()


FORMS: dict[str, type[BaseModel]] = {"texts": TextsForm, "reach": ReachForm}
