"""Small descriptions, written where a test needs them."""

from __future__ import annotations

import json
from typing import Any

from stepfold.tools.openapi import Catalogue, Operation, catalogue, parse_description
from stepfold.tools.openapi.findings import Finding

Json = dict[str, Any]


def described(paths: Json, **more: Any) -> Json:
    told: Json = {"openapi": "3.0.3", "info": {"title": "Shop", "version": "1"}, "paths": paths}
    return {**told, "servers": [{"url": "https://shop.example"}], **more}


def read(document: Any) -> tuple[Catalogue, list[Finding]]:
    """The catalogue of a description, and what was found."""
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    description = parse_description(raw)
    made = catalogue(description)
    return made, list(description.findings)


def one(operation: Json, *, path: str = "/things", method: str = "get", **more: Any) -> Operation:
    """The only operation of a description that has no other."""
    made, _ = read(described({path: {method: {"operationId": "one", **operation}}}, **more))
    assert len(made.operations) == 1, made.skipped
    return made.operations[0]


def schema_of(schema: Any, **schemas: Any) -> Json:
    """How a model is shown a schema: as the body of an operation."""
    body = {"content": {"application/json": {"schema": schema}}}
    made = one({"requestBody": body}, method="post", components={"schemas": schemas})
    shown: Json = made.parameters["properties"]["body"]
    return shown


def found(document: Any) -> list[tuple[str, str]]:
    """What was found broken, without a description that is fine."""
    return [(each.broken, each.done) for each in read(document)[1]]
