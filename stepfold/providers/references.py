"""References in a JSON Schema, to definitions in the same document. Pure."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from stepfold.providers.wire import Json

NODES_MAX = 20_000
"""Of a schema without references: references to references may double with every step."""
LINKS_MAX = 50
"""References that lead from one to the next."""

_DESCRIBES = frozenset(
    {
        "$comment",
        "default",
        "deprecated",
        "description",
        "examples",
        "readOnly",
        "title",
        "writeOnly",
    }
)
_ONE = frozenset(
    {
        "additionalItems",
        "additionalProperties",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
_MANY = frozenset({"allOf", "anyOf", "items", "oneOf", "prefixItems"})
_NAMED = frozenset({"dependentSchemas", "patternProperties", "properties"})
_TOGETHER = (
    frozenset(
        {
            "additionalProperties",
            "patternProperties",
            "properties",
            "unevaluatedProperties",
        }
    ),
    frozenset({"additionalItems", "items", "prefixItems", "unevaluatedItems"}),
    frozenset({"contains", "maxContains", "minContains"}),
    frozenset({"else", "if", "then"}),
)
"""Keywords that mean something only beside the others of their own schema."""
_DEFINITIONS = frozenset({"$defs", "definitions"})


class Inlining:
    """Puts in place of each reference what it names. `cut` when something had to be left out: a
    schema that contains itself, a name of nothing, or more than the limits.
    """

    def __init__(self, root: Json) -> None:
        self._root = root
        self._nodes = 0
        self.cut = False

    def schema(self, schema: Any, within: tuple[str, ...] = ()) -> Any:
        """`within` are the references that led here."""
        if not isinstance(schema, dict):
            return schema
        self._nodes += 1
        ref = schema.get("$ref")
        own = {
            key: self._value(key, value, within)
            for key, value in schema.items()
            if key not in _DEFINITIONS and not (key == "$ref" and isinstance(ref, str))
        }
        if not isinstance(ref, str):
            return own
        target = _find(self._root, ref)
        endless = ref in within or len(within) >= LINKS_MAX or self._nodes > NODES_MAX
        if target is None or endless:
            self.cut = True
            return joined(_stub(target), own)
        return joined(self.schema(target, (*within, ref)), own)

    def _value(self, key: str, value: Any, within: tuple[str, ...]) -> Any:
        if key in _MANY and isinstance(value, list):
            return [self.schema(each, within) for each in value]
        if key in _ONE:
            return self.schema(value, within)
        if key in _NAMED and isinstance(value, dict):
            return {name: self.schema(each, within) for name, each in value.items()}
        return value


def joined(inner: Any, own: Json) -> Any:
    """Both schemas at once; what only describes is the outer one's."""
    if not own:
        return inner
    if not isinstance(inner, dict):
        return own if inner is True else {"allOf": [inner], **own}
    both = inner.keys() & own.keys() - _DESCRIBES
    apart = any(inner[key] != own[key] for key in both)
    if apart or any(_differ(inner, own, group) for group in _TOGETHER):
        return {"allOf": [inner], **own}
    return {**inner, **own}


def _differ(inner: Json, own: Json, group: frozenset[str]) -> bool:
    """Do both say something with these keywords, and not the same?"""
    one = {key: inner[key] for key in inner.keys() & group}
    other = {key: own[key] for key in own.keys() & group}
    return bool(one and other) and one != other


def _find(root: Json, ref: str) -> Any:
    """What a pointer names, None when nothing in this document."""
    if ref != "#" and not ref.startswith("#/"):
        return None  # of another document, or an anchor
    found: Any = root
    for word in unquote(ref[1:]).split("/")[1:]:
        name = word.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isdigit() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found if isinstance(found, dict | bool) else None


def _stub(target: Any) -> Json:
    if not isinstance(target, dict):
        return {}
    return {key: target[key] for key in ("type", "title", "description") if key in target}
