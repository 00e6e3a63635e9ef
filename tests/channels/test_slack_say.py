"""A conversation's happenings, as what Slack shows: pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepfold.channels.slack import blocks
from stepfold.channels.slack.pages import MESSAGE_CHARS_MAX, pages
from stepfold.channels.slack.say import (
    Asked,
    HandedOff,
    Out,
    Settled,
    begin,
    tell,
    waits,
)
from stepfold.channels.slack.screen import Screen, Task, changes, whole
from stepfold.channels.slack.working import spelled
from stepfold.events.envelope import Entry
from stepfold.events.event import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRequested,
    ConversationStopped,
    Event,
    MessageReceived,
    Reasoned,
    ReasonRequested,
    ResponseGiven,
    RetrievalFailed,
    RetrievalRequested,
    ToolFailed,
    ToolRefused,
    ToolRequested,
    ToolReturned,
    ToolUnknown,
    TurnAbandoned,
    TurnCancelled,
)
from stepfold.events.values import Citation, Text, ToolCall
from stepfold.streams.listening import Happening, TakenBack, Words

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HELLO = MessageReceived("hello", contact="U0ADA")
ASK = ApprovalRequested("r1.1", 1, "pay_out", {"usd": 80}, "sha256:1", "above 50", 60.0)


def entry(event: Event, position: int = 1) -> Entry:
    return Entry(
        id=f"e{position}",
        customer="acme",
        conversation="c1",
        event=event,
        position=position,
        at=NOON + timedelta(seconds=position),
        after=position - 1,
    )


def words(text: str, call: str = "r1", turn: int = 1) -> Words:
    return Words(call, turn, 1, "text", 0, text)


def outs(*happenings: Happening | Event) -> list[Out]:
    telling = begin(1)
    found: list[Out] = []
    for position, each in enumerate(happenings, start=1):
        whole_entry = each if isinstance(each, Entry | Words | TakenBack) else entry(each, position)
        telling, seen = tell(telling, whole_entry)
        found += seen
    return found


def screen(*happenings: Happening | Event) -> Screen:
    return [each for each in outs(*happenings) if isinstance(each, Screen)][-1]


def test_words_are_shown_as_they_come_and_thoughts_are_not() -> None:
    thought = Words("r1", 1, 1, "thinking", 0, "hm")

    assert [
        s.text for s in outs(words("At "), thought, words("nine.")) if isinstance(s, Screen)
    ] == [
        "At ",
        "At nine.",
    ]


def test_words_that_are_taken_back_are_gone() -> None:
    assert screen(words("At fi"), TakenBack("r1", 1, 1)).text == ""
    assert screen(words("At fi"), TakenBack("r0", 1, 1), words("ve")).text == "At five"


def test_what_is_said_before_a_tool_stays_above_the_answer() -> None:
    calls = (Text("Let me look."), ToolCall("r1.1", "look_up", {}))
    shown = screen(
        words("Let me look."),
        Reasoned("r1", 1, "m", calls),
        ToolRequested("r1.1", 1, "look_up", {}),
        ToolReturned("r1.1", 1, "9"),
        words("At nine.", "r2"),
        ResponseGiven(1, "At nine."),
    )

    assert shown.text == "Let me look.\n\nAt nine."
    assert shown.tasks == (Task("r1.1", "Look up", "complete"),)
    assert shown.over
    assert shown.answers


def test_an_answer_that_was_never_given_is_forgotten() -> None:
    shown = screen(
        ReasonRequested("r1", 1, "m"),
        words("At five."),
        Reasoned("r1", 1, "m", (Text("At five."),)),
        ReasonRequested("r2", 1, "m"),  # a message was merged meanwhile
        words("At nine.", "r2"),
    )

    assert shown.text == "At nine."


def test_what_is_given_replaces_what_was_said() -> None:
    assert screen(words("It is blue."), ResponseGiven(1, "I do not know.")).text == "I do not know."


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (ToolReturned("r1.1", 1, {"secret": 1}), "complete"),
        (ToolFailed("r1.1", 1, "password wrong"), "error"),
        (ToolUnknown("r1.1", 1, "its worker died"), "error"),
        (ToolRefused("r1.1", 1, "look_up", "not granted"), "error"),
    ],
)
def test_a_task_ends_as_its_tool_did_and_tells_nothing_of_its_inside(
    outcome: Event, status: str
) -> None:
    (task,) = screen(
        ReasonRequested("r1", 1, "m"), ToolRequested("r1.1", 1, "look_up", {}), outcome
    ).tasks

    assert (task.title, task.status) == ("Look up", status)
    assert not {"secret", "password", "worker", "granted"} & set(task.output.split())


def test_a_search_is_a_task_with_its_query() -> None:
    asked = RetrievalRequested("r1.1", 1, "opening hours", ("c",), 5)
    failed = RetrievalFailed("r1.1", 1, "collection gone")

    assert screen(ReasonRequested("r1", 1, "m"), asked, failed).tasks == (
        Task("r1.1", "Search: opening hours", "error", "did not work"),
    )


@pytest.mark.parametrize("reason", ["steps", "cost", "budget", "time", "channel", "model", "new"])
def test_a_turn_that_is_given_up_says_so_in_plain_words(reason: str) -> None:
    shown = screen(words("At fi"), TurnAbandoned(1, reason, "openai: 401: key sk-1 is wrong"))

    assert shown.over
    assert not shown.answers
    assert "At fi" not in shown.text
    assert "sk-1" not in shown.text


def test_a_turn_that_a_newer_message_ended_before_it_said_anything_shows_nothing() -> None:
    cancelled = TurnCancelled(1, "superseded by a newer message")

    assert outs(ReasonRequested("r1", 1, "m"), cancelled) == []
    assert "newer message" in screen(words("At fi"), cancelled).text


def test_each_turn_and_each_part_is_a_message_of_its_own() -> None:
    first = screen(words("One."), ResponseGiven(1, "One."))
    second = screen(words("One."), ResponseGiven(1, "One."), words("Two.", "r2", turn=2))

    assert (first.key, second.key, second.text) == ("1.1", "2.1", "Two.")
    assert screen(ConversationStopped("AgentUnknown: x")).over


def test_people_are_asked_and_told_of_the_end() -> None:
    asked = Asked(ASK, NOON + timedelta(seconds=2), "U0ADA")

    assert outs(HELLO, ASK)[-1] == asked
    granted = outs(HELLO, ASK, ApprovalGranted("r1.1", 1, "sha256:1", "slack:U0BOB"))[-1]
    assert granted == Settled(
        Asked(ASK, asked.at, "U0ADA", ("slack:U0BOB",)), "Approved by <@U0BOB>"
    )
    denied = outs(HELLO, ASK, ApprovalDenied("r1.1", 1, "sha256:1", "ops<!channel>", "no & no"))[-1]
    assert isinstance(denied, Settled)
    assert denied.how == "Denied by ops&lt;!channel&gt;: no &amp; no"
    expired = outs(HELLO, ASK, ApprovalExpired("r1.1", 1))[-1]
    assert isinstance(expired, Settled)
    assert expired.how
    over = outs(HELLO, ReasonRequested("r1", 1, "m"), ASK, TurnAbandoned(1, "time"))
    assert [each.how for each in over if isinstance(each, Settled)] == [
        "Not needed any more: the turn is over."
    ]


def test_what_waits_says_so() -> None:
    telling, _ = tell(begin(1), entry(ReasonRequested("r1", 1, "m")))
    telling, _ = tell(telling, entry(ASK, 2))

    shown = waits(telling)

    assert shown.over
    assert "approval" in shown.text
    assert shown.tasks[0].status == "pending"


def test_a_hand_off_is_told_to_people_too() -> None:
    given_ = ResponseGiven(1, "A colleague will.", outcome="hand_off", reason="no quote")

    assert outs(HELLO, given_)[-1] == HandedOff(1, "no quote", "U0ADA")


def test_a_tools_name_is_spelled_for_people() -> None:
    assert spelled("look_up-invoice") == "Look up invoice"


# -- the difference of two screens --------------------------------------------------------------


def test_a_stream_takes_more_words_and_newer_states_and_takes_nothing_back() -> None:
    before = Screen("1", 1, "At <", (Task("a", "A", "in_progress"),))
    after = Screen("1", 1, "At <nine", (Task("a", "A", "complete"), Task("b", "B", "pending")))

    told = changes(before, after)

    assert told == (
        {"type": "markdown_text", "text": "nine"},
        {"type": "task_update", "id": "a", "title": "A", "status": "complete"},
        {"type": "task_update", "id": "b", "title": "B", "status": "pending"},
    )
    assert changes(after, before) is None
    assert changes(after, after) == ()


@given(st.text(alphabet="ab<>&\n", max_size=200), st.integers(20, 60))
def test_pieces_are_the_whole_escaped_and_never_cut_what_stands_for_one_character(
    text: str, most: int
) -> None:
    found = blocks.pieces(text, most)

    assert "".join(found) == blocks.escaped(text)
    for piece in found:
        assert 0 < len(piece) <= most
        assert piece.count("&") == piece.count(";")


@pytest.mark.parametrize("many", [10, 12_001, 40_000, 500_000])
def test_an_answer_of_any_length_keeps_slacks_limits(many: int) -> None:
    citations = [Citation(f"d{n}", "sha256:0", 0, 9, "<!here> " * 200) for n in range(60)]
    below = tuple(blocks.sources(citations, {"d1": "T" * 500}))
    tasks = (Task("a", "x" * 400, "pending"),) * 40
    screen = Screen("1", 1, "word <& " * (many // 8 + 1), tasks, True, below)

    shown = [whole(page) for page in pages(screen)]

    for text, found in shown:
        assert 0 < len(text) <= blocks.TEXT_CHARS_MAX
        assert len(found) <= blocks.BLOCKS_MAX
        assert blocks.weight(found) <= MESSAGE_CHARS_MAX
        for block in found:
            if block["type"] == "markdown":
                assert len(block["text"]) <= blocks.MARKDOWN_CHARS_MAX
            else:
                assert len(block["elements"][0]["text"]) <= blocks.SECTION_CHARS_MAX
            assert "<!" not in str(block)


def test_citations_are_numbered_and_those_that_are_pages_are_links() -> None:
    page = Citation("https://a.example/x|y?a=1&b=2", "sha256:0", 0, 9, "opens\n at <nine>")

    (_, told) = blocks.sources([page], {page.document: "Hours | now"})

    assert told["elements"][0]["text"] == (
        "[1] <https://a.example/x%7Cy?a=1&amp;b=2|Hours / now>: “opens at &lt;nine&gt;”"
    )


def test_a_call_that_waits_shows_its_arguments_and_who_agreed() -> None:
    ask = ApprovalRequested(
        "r1.1", 1, "pay", {"to": "``` <!channel>" * 500}, "sha256:1", "r", 60.0, 2
    )

    found = blocks.asked(ask, "slack:T1:C1:1-1", "U0ADA", ("slack:U0BOB",))

    assert "2 people" in found[0]["text"]["text"]
    assert len(found[1]["text"]["text"]) <= blocks.SECTION_CHARS_MAX
    assert found[1]["text"]["text"].count("```") == 2
    assert "<@U0BOB>" in str(found)
    assert "<!channel>" not in str(found)
    assert [each["action_id"] for each in found[-1]["elements"]] == [
        "stepfold_approve",
        "stepfold_deny",
    ]
