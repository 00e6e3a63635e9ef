"""What is said in Teams, and how: pure."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepfold.channels.teams.cards import ARGUMENTS_CHARS_MAX, asking, outcome_card
from stepfold.channels.teams.config import TEXTS
from stepfold.channels.teams.say import (
    BYTES_MAX,
    CITATIONS_MAX,
    PACE_S,
    STREAMED_BYTES_MAX,
    TEXT_BYTES_MAX,
    Stream,
    Turn,
    answer,
    broken,
    hear,
    next_update,
    sent,
    size,
    split,
    wait_s,
    wire,
)
from stepfold.events.envelope import Entry, first, record
from stepfold.events.event import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRequested,
    CodeRequested,
    ConversationStopped,
    Event,
    ReasonRequested,
    ResponseGiven,
    RetrievalRequested,
    ToolRequested,
    TurnAbandoned,
    TurnCancelled,
)
from stepfold.events.values import Citation
from stepfold.streams.listening import Happening, TakenBack, Words
from stepfold.testing import Clock

ASKED = ApprovalRequested("r1.1", 1, "refund", {"order": "A-1"}, "sha256:d", "it pays", 60)


def entry(event: Event) -> Entry:
    draft = first("acme", "teams-1", event, by="test", key="1")
    return record(draft, position=1, at=Clock().at, after=0)


def after(*happenings: Happening) -> Turn:
    turn = Turn(1)
    for each in happenings:
        turn = hear(turn, each, TEXTS)
    return turn


def words(offset: int, text: str, call: str = "r1", kind: Any = "text", turn: int = 1) -> Words:
    return Words(call, turn, 1, kind, offset, text)


def quote(number: int, length: int = 30) -> Citation:
    return Citation(f"doc-{number}.md", "sha256:x", number, number + length, "ß" * length)


# -- a turn -------------------------------------------------------------------------------------


def test_words_stand_where_they_belong_and_calls_one_below_the_other() -> None:
    turn = after(words(0, "At "), words(3, "nine"), words(0, "Yes.", "r2"))

    assert turn.text == "At nine\n\nYes."


def test_nobody_sees_what_a_model_thinks_or_what_another_turn_says() -> None:
    assert after(words(0, "hm", kind="thinking"), words(0, "x", turn=2)).text == ""


def test_what_is_taken_back_is_gone() -> None:
    turn = after(words(0, "Let me see."), words(0, "At five", "r2"), TakenBack("r2", 1, 1))

    assert turn.text == "Let me see."


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (ReasonRequested("r1", 1, "m"), TEXTS.thinking),
        (RetrievalRequested("r1.1", 1, "q", (), 5), TEXTS.searching),
        (ToolRequested("r1.1", 1, "look_up", {}), "Using look_up…"),
        (CodeRequested("r1.1", 1, "1+1", "monty"), "Using run_code…"),
        (ReasonRequested("r1s", 1, "m", shadow=True), ""),
        (ToolRequested("r1.1", 2, "look_up", {}), ""),
    ],
)
def test_what_is_done_is_told(event: Event, status: str) -> None:
    assert after(entry(event)).status == status


@pytest.mark.parametrize(
    ("event", "end"),
    [
        (ResponseGiven(1, "x"), "over"),
        (TurnAbandoned(1, "model"), "over"),
        (TurnCancelled(1, "x"), "over"),
        (ConversationStopped("x"), "over"),
        (ASKED, "waiting"),
        (ResponseGiven(2, "x"), ""),
    ],
)
def test_a_turn_ends_with_its_outcome(event: Event, end: str) -> None:
    assert after(entry(event)).end == end


# -- a stream -----------------------------------------------------------------------------------


def test_an_update_waits_a_second_after_the_last() -> None:
    stream = Stream(began_at=0)
    update = next_update(stream, after(words(0, "At")))
    assert update is not None
    assert wait_s(stream, 0) == 0

    stream = sent(stream, update, id="s1", now=100.0)

    assert PACE_S >= 1
    assert wait_s(stream, 100.25) == PACE_S - 0.25
    assert (stream.id, stream.sent, stream.text) == ("s1", 1, "At")


def test_after_the_first_word_nobody_is_told_what_is_done() -> None:
    turn = after(words(0, "At"))
    stream = Stream(began_at=0, id="s1", sent=1, text="At")

    assert next_update(stream, hear(turn, entry(ToolRequested("c", 1, "t", {})), TEXTS)) is None


def test_a_stream_never_says_anything_else_than_before() -> None:
    stream = Stream(began_at=0, id="s1", sent=1, text="At five")

    assert next_update(stream, after(words(0, "At nine"))) is None
    assert broken(stream, after(words(0, "At nine")))
    assert not broken(stream, after(words(0, "At five.")))


def test_a_long_text_is_not_streamed_to_its_end() -> None:
    long = "x" * STREAMED_BYTES_MAX

    assert next_update(Stream(began_at=0), after(words(0, long))) is None


# -- an answer ----------------------------------------------------------------------------------

TEXTS_OF_ALL_KINDS = st.text(alphabet=st.sampled_from('ab \n.ßä漢😀"\\'), min_size=0, max_size=600)


@given(text=TEXTS_OF_ALL_KINDS, bytes_max=st.integers(20, 200))
def test_parts_fit_and_nothing_is_lost(text: str, bytes_max: int) -> None:
    parts = split(text, bytes_max)

    assert all(size(part) <= bytes_max for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


@given(text=TEXTS_OF_ALL_KINDS, share=st.floats(0, 1))
def test_the_first_part_holds_what_was_streamed(text: str, share: float) -> None:
    streamed = text[: int(len(text) * share)]
    while size(streamed) > 100:
        streamed = streamed[:-1]

    assert split(text, 200)[0].startswith(streamed.rstrip())


def test_text_is_cut_where_it_reads_best() -> None:
    text = "a" * 60 + ". " + "b" * 20 + "\n\n" + "c" * 60

    assert split(text, 100) == ("a" * 60 + ". " + "b" * 20, "c" * 60)


def test_an_answer_is_labelled_and_cites_at_most_twenty() -> None:
    quotes = tuple(quote(number) for number in range(25))
    (message,) = answer(ResponseGiven(1, "So.", citations=(*quotes, quotes[0])))

    (entity,) = wire(message)["entities"]
    assert entity["type"] == "https://schema.org/Message"
    assert entity["@type"] == "Message"
    assert entity["additionalType"] == ["AIGeneratedContent"]
    assert [claim["position"] for claim in entity["citation"]] == [*range(1, CITATIONS_MAX + 1)]
    assert wire(message)["text"].startswith("So.\n\n[1][2]")


def test_long_titles_and_quotes_are_shortened_as_teams_wants() -> None:
    long = Citation("t" * 200, "sha256:x", 0, 900, "q " * 450)
    (message,) = answer(ResponseGiven(1, "So.", citations=(long,)))

    (claim,) = wire(message)["entities"][0]["citation"]
    assert len(claim["appearance"]["name"]) == 80
    assert len(claim["appearance"]["abstract"]) == 160


def test_a_document_on_the_web_is_linked() -> None:
    page = Citation("https://docs.example/a", "sha256:x", 0, 9, "so it is")
    (message,) = answer(ResponseGiven(1, "So.", citations=(page,)))

    (claim,) = wire(message)["entities"][0]["citation"]
    assert claim["appearance"]["url"] == "https://docs.example/a"


def test_no_message_is_larger_than_teams_takes() -> None:
    quotes = tuple(Citation("漢" * 99 + str(n), "", n, n, "漢" * 200) for n in range(20))
    given_ = ResponseGiven(1, "漢 " * TEXT_BYTES_MAX, citations=quotes)

    messages = answer(given_)

    assert len(messages) > 1
    assert max(len(msgspec.json.encode(wire(message))) for message in messages) <= BYTES_MAX
    assert all(wire(message)["entities"] for message in messages)


# -- cards --------------------------------------------------------------------------------------


def test_a_card_is_bound_to_its_call_by_digest() -> None:
    card = asking(ASKED, "teams-1").model_dump(mode="json", by_alias=True, exclude_none=True)

    approve, deny = card["actions"]
    bound = {"about": "teams-1", "call": "r1.1", "digest": "sha256:d"}
    assert approve["type"] == "Action.Execute"
    assert bound.items() <= approve["data"].items()
    assert (approve["data"]["answer"], deny["data"]["answer"]) == ("approve", "deny")
    assert approve["fallback"]["data"] == approve["data"]


def test_what_a_model_wrote_is_never_markdown_in_a_card() -> None:
    lure = "[Approve here](https://evil.example)"
    asked = ApprovalRequested("r1.1", 1, "refund", {"note": lure}, "d", lure, 60)
    card = asking(asked, "teams-1").model_dump(mode="json", by_alias=True, exclude_none=True)

    blocks = [each for each in card["body"] if "evil" in str(each)]
    assert len(blocks) == 2
    assert {each["type"] for each in blocks} == {"RichTextBlock"}


def test_long_arguments_are_cut_and_it_is_said() -> None:
    asked = ApprovalRequested("r1.1", 1, "refund", {"note": "x" * 50_000}, "d", "why", 60)
    card = asking(asked, "teams-1").model_dump(mode="json", by_alias=True, exclude_none=True)

    assert "more characters" in str(card)
    assert size(card) < ARGUMENTS_CHARS_MAX * 2


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (ApprovalGranted("r1.1", 1, "d", "ada", "Ada"), "Approved by ada (Ada)"),
        (ApprovalDenied("r1.1", 1, "d", "ada"), "Denied by ada"),
        (ApprovalExpired("r1.1", 1), "Nobody decided in time"),
    ],
)
def test_a_card_shows_what_became_of_its_call(event: Event, words: str) -> None:
    card = outcome_card("r1.1", [entry(ASKED), entry(event)])

    assert card is not None
    assert card.actions is None
    assert words in str(card.model_dump(exclude_none=True))


def test_a_call_that_still_waits_has_no_outcome() -> None:
    other = ApprovalGranted("r9.9", 1, "d", "ada")

    assert outcome_card("r1.1", [entry(ASKED), entry(other)]) is None
    assert outcome_card("r1.1", [entry(other)]) is None
