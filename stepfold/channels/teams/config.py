"""`channels/teams.toml`: every mistake with its line, or how this bot stands in Microsoft Teams.

TeamsFileRefused    it cannot be read, or means nothing
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct
from pydantic import BaseModel, ValidationError

from stepfold.channels.teams.form import FORMS, TENANTLESS, TeamsForm, TextsForm
from stepfold.providers.toml_lines import Lines, Place
from stepfold.tools.guard import PUBLIC, Reach, target
from stepfold.tools.secrets import expand, named
from stepfold.tools.tool import ToolError
from stepfold.tools.vault import Secret

CHARS_MAX = 200_000
NEEDED = ("app_id", "secret", "customers")
STAND_IN = {
    "app_id": "00000000-0000-0000-0000-000000000000",
    "secret": "${env:SECRET}",
    "customers": {"00000000-0000-0000-0000-000000000000": "nobody"},
}
TENANT_ONLY = f'write tenant = "GUID", or leave it out for {TENANTLESS}'


class TeamsFileRefused(Exception):
    """A file that means nothing. Each of `problems` has its place and the way out."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Texts(Struct, frozen=True):
    """What the channel itself says; `{tool}` and `{name}` are filled in."""

    greeting: str
    thinking: str
    searching: str
    using: str
    waiting: str
    abandoned: str
    stopped: str
    closed: str
    unfetched: str


TEXTS = Texts(**TextsForm().model_dump())


class TeamsConfig(Struct, frozen=True):
    """`customers` by tenant; `approvers` are object ids of people, by customer; `approvals` is the
    conversation in which people are asked, by customer, by default that of the contact.
    A chat with one person begins a new conversation when nothing was said for `rest_s` (0: never),
    and when somebody says `anew`. `openid_url` and `issuer` are of those who sign what comes in.
    """

    app_id: str
    secret: Secret
    customers: dict[str, str]
    token_url: str
    openid_url: str
    issuer: str
    scope: str
    approvers: dict[str, frozenset[str]] = {}
    approvals: dict[str, str] = {}
    texts: Texts = TEXTS
    rest_s: float = 0.0
    anew: str = ""
    reach: Reach = PUBLIC

    def may_approve(self, customer: str, person: str) -> bool:
        return person in self.approvers.get(customer, frozenset())


