"""What a contact thinks of an answer: recorded once under one key."""

from __future__ import annotations

import httpx2

from stepfold.events.event import FeedbackGiven
from tests.gateway.house import House, heard

PATH = "/v1/conversations/c1/feedback"
KEY = {"Idempotency-Key": "f-1"}
GOOD, BAD = {"turn": 1, "rating": "good"}, {"turn": 1, "rating": "bad"}


async def answered(home: House) -> httpx2.AsyncClient:
    await home.work()
    client = await home.client()
    body = {"conversation": "c1", "text": "What does the Team plan cost?"}
    begun = (await client.post("/v1/conversations", json=body)).json()
    await heard(client, begun["events"])
    return client


async def ratings(home: House) -> list[str]:
    events = [entry.event for entry in await home.found.log.read("acme", "c1")]
    return [each.rating for each in events if isinstance(each, FeedbackGiven)]


async def test_the_same_key_and_body_is_the_same_rating(home: House) -> None:
    client = await answered(home)

    first = await client.post(PATH, json=GOOD, headers=KEY)
    await client.post(PATH, json=BAD)
    again = await client.post(PATH, json=GOOD, headers=KEY)

    assert (first.status_code, again.json()) == (201, first.json())
    assert await ratings(home) == ["good", "bad"]


async def test_another_rating_under_the_same_key_is_refused(home: House) -> None:
    client = await answered(home)
    await client.post(PATH, json=GOOD, headers=KEY)

    refused = await client.post(PATH, json=BAD, headers=KEY)

    assert (refused.status_code, refused.json()["title"]) == (409, "Id used again")
    assert await ratings(home) == ["good"]


async def test_what_was_not_answered_is_not_rated(home: House) -> None:
    client = await answered(home)

    refused = await client.post(PATH, json={**GOOD, "turn": 2})

    assert refused.status_code == 409
    assert "turn 2" in refused.json()["detail"]
