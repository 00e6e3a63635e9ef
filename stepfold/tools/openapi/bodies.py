"""The body of a request: JSON where there is a choice, else a form; nothing else is sent."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from stepfold.tools.openapi.findings import Findings, within
from stepfold.tools.openapi.operation import Body
from stepfold.tools.openapi.parameters import Unsendable
from stepfold.tools.openapi.reading import Json
from stepfold.tools.openapi.references import LostReference, References
from stepfold.tools.openapi.trimming import Trimming

FORM = "application/x-www-form-urlencoded"
_JSON = re.compile(r"application/([^;\s]+\+)?json\s*(;.*)?|\*/\*|application/\*", re.IGNORECASE)
_WITHOUT = frozenset({"get", "head", "delete"})


class Taken(Struct, frozen=True):
    """The body of an operation, its schema and whether it must be there."""

    body: Body
    schema: Json
    required: bool
    cut: str = ""


class ReadBodies:
    def __init__(self, references: References, trimming: Trimming, findings: Findings) -> None:
        self._references = references
        self._trimming = trimming
        self._findings = findings

    def read(self, told: Any, method: str, place: str) -> Taken | None:
        """None: it takes no body. Unsendable: it takes one that nobody here can write."""
        try:
            request, place = self._references.follow(told, place)
        except LostReference as error:
            raise Unsendable(f"its body: {error}") from error
        content = request.get("content") if isinstance(request, dict) else None
        if not isinstance(content, dict) or not content:
            self._findings.note(place, "a body without content", "called without a body")
            return None
        if method in ("get", "head"):
            self._findings.note(place, f"a body in a {method.upper()}", "called without a body")
            return None
        required = request.get("required") is True
        media = _media(content)
        if not media:
            why = f"its body is {', '.join(content)}: only JSON and {FORM} can be sent"
            if required or method not in _WITHOUT:
                raise Unsendable(why)
            self._findings.note(place, why, "called without a body")
            return None
        return self._taken(media, content[media], within(place, "content", media), required)

    def _taken(self, media: str, told: Any, place: str, required: bool) -> Taken:
        kind = told if isinstance(told, dict) else {}
        if "schema" not in kind:
            self._findings.note(place, "a body without a schema", "any object fits")
        schema = kind.get("schema", {"type": "object"})
        trimmed = self._trimming.trim(schema, within(place, "schema"))
        form = media.lower().startswith(FORM)
        sent = "application/json" if "*" in media else media
        body = Body(sent, form=form, deep=_deep(kind) if form else ())
        return Taken(body, trimmed.schema, required, trimmed.cut)


def _media(content: Json) -> str:
    found = [media for media in content if _JSON.fullmatch(media)]
    found.sort(key=lambda media: ("json" not in media, media != "application/json"))
    forms = [media for media in content if media.lower().startswith(FORM)]
    return next(iter([*found, *forms]), "")


def _deep(kind: Json) -> tuple[str, ...]:
    encoding = kind.get("encoding")
    told = encoding.items() if isinstance(encoding, dict) else ()
    return tuple(
        name for name, each in told if isinstance(each, dict) and each.get("style") == "deepObject"
    )
