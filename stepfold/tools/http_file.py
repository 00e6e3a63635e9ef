"""An HTTP tool as a TOML file says it: every mistake with its line, or the plan of its requests.

HttpFileRefused    it cannot be read, or means nothing
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from stepfold.policy.effect import Effect, Recovery
from stepfold.providers.toml_lines import Lines, Place
from stepfold.tools.guard import PUBLIC, Reach, target
from stepfold.tools.http_form import HttpForm, LookupForm, ReachForm, RequestForm
from stepfold.tools.http_parameters import Parameters, parameters
from stepfold.tools.http_plan import IN_QUERY, Method, Plan, Sending
from stepfold.tools.http_templates import (
    OURS,
    BadTemplate,
    Template,
    beginning,
    template,
    templates,
)
from stepfold.tools.tool import ToolError, ToolSpec

CHARS_MAX = 200_000
BODILESS = ("GET", "HEAD")
_AUTHORITY = re.compile(r"https?://[^/?#]+(?=[/?])")

Problem = tuple[Place, str]


class HttpFileRefused(Exception):
    """A file of a tool that means nothing. Each of `problems` has its place and the way out."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def read_http(path: Path, environment: Mapping[str, str], reach: Reach = PUBLIC) -> Plan:
    """The tool in a file; HttpFileRefused. It reaches what `reach` and the file itself allow."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise HttpFileRefused((f"{path}: {error.strerror}",)) from error
    except UnicodeDecodeError as error:
        raise HttpFileRefused((f"{path}: it is not UTF-8: save it as UTF-8",)) from error
    return parse_http(text, str(path), environment, reach)


def parse_http(text: str, file: str, environment: Mapping[str, str], reach: Reach = PUBLIC) -> Plan:
    """The tool that is written in `text`; `file` stands before each mistake in it."""
    if len(text) > CHARS_MAX:
        raise HttpFileRefused((f"{file}: a tool of more than {CHARS_MAX:,} characters",))
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        last = len(text.splitlines()) or 1  # where it says "at end of document"
        raise HttpFileRefused((f"{file}:{line[1] if line else last}: {error}",)) from error
    form, wrong = _formed(told)
    reading = _Reading(form, frozenset(str(place[0]) for place, _ in wrong if place))
    plan = reading.plan(environment, reach)
    problems = (*wrong, *reading.problems)
    if problems:
        lines = Lines(text)
        placed = sorted({(lines.of(place), _told(place, why)) for place, why in problems})
        raise HttpFileRefused(tuple(f"{file}:{line}: {why}" for line, why in placed))
    return plan


def _told(place: Place, why: str) -> str:
    key = ".".join(str(part) for part in place)
    return f"{key}: {why}" if key else why


def _formed(told: dict[str, Any]) -> tuple[HttpForm, tuple[Problem, ...]]:
    """The file's form. Where it has mistakes: they, and the form without the wrong keys, so that
    what else is wrong is told as well.
    """
    try:
        return HttpForm.model_validate(told), ()
    except ValidationError as error:
        problems = tuple(_problem(each) for each in error.errors(include_url=False))
    wrong = {place[0] for place, _ in problems if place}
    rest = {key: value for key, value in told.items() if key not in wrong}
    needed = {"name": "unnamed", "description": "?", "url": "https://example.com/"}
    return HttpForm.model_validate({**needed, **rest}), problems


def _problem(error: Any) -> Problem:
    place: Place = tuple(part for part in error["loc"] if part != "[key]")
    why = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        why = f"unknown key (known: {', '.join(_known(place))})"
    elif error["type"] == "missing":
        why = "it is missing: a tool has at least name, description and url"
    elif place == ("name",):
        why = "a name has letters, digits, _ and -, begins with no digit, and is no longer than 64"
    return place, why


def _known(place: Place) -> Iterator[str]:
    inner: Mapping[str | int, type[BaseModel]] = {"reach": ReachForm, "lookup": LookupForm}
    yield from (
        inner.get(place[0], HttpForm).model_fields if len(place) > 1 else (HttpForm.model_fields)
    )


class _Reading:
    """What must be true of the keys together. A key in `wrong` was told of already, and is not
    held against the others.
    """

    def __init__(self, form: HttpForm, wrong: frozenset[str]) -> None:
        self._form = form
        self._wrong = wrong
        self.problems: list[Problem] = []

    def plan(self, environment: Mapping[str, str], base: Reach) -> Plan:
        form = self._form
        found = parameters(form.parameters)
        self.problems += ((("parameters", *place), why) for place, why in found.problems)
        sending = self._sending((), form, form.method, form.headers, found)
        lookup = None
        if form.lookup is not None:
            headers = form.headers if form.lookup.headers is None else form.lookup.headers
            lookup = self._sending(("lookup",), form.lookup, form.lookup.method, headers, found)
        reach = _reach(base, form.reach, form.timeout_s)
        for at, each in (((), sending), (("lookup",), lookup)):
            if each is not None:
                self._check_reached((*at, "url"), each, reach, environment)
        spec = self._spec(found)
        self._check_recovery(spec.recovery)
        keyed = spec.recovery == "idempotent" and spec.effect != "read"
        return Plan(
            spec,
            sending,
            reach,
            key=form.idempotency_header if keyed else "",
            lookup=lookup,
            absent=form.lookup.absent if form.lookup else (),
        )

    def _spec(self, found: Parameters) -> ToolSpec:
        form = self._form
        effect: Effect = form.effect or ("read" if form.method in BODILESS else "external")
        recovery: Recovery = form.recovery or ("idempotent" if effect == "read" else "never_repeat")
        return ToolSpec(
            form.name,
            form.description,
            found.schema,
            form.result,
            effect=effect,
            recovery=recovery,
            lookup=form.name if recovery == "reconcile" else "",
            trusted=form.trusted,
            timeout_s=form.timeout_s + 1,  # our own end comes first, and says more
            result_chars_max=form.result_chars_max,
        )

    # -- one request ----------------------------------------------------------------------------

    def _sending(
        self,
        at: Place,
        form: RequestForm,
        method: Method,
        headers: Mapping[str, str],
        found: Parameters,
    ) -> Sending:
        sending = Sending(
            method,
            template(form.url),
            tuple((key, template(text)) for key, text in form.query.items()),
            tuple((key, template(text)) for key, text in headers.items()),
            self._body((*at, "body"), form.body),
            result_at=form.result_at,
        )
        self._check_gaps(at, sending, found)
        if sending.body is not None and method in BODILESS:
            self.problems.append(((*at, "body"), f"{method} has no body: use `query`"))
        rest = tuple(name for name in found.names if name not in sending.gaps)
        if at:
            return sending
        if rest and sending.body is not None and method not in IN_QUERY:
            self._check_used(rest)
        return Sending(**{**_fields(sending), "rest": rest})

    def _body(self, at: Place, told: Any) -> Any:
        """The body with its texts as templates."""
        if isinstance(told, dict):
            return {key: self._body((*at, key), each) for key, each in told.items()}
        if isinstance(told, list):
            return [self._body((*at, number), each) for number, each in enumerate(told)]
        if not isinstance(told, str):
            return told
        try:
            return template(told)
        except BadTemplate as error:
            self.problems.append((at, str(error)))
            return None

    def _check_used(self, rest: tuple[str, ...]) -> None:
        if self._wrong & {"url", "query", "headers", "body"}:
            return
        for name in rest:
            way_out = f'write "{{{name}}}" in the body, or take it out'
            self.problems.append((("parameters", name), f"it is used nowhere: {way_out}"))

    def _check_gaps(self, at: Place, sending: Sending, found: Parameters) -> None:
        placed = [
            ((*at, "url"), sending.url, False),
            *(((*at, "query", key), each, True) for key, each in sending.query),
            *(((*at, "headers", key), each, True) for key, each in sending.headers),
            *(((*at, "body"), each, True) for each in templates(sending.body)),
        ]
        for place, each, may_be_left_out in placed:
            self._check_names(place, each, found)
            for name in each.gaps:
                if name in found.optional and not (may_be_left_out and each.only == name):
                    way_out = "let it be given, or let it stand alone as a value of its own"
                    self.problems.append((place, f"{{{name}}} may be left out: {way_out}"))

    def _check_names(self, place: Place, told: Template, found: Parameters) -> None:
        known = (*found.names, *OURS)
        if "parameters" not in self._wrong and not found.problems:
            for name in told.gaps:
                if name not in known:
                    why = f"no parameter is called {name!r} (known: {', '.join(known)})"
                    self.problems.append((place, why))

    # -- the whole ------------------------------------------------------------------------------

    def _check_reached(
        self, at: Place, sending: Sending, reach: Reach, environment: Mapping[str, str]
    ) -> None:
        if not all(environment.get(name) for name in sending.url.variables):
            return  # it is told when a request is to leave, where the variable is needed
        begin = beginning(sending.url, environment)
        if sending.url.gaps and not _AUTHORITY.match(begin):
            why = "an argument may not choose the host: begin with https://HOST/ before the first {"
            self.problems.append((at, why))
            return
        try:
            target(begin, reach)
        except ToolError as error:
            self.problems.append((at, str(error)))

    def _place_of(self, name: str, at: Place) -> Place:
        """Where a variable is named first."""
        for key in ("headers", "query"):
            table = getattr(self._form, key)
            for inner, text in table.items():
                if name in template(text).variables:
                    return (key, inner)
        return at

    def _check_recovery(self, recovery: Recovery) -> None:
        lookup = self._form.lookup
        if recovery == "reconcile" and lookup is None and "lookup" not in self._wrong:
            why = "reconcile needs a [lookup]: the request that tells whether a call happened"
            self.problems.append((("recovery",), why))
        if recovery != "reconcile" and lookup is not None and "recovery" not in self._wrong:
            self.problems.append((("lookup",), 'nobody asks it: write recovery = "reconcile"'))


def _fields(sending: Sending) -> dict[str, Any]:
    return {name: getattr(sending, name) for name in sending.__struct_fields__}


def _reach(base: Reach, form: ReachForm, timeout_s: float) -> Reach:
    return Reach(
        schemes=tuple(dict.fromkeys((*base.schemes, *form.schemes))),
        ports=tuple(dict.fromkeys((*base.ports, *form.ports))),
        private=tuple(dict.fromkeys((*base.private, *form.private))),
        bytes_max=form.bytes_max,
        timeout_s=timeout_s,
        redirects_max=form.redirects_max,
    )
