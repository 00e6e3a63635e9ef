"""channels/slack.toml in the data folder: which workspaces there are, and whose.

    signing_secret = "${env:SLACK_SIGNING_SECRET}"

    [teams.T0123ABCD]
    customer = "acme"
    bot_token = "${env:SLACK_BOT_TOKEN}"
    approvals_channel = "C0123ABCD"
    approvers = ["U0123ABCD"]

SlackFileRefused    every mistake at once, each with its line
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic import field_validator as checked

from stepfold.channels.slack.names import is_place, is_team, is_user
from stepfold.events.names import NameRefused, token
from stepfold.providers.toml_lines import Lines, Place
from stepfold.tools.secrets import SecretMissing, expand, named

API = "https://slack.com/api/"
FILE_BYTES_MAX = 5_000_000
CHARS_MAX = 200_000
_API = re.compile(r"https://[a-z0-9.-]+/api/|http://127\.0\.0\.1:\d{1,5}/api/")
_SECRETS = ("signing_secret", "bot_token")

Problem = tuple[Place, str]


class SlackFileRefused(Exception):
    """A file that means nothing. Each of `problems` has its place and the way out."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Secret:
    """A text that no log line and no error shows."""

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"


class Team(Struct, frozen=True):
    """A workspace. Only `approvers`, ids of its users, agree to calls in `approvals_channel`;
    where there is none, people agree elsewhere. `handoff_channel` hears of what is handed on.
    `guests` are other workspaces whose people are heard in channels that are shared with them.
    """

    id: str
    customer: str
    bot_token: Secret
    approvals_channel: str = ""
    approvers: frozenset[str] = frozenset()
    handoff_channel: str = ""
    guests: frozenset[str] = frozenset()


class SlackConfig(Struct, frozen=True):
    signing_secret: Secret
    teams: Mapping[str, Team]
    api: str = API
    file_bytes_max: int = FILE_BYTES_MAX

    @property
    def customers(self) -> tuple[str, ...]:
        return tuple(sorted({team.customer for team in self.teams.values()}))


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _by_reference(told: str) -> str:
    if not named(told) or expand(told, dict.fromkeys(named(told), "x")) != "x":
        raise ValueError('no secret stands in a file: write "${env:NAME}"')
    return told


def _channel(told: str) -> str:
    if told and not is_place(told):
        raise ValueError(f"{told!r} is no id of a channel (C0123ABCD): copy it from its details")
    return told


class TeamForm(_Table):
    customer: str
    bot_token: str
    approvals_channel: str = ""
    approvers: list[str] = []
    handoff_channel: str = ""
    guests: list[str] = []

    @checked("customer")
    @classmethod
    def _named(cls, told: str) -> str:
        try:
            return token("customer", told)
        except NameRefused as error:
            raise ValueError(str(error)) from None

    @checked("bot_token")
    @classmethod
    def _hidden(cls, told: str) -> str:
        return _by_reference(told)

    @checked("approvals_channel", "handoff_channel")
    @classmethod
    def _place(cls, told: str) -> str:
        return _channel(told)

    @checked("approvers")
    @classmethod
    def _users(cls, told: list[str]) -> list[str]:
        for each in told:
            if not is_user(each):
                raise ValueError(f"{each!r} is no id of a user (U0123ABCD): copy it from a profile")
        return told

    @checked("guests")
    @classmethod
    def _workspaces(cls, told: list[str]) -> list[str]:
        for each in told:
            if not is_team(each):
                raise ValueError(f"{each!r} is no id of a workspace, such as T0123ABCD")
        return told


class SlackForm(_Table):
    signing_secret: str
    teams: Annotated[dict[str, TeamForm], Field(min_length=1)]
    api: str = API
    file_bytes_max: Annotated[int, Field(ge=1_000, le=100_000_000)] = FILE_BYTES_MAX

    @checked("signing_secret")
    @classmethod
    def _hidden(cls, told: str) -> str:
        return _by_reference(told)

    @checked("api")
    @classmethod
    def _reached(cls, told: str) -> str:
        if not _API.fullmatch(told):
            raise ValueError(f"{told!r} is no API of Slack: leave it out, or write {API!r}")
        return told


