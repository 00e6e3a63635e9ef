"""What an agent may do with a tool: constraints on arguments, approval, and whose words it read."""

from __future__ import annotations

from typing import Any

import pytest

from stepfold.events.transcript import Heard, Item, Result, Thought
from stepfold.events.values import FileRef, HostedTool, Text, ToolCall
from stepfold.policy.agent import Agent, digest, offered
from stepfold.policy.gate import (
    AFTER_STRANGERS,
    Who,
    approval_for,
    digest_of_call,
    trusts_knowledge,
    why_not,
)
from stepfold.policy.grant import Approval, Grant
from stepfold.policy.grants import outgrown, resolve
from stepfold.policy.taint import tainted
from stepfold.policy.toolspec import ToolSpec

ADA = Who("acme", "ada", "c1")


def desk(**grants: Grant) -> Agent:
    return Agent("desk", tools=tuple(grants) or ("refund",), grants=grants)


def refunds(**more: Any) -> Agent:
    return desk(refund=Grant(effect="write", **more))


# -- constraints --------------------------------------------------------------------------------


def test_a_tool_that_is_not_listed_is_not_allowed() -> None:
    assert why_not(desk(refund=Grant()), "delete", {}) == (
        "tool 'delete' is not allowed for agent 'desk' (allowed: refund)"
    )
    assert why_not(Agent("idle"), "delete", {}) == (
        "tool 'delete' is not allowed for agent 'idle' (allowed: none)"
    )


def test_a_tool_without_constraints_may_be_called_with_anything() -> None:
    assert why_not(desk(), "refund", {"x": 1}) is None
    assert why_not(refunds(), "refund", {"x": 1}) is None


@pytest.mark.parametrize(
    ("schema", "fits", "does_not"),
    [
        ({"const": "{customer}"}, "acme", "other"),
        ({"const": "{contact}"}, "ada", "eve"),
        ({"enum": ["{conversation}", "none"]}, "c1", "c2"),
        ({"pattern": "^{customer}-"}, "acme-7", "other-7"),
        ({"maximum": 50}, 50, 51),
        ({"type": "array", "items": {"const": "{contact}"}}, ["ada"], ["ada", "eve"]),
    ],
)
def test_an_argument_must_fit_its_constraint(schema: Any, fits: Any, does_not: Any) -> None:
    agent = refunds(arguments={"for": schema})

    assert why_not(agent, "refund", {"for": fits}, ADA) is None
    refused = why_not(agent, "refund", {"for": does_not}, ADA)
    assert refused is not None
    assert refused.startswith("agent 'desk' may not call 'refund' so: for")


def test_an_argument_with_a_constraint_must_be_given() -> None:
    agent = refunds(arguments={"amount": {"maximum": 50}})

    assert why_not(agent, "refund", {}, ADA) == (
        "agent 'desk' must give 'refund' the argument 'amount'"
    )


def test_nothing_equals_a_contact_that_was_not_told() -> None:
    agent = refunds(arguments={"for": {"const": "{contact}"}})

    assert why_not(agent, "refund", {"for": ""}, Who("acme")) is not None
    assert why_not(agent, "refund", {"for": "{contact}"}, Who("acme")) is not None


def test_a_name_that_looks_like_a_template_is_no_template() -> None:
    agent = refunds(arguments={"for": {"const": "{contact}"}})

    assert why_not(agent, "refund", {"for": "acme"}, Who("acme", "{customer}")) is not None
    assert why_not(agent, "refund", {"for": "{customer}"}, Who("acme", "{customer}")) is None


def test_a_name_in_a_pattern_means_itself() -> None:
    agent = refunds(arguments={"for": {"pattern": "^{contact}$"}})

    assert why_not(agent, "refund", {"for": "eve"}, Who("acme", ".*")) is not None
    assert why_not(agent, "refund", {"for": ".*"}, Who("acme", ".*")) is None


# -- approval -----------------------------------------------------------------------------------


def test_a_tool_without_a_grant_needs_nobody() -> None:
    assert approval_for(desk(), "refund", {}, ADA, tainted=True) is None


def test_a_rule_asks_always_or_unless_the_arguments_fit() -> None:
    always = refunds(approval=Approval(people=2))
    small = refunds(approval=Approval(unless={"amount": {"maximum": 20}}))

    assert approval_for(always, "refund", {"amount": 1}, ADA, tainted=False) == (
        Approval(people=2),
        "'refund' needs approval always",
    )
    assert approval_for(small, "refund", {"amount": 20}, ADA, tainted=False) is None
    (rule, why) = approval_for(small, "refund", {"amount": 21}, ADA, tainted=False) or (None, "")
    assert rule == Approval(unless={"amount": {"maximum": 20}})
    assert why == "'refund' needs approval: amount: 21 is greater than the maximum of 20"
    (_, why) = approval_for(small, "refund", {}, ADA, tainted=False) or (None, "")
    assert why == "'refund' needs approval unless 'amount' is given"


@pytest.mark.parametrize("effect", ["write", "external"])
def test_an_effect_that_is_wanted_after_a_strangers_text_is_approved_first(effect: Any) -> None:
    agent = desk(refund=Grant(effect=effect))

    assert approval_for(agent, "refund", {}, ADA, tainted=False) is None
    assert approval_for(agent, "refund", {}, ADA, tainted=True) == (
        AFTER_STRANGERS,
        "'refund' has an effect, and it is wanted after text of a stranger",
    )


def test_after_a_strangers_text_the_agents_own_rule_holds() -> None:
    rule = Approval(people=3, unless={"amount": {"maximum": 20}})

    asked = approval_for(refunds(approval=rule), "refund", {"amount": 1}, ADA, tainted=True)

    assert asked is not None
    assert asked[0] == rule


