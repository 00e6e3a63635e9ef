"""What the good answers of an operation are, as far as those who read them rely on it.

Kept are types, properties, which of those are always there, and what is in a list. Left out is
what servers change without a word: values, lengths, patterns, formats and further properties. null
fits everywhere, because descriptions forget it more often than not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from stepfold.policy.schema import mismatch
from stepfold.tools.openapi.findings import Findings, within
from stepfold.tools.openapi.reading import Json
from stepfold.tools.openapi.references import LostReference, References, RemoteReference
from stepfold.tools.openapi.subtypes import Subtypes
from stepfold.tools.openapi.trimming import Trimming

Results = Literal["note", "check", "off"]
"""What becomes of an answer that is not as described: it is returned with a note of that, or it is
refused, or nobody looks.
"""
STATUS: Json = {
    "type": "object",
    "properties": {"status": {"type": "integer"}},
    "required": ["status"],
}
"""What stands for an answer without a body."""
REASON_CHARS_MAX = 300
_GOOD = re.compile(r"2(\d\d|XX)", re.IGNORECASE)
_JSON = re.compile(r"application/([\w.-]+\+)?json|\*/\*", re.IGNORECASE)


class ReadAnswers:
    """What is broken in a schema asks nothing; it is told when an answer does not fit the rest."""

    def __init__(self, references: References, subtypes: Subtypes) -> None:
        self._references = references
        self._trimming = Trimming(references, subtypes, Findings(), hides="writeOnly")

    def read(self, told: Json, place: str) -> dict[str, Json]:
        """The schemas of an operation's good answers that are JSON, by status: `200`, `2XX`."""
        responses = told.get("responses")
        found = {}
        for status, each in responses.items() if isinstance(responses, dict) else ():
            if _GOOD.fullmatch(str(status)):
                schema = self._schema(each, within(place, "responses", status))
                if schema:
                    found[str(status).upper()] = schema
        return found

    def _schema(self, told: Any, place: str) -> Json:
        try:
            response, at = self._references.follow(told, place)
            for media, each in _contents(response):
                if isinstance(each, dict) and "schema" in each:
                    where = within(at, "content", media, "schema")
                    return relied_on(self._trimming.trim(each["schema"], where).schema)
        except (LostReference, RemoteReference):
            pass
        return {}


def misfit(answer: Any, answers: Mapping[str, Json], status: int) -> str:
    """Why an answer with that status is not as described; empty where it is, or nobody says."""
    schema = answers.get(str(status)) or answers.get("2XX")
    why = mismatch(answer, schema) if schema else None
    if not why:
        return ""
    return why if len(why) <= REASON_CHARS_MAX else why[: REASON_CHARS_MAX - 1] + "…"


def relied_on(schema: Json) -> Json:
    """What of a schema is held against answers."""
    told: Json = {key: schema[key] for key in ("type", "required") if key in schema}
    if "properties" in schema:
        told["properties"] = {name: _or_null(each) for name, each in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict) and (inner := _or_null(schema[key])):
            told[key] = inner
    branches = [_or_null(each) for each in schema.get("anyOf", ())]
    if branches and all(branches):
        told["anyOf"] = branches
    return told


def _or_null(schema: Json) -> Json:
    told = relied_on(schema)
    if "type" in told:
        types = told["type"] if isinstance(told["type"], list) else [told["type"]]
        told["type"] = list(dict.fromkeys([*types, "null"]))
    if "anyOf" in told:
        told["anyOf"] = [*told["anyOf"], {"type": "null"}]
    return told


def _contents(response: Any) -> Iterator[tuple[str, Any]]:
    content = response.get("content") if isinstance(response, dict) else None
    for media, each in content.items() if isinstance(content, dict) else ():
        if _JSON.fullmatch(str(media).partition(";")[0].strip()):
            yield str(media), each
