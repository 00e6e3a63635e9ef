"""Does a value fit a JSON Schema? The one place that knows the jsonschema library.

A schema is whole in itself: what it refers to elsewhere is never fetched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec

REASONS_MAX = 5
_VALUES = frozenset({"const", "default", "enum", "examples"})
"""Keywords under which no schema stands."""


def mismatch(value: Any, schema: dict[str, Any]) -> str | None:
    """Why `value` does not fit, with the place in it; None when it does."""
    if not schema:
        return None
    why = _judged(msgspec.json.encode(schema))
    if why is not None:
        return f"the schema itself is wrong: {why}"
    return "; ".join(_errors(value, schema)[:REASONS_MAX]) or None


@lru_cache(maxsize=1_000)
def _judged(raw: bytes) -> str | None:
    """`broken`, once for each schema: the same few are held against every call."""
    return broken(msgspec.json.decode(raw))


def broken(schema: Any) -> str | None:
    """Why nothing can be held against `schema`; None when it is a JSON Schema."""
    from jsonschema import Draft202012Validator, SchemaError  # noqa: PLC0415  (slow to import)

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"{_place(error.absolute_path)}{error.message}"
    lost = [ref for ref in _references(schema) if not _holds(schema, ref)]
    if lost:
        return f"{lost[0]!r} is not in it: a schema refers only to its own parts (#/$defs/name)"
    try:
        _errors(None, schema)
    except RecursionError:
        return "it refers to itself without an end"
    return None


def _errors(value: Any, schema: Any) -> Sequence[str]:
    from jsonschema import Draft202012Validator  # noqa: PLC0415
    from referencing import Registry  # noqa: PLC0415
    from referencing.exceptions import Unresolvable  # noqa: PLC0415

    validator = Draft202012Validator(schema, registry=Registry())  # it fetches nothing
    try:
        errors = sorted(validator.iter_errors(value), key=lambda e: list(e.path))
    except Unresolvable as error:
        return [f"the schema itself is wrong: {error.ref!r} is not in it"]
    return [f"{_place(error.absolute_path)}{error.message}" for error in errors]


def _references(schema: Any) -> Iterator[str]:
    """Those to be found from its root: not in a part that has an `$id` of its own."""
    parts = schema if isinstance(schema, list) else []
    if isinstance(schema, dict):
        parts = [part for name, part in schema.items() if name not in _VALUES]
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
    for part in parts:
        if not (isinstance(part, dict) and "$id" in part):
            yield from _references(part)


def _holds(schema: Any, ref: str) -> bool:
    from referencing import Registry  # noqa: PLC0415
    from referencing.exceptions import Unresolvable  # noqa: PLC0415
    from referencing.jsonschema import DRAFT202012  # noqa: PLC0415

    try:
        Registry().resolver_with_root(DRAFT202012.create_resource(schema)).lookup(ref)
    except Unresolvable:
        return False
    return True


def _place(path: Any) -> str:
    words = ".".join(str(word) for word in path)
    return f"{words}: " if words else ""
