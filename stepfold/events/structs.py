"""The structs on the wire as JSON Schemas, with what their docstrings say of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from stepfold.events.event import Event, Unreadable
from stepfold.events.meanings import field_meaning, meaning
from stepfold.events.wire import ENVELOPE_VERSION, TAGS, Envelope

Json = dict[str, Any]
"""A part of a schema: open by nature."""

KINDS: Mapping[str, type[Event]] = {
    name: struct for name, struct in TAGS.items() if struct is not Unreadable
}
"""What may stand in a payload, by tag. `Unreadable` is what a reader says of one, never sent."""
BLOB = "^sha256:[0-9a-f]{64}$"


def structs(prefix: str) -> dict[str, Json]:
    """The schema of every struct on the wire, by name."""
    types = (*KINDS.values(), Envelope)
    _, found = msgspec.json.schema_components(types, ref_template=prefix + "{name}")
    classes = {struct.__name__: struct for struct in reachable(types)}
    schemas = {name: _described(schema, classes[name]) for name, schema in found.items()}
    properties = schemas["Envelope"]["properties"]
    properties["id"]["format"] = "uuid"
    properties["at"]["format"] = "date-time"
    properties["v"]["maximum"] = ENVELOPE_VERSION
    properties["blob"]["pattern"] = BLOB
    return schemas


def reachable(types: tuple[type[Struct], ...]) -> Iterator[type[Struct]]:
    for struct in types:
        yield struct
        for field in msgspec.structs.fields(struct):
            yield from _inside(msgspec.inspect.type_info(field.type))


def _inside(found: msgspec.inspect.Type) -> Iterator[type[Struct]]:
    match found:
        case msgspec.inspect.StructType(cls=struct):
            yield from reachable((struct,))
        case msgspec.inspect.UnionType(types=types):
            for each in types:
                yield from _inside(each)
        case msgspec.inspect.VarTupleType(item_type=item):
            yield from _inside(item)
        case _:
            return


def _described(schema: Json, struct: type[Struct]) -> Json:
    """The schema with the meanings in it, and without what only OpenAPI knows."""
    clean: Json = _without_discriminators(schema)
    if meaning(struct):
        clean["description"] = meaning(struct)
    for name, field in clean["properties"].items():
        if said := field_meaning(struct, name):
            field["description"] = said
    return clean


def _without_discriminators(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            name: _without_discriminators(value)
            for name, value in schema.items()
            if name != "discriminator"
        }
    if isinstance(schema, list | tuple):
        return [_without_discriminators(value) for value in schema]
    return schema


def payload(envelope: Json, whole: Json, stub: Json) -> Json:
    """An envelope with its event in it, or with a stub of it where a blob holds the event."""
    return {
        **envelope,
        "if": {"required": ["blob"]},
        "then": {"properties": {"event": stub}},
        "else": {"properties": {"event": whole}},
    }


def stub(tag: Json) -> Json:
    return {
        "type": "object",
        "properties": {"type": tag},
        "required": ["type"],
        "additionalProperties": False,
    }
