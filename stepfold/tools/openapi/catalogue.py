"""Makes a catalogue of a description: each of its operations, or the reason why it is skipped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from stepfold.tools.openapi.answers import ReadAnswers
from stepfold.tools.openapi.bodies import ReadBodies, Taken
from stepfold.tools.openapi.brief import brief
from stepfold.tools.openapi.effects import METHODS, UNUSED, doubt
from stepfold.tools.openapi.findings import within
from stepfold.tools.openapi.names import Names
from stepfold.tools.openapi.operation import Catalogue, Operation, Skipped
from stepfold.tools.openapi.parameters import Parameters, ReadParameters, Unsendable
from stepfold.tools.openapi.reading import Description, Json
from stepfold.tools.openapi.references import LostReference, References, RemoteReference
from stepfold.tools.openapi.servers import schemes, servers
from stepfold.tools.openapi.subtypes import Subtypes
from stepfold.tools.openapi.trimming import Trimming

DESCRIPTION_CHARS_MAX = 200
ABOUT_CHARS_MAX = 800
OPERATIONS_MAX = 5_000
KNOWN = frozenset({*METHODS, *UNUSED, "$ref", "description", "parameters", "servers", "summary"})
"""What may stand in a path."""


def catalogue(description: Description) -> Catalogue:
    """What is broken goes to `description.findings`."""
    return _Cataloguing(description).all()


class _Cataloguing:
    def __init__(self, description: Description) -> None:
        self._description = description
        self._document = description.document
        self._findings = description.findings
        self._references = References(self._document)
        subtypes = Subtypes(self._document)
        trimming = Trimming(self._references, subtypes, self._findings)
        self._answers = ReadAnswers(self._references, subtypes)
        self._schemes = schemes(self._document, self._references, self._findings)
        shown = frozenset((each.where, each.name.lower()) for each in self._schemes if each.name)
        self._parameters = ReadParameters(self._references, trimming, self._findings, shown)
        self._bodies = ReadBodies(self._references, trimming, self._findings)
        self._names = Names(self._findings)
        self._skipped: list[Skipped] = []

    def all(self) -> Catalogue:
        info = self._document.get("info")
        told = info if isinstance(info, dict) else {}
        self._note_what_calls_back()
        return Catalogue(
            brief(told.get("title"), DESCRIPTION_CHARS_MAX),
            str(told.get("version", "")),
            self._description.digest,
            self._description.characters,
            servers(self._document, self._findings),
            self._schemes,
            tuple(self._operations()),
            tuple(self._skipped),
        )

    def _note_what_calls_back(self) -> None:
        if self._document.get("webhooks"):
            self._findings.note("#/webhooks", "they call you", "no operation is made of them")

    def _operations(self) -> Iterator[Operation]:
        number = 0
        for path, told in self._document["paths"].items():
            place = within("#/paths", path)
            for method, value, item in self._methods(path, told, place):
                number += 1
                if number > OPERATIONS_MAX:
                    self._findings.note(place, f"more than {OPERATIONS_MAX:,} operations", "cut")
                    return
                operation = self._operation(path, method, value, item)
                if operation is not None:
                    yield operation

    def _methods(self, path: str, told: Any, place: str) -> Iterator[tuple[str, Json, Json]]:
        if path.startswith("x-"):
            return
        try:
            item, _ = self._references.follow(told, place)
        except (LostReference, RemoteReference) as error:
            self._skip("", path, str(error))
            return
        if not isinstance(item, dict):
            self._findings.note(place, "no mapping of methods", "the path is left out")
            return
        methods = {str(key).lower(): key for key in item}
        self._note_unknown(methods, place)
        for method in (*METHODS, *UNUSED):
            if method not in methods:
                continue
            value = item[methods[method]]
            try:
                value, _ = self._references.follow(value, within(place, method))
            except (LostReference, RemoteReference) as error:
                self._skip(method, path, str(error))
                continue
            if method in UNUSED:
                self._skip(method, path, f"nobody calls {method.upper()} as a tool")
            elif isinstance(value, dict):
                yield method, value, item
            else:
                self._findings.note(within(place, method), "no operation", "left out")

    def _note_unknown(self, methods: Mapping[str, Any], place: str) -> None:
        for name, written in methods.items():
            if name in KNOWN or name.startswith("x-"):
                continue
            near = get_close_matches(name, METHODS, n=1, cutoff=0.65)
            hint = f": did you mean {near[0]}?" if near else ""
            why = f"{written!r} is no method{hint}"
            self._findings.note(within(place, str(written)), why, "left out")

    def _skip(self, method: str, path: str, reason: str) -> None:
        self._skipped.append(Skipped(f"{method} {path}".strip(), method, path, reason))

    def _operation(self, path: str, method: str, told: Json, item: Json) -> Operation | None:
        place = within("#/paths", path, method)
        name = self._names.name(told.get("operationId"), method, path, place)
        try:
            return self._read(name, self._path(path, place), method, told, item)
        except (Unsendable, RemoteReference) as error:
            self._skipped.append(Skipped(name, method, path, str(error)))
        return None

    def _path(self, path: str, place: str) -> str:
        if "#" in path or "{" in path.partition("?")[2]:
            raise Unsendable(f"its path {path} has a fragment, or a placeholder in its query")
        if "?" in path:
            self._findings.note(place, f"the path {path} has a query in it", "it is sent as it is")
        if not path.startswith("/"):
            self._findings.note(place, f"the path {path!r} begins without a slash", "one is added")
            return f"/{path}"
        return path

    def _read(self, name: str, path: str, method: str, told: Json, item: Json) -> Operation:
        place = within("#/paths", path, method)
        if own := told.get("servers") or item.get("servers"):
            raise Unsendable(
                f"it has a server of its own, {_urls(own)}: connect that one by itself"
            )
        parameters = self._parameters.read(path, self._written(told, item, path, method))
        taken = None
        if "requestBody" in told:
            taken = self._bodies.read(told["requestBody"], method, within(place, "requestBody"))
        elif method in ("post", "put", "patch"):
            self._findings.note(place, "no body is described", "called without one")
        return Operation(
            name=name,
            method=method,
            path=path,
            description=_description(told, method, path),
            tags=tuple(str(tag) for tag in _list(told.get("tags"))),
            parameters=_schema(parameters, taken),
            arguments=parameters.arguments,
            body=taken.body if taken else None,
            doubt=doubt(method, name, path),
            deprecated=told.get("deprecated") is True,
            key_header=parameters.key_header,
            cut=parameters.cut or (taken.cut if taken else ""),
            objects=self._objects(told, place),
            security=self._security(told, place),
            about=brief(told.get("description"), ABOUT_CHARS_MAX),
            answers=self._answers.read(told, place),
        )

    def _written(self, told: Json, item: Json, path: str, method: str) -> Sequence[tuple[Any, str]]:
        found = []
        for owner, place in (
            (told, within("#/paths", path, method, "parameters")),
            (item, within("#/paths", path, "parameters")),
        ):
            parameters = owner.get("parameters")
            if parameters is not None and not isinstance(parameters, list):
                self._findings.note(place, "no list of parameters", "left out")
            for number, each in enumerate(_list(parameters)):
                found.append((each, within(place, number)))
        return found

    def _objects(self, told: Json, place: str) -> bool:
        """Does every good answer hold a JSON object, as far as the description tells?"""
        responses = told.get("responses")
        good = [
            (each, within(place, "responses", status))
            for status, each in (responses.items() if isinstance(responses, dict) else ())
            if str(status).startswith("2")
        ]
        return bool(good) and all(self._object(each, at) for each, at in good)

    def _object(self, told: Any, place: str) -> bool:
        try:
            response, at = self._references.follow(told, place)
            content = response.get("content") if isinstance(response, dict) else None
            kind = content.get("application/json") if isinstance(content, dict) else None
            schema = kind.get("schema") if isinstance(kind, dict) else None
            found, _ = self._references.follow(schema, at)
        except (LostReference, RemoteReference):
            return False
        return isinstance(found, dict) and found.get("type") == "object"

    def _security(self, told: Json, place: str) -> tuple[str, ...]:
        """The schemes of which any will do."""
        wanted = told.get("security", self._document.get("security"))
        known = {scheme.id for scheme in self._schemes}
        names = [name for each in _list(wanted) if isinstance(each, dict) for name in each]
        for name in names:
            if name not in known:
                self._findings.note(
                    within(place, "security"), f"{name!r} is no security scheme", "left out"
                )
        return tuple(dict.fromkeys(name for name in names if name in known))


def _schema(parameters: Parameters, taken: Taken | None) -> Json:
    properties, required = dict(parameters.properties), list(parameters.required)
    if taken is not None:
        properties[taken.body.argument] = taken.schema
        needs = taken.schema.get("required") and not required
        if taken.required or needs:
            required.append(taken.body.argument)
    schema: Json = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    return {**schema, "additionalProperties": False}


def _description(told: Json, method: str, path: str) -> str:
    summary = brief(told.get("summary"), DESCRIPTION_CHARS_MAX)
    room = DESCRIPTION_CHARS_MAX - len(summary) - 2
    more = brief(told.get("description"), room) if room > len(summary) else ""
    if more.lower().startswith(summary.lower()):
        summary = ""
    words = ". ".join(part.rstrip(".") for part in (summary, more) if part)
    return words or f"{method.upper()} {path}"


def _urls(told: Any) -> str:
    return ", ".join(str(each.get("url")) for each in _list(told) if isinstance(each, dict))


def _list(told: Any) -> list[Any]:
    return told if isinstance(told, list) else []
