"""What stands in a file of routes, read key by key: what means something, and every mistake.

Whether it can work is another matter: `checks.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, TypeVar, get_type_hints

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from stepfold.events.names import NameRefused, token
from stepfold.events.values import Options
from stepfold.providers.toml_lines import Lines, Place
from stepfold.routing import Candidate, Conditions, Route, Server
from stepfold.settings.catalogue import Skills, providers, skills
from stepfold.settings.languages import TAG
from stepfold.settings.written_forms import (
    CUSTOMER,
    FORMS,
    KNOWN,
    MODELS,
    NAME,
    NAMED,
    PROVIDERS,
    SCOPES,
    LimitsForm,
    ServerForm,
    SkillsForm,
    WhenForm,
    WithForm,
    unnamed,
)

Form = TypeVar("Form", bound=Struct)
AT_ONCE = "at_once"
_HOURS = re.compile(r"(\d{1,2})-(\d{1,2})")
DAY_H = 24


class Listed(Struct, frozen=True):
    """A candidate, and where it stands."""

    at: Place
    candidate: Candidate

    @property
    def name(self) -> str:
        return self.candidate.model or f"task {self.candidate.task}"


class Written(Struct, frozen=True):
    """A route, and where it stands; its candidates are in `ask` and `shadow`."""

    at: Place
    route: Route
    ask: tuple[Listed, ...]
    shadow: tuple[Listed, ...] = ()


class Problems:
    """Every mistake, with its line."""

    def __init__(self, text: str) -> None:
        self._lines = Lines(text)
        self._found: list[tuple[int, str]] = []

    def wrong(self, at: Place, why: str) -> None:
        self._found.append((self._lines.of(at), why))

    def line(self, at: Place) -> int:
        return self._lines.of(at)

    def told(self, name: str) -> tuple[str, ...]:
        return tuple(f"{name}:{line}: {why}" for line, why in sorted(self._found))


class Reading:
    """Reads a file's tables. What is wrong goes to `problems`, and reading goes on without it."""

    def __init__(self, problems: Problems) -> None:
        self._wrong = problems.wrong

    def models(self, told: Any) -> Mapping[str, Skills]:
        """What the file says of models, on top of what the catalogue says."""
        found: dict[str, Skills] = {}
        for name, table in self._table((MODELS,), told).items():
            given = msgspec.to_builtins(self._form((MODELS, name), table, SkillsForm))
            found[name] = replace(skills(name) or Skills(), **given)
        return found

    def servers(self, told: Any) -> Mapping[str, Server]:
        found: dict[str, Server] = {}
        for name, table in self._table((PROVIDERS,), told).items():
            at = (PROVIDERS, name)
            form = self._form(at, table, ServerForm)
            if name in providers():
                found[name] = Server("shipped", "", at_once=form.at_once or 0)
                self._check_shipped(at, name, table)
                continue
            found[name] = Server(form.kind, form.base_url, form.key_env, form.at_once or 0)
            if not NAME.fullmatch(name):
                self._wrong(at, f"provider {name!r}: {NAMED}")
            if "base_url" not in self._table(at, table):
                self._wrong(at, f"provider {name!r} has no base_url: {FORMS['base_url']}")
        return found

    def _check_shipped(self, at: Place, name: str, told: Any) -> None:
        if isinstance(told, dict) and set(told) != {AT_ONCE}:
            own = f"take another name for a server of your own, or say {AT_ONCE} alone"
            self._wrong(at, f"provider {name!r} ships with stepfold: {own}")

    def routes(self, told: Mapping[str, Any]) -> Iterator[Written]:
        for task, table in told.items():
            if task in (MODELS, PROVIDERS):
                continue
            if why := unnamed(task):
                self._wrong((task,), why)
            else:
                yield from self._scope((task,), table, Route(task, ()), SCOPES)

    def _scope(
        self, at: Place, told: Any, scope: Route, narrower: tuple[str, ...]
    ) -> Iterator[Written]:
        """The route of a table, and those of its customers and agents."""
        table = self._table(at, told)
        limits = [name for name in LimitsForm.__struct_fields__ if name in table]
        self._known(at, table, ("ask", "shadow", *LimitsForm.__struct_fields__, *narrower))
        given = self._form(at, {name: table[name] for name in limits}, LimitsForm)
        route = replace(scope, **{name: getattr(given, name) for name in limits})
        if "ask" in table or not table.keys() & set(narrower) or limits or "shadow" in table:
            yield self._route(at, table, route)
        for kind in narrower:
            rest = narrower[narrower.index(kind) + 1 :]
            for name, inner in self._table((*at, kind), table.get(kind, {})).items():
                self._can_be((*at, kind, name), kind, name)
                scoped = replace(route, **{kind: name})
                yield from self._scope((*at, kind, name), inner, scoped, rest)

    def _can_be(self, at: Place, kind: str, name: str) -> None:
        """Can a customer, or an agent, be called so? What is for another one never holds."""
        try:
            if kind == CUSTOMER or not name:
                token(kind, name)
        except NameRefused as error:
            self._wrong(at, str(error))

    def _route(self, at: Place, table: Mapping[str, Any], route: Route) -> Written:
        ask = tuple(self._candidates((*at, "ask"), table.get("ask", [])))
        if not table.get("ask"):
            what = "`ask` is empty" if "ask" in table else "there is no `ask`"
            self._wrong((*at, "ask"), f'{route.name}: {what}: list a model, ask = ["…"]')
        shadow = tuple(self._candidates((*at, "shadow"), table.get("shadow", [])))
        compiled = replace(
            route,
            candidates=tuple(each.candidate for each in ask),
            shadow=tuple(each.candidate for each in shadow),
        )
        return Written(at, compiled, ask, shadow)

    def _candidates(self, at: Place, told: Any) -> Iterator[Listed]:
        if not isinstance(told, list):
            self._wrong(at, f'{_path(at)} is a list: {at[-1]} = ["…"], or [[{_path(at)}]] tables')
            return
        for number, each in enumerate(told):
            place = (*at, number)
            candidate = self._candidate(place, {"model": each} if isinstance(each, str) else each)
            if candidate is not None:
                yield Listed(place, candidate)

    def _candidate(self, at: Place, told: Any) -> Candidate | None:
        table = told if isinstance(told, dict) else {}
        self._known(at, table, ("model", "task", "when", "with"))
        names = {key: table[key] for key in ("model", "task") if key in table}
        if len(names) != 1 or not all(name and isinstance(name, str) for name in names.values()):
            why = (
                'a candidate is model = "provider/model", or task = "…" for all of another task\'s'
            )
            self._wrong(at, f"{_path(at)}: {why}")
            return None
        options = self._options((*at, "with"), table["with"]) if "with" in table else None
        if "task" in names and options is not None:
            why = "`with` is for a model: write it where the other task names its models"
            self._wrong((*at, "with"), f"{_path(at)}: {why}")
        when = self._conditions((*at, "when"), table["when"]) if "when" in table else Conditions()
        return Candidate(**names, when=when, options=options)

    def _conditions(self, at: Place, told: Any) -> Conditions:
        form = self._form(at, told, WhenForm)
        for number, name in enumerate(form.customers):
            self._can_be((*at, "customers", number), CUSTOMER, name)
        for number, tag in enumerate(form.languages):
            if not TAG.fullmatch(tag):
                why = f'languages: "{tag}" is no BCP 47 tag: write one such as de, en or pt-BR'
                self._wrong((*at, "languages", number), f"{_path(at)}: {why}")
        left = form.budget_left_min_usd
        both = sorted(set(form.needs) & set(form.not_needs))
        if both:
            self._wrong(
                at, f"{_path(at)}: {', '.join(both)} is needed and not needed: take one out"
            )
        return Conditions(
            customers=form.customers,
            channels=form.channels,
            languages=form.languages,
            needs=form.needs,
            not_needs=form.not_needs,
            tokens_max=form.tokens_max,
            budget_left_min_usd=None if left is None else Decimal(str(left)),
            hours=self._hours((*at, "hours"), form.hours) if form.hours else None,
        )

    def _hours(self, at: Place, told: str) -> tuple[int, int] | None:
        found = _HOURS.fullmatch(told)
        begin, end = (int(found[1]), int(found[2])) if found else (0, 0)
        if 0 <= begin < DAY_H and 0 < end <= DAY_H and begin != end:
            return begin, end
        self._wrong(at, f'{_path(at)} = "{told}" are no hours: write {FORMS["hours"]}')
        return None

    def _options(self, at: Place, told: Any) -> Options:
        form = self._form(at, told, WithForm)
        return Options(
            effort=form.effort,
            output_tokens_max=form.output_tokens_max,
            temperature=form.temperature,
            tool_choice=form.tool_choice,
            parallel=form.parallel,
            cache=form.cache,
        )

    # -- any table ------------------------------------------------------------------------------

    def _table(self, at: Place, told: Any) -> Mapping[str, Any]:
        if told is None or isinstance(told, dict):
            return told or {}
        self._wrong(at, f"{_path(at)} is a table: [{_path(at)}], one key a line")
        return {}

    def _known(self, at: Place, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key in table.keys() - set(known):
            near = get_close_matches(key, known, n=1)
            hint = f"did you mean `{near[0]}`? " if near else ""
            self._wrong((*at, key), f"{_path(at)}: unknown key `{key}` ({hint}{_either(known)})")

    def _form(self, at: Place, told: Any, form: type[Form]) -> Form:
        """The values of a table that mean something, the defaults for the others."""
        types = get_type_hints(form, include_extras=True)
        table = self._table(at, told)
        self._known(at, table, tuple(types))
        good: dict[str, Any] = {}
        for key in table.keys() & types.keys():
            try:
                good[key] = msgspec.convert(table[key], types[key])
            except msgspec.ValidationError as error:
                self._wrong((*at, key), f"{_path(at)}: {_meant(key, table[key], error)}")
        return form(**good)


def _path(at: Place) -> str:
    """`converse.ask 2`: entries are counted from 1, as people do."""
    path = ""
    for word in at:
        name = word if isinstance(word, int) or NAME.fullmatch(word) else f'"{word}"'
        path += f" {name + 1}" if isinstance(name, int) else f".{name}" if path else name
    return path


def _meant(key: str, value: object, error: msgspec.ValidationError) -> str:
    """What is wrong with a value, and how it is written."""
    if key in KNOWN:
        return f"{key} = {_shown(value)}: {_either(KNOWN[key])}"
    if key in FORMS:  # what was written may be a key that nobody should see
        return f"{key} is {FORMS[key]}"
    return f"{key} = {_shown(value)}: {error}"


def _either(known: tuple[str, ...]) -> str:
    return "known: " + ", ".join(known)


def _shown(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()
