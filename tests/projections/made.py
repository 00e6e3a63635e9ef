"""Whole conversations, made from a seed: what an agent's log looks like when much of it goes wrong.

`log` interleaves them as a stream would and gives what a reader of the stream delivers.
"""

from __future__ import annotations

import uuid
from collections.abc import Generator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import msgspec
from msgspec.structs import replace

from stepfold.events import wire
from stepfold.events.envelope import Draft
from stepfold.events.event import (
    ConversationStarted,
    ConversationStopped,
    Event,
    Generated,
    GenerationAbandoned,
    GenerationFailed,
    GenerationRequested,
    MessageReceived,
    Reasoned,
    ReasonFailed,
    ReasonRequested,
    ResponseDelivered,
    ResponseGiven,
    RetrievalFailed,
    RetrievalRequested,
    RetrievalReturned,
    ToolFailed,
    ToolRefused,
    ToolRequested,
    ToolReturned,
    ToolStarted,
    ToolUnknown,
    TurnAbandoned,
    TurnCancelled,
)
from stepfold.events.values import (
    Choice,
    Citation,
    Passage,
    Price,
    RefusedCitation,
    Spend,
    Text,
    ToolCall,
    Usage,
)

Stored = tuple[int, str, bytes, datetime]

BEGIN = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
DIGEST = "sha256:" + "0" * 64
WORDS = ("account", "refund", "card", "limit", "fee", "transfer", "café", "statement", "支店")
MODELS = (("gpt-x", "openai", "0.000002"), ("claude-y", "anthropic", "0.0000031"), ("free", "", ""))
TOOLS = ("lookup", "book", "cancel_booking")
ROUTED = Choice("converse", 1, "the first that fits", DIGEST)


def log(seed: int, conversations: int, *, at_once: int = 40) -> list[Stored]:
    """The steps of many conversations, `at_once` of them running at any time."""
    return list(interleave(Random(seed), conversations, at_once))


def interleave(chance: Random, conversations: int, at_once: int) -> Iterator[Stored]:
    position, at = 0, BEGIN
    waiting = iter(range(conversations))
    running = [_Running(chance, number) for number, _ in zip(waiting, range(at_once), strict=False)]
    while running:
        place = chance.randrange(len(running))
        at += timedelta(microseconds=chance.randrange(1, 900_000))
        step = running[place].step(position + 1, at)
        if step is not None:
            position += 1
            yield step
            continue
        number = next(waiting, None)
        if number is None:
            running.pop(place)
        else:
            running[place] = _Running(chance, number)


def stored(
    events: Sequence[Event], *, customer: str = "acme", conversation: str = "c1", position: int = 1
) -> list[Stored]:
    """One conversation by itself, a second between its steps."""
    running = _Running(Random(0), 0, customer=customer, conversation=conversation, events=events)
    steps = (
        running.step(place, BEGIN + timedelta(seconds=place - position))
        for place in range(position, position + len(events))
    )
    return [step for step in steps if step is not None]


def archive(steps: Sequence[Stored]) -> bytes:
    """The same steps as an archive: the address moves into the line, `after` is left out."""
    lines = [b'{"agent":{"name":"help-desk"}}']
    for _, subject, payload, _ in steps:
        _, customer, conversation, _ = subject.split(".", 3)
        form = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
        del form["after"]
        address = {"customer": customer, "conversation": conversation}
        lines.append(msgspec.json.encode(address | form))
    return b"\n".join(lines) + b"\n"


