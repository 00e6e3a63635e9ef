"""Recorded conversations in OpenAI chat form become logs that replay, and say what they are."""

from __future__ import annotations

import json
import os
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from stepfold.evaluation.chat_record import RecordRefused
from stepfold.evaluation.openai_chat import MALFORMED, Recording, conversations, write
from stepfold.evaluation.replay import replay_log
from stepfold.events.envelope import kind
from stepfold.events.event import (
    ConversationStarted,
    Event,
    MessageReceived,
    Reasoned,
    ReasonRequested,
    ResponseGiven,
    ToolRequested,
    ToolReturned,
    ToolUnknown,
    TurnAbandoned,
    TurnCancelled,
)
from stepfold.events.values import Refusal, Text, ToolCall, Usage
from stepfold.policy.agent import digest
from stepfold.streams.archive import export, load
from stepfold.streams.memory import MemoryAgents, MemoryLog, MemoryShelf
from stepfold.streams.restore import ConversationDiffers

CHATS = Path(__file__).parent / "data" / "chats.jsonl"
DATA = Path(os.environ.get("STEPFOLD_DATA", Path(__file__).parents[3] / "shared" / "data"))
AIRLINE = DATA / "airline" / "conversations.jsonl"

USER = {"role": "user", "content": "Hi"}
ASKS = {"role": "user", "content": "And now?"}
ANSWER = {"role": "assistant", "content": "Hello."}
CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "found"}
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}


def recorded(tmp_path: Path, *messages: object, **keys: object) -> Recording:
    path = tmp_path / "chat.jsonl"
    path.write_text(json.dumps({"messages": messages, **keys}))
    (recording,) = conversations(path)
    return recording


def events(recording: Recording, *kinds: type[Event]) -> list[Any]:
    return [draft.event for draft in recording.drafts if isinstance(draft.event, kinds)]


def steps(recording: Recording) -> list[str]:
    """The kinds after the start; a decision of the agent stands in brackets."""
    return [
        f"({kind(draft.event)})" if draft.by == "agent" else kind(draft.event)
        for draft in recording.drafts[1:]
    ]


def named(name: str) -> Recording:
    return next(one for one in conversations(CHATS) if one.conversation == name)


async def imported(path: Path) -> tuple[MemoryLog, MemoryAgents]:
    log, agents = MemoryLog(), MemoryAgents()
    for recording in conversations(path):
        await write(recording, log, agents)
    return log, agents


# -- what a recording becomes ---------------------------------------------------------------------


def test_facts_are_by_import_and_decisions_are_the_agents_own(tmp_path: Path) -> None:
    recording = recorded(tmp_path, USER, CALLS, RESULT, ANSWER)

    assert {draft.by for draft in recording.drafts} == {"import", "agent"}
    assert steps(recording) == [
        "message.received",
        "(reason.requested)",
        "reason.finished",
        "(tool.requested)",
        "tool.started",
        "tool.returned",
        "(reason.requested)",
        "reason.finished",
        "(response.given)",
    ]


def test_the_log_says_where_it_is_from_and_which_agent_the_recording_shows() -> None:
    recording = named("timed")

    assert recording.agent.instructions == "Help with flights."
    assert recording.agent.tools == ("book", "find_flight", "look_around")
    assert recording.agent.models == ("gpt-4o",)
    assert recording.drafts[0].event == ConversationStarted(
        "imported", digest(recording.agent), channel="import", origin="openai-chat"
    )


def test_what_the_recording_says_of_an_answer_is_kept() -> None:
    first, second = events(named("timed"), Reasoned)
    raw = json.loads(CHATS.read_text().splitlines()[0])["messages"][2]["usage"]

    assert first.usage == Usage(input=100, output=20, cached=64, raw=raw)
    assert first.cost_usd == Decimal("0.0008")
    assert (first.model, first.finish) == ("gpt-4o-2024-05-13", "tool_calls")
    assert (second.usage, second.cost_usd, second.model) == (None, None, "gpt-4o")


def test_what_the_recording_does_not_say_is_not_made_up(tmp_path: Path) -> None:
    (answer,) = events(recorded(tmp_path, USER, ANSWER), Reasoned)

    assert (answer.model, answer.finish, answer.usage, answer.cost_usd) == (
        "unknown",
        "unknown",
        None,
        None,
    )


