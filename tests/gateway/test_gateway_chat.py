"""Chat Completions, as the `openai` package speaks them to a gateway on a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio
from msgspec.structs import replace

from stepfold.events.event import ConversationStarted, MessageReceived, ToolReturned
from stepfold.policy.agent import Answers
from tests.gateway.talker import (
    CLERK,
    PREAMBLE,
    QUESTION,
    QUOTE,
    TITLE,
    Room,
    answer,
    talking,
)
from tests.waiting import eventually

SAID = f"{PREAMBLE}\n\n{answer(1)}"
ASKED = [{"role": "user", "content": QUESTION}]


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


async def ask(client: Any, messages: list[dict[str, Any]] = ASKED, **more: Any) -> Any:
    return await client.chat.completions.create(model="clerk", messages=messages, **more)


def conversation(completion: Any) -> str:
    return str(completion.id).removeprefix("chatcmpl-").rpartition(".")[0]


async def texts(room: Room, name: str) -> list[str]:
    entries = await room.home.found.log.read("acme", name)
    return [each.event.text for each in entries if isinstance(each.event, MessageReceived)]


async def test_an_answer_with_a_tool_call_its_usage_and_its_citations(room: Room) -> None:
    client = await room.openai()

    completion = await ask(client, user="ada")

    (choice,) = completion.choices
    assert choice.message.content == SAID
    assert choice.finish_reason == "stop"
    assert choice.message.tool_calls is None
    (annotation,) = choice.message.annotations
    cite = annotation.url_citation
    assert SAID[cite.start_index : cite.end_index] == QUOTE
    assert cite.title == TITLE
    assert cite.url.startswith("urn:stepfold:document:trial-and-refunds.md#char=")
    assert completion.usage.prompt_tokens == 200
    assert completion.usage.completion_tokens == 40
    assert completion.usage.prompt_tokens_details.cached_tokens == 80
    assert completion.usage.completion_tokens_details.reasoning_tokens == 10
    entries = await room.home.found.log.read("acme", conversation(completion))
    assert any(isinstance(each.event, ToolReturned) for each in entries)
    started = entries[0].event
    assert isinstance(started, ConversationStarted)
    assert (started.channel, started.contact) == ("openai", "ada")


async def test_an_answer_in_chunks_as_the_model_says_it(room: Room) -> None:
    client = await room.openai()
    room.model.may.clear()
    text, finish, usage = "", None, None
    citations: list[dict[str, Any]] = []

    stream = await ask(client, stream=True, stream_options={"include_usage": True})
    async for chunk in stream:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            citations += getattr(choice.delta, "annotations", None) or []
            finish = choice.finish_reason or finish
        usage = chunk.usage or usage
        if text.endswith(answer(1)[:20]):
            assert not room.model.may.is_set()
            room.model.may.set()

    assert text == SAID
    cite = citations[0]["url_citation"]
    assert text[cite["start_index"] : cite["end_index"]] == QUOTE
    assert finish == "stop"
    assert usage is not None
    assert usage.total_tokens == 240


async def test_a_client_that_appends_goes_on_in_one_conversation(room: Room) -> None:
    client = await room.openai()
    messages = [{"role": "system", "content": "Be kind."}, *ASKED]
    names = []

    for turn in range(4):
        completion = await ask(client, messages)
        names.append(conversation(completion))
        said = {"role": "assistant", "content": completion.choices[0].message.content}
        messages += [said, {"role": "user", "content": f"And {turn}?"}]

    assert names[1] == names[2] == names[3] != names[0]
    first, *rest = await texts(room, names[1])
    assert rest == ["And 1?", "And 2?"]
    assert "> Be kind." in first
    assert f"> {QUESTION}" in first
    assert first.endswith("Now:\n\nAnd 0?")


async def test_the_same_question_again_is_asked_anew_and_shares_nothing(room: Room) -> None:
    client = await room.openai()
    first = await ask(client)
    said = {"role": "assistant", "content": first.choices[0].message.content}
    history = [*ASKED, said, {"role": "user", "content": "Why?"}]

    names = {conversation(await ask(client)), conversation(first)}
    forks = {conversation(await ask(client, history)) for _ in range(3)}

    assert len(names) == 2
    assert len(forks) == 3
    assert names.isdisjoint(forks)


async def test_who_comes_at_the_same_instant_with_the_same_history_is_not_mixed_up(
    room: Room,
) -> None:
    client = await room.openai()
    said = {"role": "assistant", "content": "Hello!"}
    words = [f"Question {number}?" for number in range(6)]

    def history(last: str) -> list[dict[str, Any]]:
        return [*ASKED, said, {"role": "user", "content": last}]

    completions = await asyncio.gather(*(ask(client, history(last)) for last in words))

    assert len({conversation(each) for each in completions}) == len(words)
    for each, last in zip(completions, words, strict=True):
        position = int(each.id.rpartition(".")[2])
        entries = await room.home.found.log.read("acme", conversation(each))
        (mine,) = (entry.event for entry in entries if entry.position == position)
        assert isinstance(mine, MessageReceived)
        assert mine.text.endswith(f"Now:\n\n{last}")


async def test_a_history_that_the_log_does_not_know_is_told_to_the_agent(room: Room) -> None:
    client = await room.openai()
    first = await ask(client)
    said = {"role": "assistant", "content": first.choices[0].message.content}
    second = await ask(client, [*ASKED, said, {"role": "user", "content": "Why?"}])
    changed = {"role": "assistant", "content": "Never."}

    third = await ask(
        client,
        [
            *ASKED,
            said,
            {"role": "user", "content": "Why?"},
            changed,
            {"role": "user", "content": "Never?"},
        ],
    )

    assert conversation(third) not in (conversation(first), conversation(second))
    (text,) = await texts(room, conversation(third))
    assert "> Never." in text
    assert text.endswith("Now:\n\nNever?")
    assert room.model.prompts[-1].question == text


async def test_a_named_conversation_is_remembered_by_the_log(room: Room) -> None:
    client = await room.openai()

    for words in ("one", "two"):
        completion = await ask(
            client, [{"role": "user", "content": words}], metadata={"conversation": "mine"}
        )
    header = await ask(client, ASKED, extra_headers={"X-Conversation": "mine"})

    assert conversation(completion) == conversation(header) == "mine"
    assert completion.choices[0].message.content.endswith("That was message 2.")
    assert await texts(room, "mine") == ["one", "two", QUESTION]


async def test_a_message_with_a_key_of_its_own_is_said_once(room: Room) -> None:
    client = await room.openai()
    again: dict[str, Any] = {"extra_headers": {"Idempotency-Key": "k1"}}
    first = await ask(client, **again)
    said = {"role": "assistant", "content": first.choices[0].message.content}
    history = [*ASKED, said, {"role": "user", "content": "Why?"}]
    later: dict[str, Any] = {"extra_headers": {"Idempotency-Key": "k2"}}

    second = await ask(client, **again)
    third, fourth = await ask(client, history, **later), await ask(client, history, **later)

    assert (first.id, first.choices) == (second.id, second.choices)
    assert (third.id, third.choices) == (fourth.id, fourth.choices)


async def test_words_that_were_taken_back_and_said_again_are_told_once(room: Room) -> None:
    client = await room.openai()
    room.model.broken = 1
    text = ""

    async for chunk in await ask(client, stream=True):
        text += "".join(choice.delta.content or "" for choice in chunk.choices)

    assert text == SAID
    assert len(room.model.prompts) == 3


async def test_words_that_were_taken_back_for_others_end_the_stream(own_room: Room) -> None:
    client = await own_room.openai()
    own_room.model.broken, own_room.model.instead = 1, "I do not know."
    own_room.model.may.clear()
    stream = await ask(client, stream=True)
    told: list[str] = []

    async def listen() -> None:
        async for chunk in stream:
            told.extend(choice.delta.content or "" for choice in chunk.choices)
            if "".join(told).endswith(answer(1)[:20]):
                own_room.model.may.set()

    with pytest.raises(openai.APIError, match="taken back"):
        await listen()
    assert "".join(told) == f"{PREAMBLE}\n\n{answer(1)[:20]}"


async def test_where_rules_may_turn_an_answer_down_only_what_passed_is_told(
    tmp_path: Path,
) -> None:
    strict = Answers(cite=True, refusal="I cannot say.")
    agent = replace(CLERK, answers=strict)
    async with talking(tmp_path, agent) as room:
        client = await room.openai()
        room.model.instead = "They will pay, I am sure."
        text = ""

        async for chunk in await ask(client, stream=True):
            text += "".join(choice.delta.content or "" for choice in chunk.choices)

    assert text == "I cannot say."


@pytest.mark.parametrize(
    ("more", "param", "code"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "unsupported"),
        ({"n": 2}, "n", "unsupported"),
        ({"response_format": {"type": "json_object"}}, "response_format", "unsupported"),
        ({"extra_body": {"temprature": 1}}, "temprature", "unknown"),
        ({"messages": [{"role": "assistant", "content": "hi"}]}, "messages", "invalid"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[0].content",
            "unsupported",
        ),
    ],
)
async def test_what_is_not_done_is_refused_as_openai_refuses(
    room: Room, more: dict[str, Any], param: str, code: str
) -> None:
    client = await room.openai()

    with pytest.raises(openai.BadRequestError) as refused:
        await ask(client, **{"messages": ASKED, **more})

    assert refused.value.param == param
    assert str(refused.value.code).startswith(code)
    assert refused.value.type == "invalid_request_error"
    assert not room.model.prompts


async def test_how_a_model_is_asked_is_the_agents_own_business(room: Room) -> None:
    client = await room.openai()

    completion = await ask(
        client, temperature=0.1, max_tokens=5, seed=1, store=True, tool_choice="auto"
    )

    assert completion.choices[0].message.content == SAID


async def test_errors_are_of_openais_kinds(room: Room) -> None:
    client = await room.openai()
    reader = await room.openai(scopes=("read",))
    stranger = client.with_options(api_key="sfk_nobody_nothing")

    with pytest.raises(openai.NotFoundError) as unknown:
        await client.chat.completions.create(model="nobody", messages=ASKED)
    with pytest.raises(openai.AuthenticationError) as wrong:
        await ask(stranger)
    with pytest.raises(openai.PermissionDeniedError) as forbidden:
        await ask(reader)

    assert unknown.value.code == "model_not_found"
    assert wrong.value.code == "invalid_api_key"
    assert forbidden.value.code == "insufficient_permissions"


async def test_a_turn_without_an_answer_is_an_error_that_is_not_tried_again(
    tmp_path: Path,
) -> None:
    async with talking(tmp_path, replace(CLERK, channels=("api",))) as room:
        client = (await room.openai()).with_options(max_retries=2)

        with pytest.raises(openai.PermissionDeniedError, match="no answer: channel"):
            await ask(client)
        with pytest.raises(openai.APIError, match="no answer: channel"):
            async for _ in await ask(client, stream=True):
                pass

        started = room.home.found.log
        found = await started.last()
    assert found == 2 * 3


async def test_models_are_the_agents(room: Room) -> None:
    client = await room.openai()

    listed = [model.id async for model in client.models.list()]
    one = await client.models.retrieve("clerk")
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("nobody")

    assert listed == [one.id] == ["clerk"]


async def test_a_client_that_leaves_leaves_nothing_open(own_room: Room) -> None:
    client = await own_room.openai()
    own_room.model.may.clear()
    stream = await ask(client, stream=True)
    await anext(aiter(stream))
    (gateway,) = own_room.home.gateways.values()
    assert gateway.guard.limits.streams == 1

    await stream.close()

    await eventually(lambda: gateway.guard.limits.streams == 0)
    own_room.model.may.set()
