"""`routes.toml`: which model does which task. docs/routing.md describes the file.

RoutesRefused    it cannot be read, means nothing, or cannot work: every mistake with its line
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from stepfold.routing import Routes
from stepfold.settings.checks import Checks
from stepfold.settings.file_text import TextUnread, name_of, no_toml, text_of
from stepfold.settings.settings import SettingsError
from stepfold.settings.written import Problems, Reading
from stepfold.settings.written_forms import MODELS, PROVIDERS

NO_ROUTE = 'there is no route in it: write one, such as [converse] and ask = ["provider/model"]'


class RoutesRefused(SettingsError):
    """A file of routes that cannot work. Each of `problems` has its place and the way out."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def read_routes(path: Path) -> Routes:
    """The table in a file, `-` is stdin; RoutesRefused."""
    try:
        return parse_routes(text_of(path), name_of(path))
    except TextUnread as error:
        raise RoutesRefused((str(error),)) from error


def parse_routes(text: str, name: str) -> Routes:
    """The table that is written in `text`; `name` stands before each mistake in it."""
    try:
        told = tomllib.loads(text)
    except ValueError as error:  # no TOML, or a number of 5,000 digits
        raise RoutesRefused((no_toml(name, error),)) from error
    problems = Problems(text)
    reading = Reading(problems)
    declared, servers = reading.models(told.get(MODELS)), reading.servers(told.get(PROVIDERS))
    written = tuple(reading.routes(told))
    checks = Checks(written, declared, servers, problems)
    checks.run()
    if found := problems.told(name):
        raise RoutesRefused(found)
    if not written:
        raise RoutesRefused((f"{name}: {NO_ROUTE}",))
    return Routes(
        routes=tuple(each.route for each in written),
        models={model: checks.models[model].can for model in sorted(checks.models)},
        providers=servers,
    )
