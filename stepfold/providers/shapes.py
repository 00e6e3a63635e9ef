"""Does a value have a schema's shape? Enough to tell the branches of a union apart. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepfold.providers.wire import Json

TYPES: Mapping[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    type(None): "null",
    list: "array",
    dict: "object",
}


def takes_null(schema: Any) -> bool:
    return fits(None, schema)


def fits(value: Any, schema: Any) -> bool:
    """Its shape: types, constants, required and closed properties. Enough to tell branches apart,
    and no substitute for a validation.
    """
    if not isinstance(schema, dict):
        return schema is not False
    if "const" in schema and value != schema["const"]:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "type" in schema and not _is(value, schema["type"]):
        return False
    if not all(fits(value, each) for each in schema.get("allOf", ())):
        return False
    for branches in (schema.get("anyOf"), schema.get("oneOf")):
        if branches and not any(fits(value, each) for each in branches):
            return False
    return _inside_fits(value, schema)


def _inside_fits(value: Any, schema: Json) -> bool:
    if isinstance(value, list):
        return all(fits(each, schema.get("items", True)) for each in value)
    if not isinstance(value, dict):
        return True
    properties = schema.get("properties", {})
    if not value.keys() >= set(schema.get("required", ())):
        return False
    if schema.get("additionalProperties") is False and not value.keys() <= properties.keys():
        return False
    return all(fits(each, properties.get(name, True)) for name, each in value.items())


def _is(value: Any, types: Any) -> bool:
    told = TYPES.get(type(value), "")
    wanted = types if isinstance(types, list) else [types]
    if isinstance(value, float) and value.is_integer() and "integer" in wanted:
        return True
    return told in wanted or (told == "integer" and "number" in wanted)
