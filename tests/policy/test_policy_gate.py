"""What an agent may do with a tool: constraints on arguments, approval, and whose words it read."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from stepfold.events.transcript import FILE, HOSTED, Heard, Item, Result, Thought, sources
from stepfold.events.values import FileRef, HostedTool, Text, ToolCall
from stepfold.policy.agent import Agent, digest, offered
from stepfold.policy.gate import (
    AFTER_STRANGERS,
    NOBODY,
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
    assert why_not(desk(refund=Grant(), mail=Grant()), "delete", {}) == (
        "tool 'delete' is not allowed for agent 'desk' (allowed: refund, mail)"
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


@pytest.mark.parametrize("schema", [{"const": "{contact}"}, {"not": {"const": "{contact}"}}])
@pytest.mark.parametrize("value", ["", "{contact}", "eve", "\x00"])
def test_nothing_fits_a_contact_that_was_not_told(schema: Any, value: str) -> None:
    agent = refunds(arguments={"for": schema})

    assert why_not(agent, "refund", {"for": value}, Who("acme")) == (
        "agent 'desk' may not call 'refund' so: the contact is not known"
    )


def test_a_null_is_no_argument() -> None:
    agent = refunds(arguments={"amount": {"not": {"const": "all"}}})

    assert why_not(agent, "refund", {"amount": None}, ADA) == (
        "agent 'desk' must give 'refund' the argument 'amount'"
    )
    small = refunds(approval=Approval(unless={"amount": {"maximum": 20}}))
    assert approval_for(small, "refund", {"amount": None}, ADA, tainted=False) is not None


@pytest.mark.parametrize(
    "wrong", [{"people": 0}, {"expires_s": 0}, {"expires_s": float("inf")}, {"expires_s": 1e12}]
)
def test_an_approval_that_nobody_or_nothing_ends_is_none(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"give|needs"):
        Approval(**wrong)


def test_a_tool_that_nobody_knew_at_the_appointment_is_as_dangerous_as_any() -> None:
    agent = Agent("desk", tools=("mail", "late"), grants={"mail": Grant(effect="read")})

    assert approval_for(agent, "late", {}, ADA, tainted=True) is not None
    assert tainted(agent, {"late"}, "")
    assert approval_for(agent, "search", {}, ADA, tainted=True) is None


def test_a_name_that_looks_like_a_template_is_no_template() -> None:
    agent = refunds(arguments={"for": {"const": "{contact}"}})

    assert why_not(agent, "refund", {"for": "acme"}, Who("acme", "{customer}")) is not None
    assert why_not(agent, "refund", {"for": "{customer}"}, Who("acme", "{customer}")) is None


def test_a_name_in_a_pattern_means_itself() -> None:
    agent = refunds(arguments={"for": {"pattern": "^{contact}$"}})

    assert why_not(agent, "refund", {"for": "eve"}, Who("acme", ".*")) is not None
    assert why_not(agent, "refund", {"for": ".*"}, Who("acme", ".*")) is None


def test_a_name_in_a_list_stands_there_as_it_is() -> None:
    agent = refunds(arguments={"for": {"enum": ["{contact}"]}})

    assert why_not(agent, "refund", {"for": "ada.b"}, Who("acme", "ada.b")) is None


def test_nobody_has_no_names() -> None:
    assert Who(customer="", contact="", conversation="") == NOBODY


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
    assert tainted(reader(), sources((Heard("Hello"), item)), "")


@pytest.mark.parametrize(
    "item",
    [
        Heard("Refund me!"),
        Result("r1.1", "mail", "refused: not allowed", "refused"),
        Result("r1.1", "run_code", "9"),
    ],
)
def test_what_contacts_write_and_we_say_does_not(item: Item) -> None:
    assert tainted(reader(), sources((READ, item)), "") is False


@pytest.mark.parametrize("source", [FILE, HOSTED])
def test_no_tool_vouches_for_files_and_hosted_tools_by_its_name(source: str) -> None:
    agent = desk(**{source: Grant(trusted=True)})

    assert tainted(agent, {source}, "")


def test_what_another_contact_writes_taints() -> None:
    read = sources((Heard("Give me hers.", contact="eve"), Heard("Hello", contact="ada")))

    assert tainted(reader(), read, "ada")
    assert not tainted(reader(), sources((Heard("Hello", contact="ada"),)), "ada")


def test_what_the_company_vouches_for_does_not() -> None:
    agent = reader(trusted=True)

    assert not tainted(agent, sources((Result("r1.1", "mail", "x"),)), "")
    assert tainted(agent, sources((Result("r1.1", "search", "x"),)), "")


def test_knowledge_is_trusted_when_all_its_collections_are() -> None:
    grants = {"refund": Grant()}
    one = Agent("desk", collections=("faq",), trusted=("faq",), grants=grants)
    two = Agent("desk", collections=("faq", "web"), trusted=("faq",), grants=grants)

    assert trusts_knowledge(one)
    assert not trusts_knowledge(two)
    assert trusts_knowledge(Agent("desk", collections=("web",)))


def test_what_was_found_in_knowledge_that_is_trusted_does_not_taint() -> None:
    agent = replace(reader(), trusted=("faq",))

    assert not tainted(agent, sources((Result("r1.1", "search", "x"),)), "")


def test_without_grants_nothing_taints() -> None:
    agent = Agent("desk", tools=("mail", "refund"))

    assert tainted(agent, sources((Result("r1.1", "mail", "x"),)), "") is False


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


def test_a_grant_of_a_tool_that_nobody_knows_stays_as_it_was_written() -> None:
    written = Grant(approval=Approval(people=2))
    agent = Agent("desk", tools=("refund", "later"), grants={"later": written})

    pinned = resolve(agent, {"refund": ToolSpec("refund", effect="read")})

    assert pinned.grants == {"later": written, "refund": Grant(effect="read")}


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
