"""An agent's file, read key by key: what it means, and everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct
from pydantic import ValidationError

from stepfold.policy.agent import Agent, Answers, Limits
from stepfold.policy.grant import Approval, Grant
from stepfold.providers.toml_lines import Place
from stepfold.settings.agent_constraints import constraint
from stepfold.settings.agent_form import AgentForm, ToolForm
from stepfold.settings.agent_problems import near, place_of, told

LISTS = ("tools", "collections", "trusted", "channels")
"""Where a name said twice is a mistake."""


class Reading:
    """One file, and everything that is wrong with it."""

    def __init__(self, told: Mapping[str, Any], folder: Path) -> None:
        self.problems: list[tuple[Place, str]] = []
        self._told = told
        self._folder = folder

    def agent(self) -> Agent | None:
        """None when there are problems."""
        form = self._form()
        instructions = self._instructions()
        grants = {name: self._constraints(name, table) for name, table in self._tools().items()}
        self._once()
        self._trusted()
        if form is None or self.problems:
            return None
        return _agent(form, instructions, grants)

    def _form(self) -> AgentForm | None:
        try:
            return AgentForm.model_validate(dict(self._told))
        except ValidationError as error:
            for each in error.errors(include_url=False):
                at = place_of(each["loc"])
                self._wrong(at, told(at, each))
            return None

    def _instructions(self) -> str:
        """What stands in the file, or in the one that it names, without blank lines at its end."""
        name = self._told.get("instructions_file")
        if not isinstance(name, str) or not name:
            return str(self._told.get("instructions", ""))
        at: Place = ("instructions_file",)
        if "instructions" in self._told:
            self._wrong(at, "`instructions` are told as well; leave one of them out")
        try:
            text = (self._folder / name).read_text(encoding="utf-8").rstrip()
        except OSError as error:
            why = f"{self._folder / name}: {error.strerror}; a path begins at this file's folder"
            self._wrong(at, why)
            return ""
        except (UnicodeDecodeError, ValueError):
            self._wrong(at, f"{self._folder / name} is not UTF-8; save it as UTF-8")
            return ""
        if not text:
            self._wrong(at, f"{self._folder / name} is empty; write what the agent is told")
        return text

    def _tools(self) -> Mapping[str, Mapping[str, Any]]:
        """The tables of tools, as far as they are some."""
        tools = self._told.get("tools")
        tables = tools if isinstance(tools, dict) else {}
        return {name: table for name, table in tables.items() if isinstance(table, dict)}

    def _constraints(self, tool: str, table: Mapping[str, Any]) -> _Constraints:
        approval = table.get("approval")
        unless = approval.get("unless") if isinstance(approval, dict) else None
        at = ("tools", tool)
        return _Constraints(
            self._schemas((*at, "arguments"), table.get("arguments")),
            self._schemas((*at, "approval", "unless"), unless),
        )

    def _schemas(self, at: Place, told: Any) -> dict[str, Any]:
        tables = told if isinstance(told, dict) else {}
        return {
            name: constraint((*at, name), table, self._wrong)
            for name, table in tables.items()
            if isinstance(table, dict)
        }

    def _once(self) -> None:
        for key in LISTS:
            names = self._told.get(key)
            seen: set[str] = set()
            for number, name in enumerate(names if isinstance(names, list) else ()):
                if isinstance(name, str) and name in seen:
                    self._wrong((key, number), f'"{name}" stands there twice; leave one out')
                seen.add(str(name))

    def _trusted(self) -> None:
        collections, trusted = self._told.get("collections", []), self._told.get("trusted", [])
        if not (isinstance(collections, list) and isinstance(trusted, list)):
            return
        known = list(dict.fromkeys(name for name in collections if name and isinstance(name, str)))
        for number, name in enumerate(trusted):
            if name and isinstance(name, str) and name not in known:
                why = f'"{name}" is none of the `collections`; {near(name, known)}'
                self._wrong(("trusted", number), why)

    def _wrong(self, at: Place, why: str) -> None:
        self.problems.append((at, why))


class _Constraints(Struct, frozen=True):
    """Those of one tool, as they are kept."""

    arguments: dict[str, Any]
    unless: dict[str, Any]


# -- what it means ------------------------------------------------------------------------------


def _agent(form: AgentForm, instructions: str, grants: Mapping[str, _Constraints]) -> Agent:
    """With the fields that are written: a version's digest is of no more (`Agent` omits defaults
    that are the very same object, and a file from before there were grants keeps its digest).
    """
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in _written(form).items()
        if name in _AS_WRITTEN
    }
    if instructions:
        fields["instructions"] = instructions
    if form.tools:
        fields["tools"] = tuple(form.tools)
    if "limits" in form.model_fields_set:
        fields["limits"] = Limits(**_written(form.limits))
    if answers := _unusual(form.answers, Answers()):
        fields["answers"] = Answers(**answers)
    tables = form.tools if isinstance(form.tools, dict) else {}
    found = {name: _grant(table, grants[name]) for name, table in tables.items()}
    fields["grants"] = {name: grant for name, grant in found.items() if grant != Grant()}
    return Agent(**fields)


_AS_WRITTEN = frozenset(
    {"name", "models", "collections", "passages_max", "second_message"}
    | {"trusted", "persona", "sandbox", "channels"}
)


def _grant(form: ToolForm, found: _Constraints) -> Grant:
    """A table that says nothing is the same as the tool's name in a list."""
    rule = form.approval
    approval = Approval() if rule is True else None
    if not isinstance(rule, bool):
        people = _unusual(rule, Approval()) | ({"unless": found.unless} if found.unless else {})
        approval = Approval(**people)
    return Grant(safe=form.safe, arguments=found.arguments, approval=approval)


def _written(form: Any) -> dict[str, Any]:
    return {name: getattr(form, name) for name in form.model_fields_set}


def _unusual(form: Any, usual: Any) -> dict[str, Any]:
    """What is written and is not what it would be anyway."""
    values = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in _written(form).items()
    }
    return {name: value for name, value in values.items() if value != getattr(usual, name)}
