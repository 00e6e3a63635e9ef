"""The description of Zendesk, and a server that looks like it: every request is checked against
the description itself, by code that shares nothing with what is tested.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.connections.loopback import Answer, Asked

SPEC = Path(os.environ.get("STEPFOLD_DATA", "../shared/data")) / "specs" / "zendesk.yaml"
needs_zendesk = pytest.mark.skipif(
    not SPEC.is_file(), reason=f"{SPEC} is absent; set STEPFOLD_DATA"
)


@cache
def document() -> dict[str, Any]:
    """As it was written, but for what 3.0 says in other words than JSON Schema does."""

    class Loader(yaml.CSafeLoader):
        pass

    Loader.yaml_implicit_resolvers = {
        first: [each for each in resolvers if each[0] != "tag:yaml.org,2002:value"]
        for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }
    read = yaml.load(SPEC.read_text(), Loader=Loader)
    told: dict[str, Any] = json.loads(json.dumps(read, default=str))
    _widen(told["components"]["schemas"])
    return told


def _widen(schema: Any) -> None:
    """`nullable` lets null in."""
    if isinstance(schema, dict):
        if schema.pop("nullable", False) is True and isinstance(schema.get("type"), str):
            schema["type"] = [schema["type"], "null"]
        for each in schema.values():
            _widen(each)
    elif isinstance(schema, list):
        for each in schema:
            _widen(each)


def mismatches(value: Any, schema: dict[str, Any]) -> list[str]:
    root = {**schema, "components": document()["components"]}
    return [error.message for error in Draft202012Validator(root).iter_errors(value)]


class LookAlike:
    """Answers with the description's own examples, which fit its schemas; `wrong` holds what did
    not fit in requests and answers.
    """

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.served: list[str] = []

    def __call__(self, asked: Asked) -> Answer:
        parts = urlsplit(asked.target)
        found = _operation(asked.method.lower(), parts.path)
        if found is None:
            self.wrong.append(f"{asked.method} {parts.path} is not described")
            return Answer(404, {"error": "RecordNotFound"})
        operation, item, in_path = found
        wrong = [*_parameters(operation, item, in_path, parts.query), *_body(operation, asked)]
        if wrong:
            self.wrong += wrong
            return Answer(400, {"error": "Invalid", "description": wrong[0]})
        if asked.headers.get("authorization") != "Basic Ym90QGFjbWUuZXhhbXBsZS90b2tlbjp6ZW4tMQ==":
            return Answer(401, {"error": "Couldn't authenticate you"})
        self.served.append(operation["operationId"])
        return self._answer(operation)

    def _answer(self, operation: dict[str, Any]) -> Answer:
        status, response = next(
            (code, each) for code, each in operation["responses"].items() if code.startswith("2")
        )
        kind = response["content"]["application/json"]
        example = _follow(next(iter(kind["examples"].values())))["value"]
        self.wrong += [f"answer: {why}" for why in mismatches(example, kind["schema"])]
        return Answer(int(status), example)


def _operation(method: str, path: str) -> tuple[dict[str, Any], dict[str, Any], Any] | None:
    """The operation that a path is of; one without placeholders goes before one with them."""
    paths = document()["paths"]
    for template in sorted(paths, key=lambda each: each.count("{")):
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(template))
        found = re.fullmatch(pattern, path)
        if found and method in paths[template]:
            values = {name: unquote(value) for name, value in found.groupdict().items()}
            return paths[template][method], paths[template], values
    return None


def _parameters(
    operation: dict[str, Any], item: dict[str, Any], in_path: dict[str, str], query: str
) -> Iterator[str]:
    told = [
        _follow(each) for each in [*item.get("parameters", ()), *operation.get("parameters", ())]
    ]
    known = {(each["name"], each["in"]): each for each in told}
    given = {("path", name): value for name, value in in_path.items()}
    given |= {("query", name): value for name, value in parse_qsl(query, keep_blank_values=True)}
    for (where, name), text in given.items():
        if (name, where) not in known:
            yield f"{where} parameter {name!r} is not described"
            continue
        schema = known[name, where].get("schema", {})
        if all(mismatches(value, schema) for value in _readings(text)):
            yield f"{where} parameter {name!r} = {text!r} does not fit"
    for (name, where), each in known.items():
        if each.get("required") and where == "query" and (where, name) not in given:
            yield f"{where} parameter {name!r} is missing"


def _readings(text: str) -> list[Any]:
    """What a text in a URL may stand for."""
    try:
        return [json.loads(text), text]
    except ValueError:
        return [text]


def _body(operation: dict[str, Any], asked: Asked) -> Iterator[str]:
    if "requestBody" not in operation:
        if asked.body:
            yield "a body where none is described"
        return
    content = operation["requestBody"]["content"]
    kind = asked.headers.get("content-type", "")
    if kind not in content:
        yield f"content type {kind!r} is not described"
        return
    yield from mismatches(json.loads(asked.body), content[kind]["schema"])


def _follow(value: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in value:
        found: Any = document()
        for word in value["$ref"].split("/")[1:]:
            found = found[word]
        value = found
    return value
