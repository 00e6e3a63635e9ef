"""Files of conversations in OpenAI chat form, as they stand there: one record a line, or one JSON
document with a record or a list of them. A record is an object with `messages`, or only their list.

    RecordRefused    file:line, the message's number, and the way out
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain, islice, takewhile
from pathlib import Path
from string import Formatter
from typing import Any, NamedTuple, NoReturn

import msgspec
from msgspec import Struct

from stepfold.events.names import NameRefused, token
from stepfold.events.values import Usage

INSTRUCTIONS = frozenset({"system", "developer"})
TIMES = frozenset({"timestamp", "created_at"})
HELD: Mapping[str, frozenset[str]] = {
    "system": frozenset({"role", "content"}),
    "developer": frozenset({"role", "content"}),
    "user": frozenset({"role", "content", "name"}),
    "assistant": frozenset(
        {"role", "content", "tool_calls", "function_call", "refusal", "reasoning_content"}
        | {"finish_reason", "model", "usage", "cost_usd"}
    ),
    "tool": frozenset({"role", "content", "tool_call_id", "name"}),
    "function": frozenset({"role", "content", "tool_call_id", "name"}),
}
"""What of a message a log can hold, by its role."""

_IDS = (("task_id", "trial"), ("id",), ("conversation_id",))
_INSIDE: Mapping[str, frozenset[str]] = {
    "tool_calls": frozenset({"id", "type", "index", "function"}),
    "content": frozenset({"type", "text", "refusal"}),
}


class RecordRefused(ValueError):
    """A record that cannot become a log."""


class Function(Struct):
    name: str
    arguments: str | dict[str, Any] | None = None


class Call(Struct):
    function: Function
    id: str | None = None


class ContentPart(Struct):
    type: str
    text: str | None = None
    refusal: str | None = None


class Message(Struct):
    """`function_call` and the role "function" are how calls were written until 2023."""

    role: str
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None
    function_call: Function | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    finish_reason: str | None = None
    model: str | None = None
    usage: dict[str, Any] | None = None
    cost_usd: Decimal | None = None
    timestamp: str | float | None = None
    created_at: str | float | None = None

    @property
    def calls(self) -> list[Call]:
        legacy = [Call(self.function_call)] if self.function_call else []
        return (self.tool_calls or []) + legacy


class _Tokens(Struct):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Tokens | None = None
    completion_tokens_details: _Tokens | None = None


class Record(NamedTuple):
    """One record: as it stands there, and its messages read. Messages are numbered from 1."""

    where: str
    number: int
    form: dict[str, Any]
    messages: tuple[Message, ...]

    def refuse(self, why: str, *, message: int = 0) -> NoReturn:
        place = f" message {message}:" if message else ""
        raise RecordRefused(f"{self.where}:{place} {why}")

    @property
    def opening(self) -> int:
        """How many messages stand before the conversation and tell the agent what to do."""
        told = takewhile(lambda message: message.role in INSTRUCTIONS, self.messages)
        return sum(1 for _ in told)

    @property
    def model(self) -> str:
        model = self.form.get("model")
        return model if isinstance(model, str) else ""

    def tools(self) -> Iterator[str]:
        """The names of the tools that the record offers or calls."""
        offers = self.form.get("tools")
        for offer in offers if isinstance(offers, list) else ():
            form = offer.get("function", offer) if isinstance(offer, dict) else None
            if isinstance(form, dict) and isinstance(form.get("name"), str):
                yield form["name"]
        for message in self.messages:
            for call in message.calls:
                yield call.function.name

    def name(self, template: str) -> tuple[str, frozenset[str]]:
        """The conversation's id, and the keys of the record that it is made of."""
        scalars = {key: value for key, value in self.form.items() if isinstance(value, str | int)}
        keys = next((keys for keys in _IDS if scalars.keys() >= set(keys)), ())
        template = template or "-".join(f"{{{key}}}" for key in keys) or "{line}"
        try:
            made = template.format_map({**scalars, "line": self.number})
            used = frozenset(key for _, key, _, _ in Formatter().parse(template) if key)
            return token("conversation", made), used
        except (LookupError, ValueError, AttributeError, NameRefused) as error:
            known = ", ".join(["line", *sorted(scalars)])
            self.refuse(
                f"no conversation id from template {template!r}: {type(error).__name__}: {error}"
                f" (keys here: {known}): give another template"
            )

    def text(self, number: int) -> str:
        """The text of a message; several parts are set off by line ends."""
        content = self.messages[number - 1].content
        if not isinstance(content, list):
            return content or ""
        return "\n".join(self.only_text(number, part) for part in content)

    def only_text(self, number: int, part: ContentPart) -> str:
        if part.type != "text" or part.text is None:
            why = f"a part of type {part.type!r} is no text: say it in words, or remove it"
            self.refuse(why, message=number)
        return part.text

    def usage(self, number: int) -> Usage | None:
        form = self.messages[number - 1].usage
        if form is None:
            return None
        try:
            told = msgspec.convert(form, _Usage)
        except msgspec.ValidationError as error:
            self.refuse(f"usage: {error}: correct or remove it", message=number)
        prompt, completion = told.prompt_tokens_details, told.completion_tokens_details
        return Usage(
            input=told.prompt_tokens,
            output=told.completion_tokens,
            cached=prompt.cached_tokens if prompt else None,
            thinking=completion.reasoning_tokens if completion else None,
            raw=form,
        )

    def times(self) -> tuple[datetime, ...]:
        """The time of each message after the opening; empty unless every one of them has one."""
        times: list[datetime] = []
        for number, message in enumerate(self.messages[self.opening :], start=self.opening + 1):
            said = message.timestamp if message.timestamp is not None else message.created_at
            if said is None:
                return ()
            times.append(self._time(number, said))
        return tuple(times)

    def _time(self, number: int, said: str | float) -> datetime:
        """An ISO 8601 time, or seconds since 1970. Without a zone it is UTC."""
        try:
            if not isinstance(said, str):
                return datetime.fromtimestamp(said, UTC)
            at = datetime.fromisoformat(said)
        except (ValueError, OverflowError, OSError):
            why = f"{said!r} is no time: write it as in ISO 8601, or remove it"
            self.refuse(why, message=number)
        return at if at.tzinfo else at.replace(tzinfo=UTC)

    def unused(self, used: frozenset[str]) -> tuple[str, ...]:
        """What the record says beyond `used` and no step holds: `key`, and `messages.key`."""
        kept = used | {"messages"} | ({"model"} if self.model else set())
        said = {key for key, value in self.form.items() if _says(value)}
        return tuple(sorted(said.union(*map(_unused, self.form["messages"])) - kept))