class _Running:
    """A conversation on its way: who caused the next step, and on what it is fenced."""

    def __init__(
        self,
        chance: Random,
        number: int,
        *,
        customer: str = "",
        conversation: str = "",
        events: Sequence[Event] = (),
    ) -> None:
        self.chance = chance
        self.customer = customer or f"customer-{chance.randrange(7)}"
        self.conversation = conversation or f"v{number}"
        self.events = iter(events or _conversation(chance, number))
        self.after = 0
        self.cause = ""

    def step(self, position: int, at: datetime) -> Stored | None:
        event = next(self.events, None)
        if event is None:
            return None
        draft = Draft(
            id=str(uuid.UUID(int=self.chance.getrandbits(128))),
            customer=self.customer,
            conversation=self.conversation,
            event=event,
            cause=self.cause,
            by="made",
            trace="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        )
        payload = wire.encode(draft, at=at, after=self.after)
        self.after, self.cause = position, draft.id
        return position, wire.subject(draft), payload, at


def _conversation(chance: Random, number: int) -> Iterator[Event]:
    channel = chance.choice(("chat", "slack", ""))
    yield ConversationStarted("help-desk", DIGEST, contact=f"contact-{number}", channel=channel)
    if chance.random() < 0.1:
        yield from _generation(chance)
    asked = 0
    for turn in range(1, chance.randrange(1, 4)):
        yield MessageReceived(_prose(chance, 12), message=f"m{turn}")
        asked = yield from _turn(chance, turn, asked)
    if chance.random() < 0.05:
        yield ConversationStopped("poison", detail="a step could not be handled")


def _turn(chance: Random, turn: int, asked: int) -> Generator[Event, None, int]:
    asked += 1
    routed = ROUTED if chance.random() < 0.5 else None
    yield ReasonRequested(f"r{asked}", turn, "gpt-x", ("search", *TOOLS), heard=1, choice=routed)
    if chance.random() < 0.1:
        yield from _shadow(chance, turn, asked)
    if chance.random() < 0.1:
        yield ReasonFailed(
            f"r{asked}",
            turn,
            "openai/gpt-x",
            "timeout",
            retryable=True,
            elapsed_ms=60_000,
            provider="openai",
            usage=Usage(90, 0) if chance.random() < 0.5 else None,
        )
        asked += 1
        yield ReasonRequested(f"r{asked}", turn, "claude-y", ("search", *TOOLS), attempt=2)
    if chance.random() < 0.05:
        yield TurnCancelled(turn, "by the contact")
        yield _reasoned(chance, turn, f"r{asked}", (Text("too late"),))
        return asked
    call = f"r{asked}.1"
    yield _reasoned(chance, turn, f"r{asked}", (ToolCall(call, "search", {"query": "fee"}),))
    yield from _call(chance, turn, call)
    asked += 1
    yield ReasonRequested(f"r{asked}", turn, "gpt-x", ("search", *TOOLS))
    if chance.random() < 0.05:
        yield ReasonFailed(f"r{asked}", turn, "gpt-x", "invalid", detail="400", elapsed_ms=12.5)
        yield TurnAbandoned(turn, "model", "gpt-x: invalid: 400")
        return asked
    text = _prose(chance, 30)
    yield _reasoned(chance, turn, f"r{asked}", (Text(text),))
    citation = Citation("fees.md", DIGEST, 0, 4, text[:4])
    refused = RefusedCitation(citation, "the quote is empty")
    yield ResponseGiven(turn, text, (citation,), (refused,) if chance.random() < 0.2 else ())
    if chance.random() < 0.5:
        yield ResponseDelivered(turn, "chat", receipt=f"receipt-{turn}")
    return asked


def _reasoned(chance: Random, turn: int, call: str, parts: tuple[Text | ToolCall, ...]) -> Reasoned:
    model, provider, price = chance.choice(MODELS)
    tokens = chance.randrange(100, 4000)
    return Reasoned(
        call=call,
        turn=turn,
        model=model,
        parts=parts,
        provider=provider,
        usage=Usage(tokens, tokens // 9, tokens // 2, raw={"prompt_tokens": tokens, "tier": "std"}),
        cost_usd=Decimal(price) * tokens if price else None,
        price=Price("book 1", {"input": price}) if price else None,
        first_ms=chance.randrange(200) / 4,
        elapsed_ms=chance.randrange(1, 90_000) / 16,
    )


def _call(chance: Random, turn: int, call: str) -> Iterator[Event]:
    if chance.random() < 0.5:
        yield from _retrieval(chance, turn, call)
        return
    name = chance.choice(TOOLS)
    fate = chance.random()
    if fate < 0.1:
        yield ToolRefused(call, turn, name, f"tool {name!r} is not allowed")
        return
    yield ToolRequested(call, turn, name, {"booking": chance.randrange(10_000), "note": "naïve"})
    if fate < 0.2:
        return
    yield ToolStarted(call, turn, worker="w1")
    if fate < 0.3:
        yield ToolUnknown(call, turn, "its worker died")
    elif fate < 0.4:
        yield ToolFailed(call, turn, "no such booking", elapsed_ms=3.25)
    else:
        result = {"ok": True, "seats": [1, 2], "text": _prose(chance, 20)}
        yield ToolReturned(call, turn, result, elapsed_ms=chance.randrange(1, 9_000) / 8)


def _retrieval(chance: Random, turn: int, call: str) -> Iterator[Event]:
    yield RetrievalRequested(call, turn, _prose(chance, 4), ("help",), 3)
    if chance.random() < 0.1:
        why = "collection 'help' is empty"
        yield RetrievalFailed(call, turn, why, elapsed_ms=0.5, spent=_spent(chance))
        return
    passages = []
    for rank in range(chance.randrange(4)):
        text = _prose(chance, 60)
        passages.append(Passage(f"d{rank}.md", "Fees", DIGEST, 0, len(text), text, 9.5 - rank))
    elapsed_ms = chance.randrange(1, 99) / 4
    yield RetrievalReturned(call, turn, tuple(passages), elapsed_ms, _spent(chance))


def _shadow(chance: Random, turn: int, asked: int) -> Iterator[Event]:
    call = f"r{asked}.shadow"
    yield ReasonRequested(call, turn, "claude-y", choice=ROUTED, shadow=True, upto=1)
    yield _reasoned(chance, turn, call, (Text("as a shadow"),))


def _generation(chance: Random) -> Iterator[Event]:
    """A job: attempts, the last of which gives what was asked for, or the end without it."""
    schema = {"type": "object", "properties": {"label": {"type": "string"}}}
    asked = GenerationRequested("g1", "classify", {"text": _prose(chance, 9)}, schema, "gpt-x")
    for attempt in range(1, 4):
        call = "g1" if attempt == 1 else f"g1.{attempt}"
        job = "" if attempt == 1 else "g1"
        yield replace(asked, call=call, attempt=attempt, job=job, choice=ROUTED)
        if chance.random() < 0.6:
            usage = Usage(50, 8, thinking=3, cached=20)
            yield Generated(
                call, {"label": "fees"}, "gpt-x", usage, Decimal("0.00010000001"), 90.0, attempt
            )
            return
        yield GenerationFailed(
            call, "malformed", "gpt-x", usage=Usage(50, 0), elapsed_ms=80.0, attempt=attempt
        )
    yield GenerationAbandoned("g1", "malformed", "three attempts")


def _spent(chance: Random) -> tuple[Spend, ...]:
    """What a search paid for: nothing, or an embedding, or a rerank as well."""
    price = Price("book 1", {"input": "0.02"})
    embedded = Spend(
        "embed", "embed-x", "openai", Usage(9), Decimal("0.00000018"), price, elapsed_ms=3.5
    )
    searches = Usage(billed={"search_units": 1})
    cost = Decimal("0.002") if chance.random() < 0.7 else None
    return (embedded, Spend("rerank", "rerank-x", "cohere", searches, cost))[: chance.randrange(3)]


def _prose(chance: Random, words: int) -> str:
    return " ".join(chance.choices(WORDS, k=words))