def read_teams(path: Path, environment: Mapping[str, str]) -> TeamsConfig:
    """The channel as a file says it; TeamsFileRefused."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise TeamsFileRefused((f"{path}: {error.strerror}",)) from error
    except UnicodeDecodeError as error:
        raise TeamsFileRefused((f"{path}: it is not UTF-8: save it as UTF-8",)) from error
    return parse_teams(text, str(path), environment)


def parse_teams(text: str, file: str, environment: Mapping[str, str]) -> TeamsConfig:
    """The channel that is written in `text`; `file` stands before each mistake in it."""
    if len(text) > CHARS_MAX:
        raise TeamsFileRefused((f"{file}: a file of more than {CHARS_MAX:,} characters",))
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        last = len(text.splitlines()) or 1  # where it says "at end of document"
        raise TeamsFileRefused((f"{file}:{line[1] if line else last}: {error}",)) from error
    form, wrong = _formed(told)
    problems = (*wrong, *_wrong_together(form, {str(place[0]) for place, _ in wrong}, environment))
    if problems:
        lines = Lines(text)
        placed = sorted({(lines.of(place), _told(place, why)) for place, why in problems})
        raise TeamsFileRefused(tuple(f"{file}:{line}: {why}" for line, why in placed))
    return _config(form, environment)


Problem = tuple[Place, str]


def _told(place: Place, why: str) -> str:
    key = ".".join(str(part) for part in place)
    return f"{key}: {why}" if key else why


def _formed(told: dict[str, Any]) -> tuple[TeamsForm, tuple[Problem, ...]]:
    """The file's form. Where it has mistakes: they, and the form without the wrong keys, so that
    what else is wrong is told as well.
    """
    try:
        return TeamsForm.model_validate(told), ()
    except ValidationError as error:
        problems = tuple(_problem(each) for each in error.errors(include_url=False))
    wrong = {place[0] for place, _ in problems}
    rest = {key: value for key, value in told.items() if key not in wrong}
    return TeamsForm.model_validate({**STAND_IN, **rest}), problems


def _problem(error: Any) -> Problem:
    place: Place = tuple(part for part in error["loc"] if part != "[key]")
    why = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        why = f"unknown key (known: {', '.join(_known(place))})"
    elif error["type"] == "missing":
        why = f"it is missing: the channel has at least {', '.join(NEEDED)}"
    elif place == ("customers",) and error["type"] == "too_short":
        why = 'no tenant is a customer: write "TENANT-GUID" = "customer" below [customers]'
    elif place == ("tenant",):
        why = f"{why}; {TENANT_ONLY}"
    return place, why


def _known(place: Place) -> Iterator[str]:
    form: type[BaseModel] = TeamsForm
    if len(place) > 1:
        form = FORMS.get(str(place[0]), TeamsForm)
    yield from form.model_fields


def _wrong_together(
    form: TeamsForm, wrong: set[str], environment: Mapping[str, str]
) -> Iterator[Problem]:
    """What must be true of the keys together. One in `wrong` is not held against the others."""
    for name in named(form.secret):
        if "secret" not in wrong and not environment.get(name):
            why = f"the variable {name} is not set: set it (export {name}=…) and start again"
            yield ("secret",), why
    if "customers" not in wrong:
        yield from _strangers(form)
    if "approvers" not in wrong:
        for customer in form.approvals.keys() - form.approvers.keys():
            why = f"nobody may decide there: name people below [approvers], {customer} = […]"
            yield ("approvals", customer), why
    reach = _reach(form)
    for key in ("login_url", "openid_url"):
        if "reach" not in wrong and (url := getattr(form, key)):
            try:
                target(url, reach)
            except ToolError as error:
                yield (key,), str(error)


def _strangers(form: TeamsForm) -> Iterator[Problem]:
    customers = set(form.customers.values())
    known = ", ".join(sorted(customers))
    for key, table in (("approvers", form.approvers), ("approvals", form.approvals)):
        for customer in table.keys() - customers:
            yield (key, customer), f"no tenant is of this customer (known: {known})"


def _reach(form: TeamsForm) -> Reach:
    return Reach(private=tuple(form.reach.private))


def _config(form: TeamsForm, environment: Mapping[str, str]) -> TeamsConfig:
    cloud = CLOUDS[form.cloud]
    return TeamsConfig(
        app_id=form.app_id,
        secret=Secret(expand(form.secret, environment)),
        customers=dict(form.customers),
        token_url=f"{form.login_url or cloud.login}/{form.tenant}/oauth2/v2.0/token",
        openid_url=form.openid_url or cloud.openid,
        issuer=cloud.issuer,
        scope=f"{cloud.issuer}/.default",
        approvers={name: frozenset(people) for name, people in form.approvers.items()},
        approvals=dict(form.approvals),
        texts=Texts(**form.texts.model_dump()),
        rest_s=form.rest_hours * 3600.0,
        anew=form.anew,
        reach=_reach(form),
    )


class Cloud(Struct, frozen=True):
    """The addresses of one of Microsoft's clouds."""

    login: str
    openid: str
    issuer: str


_OPENID = "/v1/.well-known/openidconfiguration"
CLOUDS = {
    "public": Cloud(
        "https://login.microsoftonline.com",
        f"https://login.botframework.com{_OPENID}",
        "https://api.botframework.com",
    ),
    "usgov": Cloud(
        "https://login.microsoftonline.us",
        f"https://login.botframework.azure.us{_OPENID}",
        "https://api.botframework.us",
    ),
    "usgovdod": Cloud(
        "https://login.microsoftonline.us",
        f"https://login.botframework.azure.us{_OPENID}",
        "https://api.botframework.us",
    ),
    "china": Cloud(
        "https://login.partner.microsoftonline.cn",
        f"https://login.botframework.azure.cn{_OPENID}",
        "https://api.botframework.azure.cn",
    ),
}
"""As the SDK has them too; a test compares. Reading the file must not import the SDK (1.6 s)."""