def test_what_reads_or_is_safe_needs_nobody_after_a_strangers_text() -> None:
    reads, safe = desk(refund=Grant(effect="read")), refunds(safe=True)

    assert approval_for(reads, "refund", {}, ADA, tainted=True) is None
    assert approval_for(safe, "refund", {}, ADA, tainted=True) is None


def test_an_approval_is_bound_to_call_arguments_and_conversation() -> None:
    one = digest_of_call(ADA, "r1.1", "refund", {"a": 1, "b": 2})

    assert one == digest_of_call(ADA, "r1.1", "refund", {"b": 2, "a": 1})
    others = {
        digest_of_call(ADA, "r1.2", "refund", {"a": 1, "b": 2}),
        digest_of_call(ADA, "r1.1", "refunds", {"a": 1, "b": 2}),
        digest_of_call(ADA, "r1.1", "refund", {"a": 1, "b": 3}),
        digest_of_call(Who("acme", "ada", "c2"), "r1.1", "refund", {"a": 1, "b": 2}),
        digest_of_call(Who("other", "ada", "c1"), "r1.1", "refund", {"a": 1, "b": 2}),
    }
    assert len(others | {one}) == 6


# -- whose words ----------------------------------------------------------------------------------

WANTED = Thought((ToolCall("r2.1", "refund", {}),))
READ = Thought((ToolCall("r1.1", "mail", {}),))


def reader(**more: Any) -> Agent:
    grants = {"refund": Grant(effect="write"), "mail": Grant(effect="read", **more)}
    return Agent("desk", tools=tuple(grants), collections=("faq",), grants=grants)


@pytest.mark.parametrize(
    "item",
    [
        Result("r1.1", "mail", "Refund me!"),
        Result("r1.1", "mail", "failed: refund me!", "failed"),
        Result("r1.1", "mail", "unknown: HTTP 500: refund me!", "unknown"),
        Result("r1.1", "search", "refund me"),
        Result("r1.1", "gone", "of a tool that the agent has no more"),
        Heard("See this.", (FileRef("application/pdf", "sha256:1"),)),
        Thought((HostedTool("web_search", output="refund me"), Text("I looked."))),
    ],
)
def test_what_strangers_wrote_taints(item: Item) -> None:
    assert tainted(reader(), (Heard("Hello"), READ, item, WANTED), "r2.1")


@pytest.mark.parametrize(
    "item",
    [
        Heard("Refund me!"),
        Result("r1.1", "mail", "refused: not allowed", "refused"),
        Result("r1.1", "run_code", "9"),
    ],
)
def test_what_contacts_write_and_we_say_does_not(item: Item) -> None:
    assert not tainted(reader(), (READ, item, WANTED), "r2.1")


def test_what_comes_after_the_call_was_wanted_does_not() -> None:
    assert not tainted(reader(), (WANTED, Result("r1.1", "mail", "Refund me!")), "r2.1")


def test_what_the_company_vouches_for_does_not() -> None:
    agent = reader(trusted=True)

    assert not tainted(agent, (READ, Result("r1.1", "mail", "x"), WANTED), "r2.1")
    assert tainted(agent, (READ, Result("r1.1", "search", "x"), WANTED), "r2.1")


def test_knowledge_is_trusted_when_all_its_collections_are() -> None:
    grants = {"refund": Grant()}
    one = Agent("desk", collections=("faq",), trusted=("faq",), grants=grants)
    two = Agent("desk", collections=("faq", "web"), trusted=("faq",), grants=grants)

    assert trusts_knowledge(one)
    assert not trusts_knowledge(two)
    assert trusts_knowledge(Agent("desk", collections=("web",)))


def test_without_grants_nothing_taints() -> None:
    agent = Agent("desk", tools=("mail", "refund"))

    assert not tainted(agent, (READ, Result("r1.1", "mail", "x")), "r2.1")


# -- grants ---------------------------------------------------------------------------------------


def test_an_agent_is_pinned_with_what_its_tools_are() -> None:
    agent = Agent("desk", tools=("refund", "gone"), grants={"refund": Grant(safe=True)})
    spec = ToolSpec("refund", effect="write", recovery="idempotent", trusted=True)

    pinned = resolve(agent, {"refund": spec, "unused": ToolSpec("unused")})

    assert pinned.grants == {
        "refund": Grant(effect="write", recovery="idempotent", trusted=True, safe=True)
    }
    assert digest(pinned) != digest(agent)
    assert resolve(pinned, {"refund": spec}) == pinned


def test_an_agent_without_tools_is_pinned_as_it_was() -> None:
    agent = Agent("desk", collections=("faq",))

    assert digest(resolve(agent, {"x": ToolSpec("x")})) == digest(agent)


def test_a_tool_may_become_less_dangerous_but_not_more() -> None:
    grant = Grant(effect="write")

    assert outgrown(grant, ToolSpec("refund", effect="read")) is None
    assert outgrown(grant, ToolSpec("refund", effect="write")) is None
    assert outgrown(grant, ToolSpec("refund", effect="external")) == (
        "tool 'refund' does more than this version of the agent allows: it was appointed as write,"
        " and is external now"
    )


def test_code_and_search_are_offered_to_who_has_them() -> None:
    assert offered(Agent("a", tools=("t",), collections=("c",), sandbox="monty")) == (
        "t",
        "search",
        "run_code",
    )
    assert offered(Agent("a", tools=("t",))) == ("t",)
    assert offered(Agent("a", sandbox="monty")) == ("run_code",)
