"""Discriminators: which schemas a schema may stand for, and by which value they are told apart."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from stepfold.tools.openapi.findings import within
from stepfold.tools.openapi.reading import Json

SCHEMAS = "#/components/schemas"


class Subtypes:
    def __init__(self, document: Json) -> None:
        components = document.get("components")
        schemas = components.get("schemas") if isinstance(components, dict) else None
        self._schemas: Json = schemas if isinstance(schemas, dict) else {}

    def of(self, discriminator: Json, place: str) -> Sequence[str]:
        """References to the schemas that build on the one at `place`."""
        named = tuple(self.tags(discriminator))
        return named or tuple(self._children.get(place, ()))

    def tags(self, discriminator: Json) -> dict[str, str]:
        """The value that stands for each reference, where the description says so."""
        mapping = discriminator.get("mapping")
        told: dict[str, str] = {}
        for value, name in mapping.items() if isinstance(mapping, dict) else ():
            if isinstance(name, str):
                reference = within(SCHEMAS, name) if name in self._schemas else name
                told.setdefault(reference, str(value))
        return told

    @cached_property
    def _children(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, schema in self._schemas.items():
            parts: Any = schema.get("allOf") if isinstance(schema, dict) else None
            for part in parts if isinstance(parts, list) else ():
                if isinstance(part, dict) and isinstance(part.get("$ref"), str):
                    found.setdefault(part["$ref"], []).append(within(SCHEMAS, name))
        return found
