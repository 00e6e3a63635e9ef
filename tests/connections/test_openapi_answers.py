"""Answers are held against what their description says of them, as far as readers rely on it."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from stepfold.policy.schema import mismatch
from stepfold.tools.guard import Reach
from stepfold.tools.openapi import ConnectionRefused, OpenApiTool
from stepfold.tools.openapi.answers import Results
from stepfold.tools.openapi.connection import parse_connection
from stepfold.tools.openapi.openapi_tool import Way
from stepfold.tools.tool import ToolError
from stepfold.tools.unsure import Unsure
from tests.connections.loopback import Answer, answering
from tests.connections.small import Json, one

THING = {
    "type": "object",
    "required": ["id", "secret"],
    "properties": {
        "id": {"type": "integer", "readOnly": True},
        "secret": {"type": "string", "writeOnly": True},
        "state": {"type": "string", "enum": ["open", "shut"], "maxLength": 4},
        "tags": {"type": "array", "items": {"type": "string"}},
        "owner": {"oneOf": [{"type": "string"}, {"type": "object", "required": ["name"]}]},
    },
    "additionalProperties": False,
}
GOOD: Json = {"id": 7, "state": "gone since long", "tags": ["a", None], "owner": None, "new": 1}
BAD: Json = {"id": "7", "tags": ["a"]}
NOTE = "not as the description of this API says, so read it with care: id: '7' is not of type"


def responses(schema: Json, status: str = "200", media: str = "application/json") -> Json:
    return {"responses": {status: {"content": {media: {"schema": schema}}}}}


def tool(url: str, results: Results, method: str = "get", **told: Any) -> OpenApiTool:
    described = one(told or responses(THING, "2xx"), method=method)
    reach = Reach(private=(url.removeprefix("http://"),), timeout_s=2.0)
    return OpenApiTool(
        described,
        lambda who: Way(url),
        name="shop_one",
        reads=method == "get",
        reach=reach,
        results=results,
    )


async def asked(answer: Answer, results: Results, method: str = "get", **told: Any) -> Any:
    with answering(lambda asked: answer) as server:
        return await tool(server.url, results, method, **told).run({}, call="c1")


@pytest.mark.parametrize("results", ["note", "check", "off"])
async def test_what_fits_is_returned_as_it_is(results: Results) -> None:
    assert await asked(Answer(200, GOOD), results) == GOOD


async def test_what_does_not_fit_is_returned_with_a_note_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with answering(lambda asked: Answer(200, BAD)) as server:
        noting = tool(server.url, "note")
        with caplog.at_level(logging.WARNING, "stepfold.connections"):
            first, second = [await noting.run({}, call="c1") for _ in range(2)]

    assert first["answer"] == BAD
    assert first["note"].startswith(NOTE)
    assert second == first
    assert [each.name for each in caplog.records] == ["stepfold.connections"]
    assert mismatch(first, noting.spec.result) is None


async def test_where_it_is_checked_a_read_fails_and_of_a_write_nobody_is_sure() -> None:
    with pytest.raises(ToolError, match="not as its description says: id: '7' is not of type"):
        await asked(Answer(200, BAD), "check")
    with pytest.raises(Unsure, match=r"the server says that it was done \(201\)"):
        await asked(Answer(201, BAD), "check", "post")


async def test_where_nobody_looks_it_is_returned_as_it_is() -> None:
    assert await asked(Answer(200, BAD), "off") == BAD


@pytest.mark.parametrize(
    "answer",
    [
        Answer(204),
        Answer(200, b"words", {"Content-Type": "text/plain"}),
        Answer(200, b"", {"Content-Type": "application/json"}),
    ],
)
async def test_what_is_no_json_is_held_against_nothing(answer: Answer) -> None:
    told = await asked(answer, "check")

    assert "note" not in told


async def test_an_answer_of_a_status_that_is_not_described_is_held_against_nothing() -> None:
    assert await asked(Answer(202, BAD), "check", **responses(THING, "200")) == BAD


async def test_a_very_large_answer_is_passed_on_where_misfits_are_only_noted() -> None:
    large = {"id": "x" * 600_000}

    assert await asked(Answer(200, large), "note") == large


async def test_a_long_reason_is_cut() -> None:
    told = await asked(Answer(200, {"id": "x" * 9_000}), "note")

    assert len(told["note"]) < 500


@pytest.mark.parametrize("media", ["application/json; charset=utf-8", "application/hal+json"])
def test_any_json_is_one(media: str) -> None:
    assert one(responses(THING, media=media)).answers.keys() == {"200"}


@pytest.mark.parametrize(
    "told",
    [
        {"responses": {"404": {"content": {"application/json": {"schema": THING}}}}},
        {"responses": {"200": {"content": {"text/csv": {"schema": THING}}}}},
        {"responses": {"200": {"$ref": "#/components/responses/Gone"}}},
        responses({"$ref": "https://elsewhere.example/x.json"}),
        responses({}),
        {"responses": [1]},
    ],
)
def test_where_nothing_is_described_nothing_is_asked_and_the_operation_stays(told: Json) -> None:
    assert one(told).answers == {}


def test_what_is_checked_is_what_the_tool_promises() -> None:
    spec = tool("http://127.0.0.1:1", "check").spec

    assert mismatch(GOOD, spec.result) is None
    assert mismatch({"status": 204}, spec.result) is None
    assert mismatch(BAD, spec.result) is not None


def test_the_file_says_what_becomes_of_them() -> None:
    assert parse_connection("", "x.toml").results == "note"
    assert parse_connection('results = "check"', "x.toml").results == "check"
    with pytest.raises(ConnectionRefused, match=r"x\.toml:1: results: Invalid enum value 'chekc'"):
        parse_connection('results = "chekc"', "x.toml")
