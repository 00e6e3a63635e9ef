"""The same message once; what is wrong with a request, said so that it can be mended."""

from __future__ import annotations

import asyncio
import json
import re

import httpx2
import pytest
from starlette.requests import Request

from stepfold.gateway.doors import BODY_BYTES_MAX
from stepfold.gateway.problems import problem
from stepfold.gateway.refusals import FrontRefused
from tests.gateway.house import House

PATH = "/v1/conversations/c1/messages"
KEY = {"Idempotency-Key": "m-1"}


async def begin(home: House) -> httpx2.AsyncClient:
    client = await home.client()
    await client.post("/v1/conversations", json={"conversation": "c1"})
    return client


async def steps(home: House, conversation: str = "c1") -> int:
    return len(await home.found.log.read("acme", conversation))


# -- the same message -----------------------------------------------------------------------------


async def test_the_same_key_and_body_is_the_same_message(home: House) -> None:
    client = await begin(home)

    answers = [await client.post(PATH, json={"text": "Hi"}, headers=KEY) for _ in range(3)]

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["position"] for answer in answers}) == 1
    assert await steps(home) == 2


async def test_another_body_under_the_same_key_is_refused(home: House) -> None:
    client = await begin(home)
    await client.post(PATH, json={"text": "Hi"}, headers=KEY)

    for body in ({"text": "Bye"}, {"text": "Hi", "language": "de"}, {"text": "Hi", "contact": "b"}):
        refused = await client.post(PATH, json=body, headers=KEY)

        assert (refused.status_code, refused.json()["title"]) == (409, "Id used again")
    assert await steps(home) == 2


async def test_two_gateways_that_get_it_at_once_record_it_once(home: House) -> None:
    client = await begin(home)
    other = await home.client(url=await home.open_gateway())

    answers = await asyncio.gather(
        *(each.post(PATH, json={"text": "Hi"}, headers=KEY) for each in (client, other) * 5)
    )

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["position"] for answer in answers}) == 1
    assert await steps(home) == 2


async def test_a_conversation_begun_twice_under_one_key_is_one(home: House) -> None:
    client = await home.client()
    body = {"text": "Hi", "contact": "ada"}

    first = await client.post("/v1/conversations", json=body, headers=KEY)
    again = await client.post("/v1/conversations", json=body, headers=KEY)
    other = await client.post("/v1/conversations", json={**body, "text": "Bye"}, headers=KEY)
    strange = await client.post("/v1/conversations", json={"text": "Hi"}, headers=KEY)

    assert first.json() == again.json()
    assert (other.status_code, strange.status_code) == (409, 409)


async def test_without_a_key_the_same_words_are_said_twice(home: House) -> None:
    client = await begin(home)

    for _ in range(2):
        await client.post(PATH, json={"text": "Hi"})

    assert await steps(home) == 3


# -- problems -------------------------------------------------------------------------------------


WRONG = {
    b"{": "Invalid JSON",
    b"[]": "object",
    b"{}": "text: it is missing",
    b'{"text": ""}': "text: it is empty: write something",
    b'{"text": " \\n"}': "text: nothing but space is no message: say something",
    b'{"text": 1}': "text: Input should be a valid string",
    b'{"text": "x", "customer": "other"}': (
        "customer: there is no such key here (known: text, contact, language)"
    ),
    b'{"text": "x", "language": "no language"}': "language: write it as ^(",
    b"\xff": "Invalid JSON",
}


async def test_a_wrong_body_is_told_where_it_is_wrong(home: House) -> None:
    client = await begin(home)
    headers = {"Content-Type": "application/json"}

    told = {body: await client.post(PATH, content=body, headers=headers) for body in WRONG}

    assert {each.status_code for each in told.values()} == {422}
    for body, said in WRONG.items():
        assert said in told[body].json()["detail"]
    assert await steps(home) == 1


async def test_a_problem_has_the_form_of_rfc_9457(home: House) -> None:
    client = await home.client()

    refused = await client.get("/v1/conversations/none", headers={"X-Request-Id": "r-1"})

    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["x-request-id"] == "r-1"
    assert refused.json() == {
        "type": "urn:stepfold:problem:no-such-conversation",
        "title": "No such conversation",
        "status": 404,
        "detail": "there is no conversation 'none': GET /v1/conversations lists those of this key's"
        " customer, POST begins one",
        "instance": "urn:request:r-1",
    }


def test_a_command_for_who_has_the_log_is_a_door_for_who_calls() -> None:
    refused = FrontRefused(409, "Not possible now", "it is over; see `stepfold show acme/c1`")

    told = json.loads(bytes(problem(refused, Request({"type": "http"})).body))

    assert told["detail"] == "it is over; see GET /v1/conversations/c1/steps"


async def test_a_client_of_openai_reads_why_there_is_no_door(home: House) -> None:
    client = await home.client()

    refused = await client.post("/v1/embeddings", json={"input": "Hi"})

    assert refused.status_code == 404
    assert refused.json()["error"]["message"].startswith("POST /v1/embeddings: ")


NOT_THERE = {
    "GET /nothing": 404,
    "GET /v1/conversations/": 404,
    "GET /v1/conversations/a%20b": 404,
    "GET /v1/conversations/*/events": 404,
    "DELETE /v1/conversations": 405,
    "HEAD /v1/conversations/c1/events": 405,
    "GET /v1/conversations?limit=0": 422,
    "GET /v1/conversations?limit=x": 422,
    "GET /v1/conversations?limit=1&limit=2": 422,
    "GET /v1/conversations?customer=other": 422,
    f"GET /v1/conversations?after={'9' * 30}": 422,
    "GET /v1/conversations/c1/events?until=tomorrow": 422,
}


async def test_what_is_not_there_is_a_problem_too(home: House) -> None:
    client = await begin(home)

    told = {each: await client.request(*each.split(" ")) for each in NOT_THERE}

    assert {each: answer.status_code for each, answer in told.items()} == NOT_THERE
    for answer in told.values():
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.status_code != 405 or answer.headers["allow"]


@pytest.mark.parametrize("announced", [True, False])
async def test_a_large_body_is_not_read_to_its_end(home: House, *, announced: bool) -> None:
    client = await begin(home)
    body = b'{"text": "' + b"x" * BODY_BYTES_MAX + b'"}'

    async def pieces() -> object:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    refused = await client.post(
        PATH,
        content=body if announced else pieces(),  # type: ignore[arg-type]
        headers={"Content-Type": "application/json"},
    )

    assert refused.status_code == 413
    assert await steps(home) == 1


async def test_a_body_that_says_it_is_no_json_is_refused(home: House) -> None:
    client = await begin(home)

    refused = await client.post(PATH, data={"text": "Hi"})

    assert refused.status_code == 415


async def test_a_log_that_is_away_is_a_problem_that_passes(
    home: House, caplog: pytest.LogCaptureFixture
) -> None:
    client = await begin(home)
    await home.found.client.close()

    said = await client.post(PATH, json={"text": "Hi"})
    ready = await client.get("/readyz")
    alive = await client.get("/healthz")

    assert (said.status_code, ready.status_code, alive.status_code) == (503, 503, 200)
    assert said.headers["retry-after"]
    assert said.json()["detail"] == "the log is away: try again later"
    assert re.search("the log is away .*, server ", caplog.text)
