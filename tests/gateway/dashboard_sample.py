"""Conversations of a help desk as they look after a busy week: what a dashboard has to show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from stepfold.events import wire
from stepfold.events.citation import cite
from stepfold.events.envelope import Draft, first
from stepfold.events.event import (
    ApprovalGranted,
    ApprovalRequested,
    ConversationStarted,
    Event,
    MessageReceived,
    Reasoned,
    ReasonFailed,
    ReasonRequested,
    ResponseDelivered,
    ResponseGiven,
    RetrievalRequested,
    RetrievalReturned,
    ToolFailed,
    ToolRefused,
    ToolRequested,
    ToolReturned,
    ToolStarted,
    ToolUnknown,
    TurnAbandoned,
)
from stepfold.events.values import Arguments, Choice, Passage, Price, Spend, Text, ToolCall, Usage
from stepfold.policy.agent import Agent, Answers, digest
from stepfold.policy.gate import Who, digest_of_call
from stepfold.policy.grant import Approval, Grant
from stepfold.streams.jetstream import JetStreamLog

AGENT = Agent(
    name="help-desk",
    instructions="Help customers with orders, refunds and invoices. Quote the handbook.",
    models=(),
    tools=("find_order", "refund", "send_mail"),
    collections=("handbook",),
    trusted=("handbook",),
    answers=Answers(cite=True, languages=("en",)),
    grants={
        "find_order": Grant(effect="read", recovery="idempotent"),
        "refund": Grant(
            recovery="reconcile", approval=Approval(unless={"amount": {"maximum": 20}})
        ),
        "send_mail": Grant(),
    },
)
OLDER = replace(AGENT, instructions="Help customers of the shop.", tools=("find_order",), grants={})
MODELS = (
    ("claude-sonnet-5", "anthropic", "0.000009"),
    ("gpt-6-mini", "openai", "0.0000022"),
    ("command-b", "cohere", None),
)
TABLE = "sha256:" + "7" * 64
HANDBOOK = (
    ("refunds.md", "Refunds", "A refund takes three working days. It goes to the card that was"
     " charged. Refunds over 20 euros need a colleague's agreement."),
    ("delivery.md", "Delivery", "We deliver within two working days. A parcel that has not moved"
     " for five days is searched for, and we send another one."),
    ("invoices.md", "Invoices", "An invoice can be corrected for fourteen days. Write to us which"
     " line is wrong; the old one is cancelled."),
)  # fmt: skip
ASKED = (
    ("Where is my order 4711?", "delivery.md", "We deliver within two working days."),
    ("How long does a refund take?", "refunds.md", "A refund takes three working days."),
    (
        "The address on my invoice is wrong",
        "invoices.md",
        "An invoice can be corrected for fourteen days.",
    ),
    (
        "My parcel has not moved for a week",
        "delivery.md",
        "A parcel that has not moved for five days is searched for",
    ),
)  # fmt: skip
NAMES = ("amara", "bjorn", "chen", "dolores", "emeka", "farah", "goran", "hana", "ines", "jonas")


class Told(Struct, frozen=True):
    """A conversation: its steps, each so many seconds after the one before."""

    customer: str
    conversation: str
    begun: datetime
    steps: tuple[tuple[float, Event], ...]


def passage(name: str) -> Passage:
    document, title, text = next(each for each in HANDBOOK if each[0] == name)
    return Passage(document, title, "sha256:" + "5" * 64, 120, 120 + len(text), text, 7.31)


def sample(now: datetime, seed: int = 7) -> list[Told]:
    """A week of three customers, and what is open at this moment."""
    chance = Random(seed)
    told = []
    for number in range(84):
        back = timedelta(days=chance.triangular(0, 6.9, 0.5), seconds=chance.randrange(3_000))
        customer = chance.choice(("acme", "acme", "acme", "globex", "initech"))
        name = f"{chance.choice(NAMES)}-{1_000 + number}"
        told.append(Told(customer, name, now - back, tuple(_usual(chance, name))))
    told += [each for customer in ("acme",) for each in open_now(customer, now)]
    return sorted(told, key=lambda each: each.begun)


def open_now(customer: str, now: datetime) -> list[Told]:
    """One of each thing that somebody must look at."""
    back = timedelta
    return [
        waiting(customer, "waits-for-approval", now - back(minutes=6)),
        Told(customer, "unknown-outcome", now - back(minutes=41), tuple(_unknown())),
        Told(customer, "given-up", now - back(minutes=18), tuple(_given_up())),
        Told(customer, "fell-back", now - back(minutes=9), tuple(_fell_back())),
        Told(customer, "not-in-the-handbook", now - back(minutes=4), tuple(_unanswered())),
        Told(customer, "being-answered", now - back(seconds=9), tuple(_running())),
    ]


def waiting(customer: str, conversation: str, begun: datetime) -> Told:
    """A refund of 89.90 that a person must agree to, under the call r2.1."""
    return Told(customer, conversation, begun, tuple(_approval(customer, conversation)))


Steps = Iterator[tuple[float, Event]]


def _begin(contact: str, text: str, agent: Agent = AGENT) -> Steps:
    yield 0, ConversationStarted(agent.name, digest(agent), contact=contact, channel="widget")
    yield 0.01, MessageReceived(text, contact=contact, message="m1", language="en")


def _asks(call: str, turn: int = 1, model: str = MODELS[0][0], heard: int = 0) -> ReasonRequested:
    choice = Choice(
        "converse", 1, "the first that fits", TABLE,
        passed=("command-b: it cannot call tools",), hour=14, budget_left_usd=Decimal("18.42"),
    )  # fmt: skip
    tools = ("find_order", "refund", "send_mail", "search")
    return ReasonRequested(call, turn, model, tools, heard=heard, choice=choice)


def _reasoned(
    chance: Random, call: str, *parts: Text | ToolCall, turn: int = 1, model: int = 0
) -> Reasoned:
    name, provider, price = MODELS[model]
    tokens = chance.randrange(900, 5_200)
    cost = Decimal(price) * tokens if price else None
    return Reasoned(
        call, turn, name, parts,
        finish="tool_calls" if isinstance(parts[0], ToolCall) else "stop", provider=provider,
        usage=Usage(tokens, tokens // 14, tokens // 2), cost_usd=cost,
        price=Price("book 3", {"input": price}) if price else None,
        elapsed_ms=chance.randrange(700, 3_900), first_ms=chance.randrange(180, 600),
    )  # fmt: skip


def _searches(call: str, query: str, *names: str) -> Steps:
    spent = Spend("embed", "text-embedding-4", "openai", Usage(12), Decimal("0.00000024"))
    yield 0.01, RetrievalRequested(call, 1, query, ("handbook",), 5)
    yield 0.06, RetrievalReturned(call, 1, tuple(map(passage, names)), 41.5, (spent,))


def _answers(chance: Random, call: str, name: str, quote: str, text: str, model: int = 0) -> Steps:
    citation = cite(passage(name), quote)
    assert citation is not None, (name, quote)
    seconds = chance.randrange(700, 2_600) / 1_000
    yield seconds, _reasoned(chance, call, Text(text, (citation,)), model=model)
    yield 0.02, ResponseGiven(1, text, (citation,))
    yield 0.05, ResponseDelivered(1, "widget", "ok")


def _usual(chance: Random, contact: str) -> Steps:
    text, name, quote = chance.choice(ASKED)
    model = chance.choices(range(3), (6, 3, 1))[0]
    yield from _begin(contact, text, chance.choice((AGENT, AGENT, OLDER)))
    yield 0.02, _asks("r1", model=MODELS[model][0], heard=1)
    call = ToolCall("r1.1", "search", {"query": text})
    yield 1.4, _reasoned(chance, "r1", call, model=model)
    yield from _searches("r1.1", text, name, chance.choice(HANDBOOK)[0])
    yield 0.01, _asks("r2", model=MODELS[model][0])
    yield from _answers(
        chance, "r2", name, quote, f"{quote.rstrip('.')}. I will keep an eye on it.", model
    )


def _approval(customer: str, conversation: str) -> Steps:
    chance = Random(1)
    yield from _begin("amara", "I sent the jacket back two weeks ago. Where is my money?")
    yield 0.02, _asks("r1", heard=1)
    calls = (
        ToolCall("r1.1", "find_order", {"number": 4711}),
        ToolCall("r1.2", "search", {"query": "refund"}),
    )
    yield 1.9, _reasoned(chance, "r1", *calls)
    yield 0.01, ToolRequested("r1.1", 1, "find_order", {"number": 4711}, contact="amara")
    yield 0.01, ToolStarted("r1.1", 1, "w1")
    yield 0.3, ToolReturned("r1.1", 1, {"order": 4711, "paid": "89.90 EUR", "returned": True}, 288)
    yield from _searches("r1.2", "refund", "refunds.md")
    arguments: Arguments = {
        "order": 4711,
        "amount": 89.9,
        "currency": "EUR",
        "reason": "returned jacket",
    }
    yield 0.02, _asks("r2")
    yield 2.2, _reasoned(chance, "r2", ToolCall("r2.1", "refund", arguments))
    bound = digest_of_call(Who(customer, "amara", conversation), "r2.1", "refund", arguments)
    why = "help-desk may call refund only when a person agrees: amount is over 20"
    yield 0.01, ApprovalRequested("r2.1", 1, "refund", arguments, bound, why, 3_600)


def _unknown() -> Steps:
    chance = Random(2)
    yield from _begin("goran", "Please mail my invoice to my accountant.")
    yield 0.02, _asks("r1", heard=1)
    arguments: Arguments = {"to": "accountant@example.com", "subject": "Invoice 2026-118"}
    calls = (ToolCall("r1.1", "send_mail", arguments), ToolCall("r1.2", "close_account", {}))
    yield 1.2, _reasoned(chance, "r1", *calls)
    yield (
        0.01,
        ToolRefused(
            "r1.2", 1, "close_account", "tool 'close_account' is not allowed for agent 'help-desk'"
        ),
    )
    yield (
        0.01,
        ApprovalRequested(
            "r1.1",
            1,
            "send_mail",
            arguments,
            "sha256:" + "2" * 64,
            "it reaches the world outside",
            600,
        ),
    )
    yield 31, ApprovalGranted("r1.1", 1, "sha256:" + "2" * 64, "Ines", "he is on file")
    yield 0.01, ToolRequested("r1.1", 1, "send_mail", arguments, "sha256:" + "2" * 64, "goran")
    yield 0.01, ToolStarted("r1.1", 1, "w2")
    yield 30, ToolUnknown("r1.1", 1, "the mail server took the message and did not answer in 30 s")
    yield 0.02, _asks("r2")
    text = "I am not sure whether the mail went out; a colleague will check."
    yield 1.1, _reasoned(chance, "r2", Text(text))
    yield 0.01, ResponseGiven(1, text, outcome="hand_off", reason="no accepted quote")


def _given_up() -> Steps:
    yield from _begin("chen", "Can you change the delivery address?")
    for attempt in (1, 2, 3):
        call = f"r{attempt}"
        yield 0.5, replace(_asks(call, heard=1 if attempt == 1 else 0), attempt=attempt)
        yield 10, ReasonFailed(
            call, 1, "anthropic/claude-sonnet-5", "timeout", "no answer in 10 s", attempt < 3,
            elapsed_ms=10_000, attempt=attempt, provider="anthropic",
        )  # fmt: skip
    yield 0.01, TurnAbandoned(1, "model", "anthropic/claude-sonnet-5: timeout: no answer in 10 s")


def _fell_back() -> Steps:
    chance = Random(3)
    text, name, quote = ASKED[1]
    yield from _begin("dolores", text)
    yield 0.02, _asks("r1", heard=1)
    yield (
        2,
        ReasonFailed(
            "r1",
            1,
            "anthropic/claude-sonnet-5",
            "rate_limit",
            "429",
            True,
            elapsed_ms=180,
            provider="anthropic",
        ),
    )
    fallback = Choice(
        "converse",
        2,
        "the next after a rate limit",
        TABLE,
        passed=("claude-sonnet-5: it failed: rate_limit",),
    )
    yield 0.2, replace(_asks("r2", model=MODELS[1][0]), attempt=2, choice=fallback)
    yield 1.3, _reasoned(chance, "r2", ToolCall("r2.1", "find_order", {"number": "?"}), model=1)
    yield 0.01, ToolRequested("r2.1", 1, "find_order", {"number": "?"})
    yield 0.01, ToolStarted("r2.1", 1, "w1")
    yield 0.1, ToolFailed("r2.1", 1, "there is no order '?'", 88)
    yield 0.01, _asks("r3", model=MODELS[1][0])
    yield 1, _reasoned(chance, "r3", ToolCall("r3.1", "search", {"query": text}), model=1)
    yield from _searches("r3.1", text, name)
    yield 0.02, _asks("r4", model=MODELS[1][0])
    yield from _answers(chance, "r4", name, quote, quote, 1)


def _unanswered() -> Steps:
    chance = Random(4)
    yield from _begin("hana", "Do you also repair zippers?")
    yield 0.02, _asks("r1", heard=1)
    yield 1.3, _reasoned(chance, "r1", ToolCall("r1.1", "search", {"query": "repair zippers"}))
    yield from _searches("r1.1", "repair zippers")
    yield 0.01, _asks("r2")
    yield 1.2, _reasoned(chance, "r2", Text("Yes, we do."))
    yield (
        0.01,
        ResponseGiven(
            1,
            "I cannot answer that from what I know here.",
            outcome="refusal",
            reason="no accepted quote",
        ),
    )


def _running() -> Steps:
    chance = Random(5)
    yield from _begin("emeka", "My parcel has not moved for a week")
    yield 0.02, _asks("r1", heard=1)
    yield (
        1.5,
        _reasoned(chance, "r1", ToolCall("r1.1", "search", {"query": "parcel does not move"})),
    )
    yield from _searches("r1.1", "parcel does not move", "delivery.md", "refunds.md")
    yield 0.01, _asks("r2")


async def tell(log: JetStreamLog, told: Sequence[Told]) -> dict[tuple[str, str], int]:
    """Append them, each step at the time it says, and those of all conversations in that order; the
    last position of each conversation.
    """
    steps = sorted(
        (
            (at, number, index, event)
            for number, each in enumerate(told)
            for index, (at, event) in enumerate(_timed(each))
        ),
        key=lambda step: step[:3],
    )
    ends: dict[tuple[str, str], int] = {}
    for at, number, index, event in steps:
        key = told[number].customer, told[number].conversation
        draft = _draft(key, event, index)
        after = ends.get(key, 0)
        payload = wire.encode(draft, at=at, after=after)
        position = await log.append_raw(wire.subject(draft), payload, id=draft.id, after=after)
        assert position is not None, draft
        ends[key] = position
    return ends


def _timed(told: Told) -> Iterator[tuple[datetime, Event]]:
    at = told.begun
    for seconds, event in told.steps:
        at += timedelta(seconds=seconds)
        yield at, event


def _draft(key: tuple[str, str], event: Event, index: int) -> Draft:
    by = {
        MessageReceived: "widget",
        ToolStarted: "tool/w1",
        Reasoned: "reason",
        ReasonFailed: "reason",
    }
    return first(*key, event, by=by.get(type(event), "agent"), key=str(index))