def test_what_no_step_holds_is_named(tmp_path: Path) -> None:
    tool = {"type": "function", "function": {"name": "find", "parameters": {}}}
    odd: dict[str, object] = {
        **ANSWER,
        "audio": None,
        "annotations": [],
        "weight": 0,
        "timestamp": 5,
    }

    recording = recorded(tmp_path, USER, odd, task_id=1, trial=2, reward=0.0, tools=[tool])

    assert recording.agent.tools == ("find",)
    assert recording.unused == ("messages.timestamp", "messages.weight", "reward", "tools")


def test_messages_in_a_row_are_heard_together() -> None:
    asked = events(named("parallel"), ReasonRequested)

    assert [request.heard for request in asked] == [2, 0, 0]


def test_results_find_their_calls_though_ids_repeat_and_order_differs() -> None:
    recording = named("parallel")
    calls = {call.call: call for call in events(recording, ToolRequested)}

    found = [
        (returned.call, calls[returned.call].name, returned.result)
        for returned in events(recording, ToolReturned)
    ]

    assert found == [
        ("r1.2", "find_flight", "eight"),
        ("r1.1", "find_flight", ""),
        ("r2.1", "book", None),
        ("r2.2", "book", "one\ntwo"),
    ]


def test_arguments_that_are_no_json_are_kept_as_they_were_written() -> None:
    answer = events(named("parallel"), Reasoned)[1]

    assert answer.finish == "malformed_tool_call"
    assert answer.parts == (
        ToolCall("r2.1", "book", {MALFORMED: '{"number": 7'}, "c"),
        ToolCall("r2.2", "book", {}, "c"),
    )


def test_parts_of_an_answer_stay_parts() -> None:
    answer, given = events(named("parallel"), Reasoned, ResponseGiven)[-2:]

    assert answer.parts == (Text("Booked."), Refusal("Not more."))
    assert given.text == "Booked.Not more."


def test_an_answer_that_nobody_asked_for_is_asked_for_by_the_import() -> None:
    recording = named("greeting")

    assert steps(recording)[:7] == [
        "reason.requested",
        "reason.finished",
        "(response.given)",
        "reason.requested",
        "reason.finished",
        "(tool.requested)",
        "message.received",
    ]


def test_a_call_without_a_result_is_unknown_where_the_recording_goes_on(tmp_path: Path) -> None:
    recording = recorded(tmp_path, USER, CALLS, ASKS, ANSWER)

    (unknown,) = events(recording, ToolUnknown)
    assert (unknown.call, unknown.reason) == ("r1.1", "the recording holds no result of this call")
    assert [request.heard for request in events(recording, ReasonRequested)] == [1, 1]


@pytest.mark.parametrize("last", [USER, CALLS, RESULT], ids=["message", "call", "result"])
def test_a_recording_that_ends_before_an_answer_ends_cancelled(
    last: dict[str, object], tmp_path: Path
) -> None:
    messages = [USER, CALLS, RESULT][: [USER, CALLS, RESULT].index(last) + 1]

    recording = recorded(tmp_path, *messages)

    assert recording.drafts[-1].event == TurnCancelled(1, "the recording ends here")
    assert recording.drafts[-1].by == "import"


def test_an_answer_without_text_or_calls_abandons_its_turn(tmp_path: Path) -> None:
    recording = recorded(tmp_path, USER, {"role": "assistant", "content": None}, USER, ANSWER)

    (abandoned,) = events(recording, TurnAbandoned)
    assert (abandoned.turn, abandoned.reason) == (1, "empty")
    assert [given.turn for given in events(recording, ResponseGiven)] == [2]


def test_reasoning_and_refusals_are_kept(tmp_path: Path) -> None:
    said = {"role": "assistant", "reasoning_content": "Hm.", "refusal": "I cannot."}

    (answer,) = events(recorded(tmp_path, USER, said), Reasoned)

    assert [type(part).__name__ for part in answer.parts] == ["Thinking", "Refusal"]


def test_the_agent_is_given_every_instruction_before_the_conversation(tmp_path: Path) -> None:
    told = ({"role": "system", "content": "One."}, {"role": "developer", "content": "Two."})

    assert recorded(tmp_path, *told, USER).agent.instructions == "One.\n\nTwo."


