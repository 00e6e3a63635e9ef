"""What an agent does with a call that people must agree to, and with code that a model wrote."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from stepfold.events.event import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRequested,
    CodeRequested,
    Event,
    MessageReceived,
    Reasoned,
    ReasonRequested,
    ToolRefused,
    ToolRequested,
    ToolReturned,
)
from stepfold.events.transcript import Result
from stepfold.events.values import FileRef, ToolCall
from stepfold.handlers.choosing import World
from stepfold.handlers.decide import CODE_FILES_MAX, NOWHERE, decide
from stepfold.policy.agent import Agent
from stepfold.policy.gate import Who, digest_of_call
from stepfold.policy.grant import Approval, Grant
from stepfold.projections.conversation import replay
from stepfold.projections.state import Conversation
from stepfold.testing import AGENT, ASKED, HELLO, STARTED, Given

CALL = ToolCall("r1.1", "refund", {"amount": 80})
WANTED = Reasoned("r1", 1, "scripted", (CALL,))
OFFERED = replace(ASKED, tools=("refund", "look_up", "run_code"))
DIGEST = digest_of_call(Who(contact="ada"), "r1.1", "refund", {"amount": 80})
AGREED = ApprovalGranted("r1.1", 1, DIGEST, "ops")
REQUESTED = ToolRequested("r1.1", 1, "refund", {"amount": 80}, DIGEST, "ada")
SHEET = FileRef("text/csv", "sha256:1", name="fees.csv")
CODE = ToolCall("r1.1", "run_code", {"code": "print(1)"})


def desk(approval: Approval | None = None, **more: Any) -> Agent:
    grant = Grant(effect="write", approval=approval, **more)
    grants = {"refund": grant, "look_up": Grant(effect="read")}
    return replace(AGENT, tools=tuple(grants), collections=(), grants=grants, sandbox="monty")


def given(agent: Agent, *events: Event, **more: Any) -> Given:
    return Given(agent, HELLO, OFFERED, *events, **more)


def asked(agent: Agent, world: World = NOWHERE) -> ApprovalRequested:
    """The question to people that the wanted call leads to."""
    (step,) = decide(agent, replay((STARTED, HELLO, OFFERED, WANTED)), (), world)
    assert isinstance(step, ApprovalRequested)
    return step


ALWAYS = desk(Approval())
TWO = desk(Approval(people=2))

# -- asking people ------------------------------------------------------------------------------


def test_people_are_asked_with_all_that_they_have_to_know() -> None:
    world = World("acme", conversation="c1")
    agent = desk(Approval(people=2, expires_s=600.0))

    question = asked(agent, world)

    assert question == ApprovalRequested(
        call="r1.1",
        turn=1,
        name="refund",
        arguments={"amount": 80},
        digest=digest_of_call(Who("acme", "ada", "c1"), "r1.1", "refund", {"amount": 80}),
        reason="'refund' needs approval always",
        expires_s=600.0,
        people=2,
    )


def test_a_call_waits_for_people_and_the_others_of_its_answer_do_not() -> None:
    both = replace(WANTED, parts=(CALL, ToolCall("r1.2", "look_up", {})))

    steps = given(ALWAYS).when(both)

    assert [type(step) for step in steps] == [ApprovalRequested, ToolRequested]
    assert steps[1] == ToolRequested("r1.2", 1, "look_up", {}, contact="ada")


def test_once_somebody_agrees_it_is_requested_with_what_was_agreed_to() -> None:
    at_rest = given(ALWAYS)
    (question,) = at_rest.when(WANTED)

    assert isinstance(question, ApprovalRequested)
    assert question.digest == DIGEST
    assert at_rest.when(AGREED) == (REQUESTED,)


def test_two_must_be_two() -> None:
    at_rest = given(TWO)
    at_rest.when(WANTED)

    assert at_rest.when(AGREED) == ()
    assert at_rest.when(AGREED) == ()
    assert at_rest.when(replace(AGREED, person="ann")) == (REQUESTED,)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (ApprovalDenied("r1.1", 1, DIGEST, "ops"), "ops denied it"),
        (ApprovalDenied("r1.1", 1, DIGEST, "ops", "no receipt"), "ops denied it: no receipt"),
        (ApprovalExpired("r1.1", 1), "nobody approved it within 3600 s"),
    ],
    ids=["denied", "denied with a reason", "too late"],
)
def test_a_call_that_people_do_not_agree_to_is_refused_and_the_model_asked(
    answer: Event, why: str
) -> None:
    at_rest = given(TWO)
    at_rest.when(WANTED, AGREED)

    refused, again = at_rest.when(answer)

    assert refused == ToolRefused("r1.1", 1, "refund", why)
    assert isinstance(again, ReasonRequested)


def test_a_call_is_for_nobody_where_two_contacts_are_heard_at_once() -> None:
    other = MessageReceived("Me too.", contact="eve", message="m2")
    state = replay((STARTED, HELLO, other, replace(OFFERED, heard=2), WANTED))

    (question,) = decide(desk(), state)

    assert isinstance(question, ApprovalRequested)
    assert "after text of a stranger" in question.reason
    assert question.digest == digest_of_call(Who(), "r1.1", "refund", {"amount": 80})


def test_a_call_outside_its_constraint_is_refused_without_asking_anybody() -> None:
    agent = desk(Approval(), arguments={"amount": {"maximum": 50}})

    refused, _ = given(agent).when(WANTED)

    assert refused == ToolRefused(
        "r1.1",
        1,
        "refund",
        "agent 'help-desk' may not call 'refund' so: amount: 80 is greater than the maximum of 50",
    )


def test_a_constraint_and_a_rule_may_name_for_whom_the_turn_runs() -> None:
    hers = {"amount": {"const": "{contact}"}}
    wanted = replace(WANTED, parts=(replace(CALL, arguments={"amount": "ada"}),))
    bound, free = desk(arguments=hers), desk(Approval(unless=hers))

    (own,), (small,) = given(bound).when(wanted), given(free).when(wanted)
    refused, _ = given(bound).when(WANTED)

    assert isinstance(own, ToolRequested)
    assert isinstance(small, ToolRequested)
    assert isinstance(refused, ToolRefused)


def test_what_people_agreed_to_is_refused_where_the_agent_may_not_do_it() -> None:
    question = replace(asked(ALWAYS), name="delete")
    wanted = replace(WANTED, parts=(replace(CALL, name="delete"),))

    refused, _ = given(ALWAYS, wanted, question, AGREED).when()

    assert isinstance(refused, ToolRefused)
    assert refused.reason.startswith("tool 'delete' is not allowed for agent 'help-desk'")


@pytest.mark.parametrize(
    ("agent", "kind"),
    [(desk(), ApprovalRequested), (desk(safe=True), ToolRequested)],
    ids=["with an effect", "safe"],
)
def test_after_a_strangers_file_people_are_asked_about_what_is_not_safe(
    agent: Agent, kind: type[Event]
) -> None:
    state = replay((STARTED, replace(HELLO, files=(SHEET,)), OFFERED, WANTED))

    assert [type(step) for step in decide(agent, state)] == [kind]


def test_and_about_nothing_that_only_reads() -> None:
    wanted = replace(WANTED, parts=(ToolCall("r1.1", "look_up", {}),))
    state = replay((STARTED, replace(HELLO, files=(SHEET,)), OFFERED, wanted))

    assert decide(desk(), state) == (ToolRequested("r1.1", 1, "look_up", {}, contact="ada"),)


# -- code ---------------------------------------------------------------------------------------


def test_code_is_to_run_in_the_agents_sandbox_with_the_conversations_files() -> None:
    state = replay(
        (STARTED, replace(HELLO, files=(SHEET,)), OFFERED, replace(WANTED, parts=(CODE,)))
    )

    assert decide(desk(), state) == (CodeRequested("r1.1", 1, "print(1)", "monty", (SHEET,)),)


def test_of_many_files_the_last_ones_are_there_for_code() -> None:
    many = tuple(FileRef("text/csv", f"sha256:{n}") for n in range(CODE_FILES_MAX + 2))
    wanted = replace(WANTED, parts=(CODE,))
    state = replay((STARTED, replace(HELLO, files=many), OFFERED, wanted))

    (request,) = decide(desk(), state)

    assert CODE_FILES_MAX == 32
    assert isinstance(request, CodeRequested)
    assert request.files == many[2:]


def test_the_outcome_of_code_asks_the_model() -> None:
    at_rest = given(desk(), replace(WANTED, parts=(CODE,)))
    at_rest.when()

    (again,) = at_rest.when(ToolReturned("r1.1", 1, "1\n"))

    assert isinstance(again, ReasonRequested)
    assert at_rest.state.transcript[-1] == Result("r1.1", "run_code", "1\n")


@pytest.mark.parametrize("arguments", [{}, {"code": ""}, {"code": 7}, {"python": "print(1)"}])
def test_a_call_without_code_is_refused(arguments: dict[str, object]) -> None:
    wanted = replace(WANTED, parts=(ToolCall("r1.1", "run_code", arguments),))

    refused, _ = given(desk()).when(wanted)

    why = 'run_code needs an argument "code" with the Python to run'
    assert refused == ToolRefused("r1.1", 1, "run_code", why)


def test_code_that_a_veto_forbids_is_refused() -> None:
    def never(state: Conversation, event: Event) -> str | None:
        return "not here" if isinstance(event, CodeRequested) else None

    refused, _ = given(desk(), vetoes=(never,)).when(replace(WANTED, parts=(CODE,)))

    assert refused == ToolRefused("r1.1", 1, "run_code", "not here")


def test_an_agent_without_a_sandbox_runs_no_code() -> None:
    refused, _ = given(replace(desk(), sandbox="")).when(replace(WANTED, parts=(CODE,)))

    assert isinstance(refused, ToolRefused)
    assert refused.reason.startswith("tool 'run_code' is not allowed for agent 'help-desk'")
