"""Names of operations that a model may say: letters, digits, - and _, unique, and the same again
for the same description.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from stepfold.tools.openapi.findings import Findings, within

FIND, USE = "find_tool", "use_tool"
"""The names of the two tools that stand for many."""
NAME_CHARS_MAX = 48
"""With the connection's name before it, a tool's name has at most 64."""
ARGUMENT_CHARS_MAX = 64
_ODD = re.compile(r"[^A-Za-z0-9_-]+")
_HASH_CHARS = 6


class Names:
    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._taken: set[str] = {FIND, USE}

    def name(self, told: Any, method: str, path: str, place: str) -> str:
        """From the operationId, else from method and path."""
        where = within(place, "operationId")
        if not isinstance(told, str) or not clean(told):
            name = self._free(clean(f"{method} {path}"), method, path)
            broken = "no operationId" if told is None else f"operationId {told!r} names nothing"
            self._findings.note(where, broken, f"named {name}, by its path")
            return name
        name = self._free(shortened(clean(told), NAME_CHARS_MAX), method, path)
        if name != told:
            self._findings.note(where, f"operationId {told[:80]!r} {_why(told)}", f"named {name}")
        return name

    def _free(self, name: str, method: str, path: str) -> str:
        """One that is not taken; two spellings that differ in case alone would be confused."""
        name = shortened(name, NAME_CHARS_MAX)
        if name.lower() in self._taken:
            name = shortened(f"{name}_{clean(f'{method} {path}')}", NAME_CHARS_MAX)
        number = 2
        free = name
        while free.lower() in self._taken:
            free = f"{name[: NAME_CHARS_MAX - 4]}_{number}"
            number += 1
        self._taken.add(free.lower())
        return free


def clean(told: str) -> str:
    return _ODD.sub("_", told).strip("_")


def shortened(name: str, characters_max: int) -> str:
    """A long name ends in a hash of all of it."""
    if len(name) <= characters_max:
        return name
    tail = hashlib.sha256(name.encode()).hexdigest()[:_HASH_CHARS]
    return f"{name[: characters_max - _HASH_CHARS - 1]}_{tail}"


def _why(told: str) -> str:
    if clean(told) != told:
        return "has characters that no tool's name may have"
    return "is too long" if len(told) > NAME_CHARS_MAX else "is taken already"
