"""`routes.toml`: which model does which task. docs/routing.md describes the file.

RoutesRefused    it cannot be read, means nothing, or cannot work: every mistake with its line
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from stepfold.routing import Routes
from stepfold.settings.checks import Checks
from stepfold.settings.settings import SettingsError
from stepfold.settings.written import MODELS, PROVIDERS, Problems, Reading


class RoutesRefused(SettingsError):
    """A file of routes that cannot work. Each of `problems` has its place and the way out."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def read_routes(path: Path) -> Routes:
    """The table in a file; RoutesRefused."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RoutesRefused((f"{path}: {error.strerror}",)) from error
    except UnicodeDecodeError as error:
        raise RoutesRefused((f"{path}: it is not UTF-8: save it as UTF-8",)) from error
    return parse_routes(text, str(path))


def parse_routes(text: str, name: str) -> Routes:
    """The table that is written in `text`; `name` stands before each mistake in it."""
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RoutesRefused((_syntax(name, str(error)),)) from error
    problems = Problems(text)
    reading = Reading(problems)
    declared, servers = reading.models(told.get(MODELS)), reading.servers(told.get(PROVIDERS))
    written = tuple(reading.routes(told))
    checks = Checks(written, declared, servers, problems)
    checks.run()
    if found := problems.told(name):
        raise RoutesRefused(found)
    return Routes(
        routes=tuple(each.route for each in written),
        models={model: checks.models[model].can for model in sorted(checks.models)},
        providers=servers,
    )


def _syntax(name: str, why: str) -> str:
    """tomllib says `... (at line 3, column 7)`."""
    told, _, place = why.rpartition(" (at ")
    line = place.partition(",")[0].removeprefix("line ")
    return f"{name}:{line}: {told}" if line.isdigit() else f"{name}: {why}"
