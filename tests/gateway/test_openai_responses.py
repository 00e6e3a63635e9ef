"""Responses, as the `openai` package speaks them to a gateway on a socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio

from stepfold.events.event import MessageReceived
from tests.gateway.talker import PREAMBLE, QUESTION, QUOTE, Room, answer, talking
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    async with talking(tmp_path_factory.mktemp("room")) as made:
        yield made


@pytest.fixture
def room(open_room: Room) -> Room:
    open_room.model.begin()
    return open_room


@pytest_asyncio.fixture(loop_scope="module")
async def own_room(tmp_path: Path) -> AsyncIterator[Room]:
    """For tests that leave while the model still speaks."""
    async with talking(tmp_path) as made:
        yield made


async def ask(client: Any, input: Any = QUESTION, **more: Any) -> Any:
    return await client.responses.create(model="clerk", input=input, **more)


async def texts(room: Room, name: str) -> list[str]:
    entries = await room.home.found.log.read("acme", name)
    return [each.event.text for each in entries if isinstance(each.event, MessageReceived)]


async def test_an_answer_with_its_tools_its_usage_and_its_citations(room: Room) -> None:
    client = await room.openai()

    response = await ask(client, metadata={"a": "b"}, user="ada")

    assert response.status == "completed"
    told = [item.type for item in response.output]
    assert sorted(told[1:3]) == ["file_search_call", "mcp_call"]
    assert told[0] == told[3] == "message"
    first, *calls, last = response.output
    assert (first.phase, first.content[0].text) == ("commentary", PREAMBLE)
    assert (last.phase, last.content[0].text) == ("final_answer", answer(1))
    assert response.output_text == PREAMBLE + answer(1)
    by = {call.type: call for call in calls}
    assert by["mcp_call"].name == "order_status"
    assert json.loads(by["mcp_call"].arguments) == {"order": 17}
    assert json.loads(by["mcp_call"].output)["status"] == "shipped"
    assert by["file_search_call"].queries == ["refund first payment"]
    assert any(QUOTE in found.text for found in by["file_search_call"].results)
    (cite,) = last.content[0].annotations
    assert (cite.type, cite.filename) == ("file_citation", "trial-and-refunds.md")
    assert answer(1)[cite.index :].startswith(QUOTE)
    assert response.usage.total_tokens == 240
    assert response.usage.input_tokens_details.cached_tokens == 80
    assert response.metadata == {"a": "b"}
    assert response.user == "ada"


async def test_the_events_of_a_stream_are_those_that_the_client_knows(room: Room) -> None:
    client = await room.openai()
    room.model.may.clear()
    kinds, numbers, text = [], [], ""

    async with client.responses.stream(model="clerk", input=QUESTION) as stream:
        async for event in stream:
            kinds.append(event.type)
            numbers.append(event.sequence_number)
            if event.type == "response.output_text.delta":
                text += event.delta
                if text.endswith(answer(1)[:20]):
                    assert not room.model.may.is_set()
                    room.model.may.set()
        final = await stream.get_final_response()

    assert numbers == list(range(len(kinds)))
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert kinds.count("response.output_item.added") == 4
    assert kinds.count("response.output_item.done") == 4
    assert "response.output_text.annotation.added" in kinds
    assert text == final.output_text == PREAMBLE + answer(1)
    shown = await client.responses.retrieve(final.id)
    assert shown.output_text == final.output_text
    assert [item.id for item in shown.output] == [item.id for item in final.output]


async def test_a_response_goes_on_from_the_one_before(room: Room) -> None:
    client = await room.openai()

    first = await ask(client)
    second = await ask(client, "And now?", previous_response_id=first.id)
    shown = await client.responses.retrieve(second.id)

    assert second.conversation.id == first.conversation.id
    assert second.output_text.endswith(answer(2))
    assert shown.output == second.output
    assert shown.usage == second.usage
    assert shown.previous_response_id == first.id
    assert await texts(room, first.conversation.id) == [QUESTION, "And now?"]


async def test_from_a_response_that_was_left_behind_another_conversation_begins(
    room: Room,
) -> None:
    client = await room.openai()
    first = await ask(client)
    second = await ask(client, "And now?", previous_response_id=first.id)

    fork = await ask(client, "Or then?", previous_response_id=first.id)

    assert fork.conversation.id != second.conversation.id
    (text,) = await texts(room, fork.conversation.id)
    assert f"> {QUESTION}" in text
    assert "And now?" not in text
    assert text.endswith("Now:\n\nOr then?")


async def test_a_client_that_keeps_the_history_itself_goes_on_too(room: Room) -> None:
    client = await room.openai()
    history: list[Any] = [{"role": "user", "content": QUESTION}]
    names = []

    for turn in range(3):
        response = await ask(client, history, store=False, instructions="Be kind.")
        names.append(response.conversation.id)
        history += [item.model_dump(exclude_none=True) for item in response.output]
        history.append({"role": "user", "content": f"And {turn}?"})

    assert names[0] != names[1] == names[2]
    assert (await texts(room, names[1]))[1:] == ["And 1?"]


async def test_a_response_that_is_not_stored_cannot_be_asked_for(room: Room) -> None:
    client = await room.openai()

    response = await ask(client, store=False)

    assert response.store is False
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(response.id)
    with pytest.raises(openai.NotFoundError):
        await ask(client, "And?", previous_response_id=response.id)


async def test_a_response_of_another_customer_is_not_there(room: Room) -> None:
    client = await room.openai()
    response = await ask(client)
    stranger = client.with_options(api_key=await room.home.key("other"))

    for attempt in (
        stranger.responses.retrieve(response.id),
        stranger.responses.cancel(response.id),
        ask(stranger, "And?", previous_response_id=response.id),
    ):
        with pytest.raises(openai.NotFoundError):
            await attempt


async def test_a_response_in_the_background_is_asked_for_and_cancelled(own_room: Room) -> None:
    client = await own_room.openai()
    own_room.model.may.clear()

    response = await ask(client, background=True)
    await own_room.model.hangs.wait()
    running = await client.responses.retrieve(response.id)
    cancelled = await client.responses.cancel(response.id)
    again = await client.responses.cancel(response.id)

    assert response.status == running.status == "in_progress"
    assert running.output[0].type == "message"
    assert cancelled.status == again.status == "cancelled"
    own_room.model.may.set()


async def test_words_that_were_taken_back_for_others_fail_and_the_answer_is_there(
    own_room: Room,
) -> None:
    client = await own_room.openai()
    own_room.model.broken, own_room.model.instead = 1, "I do not know."
    own_room.model.may.clear()
    kinds, text, failed = [], "", None

    async for event in await ask(client, stream=True):
        kinds.append(event.type)
        text += getattr(event, "delta", "") if event.type.endswith("text.delta") else ""
        if text.endswith(answer(1)[:20]):
            own_room.model.may.set()
        failed = event

    assert kinds[-1] == "response.failed"
    assert failed is not None
    assert "taken back" in failed.response.error.message
    assert text == PREAMBLE + answer(1)[:20]

    async def done() -> Any:
        shown = await client.responses.retrieve(failed.response.id)
        return shown if shown.status == "completed" else None

    assert (await eventually(done)).output_text == PREAMBLE + "I do not know."


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"text": {"format": {"type": "json_object"}}}, "text"),
        ({"background": True, "stream": True}, "background"),
        ({"previous_response_id": "resp_1_c", "conversation": "c"}, "previous_response_id"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": ""}]}, "input[0]"),
        ({"extra_body": {"modle": "x"}}, "modle"),
    ],
)
async def test_what_is_not_done_in_responses_is_refused(
    room: Room, more: dict[str, Any], param: str
) -> None:
    client = await room.openai()

    with pytest.raises(openai.BadRequestError) as refused:
        await ask(client, **{"input": QUESTION, **more})

    assert refused.value.param == param
    assert not room.model.prompts
