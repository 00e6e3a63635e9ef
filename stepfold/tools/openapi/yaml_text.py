"""YAML of strangers as plain JSON values: the one file here that knows PyYAML.

Read by YAML's own core rules: `no`, `=` and 2024-01-01 are texts, and so is every key. Aliases are
shared, never copied; what they would unfold to is counted first, so that no bomb goes off.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

from stepfold.tools.openapi.errors import DescriptionRefused
from stepfold.tools.openapi.findings import Findings

DEPTH_MAX = 200
VALUES_MAX = 5_000_000
"""Values in a description with its aliases unfolded."""

_TAG = "tag:yaml.org,2002:"
_WORDS: Mapping[str, Any] = {"true": True, "false": False, "null": None, "~": None, "": None}


class _Loader(yaml.CSafeLoader):
    """Only what the core schema of YAML 1.2 tells apart."""


_Loader.yaml_implicit_resolvers = {}
for _kind, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]{1,400}|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?",
        list("-+0123456789."),
    ),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"{_TAG}{_kind}", re.compile(rf"^(?:{_pattern})$"), _first)


def read_yaml(text: str, findings: Findings) -> Any:
    """The document. DescriptionRefused: it is no YAML, several documents, or a bomb."""
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise DescriptionRefused(f"{line}no YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise DescriptionRefused(f"no YAML: {' '.join(str(error).split())}") from error
    return None if root is None else _Values(findings).of(root)


class _Values:
    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._made: dict[int, tuple[Any, int]] = {}
        self._open: set[int] = set()

    def of(self, node: Any) -> Any:
        return self._value(node)[0]

    def _value(self, node: Any) -> tuple[Any, int]:
        """The value, and how many values it holds when unfolded."""
        if id(node) in self._made:
            return self._made[id(node)]
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node), 1
        if id(node) in self._open:
            raise DescriptionRefused(f"{_line(node)}: an alias holds itself: write it out")
        if len(self._open) >= DEPTH_MAX:
            raise DescriptionRefused(f"{_line(node)}: nested deeper than {DEPTH_MAX} levels")
        self._open.add(id(node))
        made = self._sequence(node) if isinstance(node, yaml.SequenceNode) else self._mapping(node)
        self._open.remove(id(node))
        if made[1] > VALUES_MAX:
            raise DescriptionRefused(
                f"{_line(node)}: its aliases unfold to more than {VALUES_MAX:,} values"
            )
        self._made[id(node)] = made
        return made

    def _sequence(self, node: Any) -> tuple[Any, int]:
        parts = [self._value(each) for each in node.value]
        return [value for value, _ in parts], 1 + sum(size for _, size in parts)

    def _mapping(self, node: Any) -> tuple[Any, int]:
        told: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        size = 1
        for name, inner in node.value:
            value, inner_size = self._value(inner)
            size += inner_size
            if name.tag == f"{_TAG}merge":
                for each in _mappings(value, name):
                    merged = {**each, **merged}
                continue
            key = self._key(name)
            if key in told:
                self._findings.note(_line(name), f"{key!r} stands twice", "the last one counts")
            told[key] = value
        return {**merged, **told}, size

    def _key(self, node: Any) -> str:
        if isinstance(node, yaml.ScalarNode):
            return str(node.value)
        raise DescriptionRefused(f"{_line(node)}: a key is a list or a mapping: write a text")


def _mappings(value: Any, at: Any) -> Iterator[dict[str, Any]]:
    for each in value if isinstance(value, list) else [value]:
        if not isinstance(each, dict):
            raise DescriptionRefused(f"{_line(at)}: << merges mappings, and this is none")
        yield each


def _scalar(node: Any) -> Any:
    kind, text = node.tag.removeprefix(_TAG), node.value
    read: Callable[[str], Any] | None = _READ.get(kind)
    try:
        return text if read is None else read(text)
    except (KeyError, ValueError):
        return text


def _int(text: str) -> int:
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


_READ: Mapping[str, Callable[[str], Any]] = {
    "null": lambda text: _WORDS[text.lower()],
    "bool": lambda text: _WORDS[text.lower()],
    "int": _int,
    "float": float,
}


def _line(node: Any) -> str:
    return f"line {node.start_mark.line + 1}"
