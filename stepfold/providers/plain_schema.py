"""The part of JSON Schema that every provider with structured answers takes. Pure.

The strict form without what Anthropic refuses and Cohere does not know: bounds of numbers and
lengths. They are told in words instead, and whoever gets the answer holds it against the original.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from stepfold.providers.schemas import strict
from stepfold.providers.wire import Json

_BOUNDS = (
    "exclusiveMaximum",
    "exclusiveMinimum",
    "maxItems",
    "maximum",
    "minItems",
    "minimum",
    "multipleOf",
)


def plain(schema: Json, *, unions_max: int | None = None) -> Json | None:
    """None where there is no strict form, or one with more unions than `unions_max`."""
    told = strict(schema)
    if told is None:
        return None
    told = _without_bounds(told)
    if unions_max is not None and sum(map(_is_union, _nodes(told))) > unions_max:
        return None
    return told


def _without_bounds(schema: Json) -> Json:
    told = {key: value for key, value in schema.items() if key not in _BOUNDS}
    lost = {key: schema[key] for key in _BOUNDS if key in schema}
    if lost:
        words = ", ".join(f"{key}: {msgspec.json.encode(lost[key]).decode()}" for key in lost)
        told["description"] = f"{schema.get('description', '')} ({words})".strip()
    if "anyOf" in told:
        told["anyOf"] = [_without_bounds(each) for each in told["anyOf"]]
    if "items" in told:
        told["items"] = _without_bounds(told["items"])
    if "properties" in told:
        inside = told["properties"].items()
        told["properties"] = {name: _without_bounds(each) for name, each in inside}
    return told


def _nodes(schema: Json) -> Iterator[Json]:
    yield schema
    for inner in schema.get("anyOf", ()):
        yield from _nodes(inner)
    if "items" in schema:
        yield from _nodes(schema["items"])
    for inner in schema.get("properties", {}).values():
        yield from _nodes(inner)


def _is_union(schema: Json) -> bool:
    return "anyOf" in schema or isinstance(schema.get("type"), list)