def records(path: Path) -> Iterator[Record]:
    """The records of a file, in order. RecordRefused; OSError."""
    for where, number, value in _forms(path):
        form = {"messages": value} if isinstance(value, list) else value
        if not isinstance(form, dict) or not isinstance(form.get("messages"), list):
            raise RecordRefused(f'{where}: not an object with a list "messages"')
        try:
            messages = msgspec.convert(form["messages"], tuple[Message, ...], strict=False)
        except msgspec.ValidationError as error:
            raise RecordRefused(f"{where}:{_at_message(str(error))}") from error
        yield Record(where, number, form, messages)


def _at_message(error: str) -> str:
    found = re.search(r" - at `\$\[(\d+)\]\.?(.*)`$", error)
    if not found:
        return f" {error}"
    told = error[: found.start()]
    return f" message {int(found[1]) + 1}: {found[2] or 'it'}: {told}: correct or remove it"


def _forms(path: Path) -> Iterator[tuple[str, int, Any]]:
    """(where, number, JSON value) of each record. One line alone may be a whole document."""
    with path.open("rb") as file:
        lines = ((number, line) for number, line in enumerate(file, start=1) if line.strip())
        opening = list(islice(lines, 2))
        if len(opening) == 1 or (opening and parse(opening[0][1])[1]):
            yield from _document(path)
            return
        for number, line in chain(opening, lines):
            value, error = parse(line)
            if error:
                raise RecordRefused(f"{path}:{number}: {error}: mend or remove this line")
            yield f"{path}:{number}", number, value


def _document(path: Path) -> Iterator[tuple[str, int, Any]]:
    value, error = parse(path.read_bytes())
    if error:
        raise RecordRefused(f"{path}:1: {error}: give JSON lines, or one JSON document")
    if isinstance(value, list) and not all(isinstance(v, dict) and "role" in v for v in value):
        for number, one in enumerate(value, start=1):
            yield f"{path}[{number}]", number, one
    else:
        yield f"{path}:1", 1, value


def parse(text: bytes) -> tuple[Any, str]:
    """(the JSON value, "") or (None, what is wrong with it)."""
    try:
        return msgspec.json.decode(text), ""
    except msgspec.DecodeError as error:
        return None, f"invalid JSON: {error}"


def _unused(message: dict[str, Any]) -> Iterator[str]:
    held = HELD[message["role"]]
    for key, value in message.items():
        if key not in held and _says(value):
            yield f"messages.{key}"
        for inside in value if key in _INSIDE and isinstance(value, list) else ():
            yield from (f"messages.{key}.{name}" for name in inside.keys() - _INSIDE[key])


def _says(value: object) -> bool:
    return value is not None and value not in ("", [], {})