# -- names and files ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({"task_id": 3, "trial": 1, "id": "x"}, "3-1"),
        ({"id": "x", "conversation_id": "y"}, "x"),
        ({"conversation_id": "y", "task_id": 3}, "y"),
        ({"id": None}, "1"),
    ],
)
def test_a_conversation_is_named_by_the_record(
    keys: dict[str, object], name: str, tmp_path: Path
) -> None:
    assert recorded(tmp_path, USER, **keys).conversation == name


def test_a_template_names_conversations(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text(json.dumps({"messages": [USER], "who": "ada"}) + "\n")

    (recording,) = conversations(path, customer="acme", template="{who}-{line}")

    assert (recording.customer, recording.conversation) == ("acme", "ada-1")


@pytest.mark.parametrize(
    "form",
    [
        {"messages": [USER, ANSWER]},
        [{"messages": [USER, ANSWER]}],
        [[USER, ANSWER]],
        [USER, ANSWER],
    ],
    ids=["a record", "records", "lists of messages", "messages"],
)
@pytest.mark.parametrize("indent", [None, 2], ids=["on one line", "on many"])
def test_a_file_may_be_one_document(form: object, indent: int | None, tmp_path: Path) -> None:
    path = tmp_path / "chat.json"
    path.write_text(json.dumps(form, indent=indent))

    (recording,) = conversations(path)

    assert steps(recording)[-1] == "(response.given)"


def test_an_empty_file_holds_no_conversations(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text("\n")

    assert list(conversations(path)) == []


# -- what is refused ------------------------------------------------------------------------------

REFUSED = {
    "role": ([USER, {"role": "critic"}], r"message 2: unknown role 'critic' \(known: assistant, "),
    "late instructions": (
        [USER, {"role": "system"}],
        "message 2: instructions in the middle",
    ),
    "stray result": ([USER, RESULT], r"message 2: a result without its call: id 'c1' \(waiting: n"),
    "other id": (
        [USER, CALLS, {**RESULT, "tool_call_id": "c9"}],
        r"message 3: a result without its call: id 'c9' \(waiting: c1\); correct its tool_call_id",
    ),
    "second result": ([USER, CALLS, RESULT, RESULT], "message 4: a result without its call"),
    "other tool": ([USER, CALLS, {**RESULT, "name": "book"}], "message 3: a result of 'book' for"),
    "picture": ([{"role": "user", "content": [PICTURE]}], "message 1: a part of type 'image_url'"),
    "content": ([{"role": "user", "content": {"a": 1}}], "message 1: content: Expected .*object"),
    "no role": ([{"content": "Hi"}], "message 1: it: .*required field `role`"),
    "call": ([USER, {**CALLS, "tool_calls": [{}]}], r"message 2: tool_calls\[0\]: .*`function`"),
    "usage": ([USER, {**ANSWER, "usage": {"prompt_tokens": "x"}}], "message 2: usage: Expected"),
    "time": ([{**USER, "timestamp": "noon"}], "message 1: 'noon' is no time: write it as in ISO"),
}


@pytest.mark.parametrize(("messages", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_what_a_log_cannot_hold_is_refused_by_line_and_message(
    messages: list[object], why: str, tmp_path: Path
) -> None:
    with pytest.raises(RecordRefused, match=rf"chat\.jsonl:1: {why}"):
        recorded(tmp_path, *messages)


LINES = {
    "not JSON": ('{"messages": []}\nnot json\n', r"chat\.jsonl:2: invalid JSON: .*mend or remove"),
    "no messages": ('{"messages": []}\n{"text": 1}\n', r"chat\.jsonl:2: not an object with a list"),
    "a number": ("5", r"chat\.jsonl:1: not an object with a list"),
    "broken document": ('{"messages":\n', r"chat\.jsonl:1: invalid JSON: .*give JSON lines"),
    "a record in a list": ('[{"messages": []}, 7]', r"chat\.jsonl\[2\]: not an object"),
    "same id": (
        '{"id":"a","messages":[]}\n' * 2,
        r"chat\.jsonl:2: conversation 'a' stands at ",
    ),
    "id with a dot": ('{"id":"a.b","messages":[]}', r":1: no conversation id .* give another temp"),
}


@pytest.mark.parametrize(("text", "why"), LINES.values(), ids=LINES.keys())
def test_a_file_that_is_none_is_refused_by_line(text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text(text)

    with pytest.raises(RecordRefused, match=why):
        list(conversations(path))


def test_a_template_with_an_unknown_key_is_refused() -> None:
    with pytest.raises(RecordRefused, match=r"'\{who\}': KeyError: 'who' \(keys here: line, id"):
        list(conversations(CHATS, template="{who}"))


# -- into a log -----------------------------------------------------------------------------------


async def test_an_imported_log_replays_without_a_difference() -> None:
    log, agents = await imported(CHATS)

    report = await replay_log(log, agents, MemoryShelf())

    assert (report.conversations, report.differences, report.pending) == (3, 0, 0), report.first


async def test_importing_twice_adds_nothing() -> None:
    log, agents = await imported(CHATS)
    before = list(log.steps)

    added = [await write(recording, log, agents) for recording in conversations(CHATS)]

    assert added == [0, 0, 0]
    assert log.steps == before


@pytest.mark.parametrize("name", ["timed", "parallel"])
async def test_an_import_that_was_broken_off_goes_on(name: str) -> None:
    recording, log, agents = named(name), MemoryLog(), MemoryAgents()
    await log.append(recording.drafts[:4], after=0)

    added = await write(recording, log, agents)

    entries = await log.read("imported", name)
    assert added == len(recording.drafts) - 4
    assert [entry.id for entry in entries] == [draft.id for draft in recording.drafts]


async def test_another_recording_under_the_same_name_is_refused(tmp_path: Path) -> None:
    log, agents = await imported(CHATS)

    with pytest.raises(ConversationDiffers, match="imported/timed is already in the log, with oth"):
        await write(recorded(tmp_path, USER, id="timed"), log, agents)


async def test_steps_have_the_times_of_their_messages_when_all_have_one() -> None:
    log, _ = await imported(CHATS)
    at = [entry.at for entry in await log.read("imported", "timed")]
    asked, called, found, answered = (
        datetime(2024, 5, 15, 15, 0, 0, tzinfo=UTC),
        datetime(2024, 5, 15, 15, 0, 2, tzinfo=UTC),
        datetime(2024, 5, 15, 15, 0, 3, 500_000, tzinfo=UTC),
        datetime(2024, 5, 15, 15, 0, 5, tzinfo=UTC),
    )

    assert at == [asked] * 3 + [called] * 2 + [found] * 3 + [answered] * 2


async def test_without_times_the_import_is_the_time() -> None:
    begin = datetime.now(UTC)
    log, _ = await imported(CHATS)

    assert all(entry.at >= begin for entry in await log.read("imported", "greeting"))


# -- the real recordings --------------------------------------------------------------------------


def counted(path: Path) -> dict[str, Counter[str]]:
    """Messages by role, and tool calls, of each conversation: plain JSON, no code of ours."""
    counts: dict[str, Counter[str]] = {}
    for line in path.read_text().splitlines():
        record = json.loads(line)
        roles = Counter(message["role"] for message in record["messages"])
        roles["call"] = sum(len(m.get("tool_calls") or []) for m in record["messages"])
        del roles["system"]
        counts[f"{record['task_id']}-{record['trial']}"] = roles
    return counts


async def held(log: MemoryLog) -> dict[str, Counter[str]]:
    """The same counts, of a log."""
    names = {stored.subject.split(".")[2] for stored in log.steps}
    role = {MessageReceived: "user", Reasoned: "assistant", ToolReturned: "tool"}
    counts: dict[str, Counter[str]] = {}
    for name in names:
        found = [entry.event for entry in await log.read("imported", name)]
        counts[name] = Counter(role[type(event)] for event in found if type(event) in role)
        counts[name]["call"] = sum(isinstance(event, ToolRequested) for event in found)
    return counts


@pytest.mark.skipif(not AIRLINE.exists(), reason=f"{AIRLINE} is not here")
async def test_the_airline_conversations_are_held_whole_and_replay() -> None:
    log, agents = await imported(AIRLINE)

    report = await replay_log(log, agents, MemoryShelf())

    assert (report.conversations, report.differences, report.model_calls) == (100, 0, 0)
    assert (report.pending, report.unreadable) == (0, 0)
    assert await held(log) == counted(AIRLINE)


@pytest.mark.skipif(not AIRLINE.exists(), reason=f"{AIRLINE} is not here")
async def test_the_airline_conversations_survive_an_export() -> None:
    log, agents = await imported(AIRLINE)

    archive = load([line async for line in export(log, agents, MemoryShelf())])

    assert [stored.payload for stored in archive] == [stored.payload for stored in log.steps]
    assert len(archive.agents) == 1
