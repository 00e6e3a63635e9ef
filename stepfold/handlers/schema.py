"""Does a value fit a JSON Schema? The one place that knows the jsonschema library."""

from __future__ import annotations

from typing import Any


def mismatch(value: Any, schema: dict[str, Any]) -> str | None:
    """Why `value` does not fit, with the place in it; None when it does."""
    if not schema:
        return None
    from jsonschema import Draft202012Validator, SchemaError  # noqa: PLC0415  (slow to import)

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"the schema itself is wrong: {error.message}"
    errors = sorted(Draft202012Validator(schema).iter_errors(value), key=lambda e: list(e.path))
    if not errors:
        return None
    return "; ".join(f"{_place(error.absolute_path)}{error.message}" for error in errors[:5])


def _place(path: Any) -> str:
    words = ".".join(str(word) for word in path)
    return f"{words}: " if words else ""
