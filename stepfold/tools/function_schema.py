"""What a function takes and returns, as pydantic and as JSON Schema: the forms of both sides.

Strict: `"5"` is no number. What JSON has no word for, such as a date, is taken from its text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticSerializationError, SchemaError, from_json, to_json

from stepfold.events.values import Arguments
from stepfold.policy.schema import broken
from stepfold.tools.function_signature import Parameter
from stepfold.tools.tool import ToolError

Json = dict[str, Any]

REASONS_MAX = 5
GIVEN_CHARS_MAX = 60
INTEGER_MAX = 2.0**53
"""Up to here a float without a fraction is one integer."""

TYPES = "str, int, Literal, list, dict, TypedDict, a dataclass or a pydantic model"
_NAMES = frozenset({"properties", "$defs"})
"""Keywords under which names stand, not keywords."""
_VALUES = frozenset({"const", "default", "enum", "examples"})


class ResultMisfit(Exception):
    """What a function returned does not fit its annotation."""


class Form:
    """The arguments that a model gives."""

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        self._names = {f"p{number}": each.name for number, each in enumerate(parameters)}
        fields = {f"p{number}": _field(each) for number, each in enumerate(parameters)}
        self._model: type[BaseModel] = create_model(
            "arguments", __config__=ConfigDict(extra="forbid"), **fields
        )
        schema = self._model.model_json_schema(schema_generator=_Quiet)
        self.schema: Json = _mapped(_mapped(schema, _closed), _plain)

    def read(self, arguments: Arguments) -> dict[str, Any]:
        """The values by parameter, defaults included. ToolError names each argument in the way."""
        try:
            text = msgspec.json.encode(_whole(arguments))
            model = self._model.model_validate_json(text, strict=True)
        except ValidationError as error:
            raise ToolError("; ".join(_misfits(error, self._names.values()))) from None
        except Exception as error:  # of a validator: the function has not run
            why = f"{type(error).__name__}: {error}"
            raise ToolError(f"its arguments cannot be checked: {why}") from error
        return {name: getattr(model, field) for field, name in self._names.items()}


class Returned:
    """What the function returns, as JSON."""

    def __init__(self, annotation: Any) -> None:
        self._adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        schema = self._adapter.json_schema(mode="serialization", schema_generator=_Quiet)
        self.schema: Json = _mapped(schema, _plain)

    def told(self, value: Any) -> Any:
        """Its JSON, as long as it fits, itself or as the JSON that it is; else ResultMisfit."""
        try:
            return from_json(self._adapter.dump_json(self._fitting(value), warnings="error"))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = f"{_place(first['loc'])}: " if first["loc"] else ""
            raise ResultMisfit(f"{where}{first['msg']}, not {_shown(first['input'])}") from None
        except (PydanticSerializationError, ValueError) as error:
            raise ResultMisfit(f"it has no JSON: {error}") from None

    def _fitting(self, value: Any) -> Any:
        try:
            return self._adapter.validate_python(value, strict=True)
        except ValidationError:
            return self._adapter.validate_json(to_json(value), strict=True)


def wrong_type(annotation: Any, *, returned: bool = False) -> str | None:
    """Why no JSON can be held against this annotation; None when it can."""
    try:
        schema = TypeAdapter(annotation).json_schema(
            mode="serialization" if returned else "validation", schema_generator=_Quiet
        )
    except (PydanticUserError, PydanticUndefinedAnnotation, SchemaError, TypeError) as error:
        return _first_sentence(error)
    return broken(schema)


class _Quiet(GenerateJsonSchema):
    """A default that has no JSON is left out, as it would be anyway, without a warning."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012


def _field(parameter: Parameter) -> Any:
    description = parameter.description or None
    if parameter.required:
        return parameter.annotation, Field(alias=parameter.name, description=description)
    return parameter.annotation, Field(
        parameter.default, alias=parameter.name, description=description
    )


def _plain(schema: Json) -> Json:
    """Without what only costs tokens: titles, and what holds unsaid."""
    unsaid = {"default": None, "additionalProperties": True}
    return {
        key: each
        for key, each in schema.items()
        if key != "title" and not (key in unsaid and each is unsaid[key])
    }


def _closed(schema: Json) -> Json:
    """An object says which properties it has: a misspelt one is a mistake, not nothing."""
    if schema.get("type") == "object" and "properties" in schema:
        return {"additionalProperties": False, **schema}
    return schema


def _mapped(told: Any, change: Callable[[Json], Json]) -> Any:
    """Each schema in `told` changed, the inner ones first."""
    if isinstance(told, list):
        return [_mapped(each, change) for each in told]
    if not isinstance(told, dict):
        return told
    inner: Json = {}
    for key, each in told.items():
        if key in _NAMES and isinstance(each, dict):
            inner[key] = {name: _mapped(schema, change) for name, schema in each.items()}
        else:
            inner[key] = each if key in _VALUES else _mapped(each, change)
    return change(inner)


def _whole(value: Any) -> Any:
    """JSON has one kind of number: 2.0 is the integer 2."""
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < INTEGER_MAX:
        return int(value)
    return value


def _misfits(error: ValidationError, known: Iterable[str]) -> Iterator[str]:
    for each in error.errors(include_url=False)[:REASONS_MAX]:
        place = _place(each["loc"])
        if each["type"] == "missing":
            yield f"argument {place!r} is missing"
        elif each["type"] == "extra_forbidden" and len(each["loc"]) == 1:
            yield f"there is no argument {place!r} (known: {', '.join(known) or 'none'})"
        else:
            why = each["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
            yield f"argument {place!r}: {why}, not {_shown(each['input'])}"


def _place(loc: Iterable[str | int]) -> str:
    words = (f"[{each}]" if isinstance(each, int) else f".{each}" for each in loc)
    return "".join(words).removeprefix(".")


def _shown(value: Any) -> str:
    told = repr(value)
    return told if len(told) <= GIVEN_CHARS_MAX else f"{told[: GIVEN_CHARS_MAX - 1]}…"


def _first_sentence(error: Exception) -> str:
    line = str(error).strip().splitlines()[0]
    return line.split(". Set ")[0].rstrip(".")
