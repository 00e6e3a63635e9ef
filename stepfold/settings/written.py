"""What stands in a file of routes, read key by key: what means something, and every mistake.

Whether it can work is another matter: `checks.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from difflib import get_close_matches
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from stepfold.events.values import Effort, Options
from stepfold.handlers.choosing import AGENT, REQUEST
from stepfold.providers.toml_lines import Lines, Place
from stepfold.routing import Candidate, Conditions, Need, Route, Server, ServerKind
from stepfold.settings.catalogue import Does, Skills, providers, skills

MODELS, PROVIDERS = "models", "providers"
TAKEN = frozenset({MODELS, PROVIDERS, AGENT, REQUEST})
"""What no task can be called."""
SCOPES = ("customer", "agent")
_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_HOURS = re.compile(r"(\d{1,2})-(\d{1,2})")
DAY_H = 24

Words = tuple[Annotated[str, Meta(min_length=1)], ...]
Count = Annotated[int, Meta(ge=1)]
Form = TypeVar("Form", bound=Struct)


class _When(Struct, frozen=True):
    customers: Words = ()
    channels: Words = ()
    languages: Words = ()
    needs: tuple[Need, ...] = ()
    not_needs: tuple[Need, ...] = ()
    tokens_max: Count | None = None
    budget_left_min_usd: Annotated[float, Meta(ge=0)] | None = None
    hours: str = ""


class _With(Struct, frozen=True):
    effort: Effort = ""
    output_tokens_max: Count | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    tool_choice: str = ""
    parallel: bool = True
    cache: bool = True


class _Skills(Struct, frozen=True):
    does: Does | UnsetType = UNSET
    tools: bool | UnsetType = UNSET
    vision: bool | UnsetType = UNSET
    structured: bool | UnsetType = UNSET
    context: Count | UnsetType = UNSET


class _Server(Struct, frozen=True):
    kind: ServerKind = "openai-chat"
    base_url: Annotated[str, Meta(pattern=r"^https?://[^\s/]+")] = ""
    key_env: Annotated[str, Meta(pattern="^[A-Z_][A-Z0-9_]*$")] = ""


class _Limits(Struct, frozen=True):
    attempts_max: Count = 3
    repairs_max: Annotated[int, Meta(ge=0)] = 2


_FORMS: Mapping[str, str] = {
    "hours": 'from-to in UTC, such as "8-18", or "22-6" over midnight',
    "base_url": "an address such as https://models.example.com/v1",
    "key_env": "the name of a variable, such as EXAMPLE_API_KEY, and never the key itself",
}
"""How a value is written where its type does not say it."""
_KNOWN: Mapping[str, tuple[str, ...]] = {
    "does": get_args(Does),
    "effort": tuple(effort for effort in get_args(Effort) if effort),
    "kind": get_args(ServerKind),
    "needs": get_args(Need),
    "not_needs": get_args(Need),
}


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
            given = msgspec.to_builtins(self._form((MODELS, name), table, _Skills))
            found[name] = replace(skills(name) or Skills(), **given)
        return found

    def servers(self, told: Any) -> Mapping[str, Server]:
        found: dict[str, Server] = {}
        for name, table in self._table((PROVIDERS,), told).items():
            at = (PROVIDERS, name)
            form = self._form(at, table, _Server)
            found[name] = Server(form.kind, form.base_url, form.key_env)
            if name in providers():
                self._wrong(at, f"provider {name!r} ships with stepfold: take another name")
            elif not _NAME.fullmatch(name):
                self._wrong(at, f"provider {name!r}: {_NAMED}")
            if "base_url" not in self._table(at, table):
                self._wrong(at, f"provider {name!r} has no base_url: {_FORMS['base_url']}")
        return found

    def routes(self, told: Mapping[str, Any]) -> Iterator[Written]:
        for task, table in told.items():
            if task in (MODELS, PROVIDERS):
                continue
            if task in TAKEN or not _NAME.fullmatch(task):
                why = "that word is taken" if task in TAKEN else _NAMED
                self._wrong((task,), f"task {task!r}: {why}")
            else:
                yield from self._scope((task,), table, Route(task, ()), SCOPES)

    def _scope(
        self, at: Place, told: Any, scope: Route, narrower: tuple[str, ...]
    ) -> Iterator[Written]:
        """The route of a table, and those of its customers and agents."""
        table = self._table(at, told)
        limits = [name for name in _Limits.__struct_fields__ if name in table]
        self._known(at, table, ("ask", "shadow", *_Limits.__struct_fields__, *narrower))
        given = self._form(at, {name: table[name] for name in limits}, _Limits)
        route = replace(scope, **{name: getattr(given, name) for name in limits})
        if "ask" in table or not table.keys() & set(narrower) or limits or "shadow" in table:
            yield self._route(at, table, route)
        for kind in narrower:
            rest = narrower[narrower.index(kind) + 1 :]
            for name, inner in self._table((*at, kind), table.get(kind, {})).items():
                scoped = replace(route, **{kind: name})
                yield from self._scope((*at, kind, name), inner, scoped, rest)

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
        form = self._form(at, told, _When)
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
        self._wrong(at, f'{_path(at)} = "{told}" are no hours: write {_FORMS["hours"]}')
        return None

    def _options(self, at: Place, told: Any) -> Options:
        form = self._form(at, told, _With)
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


_NAMED = "a name has small letters, digits, - and _, and begins with a letter"


def _path(at: Place) -> str:
    """`converse.ask 2`: entries are counted from 1, as people do."""
    path = ""
    for word in at:
        name = word if isinstance(word, int) or _NAME.fullmatch(word) else f'"{word}"'
        path += f" {name + 1}" if isinstance(name, int) else f".{name}" if path else name
    return path


def _meant(key: str, value: object, error: msgspec.ValidationError) -> str:
    """What is wrong with a value, and how it is written."""
    if key in _KNOWN:
        return f"{key} = {_shown(value)}: {_either(_KNOWN[key])}"
    if key in _FORMS:  # what was written may be a key that nobody should see
        return f"{key} is {_FORMS[key]}"
    return f"{key} = {_shown(value)}: {error}"


def _either(known: tuple[str, ...]) -> str:
    return "known: " + ", ".join(known)


def _shown(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()