def read_slack(path: Path, environment: Mapping[str, str]) -> SlackConfig:
    """The configuration in a file; SlackFileRefused."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SlackFileRefused((f"{path}: {error.strerror}",)) from error
    except UnicodeDecodeError as error:
        raise SlackFileRefused((f"{path}: it is not UTF-8: save it as UTF-8",)) from error
    return parse_slack(text, str(path), environment)


def parse_slack(text: str, file: str, environment: Mapping[str, str]) -> SlackConfig:
    """The configuration written in `text`; `file` stands before each mistake in it."""
    if len(text) > CHARS_MAX:
        raise SlackFileRefused((f"{file}: a file of more than {CHARS_MAX:,} characters",))
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        last = len(text.splitlines()) or 1  # where it says "at end of document"
        raise SlackFileRefused((f"{file}:{line[1] if line else last}: {error}",)) from error
    problems = [*_shape(told), *_together(told), *_unset(told, environment)]
    if problems:
        lines = Lines(text)
        placed = sorted({(lines.of(place), _told(place, why)) for place, why in problems})
        raise SlackFileRefused(tuple(f"{file}:{line}: {why}" for line, why in placed))
    return _made(SlackForm.model_validate(told), environment)


def _told(place: Place, why: str) -> str:
    key = ".".join(str(part) for part in place)
    return f"{key}: {why}" if key else why


def _shape(told: dict[str, Any]) -> list[Problem]:
    try:
        SlackForm.model_validate(told)
    except ValidationError as error:
        return [_problem(each) for each in error.errors(include_url=False)]
    return []


def _problem(error: Any) -> Problem:
    place: Place = tuple(error["loc"])
    why = str(error["msg"]).removeprefix("Value error, ")
    form = TeamForm if place[:1] == ("teams",) else SlackForm
    if error["type"] == "extra_forbidden":
        why = f"unknown key (known: {', '.join(form.model_fields)})"
    elif error["type"] == "missing":
        needed = "customer and bot_token" if form is TeamForm else "signing_secret and [teams.T…]"
        why = f"it is missing: there must be {needed}"
    return place, why


def _teams(told: dict[str, Any]) -> Mapping[str, dict[str, Any]]:
    teams = told.get("teams")
    return (
        {k: v for k, v in teams.items() if isinstance(v, dict)} if isinstance(teams, dict) else {}
    )


def _together(told: dict[str, Any]) -> list[Problem]:
    """What must be true of the keys together."""
    problems: list[Problem] = []
    for name, team in _teams(told).items():
        at: Place = ("teams", name)
        if not is_team(name):
            problems.append((at, f"{name!r} is no id of a workspace, such as T0123ABCD"))
        if team.get("approvals_channel") and not team.get("approvers"):
            why = "nobody may agree there: name the users in `approvers`"
            problems.append(((*at, "approvals_channel"), why))
        if team.get("approvers") and not team.get("approvals_channel"):
            why = "they are asked nowhere: name the `approvals_channel`"
            problems.append(((*at, "approvers"), why))
    return problems


def _unset(told: dict[str, Any], environment: Mapping[str, str]) -> list[Problem]:
    """The secrets that are named and not there."""
    tables: list[tuple[Place, dict[str, Any]]] = [((), told)]
    tables += [(("teams", name), team) for name, team in _teams(told).items()]
    problems: list[Problem] = []
    for at, table in tables:
        for key in _SECRETS:
            try:
                expand(str(table.get(key, "")), environment)
            except SecretMissing as error:
                problems.append(((*at, key), str(error)))
    return problems


def _made(form: SlackForm, environment: Mapping[str, str]) -> SlackConfig:
    teams = {
        name: Team(
            name,
            team.customer,
            Secret(expand(team.bot_token, environment)),
            team.approvals_channel,
            frozenset(team.approvers),
            team.handoff_channel,
            frozenset(team.guests),
        )
        for name, team in form.teams.items()
    }
    secret = Secret(expand(form.signing_secret, environment))
    return SlackConfig(secret, teams, form.api, form.file_bytes_max)
