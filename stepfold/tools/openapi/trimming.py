"""Schemas of a description as a model is shown them: whole in themselves, and small.

References are put in their place, a schema that contains itself is cut there, the parts of an
`allOf` become one. Examples, extensions, what only the server fills in (`readOnly`) and optional
properties that are deprecated are left out; texts, long lists of values and depth are cut. What is
shown asks less than the description, never more: the server has the last word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from msgspec import Struct

from stepfold.tools.openapi.brief import brief, compact
from stepfold.tools.openapi.findings import Findings, within
from stepfold.tools.openapi.keywords import LEFT_OUT, Part, cut_enum, plain
from stepfold.tools.openapi.reading import Json, called
from stepfold.tools.openapi.references import LostReference, References, local
from stepfold.tools.openapi.subtypes import Subtypes

DEPTHS = (7, 6, 5, 4, 3, 2)
"""Levels of a schema that are shown: the first of these with which it is small enough."""
CHARACTERS_MAX = 8_000
VALUES_MAX = 4_000
PROPERTIES_MAX = 80
BRANCHES_MAX = 8
DESCRIPTION_CHARS_MAX = 140


class Source(Struct, frozen=True):
    """A schema as it was written, where, and the references that led there."""

    schema: Any
    place: str
    through: frozenset[str] = frozenset()


class Trimmed(Struct, frozen=True):
    """`cut` says what was left out for its size."""

    schema: Json
    cut: str = ""


class Trimming:
    """`hides` is the keyword of properties that are left out. RemoteReference: a schema refers to
    what is not in the description.
    """

    def __init__(
        self,
        references: References,
        subtypes: Subtypes,
        findings: Findings,
        *,
        hides: Literal["readOnly", "writeOnly"] = "readOnly",
    ) -> None:
        self._hides = hides
        self._references = references
        self._subtypes = subtypes
        self._findings = findings
        self._depth_max = DEPTHS[0]
        self._left = VALUES_MAX

    def trim(self, schema: Any, place: str) -> Trimmed:
        told: Json = {}
        for depth in DEPTHS:
            self._depth_max, self._left = depth, VALUES_MAX
            told = self._shape([Source(schema, place)], 1)
            if self._left >= 0 and len(compact(told)) <= CHARACTERS_MAX:
                cut = "" if depth == DEPTHS[0] else f"more than {depth} levels deep is left out"
                return Trimmed(told, cut)
        return Trimmed(
            told, f"more than {DEPTHS[-1]} levels deep is left out, and it is long still"
        )

    # -- one schema -----------------------------------------------------------------------------

    def _shape(self, sources: Sequence[Source], depth: int) -> Json:
        """One schema that says what all `sources` say."""
        self._left -= 1
        facets = [each for source in sources for each in self._facets(source)]
        parts = [Part(each.schema, each.place) for each in facets]
        if any(part.get("not") == {} for part in parts):
            return {"not": {}}
        told, note = cut_enum(plain(parts, self._findings))
        notes = [note, *(str(part["$cut"]) for part in parts if "$cut" in part)]
        deep = depth >= self._depth_max or self._left < 0
        if deep and any(part.keys() & _INNER for part in parts):
            notes.append("its details are left out here")
        elif not deep:
            told |= self._inner(facets, depth, notes)
        return _described(told, parts, notes)

    def _facets(self, source: Source, *, base: bool = False) -> Iterator[Source]:
        """The parts that a schema is made of: itself, what it refers to, and its `allOf`."""
        schema, place = source.schema, source.place
        self._left -= 1
        if schema is True or schema is None:
            return
        if schema is False:
            yield Source({"not": {}}, place)
            return
        if not isinstance(schema, dict):
            self._findings.note(place, f"{called(schema)} is no schema", "anything fits")
            return
        own = {key: value for key, value in schema.items() if key not in _WHOLE}
        if base:
            own.pop("discriminator", None)
        if own:
            yield Source(own, place, source.through)
        if isinstance(schema.get("$ref"), str):
            yield from self._referred(source, schema["$ref"], base=base)
        for number, each in enumerate(_list(schema.get("allOf"))):
            inner = Source(each, within(place, "allOf", number), source.through)
            yield from self._facets(inner, base=True)

    def _referred(self, source: Source, reference: str, *, base: bool) -> Iterator[Source]:
        place = source.place
        try:
            pointer = local(reference, place)
            target = self._references.at(pointer)
        except LostReference as error:
            self._findings.note(place, str(error), "anything fits")
            return
        if pointer in source.through or self._left < 0:
            name = pointer.rsplit("/", 1)[-1]
            told = target.get("type") if isinstance(target, dict) else None
            cut: Json = {"$cut": f"a {name}, left out here"} | ({"type": told} if told else {})
            yield Source(cut, place, source.through)
            return
        yield from self._facets(Source(target, pointer, source.through | {pointer}), base=base)

    # -- what stands in it ----------------------------------------------------------------------

    def _inner(self, facets: Sequence[Source], depth: int, notes: list[str]) -> Json:
        told = self._properties(facets, depth, notes)
        items = _inside(facets, "items")
        if items or any("array" in str(each.schema.get("type")) for each in facets):
            told["items"] = self._shape(items, depth + 1)
        for facet in facets:
            branches = self._branches(facet, depth, notes)
            if branches and "anyOf" not in told:
                told["anyOf"] = branches
        return told

    def _properties(self, facets: Sequence[Source], depth: int, notes: list[str]) -> Json:
        sources: dict[str, list[Source]] = {}
        required: dict[str, None] = {}
        for facet in facets:
            required |= dict.fromkeys(self._required(facet))
            properties = facet.schema.get("properties", {})
            if not isinstance(properties, dict):
                self._findings.note(facet.place, "properties are no mapping", LEFT_OUT)
                continue
            for name, each in properties.items():
                place = within(facet.place, "properties", name)
                sources.setdefault(name, []).append(Source(each, place, facet.through))
        told = {name: each for name, each in sources.items() if not self._hidden(each, self._hides)}
        told = {
            name: each
            for name, each in told.items()
            if name in required or not self._hidden(each, "deprecated")
        }
        kept = sorted(told, key=lambda name: name not in required)[:PROPERTIES_MAX]
        if len(kept) < len(told):
            notes.append(f"{len(told) - len(kept)} more properties are left out here")
        schema: Json = {}
        if kept:
            schema["properties"] = {name: self._shape(told[name], depth + 1) for name in kept}
        if wanted := [name for name in required if name in kept or name not in sources]:
            schema["required"] = wanted
        return schema | self._additional(facets, depth, whole=len(kept) == len(sources))

    def _required(self, facet: Source) -> Sequence[str]:
        told = facet.schema.get("required", [])
        if isinstance(told, list) and all(isinstance(name, str) for name in told):
            return told
        self._findings.note(
            within(facet.place, "required"), f"{compact(told)[:60]} is no list of names", LEFT_OUT
        )
        return ()

    def _hidden(self, sources: Sequence[Source], keyword: str) -> bool:
        return any(
            facet.schema.get(keyword) is True
            for source in sources
            for facet in self._facets(source, base=True)
        )

    def _additional(self, facets: Sequence[Source], depth: int, *, whole: bool) -> Json:
        told = [each for each in facets if "additionalProperties" in each.schema]
        if not told:
            return {}
        if any(each.schema["additionalProperties"] is False for each in told):
            speaking = [each for each in facets if each.schema.keys() & {"properties"}]
            return {"additionalProperties": False} if whole and len(speaking) <= 1 else {}
        open_ended = _inside(told, "additionalProperties")
        inner = self._shape(open_ended, depth + 1)
        return {"additionalProperties": inner} if inner else {}

    # -- one of several -------------------------------------------------------------------------

    def _branches(self, facet: Source, depth: int, notes: list[str]) -> list[Json]:
        keyword = next((key for key in ("oneOf", "anyOf") if _list(facet.schema.get(key))), "")
        schemas = _list(facet.schema.get(keyword))
        tags: dict[str, str] = {}
        sources = [
            Source(each, within(facet.place, keyword, number), facet.through)
            for number, each in enumerate(schemas)
        ]
        if isinstance(facet.schema.get("discriminator"), dict):
            tags = self._subtypes.tags(facet.schema["discriminator"])
            if not sources:
                own = self._subtypes.of(facet.schema["discriminator"], facet.place)
                through = facet.through - {facet.place}
                sources = [Source({"$ref": ref}, facet.place, through) for ref in own]
        told = [self._branch(each, facet, tags, depth) for each in sources[:BRANCHES_MAX]]
        if len(sources) > BRANCHES_MAX:
            notes.append(f"{len(sources) - BRANCHES_MAX} more forms are left out here")
            told.append({})
        return told

    def _branch(self, source: Source, facet: Source, tags: dict[str, str], depth: int) -> Json:
        if isinstance(source.schema, dict) and source.schema.get("$ref") == facet.place:
            return {}
        told = self._shape([source], depth)
        told.pop("default", None)
        reference = source.schema.get("$ref", "") if isinstance(source.schema, dict) else ""
        discriminator = facet.schema.get("discriminator")
        if isinstance(discriminator, dict) and reference and _INNER & told.keys():
            name = discriminator.get("propertyName")
            tag = tags.get(reference, reference.rsplit("/", 1)[-1])
            if isinstance(name, str):
                inner = told.get("properties", {})
                told["properties"] = {**inner, name: {"type": "string", "enum": [tag]}}
                told["required"] = list(dict.fromkeys([*told.get("required", ()), name]))
        return told


_WHOLE = frozenset({"$ref", "allOf"})
_INNER = frozenset({"additionalProperties", "anyOf", "items", "oneOf", "properties"})


def _list(told: Any) -> list[Any]:
    return told if isinstance(told, list) else []


def _inside(facets: Sequence[Source], keyword: str) -> list[Source]:
    return [
        Source(each.schema[keyword], within(each.place, keyword), each.through)
        for each in facets
        if isinstance(each.schema.get(keyword), dict | bool)
    ]


def _described(told: Json, parts: Sequence[Part], notes: Sequence[str]) -> Json:
    texts = [text for part in parts if isinstance(text := part.get("description"), str)]
    words = brief(next((text for text in texts if text.strip()), ""), DESCRIPTION_CHARS_MAX)
    note = "; ".join(dict.fromkeys(note for note in notes if note))
    if note:
        words = f"{words} ({note})".strip()
    return {**told, "description": words} if words else told
