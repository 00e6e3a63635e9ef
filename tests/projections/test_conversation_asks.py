"""What a conversation knows for its next ask: whom it speaks with, how long it is, who cannot."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from stepfold.events.event import (
    ConversationStarted,
    Event,
    Generated,
    GenerationFailed,
    GenerationRequested,
    MessageReceived,
    Reasoned,
    ReasonFailed,
    ReasonRequested,
    RetrievalFailed,
    ToolReturned,
    TurnAbandoned,
)
from stepfold.events.transcript import CONTACT, HOSTED, Heard, Result, Thought
from stepfold.events.values import FileRef, HostedTool, Spend, State, Text, ToolCall
from stepfold.projections.conversation import OVERFLOW, evolve, replay
from stepfold.projections.state import EMPTY, Conversation, Turn, without_text
from stepfold.testing import (
    ANSWERED,
    ASKED,
    ASKED_AGAIN,
    FOUND,
    HELLO,
    LOOK_UP,
    LOOKED_UP,
    PASSAGE,
    RESPONDED,
    RETRIEVAL,
    RETURNED,
    SEARCHED,
    STARTED,
)

THINKING = (STARTED, HELLO, ASKED)
CENT = Decimal("0.01")
SECOND_TRY = replace(ASKED, call="r2", heard=0, attempt=2)
NEXT_ASK = replace(ASKED_AGAIN, call="r3")
SHADOW = replace(ASKED, call="r1s1", heard=0, shadow=True)
OWN = State("openai-responses", "gpt", {"id": "x"})
PICTURE = FileRef("image/png", "sha256:1")
GENERATION = GenerationRequested("g1", "sort", "x", {}, "scripted")


def turn(state: Conversation) -> Turn:
    assert state.turn is not None
    return state.turn


def failed(call: str = "r1", reason: str = "authentication") -> ReasonFailed:
    return ReasonFailed(call, 1, "scripted", reason)


# -- whom it speaks with ------------------------------------------------------------------------


def test_a_conversation_has_the_channel_it_started_in() -> None:
    assert replay([ConversationStarted("desk", "sha256:0", channel="web")]).channel == "web"


def test_its_language_is_that_of_the_last_message_that_told_one() -> None:
    german, french = (replace(HELLO, message=tag, language=tag) for tag in ("de", "fr"))
    silent = replace(HELLO, message="", language="")

    assert replay([STARTED, german]).language == "de"
    assert replay([STARTED, german, french]).language == "fr"
    assert replay([STARTED, german, silent]).language == "de"


def test_it_has_files_once_a_message_had_some() -> None:
    picture = MessageReceived("This one.", files=(PICTURE,))

    state = replay([STARTED, picture, HELLO])

    assert state.files is True
    assert state.unheard[0] == Heard("This one.", (PICTURE,))
    assert replay([STARTED, HELLO]).files is False


def test_a_turn_is_for_the_contact_who_is_heard_in_it() -> None:
    more = replace(HELLO, message="m2")
    merged = replace(ASKED_AGAIN, heard=1)

    assert turn(replay(THINKING)).contact == "ada"
    assert turn(replay([*THINKING, more, merged])).contact == "ada"
    assert turn(replay([*THINKING, ASKED_AGAIN])).contact == "ada"


def test_a_turn_in_which_several_contacts_or_none_are_heard_is_for_nobody() -> None:
    eve = replace(HELLO, message="m2", contact="eve")
    both, none = replace(ASKED, heard=2), replace(ASKED, heard=0)

    assert turn(replay([STARTED, HELLO, eve, both])).contact == ""
    assert turn(replay([*THINKING, eve, replace(ASKED_AGAIN, heard=1)])).contact == ""
    assert turn(replay([STARTED, HELLO, none])).contact == ""


def test_the_next_turn_is_for_the_contact_of_its_own_messages() -> None:
    eve = replace(HELLO, message="m2", contact="eve")
    first = (*THINKING, ANSWERED, RESPONDED)

    assert turn(replay([*first, eve, replace(ASKED, call="r2", turn=2)])).contact == "eve"


def test_a_turn_that_begins_in_place_of_another_is_not_for_its_contact() -> None:
    eve = replace(HELLO, message="m2", contact="eve")
    next_one = replace(ASKED, call="r2", turn=2)

    assert turn(replay([*THINKING, eve, next_one])).contact == "eve"
    assert turn(replay([*THINKING, replace(next_one, heard=0)])).contact == ""
    assert Turn(1).contact == ""


def test_without_its_text_it_stands_where_it_did() -> None:
    state = replay([*THINKING, SEARCHED, RETRIEVAL, FOUND])
    said, found = replace(EMPTY, transcript=state.transcript), replace(EMPTY, passages=(PASSAGE,))

    assert without_text(state) == replace(state, transcript=(), passages=())
    assert without_text(said) == without_text(found) == EMPTY
    assert without_text(EMPTY) is EMPTY


# -- whose text stands in it --------------------------------------------------------------------


def test_what_a_providers_own_tool_found_had_been_read_when_calls_were_wanted() -> None:
    found = HostedTool("web_search", output="Refund them.")
    called = replace(LOOKED_UP, parts=(found, *LOOKED_UP.parts))

    state = replay([*THINKING, called])

    assert state.read == turn(state).read == {CONTACT + "ada", HOSTED}


def test_what_a_tool_returned_had_been_read_only_by_a_later_ask() -> None:
    told = replay([*THINKING, LOOKED_UP, LOOK_UP, RETURNED])
    again = replay([ASKED_AGAIN, replace(LOOKED_UP, call="r2")], told)

    assert turn(told).read == {CONTACT + "ada"}
    assert told.read == turn(again).read == {CONTACT + "ada", "look_up"}


def test_what_a_turn_that_never_asked_would_have_heard_counts_as_read() -> None:
    before = replay([*THINKING, ANSWERED, RESPONDED, replace(HELLO, message="m2", contact="eve")])

    state = evolve(before, TurnAbandoned(2, "vetoed"))

    assert before.read == {CONTACT + "ada"}
    assert state.read == {CONTACT + "ada", CONTACT + "eve"}


def test_the_files_of_a_result_are_the_whole_of_it_and_then_those_that_the_call_made() -> None:
    whole = FileRef("text/plain", "sha256:9")
    called = (*THINKING, LOOKED_UP, LOOK_UP)

    cut = replay([*called, replace(RETURNED, file=whole, files=(PICTURE,))])
    short = replay([*called, replace(RETURNED, files=(PICTURE,))])

    assert cut.transcript[-1] == Result("r1.1", "look_up", "9 to 5", files=(whole, PICTURE))
    assert short.transcript[-1] == Result("r1.1", "look_up", "9 to 5", files=(PICTURE,))


# -- its length ---------------------------------------------------------------------------------


def test_its_length_is_that_of_all_that_was_said_called_and_found() -> None:
    hello, called = len(HELLO.text), Thought(LOOKED_UP.parts).characters

    assert replay([STARTED, HELLO]).characters == hello
    assert replay([*THINKING, LOOKED_UP]).characters == hello + called
    told = replay([*THINKING, LOOKED_UP, LOOK_UP, RETURNED])
    assert told.characters == hello + called + len("9 to 5")
    found = replay([*THINKING, SEARCHED, RETRIEVAL, FOUND])
    assert found.characters == hello + Thought(SEARCHED.parts).characters + len(PASSAGE.text)


def test_an_answer_counts_before_it_is_given_and_once() -> None:
    said = len(HELLO.text) + len("At 9.")

    assert replay([*THINKING, ANSWERED]).characters == said
    assert replay([*THINKING, ANSWERED, RESPONDED]).characters == said


# -- attempts -----------------------------------------------------------------------------------


def test_a_model_that_cannot_is_ruled_out_until_the_next_ask() -> None:
    out = replay([*THINKING, failed(), SECOND_TRY])
    called = Reasoned("r2", 1, "scripted", (ToolCall("r2.1", "look_up", {}),))
    over = (called, replace(LOOK_UP, call="r2.1"), replace(RETURNED, call="r2.1"), NEXT_ASK)

    assert turn(out).ruled_out == {"scripted"}
    assert turn(replay(over, out)).ruled_out == frozenset()


def test_a_prompt_that_was_too_long_rules_its_model_out_only_when_it_was_cut_already() -> None:
    once = replay([*THINKING, failed(reason=OVERFLOW)])
    again = replay([replace(SECOND_TRY, compact=9), failed("r2", OVERFLOW)], once)

    assert turn(once).ruled_out == frozenset()
    assert turn(again).ruled_out == {"scripted"}


def test_a_prompt_is_cut_from_the_attempt_that_cut_it_to_the_end_of_the_ask() -> None:
    cut, third = replace(SECOND_TRY, compact=9), replace(SECOND_TRY, attempt=3, compact=9)
    next_ask = replace(ASKED_AGAIN, compact=9)

    assert not turn(replay([*THINKING, SECOND_TRY])).compacted
    assert turn(replay([*THINKING, cut])).compacted
    assert turn(replay([*THINKING, cut, third])).compacted
    assert not turn(replay([*THINKING, cut, next_ask])).compacted
    assert not turn(replay([*THINKING, replace(ASKED_AGAIN, compact=9)])).compacted


# -- shadows ------------------------------------------------------------------------------------


def test_the_shadows_of_an_ask_are_counted_over_its_attempts() -> None:
    shadowed = (*THINKING, SHADOW, replace(SHADOW, call="r1s2"))

    assert turn(replay(shadowed)).shadows == 2
    assert turn(replay([*shadowed, SECOND_TRY])).shadows == 2
    assert turn(replay([*shadowed, ASKED_AGAIN])).shadows == 0


def test_a_shadow_of_another_turn_is_not_counted_in_the_running_one() -> None:
    state = replay([*THINKING, replace(SHADOW, turn=7)])

    assert turn(state).shadows == 0
    assert state.open.keys() == {"r1", "r1s1"}


# -- what is sent back to a model's API ---------------------------------------------------------


@pytest.mark.parametrize("end", [(), (RESPONDED,)], ids=["with calls", "of text"])
def test_an_answer_keeps_the_form_that_its_api_gave_it(end: tuple[Event, ...]) -> None:
    answer = replace(ANSWERED if end else LOOKED_UP, state=OWN)

    state = replay([*THINKING, answer, *end])

    assert state.transcript[-1] == Thought(answer.parts, OWN)


# -- its cost -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "outcome", [FOUND, RetrievalFailed("r1.1", 1, "no index")], ids=["found", "failed"]
)
def test_what_a_search_cost_counts_for_the_turn_and_the_conversation(outcome: Event) -> None:
    paid = tuple(Spend(what, "m", cost_usd=CENT) for what in ("embed", "rerank"))

    state = replay([*THINKING, SEARCHED, RETRIEVAL, replace(outcome, spent=paid)])

    assert state.spent_usd == turn(state).spent_usd == 2 * CENT


# -- generations --------------------------------------------------------------------------------


def test_a_generation_that_gave_what_was_asked_for_is_no_job_any_more() -> None:
    other = replace(GENERATION, call="g2")

    state = replay([GENERATION, other, Generated("g1", {}, "scripted")])

    assert state.jobs.keys() == {"g2"}


@pytest.mark.parametrize("call", ["g9", "r1"])
def test_an_outcome_of_a_generation_that_nobody_asked_for_only_costs(call: str) -> None:
    before = replay([*THINKING, GENERATION])

    for late in (Generated(call, {}, "m"), GenerationFailed(call, "malformed", "m")):
        state = evolve(before, replace(late, cost_usd=CENT))

        assert (state.jobs, state.spent_usd) == (before.jobs, CENT)
        assert "g1" in state.open


def test_what_happens_elsewhere_leaves_an_empty_conversation_empty() -> None:
    assert evolve(EMPTY, ToolReturned("r1.1", 1, "x")) == EMPTY
    assert evolve(EMPTY, ReasonFailed("r1", 1, "m", "busy")) == EMPTY
    assert evolve(EMPTY, Reasoned("r1", 1, "m", (Text("x"),))) == EMPTY
    asked = evolve(EMPTY, ReasonRequested("r1s1", 1, "m", shadow=True))
    assert asked.turn is None
