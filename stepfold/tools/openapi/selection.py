"""Which operations are enabled: reads by pattern, writes by their whole name.

A pattern (`*`, `?`, `[a-z]`) is held against the name, the path and each tag. An operation whose
effect is in doubt is enabled by its whole name only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from msgspec import Struct

from stepfold.tools.openapi.operation import Catalogue, Operation


class Selection(Struct, frozen=True):
    """`problems` says what of the choice means nothing."""

    reads: tuple[Operation, ...]
    writes: tuple[Operation, ...]
    problems: tuple[str, ...] = ()


def select(catalogue: Catalogue, reads: Sequence[str], writes: Sequence[str]) -> Selection:
    problems: list[str] = []
    chosen = {
        operation.name: operation
        for pattern in reads
        for operation in _matched(catalogue, pattern, problems)
    }
    named = {operation.name: operation for operation in catalogue.operations}
    changing = []
    for name in dict.fromkeys(writes):
        operation = named.get(name)
        if operation is None:
            problems.append(f"write {name!r}: {_missing(catalogue, name)}")
        elif operation.reads and not operation.doubt:
            problems.append(f"write {name!r} is a {operation.method.upper()}: it is a read")
        elif name in chosen:
            problems.append(f"{name!r} is named as a read and as a write: name it once")
        else:
            changing.append(operation)
    return Selection(_ordered(catalogue, chosen), tuple(changing), tuple(problems))


def matches(operation: Operation, pattern: str) -> bool:
    return any(
        fnmatchcase(text, pattern) for text in (operation.name, operation.path, *operation.tags)
    )


def _matched(catalogue: Catalogue, pattern: str, problems: list[str]) -> Iterator[Operation]:
    found = [operation for operation in catalogue.operations if matches(operation, pattern)]
    whole = [operation for operation in found if operation.name == pattern]
    if whole and not whole[0].reads and not whole[0].doubt:
        method = whole[0].method.upper()
        problems.append(f"read {pattern!r} is a {method}, a write: --write {pattern}")
        return
    good = whole or [each for each in found if each.reads and not each.doubt]
    if not good:
        problems.append(f"read {pattern!r}: {_nothing(catalogue, pattern, found)}")
    yield from good


def _nothing(catalogue: Catalogue, pattern: str, found: Sequence[Operation]) -> str:
    if not found:
        return _missing(catalogue, pattern)
    names = ", ".join(operation.name for operation in found[:5])
    return f"it matches no plain read, only {names}: name each by --write, or by --read if it reads"


def _missing(catalogue: Catalogue, name: str) -> str:
    skipped = next((each for each in catalogue.skipped if each.name == name), None)
    if skipped is not None:
        return f"that operation is skipped: {skipped.reason}"
    lower = {each.lower(): each for each in catalogue.names()}
    near = get_close_matches(name.lower(), lower, n=1)
    hint = f"did you mean {lower[near[0]]!r}? " if near else ""
    return f"no such operation ({hint}--dry-run lists them)"


def _ordered(catalogue: Catalogue, chosen: dict[str, Operation]) -> tuple[Operation, ...]:
    return tuple(each for each in catalogue.operations if each.name in chosen)
