"""`$ref`: found when it is needed, and only in the description itself."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from stepfold.tools.openapi.reading import Json

HOPS_MAX = 50
"""References that lead to references."""


class RemoteReference(Exception):
    """What stands elsewhere is never fetched; the text says what is referred to, and from where."""


class LostReference(Exception):
    """It leads nowhere; the text says what is referred to."""


class References:
    def __init__(self, document: Json) -> None:
        self._document = document

    def follow(self, value: Any, place: str) -> tuple[Any, str]:
        """What `value` refers to, and where that stands; both as given when it is no reference."""
        for _ in range(HOPS_MAX):
            if not (isinstance(value, dict) and isinstance(value.get("$ref"), str)):
                return value, place
            place = local(value["$ref"], place)
            value = self.at(place)
        raise LostReference(f"{place} refers on and on")

    def at(self, pointer: str) -> Any:
        found: Any = self._document
        for word in pointer.split("/")[1:]:
            name = unquote(word).replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and name in found:
                found = found[name]
            elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            else:
                raise LostReference(f"{pointer} is not there")
        return found


def local(reference: str, place: str) -> str:
    """The pointer that a reference is. RemoteReference, LostReference: it is none."""
    if reference == "#" or reference.startswith("#/"):
        return reference
    if reference.startswith("#"):
        raise LostReference(f"{reference} is an anchor, which is not supported")
    raise RemoteReference(
        f"{place} refers to {reference!r}, outside the description: bundle it into one file first"
    )
