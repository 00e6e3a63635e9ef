"""A tool whose lookup tells whether a call took effect, also after its worker died."""

from __future__ import annotations

from typing import Any

import pytest

from stepfold.events.event import ToolReturned, ToolUnknown
from stepfold.policy.agent import Agent
from stepfold.providers.model import Call, Reply
from stepfold.testing import Arrangement
from stepfold.tools.function import (
    Caller,
    FunctionRefused,
    ReconcilingTool,
    ToolError,
    caller,
    tool,
)
from stepfold.tools.tool import Reconciling, calling

Receipt = dict[str, Any]


class Dies(BaseException):
    """The process that did this is no more."""


def payments() -> tuple[ReconcilingTool[..., Any], dict[str, Receipt]]:
    """A tool that pays, still without a lookup, and what was paid by key."""
    paid: dict[str, Receipt] = {}

    @tool(effect="external", recovery="reconcile")
    async def pay(to: str, amount: int, call: str) -> Receipt:
        """Pays."""
        paid[call] = {"to": to, "amount": amount}
        if amount == 13:
            raise Dies
        return paid[call]

    return pay, paid


ARGUMENTS = {"to": "ada", "amount": 5}


async def test_the_lookup_finds_what_was_returned_or_nothing() -> None:
    pay, paid = payments()

    @pay.reconcile
    def paid_already(call: str, to: str) -> Receipt | None:
        return paid.get(call) if caller().contact == to else None

    with calling(Caller("acme", "c1", "ada")):
        assert await pay.reconcile(ARGUMENTS, call="k") is None
        assert await pay.run(ARGUMENTS, call="k") == ARGUMENTS
        assert await pay.reconcile(ARGUMENTS, call="k") == ARGUMENTS
    assert paid_already("k", "eve") is None


async def test_a_lookup_may_be_given_to_the_decorator() -> None:
    async def found(to: str) -> str | None:
        return to if to == "ada" else None

    @tool(effect="write", recovery="reconcile", lookup=found)
    def greet(to: str) -> str:
        """Greets."""
        return to

    assert greet.spec.lookup == "greet"
    assert await greet.reconcile({"to": "ada"}, call="k") == "ada"
    assert await greet.reconcile({"to": "eve"}, call="k") is None


async def test_without_its_lookup_it_does_not_run() -> None:
    pay, paid = payments()

    with pytest.raises(ToolError, match="not begun: 'pay' has no lookup: write one below @pay"):
        await pay.run(ARGUMENTS, call="k")
    with pytest.raises(ToolError, match="has no lookup"):
        await pay.reconcile(ARGUMENTS, call="k")

    assert paid == {}
    assert pay.spec.lookup == ""


async def test_what_a_lookup_finds_must_be_what_the_tool_returns() -> None:
    pay, _ = payments()

    @pay.reconcile
    def found(to: str) -> Any:
        return f"paid to {to}"

    with pytest.raises(ToolError, match="what its lookup found does not fit"):
        await pay.reconcile(ARGUMENTS, call="k")


def test_only_a_tool_that_reconciles_has_a_lookup() -> None:
    @tool(effect="write")
    def pay(to: str) -> str:
        """Pays."""
        return to

    pay_anyway: Any = pay
    assert not isinstance(pay, Reconciling)
    assert isinstance(payments()[0], Reconciling)
    with pytest.raises(AttributeError, match='write recovery="reconcile" in its @tool'):
        pay_anyway.reconcile(pay)


def other_name(receiver: str) -> Receipt | None:
    return None


def other_type(amount: str) -> Receipt | None:
    return None


def untyped(to) -> Receipt | None:  # type: ignore[no-untyped-def]
    return None


@pytest.mark.parametrize(
    ("lookup", "why"),
    [
        (other_name, "other_name: 'pay' has no parameter 'receiver': take some of its own (to, am"),
        (other_type, "other_type: parameter 'amount' has another type in 'pay'"),
        (untyped, "untyped: parameter 'to' has no type"),
    ],
)
def test_a_lookup_takes_the_arguments_of_its_tool(lookup: Any, why: str) -> None:
    with pytest.raises(FunctionRefused) as raised:
        payments()[0].reconcile(lookup)

    assert why in str(raised.value)


def test_a_tool_has_one_lookup() -> None:
    pay, _ = payments()

    @pay.reconcile
    def first(to: str) -> Receipt | None:
        return None

    with pytest.raises(FunctionRefused, match="'pay' has a lookup already"):
        pay.reconcile(first)


@pytest.mark.parametrize("annotation", [None, str | None, Any])
def test_what_may_return_none_cannot_be_reconciled(annotation: Any) -> None:
    def note(text: str) -> Any:
        """Notes."""

    note.__annotations__["return"] = annotation

    with pytest.raises(FunctionRefused, match="it may return None"):
        tool(effect="write", recovery="reconcile")(note)


async def crashed(pay: ReconcilingTool[..., Any], amount: int) -> Arrangement:
    """A conversation in which the worker died while the tool ran."""
    asked = Reply(calls=(Call("pay", {"to": "ada", "amount": amount}),))
    arrangement = Arrangement(replies=(asked, Reply("Done.")), tools=[pay])
    await arrangement.start(Agent("desk", models=("scripted",), tools=("pay",)))
    await arrangement.say("Pay.")
    with pytest.raises(Dies):
        await arrangement.run_to_rest()
    arrangement.restart()
    await arrangement.run_to_rest()
    return arrangement


async def test_after_a_crash_what_was_done_is_found_and_not_done_again() -> None:
    pay, paid = payments()

    @pay.reconcile
    def found(to: str, call: str) -> Receipt | None:
        return paid.get(call)

    arrangement = await crashed(pay, 13)

    rest = await arrangement.rest()
    assert list(paid) == ["acme/c1/r1.1"]
    assert [each.result for each in rest.events if isinstance(each, ToolReturned)] == [
        {"to": "ada", "amount": 13}
    ]
    assert rest.answer == "Done."


async def test_after_a_crash_a_lookup_that_cannot_tell_leaves_it_unknown() -> None:
    pay, paid = payments()

    @pay.reconcile
    def found(to: str) -> Receipt | None:
        raise ToolError("the bank is closed")

    arrangement = await crashed(pay, 13)

    (unknown,) = [e for e in (await arrangement.rest()).events if isinstance(e, ToolUnknown)]
    assert "the bank is closed" in unknown.reason
    assert len(paid) == 1
