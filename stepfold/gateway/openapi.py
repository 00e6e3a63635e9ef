"""OpenAPI 3.1 of the doors, made from the doors: nothing here has to be kept in step by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus

import msgspec
from pydantic import BaseModel

from stepfold import __version__
from stepfold.gateway.doors import About, Answer, Door, Json, Parameter
from stepfold.gateway.problems import MEDIA, Problem, problem

COMPONENTS = "#/components/schemas/{name}"
MEANINGS: Mapping[int, str] = {
    400: "Malformed.",
    401: "No key was shown, or none that is good.",
    403: "The key or token is not for this, or not for this site.",
    404: "There is none of this name for this caller.",
    408: "The body came too slowly.",
    405: "Not with this method.",
    409: "Not as things stand now.",
    413: "The body is too large.",
    415: "The body is no JSON.",
    422: "Something in it is wrong; `detail` says what.",
    429: "Too often: try again after `Retry-After` seconds.",
    500: "The gateway failed; its log knows the request's id.",
    503: "The log, or what keeps the views, is away: try again later.",
}
ALWAYS = (429, 500, 503)
SHOWN = (401, 403)
ABOUT = (
    "Conversations with agents whose every step is an event on a log. Show a key"
    " (`stepfold key create`) as `Authorization: Bearer sfk_…`: whose conversations they are"
    " follows from the key. Errors are RFC 9457 problem details."
)


def document(doors: Iterable[Door]) -> Json:
    told = [(door, door.about) for door in doors if door.about is not None]
    shapes = {
        answer.shape for _, about in told for answer in about.answers.values() if answer.shape
    }
    _, schemas = msgspec.json.schema_components((*shapes, Problem), ref_template=COMPONENTS)
    paths: dict[str, Json] = {}
    for door, about in told:
        if about.body is not None:
            schemas |= _body(about.body)
        paths.setdefault(door.path, {})[door.method.lower()] = _operation(door, about)
    return {
        "openapi": "3.1.0",
        "info": {"title": "stepfold", "version": __version__, "description": ABOUT},
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key (`sfk_…`) or a visitor's token (`sfv_…`).",
                }
            },
        },
    }


def _body(shape: type[BaseModel]) -> dict[str, Json]:
    schema = shape.model_json_schema(ref_template=COMPONENTS.replace("{name}", "{model}"))
    inner: dict[str, Json] = schema.pop("$defs", {})
    return {**inner, shape.__name__: schema}


def _operation(door: Door, about: About) -> Json:
    refusals = {*about.refusals, *ALWAYS, *(SHOWN if door.scopes else ())}
    if not door.limited:
        refusals.discard(429)
    if about.parameters or about.body:
        refusals.add(422)
    if about.body:
        refusals |= {408, 413, 415}
    operation: Json = {
        "operationId": about.name,
        "summary": about.summary,
        "responses": {
            **{str(status): _answer(status, each) for status, each in about.answers.items()},
            **{str(status): _refusal(door, status) for status in sorted(refusals)},
        },
        "security": [{"key": []}] if door.scopes else [],
    }
    needs = f"Needs one of the scopes: {', '.join(door.scopes)}." if door.scopes else ""
    if text := " ".join(filter(None, (about.meaning, needs))):
        operation["description"] = text
    if about.tag:
        operation["tags"] = [about.tag]
    if about.parameters:
        operation["parameters"] = [_parameter(each) for each in about.parameters]
    if about.body is not None:
        content: Json = {"schema": {"$ref": COMPONENTS.format(name=about.body.__name__)}}
        if about.example is not None:
            content["example"] = about.example
        needed = any(field.is_required() for field in about.body.model_fields.values())
        operation["requestBody"] = {"required": needed, "content": {"application/json": content}}
    return operation


def _parameter(parameter: Parameter) -> Json:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.required or parameter.place == "path",
        "description": parameter.meaning,
        "schema": parameter.schema,
    }


def _answer(status: int, answer: Answer) -> Json:
    if status == HTTPStatus.NO_CONTENT:
        return {"description": answer.meaning}
    schema: Json = {"type": "string"}
    if answer.shape is not None:
        schema = {"$ref": COMPONENTS.format(name=answer.shape.__name__)}
    elif answer.media == "application/json":
        schema = {"type": "object"}
    content: Json = {"schema": schema}
    if answer.example is not None:
        content["example"] = answer.example
    contents = {answer.media: content}
    contents |= {media: {"schema": {}} for media in answer.also}
    told: Json = {"description": answer.meaning, "content": contents}
    if answer.headers:
        told["headers"] = {
            name: {"description": meaning, "schema": {"type": "string"}}
            for name, meaning in answer.headers.items()
        }
    return told


def _refusal(door: Door, status: int) -> Json:
    content: dict[str, Json] = {MEDIA: {"schema": {"$ref": COMPONENTS.format(name="Problem")}}}
    if door.told is not problem:  # in the form of somebody else's API
        content["application/json"] = {"schema": {"type": "object"}}
    return {"description": MEANINGS[status], "content": content}
