"""What can happen in a conversation: one struct per kind, the tag is `noun.verb/version`.

Tags are never renamed and fields with defaults are the only change; anything else is a new version
and an upcaster (`events/wire.py`). A request ends in `Requested` and has exactly one outcome with
the same `call`. The union `Event` at the end is the whole language.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from msgspec import Struct

from stepfold.events.values import (
    Arguments,
    Choice,
    Citation,
    FileRef,
    Finish,
    Options,
    Outcome,
    Part,
    Passage,
    Price,
    Rating,
    RefusedCitation,
    Repair,
    Spend,
    State,
    Usage,
)


class _Event(Struct, frozen=True, omit_defaults=True, tag_field="type"):
    pass


class ConversationStarted(_Event, frozen=True, tag="conversation.started/1"):
    """Pins the conversation to one version of one agent. `origin` is set on imported recordings."""

    agent: str
    digest: str
    contact: str = ""
    channel: str = ""
    origin: str = ""


class MessageReceived(_Event, frozen=True, tag="message.received/1"):
    """A contact said something. `message` is the channel's own id of it."""

    text: str
    contact: str = ""
    message: str = ""
    files: tuple[FileRef, ...] = ()
    language: str = ""


class ReasonRequested(_Event, frozen=True, tag="reason.requested/1"):
    """A model is asked. `heard` messages join its prompt; only `tools` are shown to it. With
    `compact` it is shown so many of the last characters, else all. A `shadow` is asked to compare:
    it sees the first `upto` items of the transcript, and nobody waits for it.
    """

    call: str
    turn: int
    model: str
    tools: tuple[str, ...] = ()
    heard: int = 0
    attempt: int = 1
    delay_s: float = 0
    task: str = "converse"
    choice: Choice | None = None
    options: Options | None = None
    compact: int = 0
    shadow: bool = False
    upto: int = 0


class Reasoned(_Event, frozen=True, tag="reason.finished/1"):
    """A model answered. `first_ms` is when its first words came, 0 where nobody listened."""

    call: str
    turn: int
    model: str
    parts: tuple[Part, ...]
    finish: Finish = "stop"
    finish_word: str = ""
    provider: str = ""
    response: str = ""
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    elapsed_ms: float = 0
    attempt: int = 1
    tier: str = ""
    state: State | None = None
    price: Price | None = None
    first_ms: float = 0


class ReasonFailed(_Event, frozen=True, tag="reason.failed/1"):
    """`reason` is a word of ours (`timeout`, `rate_limit`, ...), `detail` says more, `body` is the
    provider's own. What of this attempt was streamed is taken back: `streamed` characters.
    """

    call: str
    turn: int
    model: str
    reason: str
    detail: str = ""
    retryable: bool = False
    delay_s: float = 0
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    elapsed_ms: float = 0
    attempt: int = 1
    provider: str = ""
    body: str = ""
    price: Price | None = None
    streamed: int = 0


class ToolRequested(_Event, frozen=True, tag="tool.requested/1"):
    """A tool is to run, for this `contact`. `approval` is the digest that people agreed to."""

    call: str
    turn: int
    name: str
    arguments: Arguments
    approval: str = ""
    contact: str = ""


class ToolStarted(_Event, frozen=True, tag="tool.started/1"):
    """Recorded before the effect begins. Who won this append runs the tool. Another one follows
    only where the tool's rule permits that a call is taken up again after its worker died.
    """

    call: str
    turn: int
    worker: str = ""


class ToolReturned(_Event, frozen=True, tag="tool.returned/1"):
    """The tool did it; `result` is any JSON. Of a long one the beginning, and `file` is the whole;
    `files` are what the call made.
    """

    call: str
    turn: int
    result: Any
    elapsed_ms: float = 0
    file: FileRef | None = None
    files: tuple[FileRef, ...] = ()


class ToolFailed(_Event, frozen=True, tag="tool.failed/1"):
    """The tool did not do it, and said so."""

    call: str
    turn: int
    reason: str
    elapsed_ms: float = 0


class ToolRefused(_Event, frozen=True, tag="tool.refused/1"):
    """The call was not permitted; it never ran."""

    call: str
    turn: int
    name: str
    reason: str


class ToolUnknown(_Event, frozen=True, tag="tool.unknown/1"):
    """It started and its worker died: the effect may or may not have happened."""

    call: str
    turn: int
    reason: str


class ApprovalRequested(_Event, frozen=True, tag="approval.requested/1"):
    """A call waits until so many `people` have agreed to it, within `expires_s` seconds. `digest`
    is of this call with these arguments in this conversation; an approval is bound to it.
    """

    call: str
    turn: int
    name: str
    arguments: Arguments
    digest: str
    reason: str
    expires_s: float
    people: int = 1


class ApprovalGranted(_Event, frozen=True, tag="approval.granted/1"):
    """Somebody agreed to the call with this digest, and to no other."""

    call: str
    turn: int
    digest: str
    person: str
    comment: str = ""


class ApprovalDenied(_Event, frozen=True, tag="approval.denied/1"):
    """Somebody said no; one is enough."""

    call: str
    turn: int
    digest: str
    person: str
    reason: str = ""


class ApprovalExpired(_Event, frozen=True, tag="approval.expired/1"):
    """Too few agreed in time."""

    call: str
    turn: int


class CodeRequested(_Event, frozen=True, tag="code.requested/1"):
    """Code that a model wrote is to run in a `sandbox`, with the conversation's files. Its outcome
    is that of a tool.
    """

    call: str
    turn: int
    code: str
    sandbox: str
    files: tuple[FileRef, ...] = ()

    @property
    def name(self) -> str:
        """Of the tool, as a model calls it."""
        return "run_code"

    @property
    def arguments(self) -> Arguments:
        return {"code": self.code}


class RetrievalRequested(_Event, frozen=True, tag="retrieval.requested/1"):
    """The knowledge is to be searched."""

    call: str
    turn: int
    query: str
    collections: tuple[str, ...]
    passages_max: int


class RetrievalReturned(_Event, frozen=True, tag="retrieval.returned/1"):
    """What the search found, best first."""

    call: str
    turn: int
    passages: tuple[Passage, ...]
    elapsed_ms: float = 0
    spent: tuple[Spend, ...] = ()


class RetrievalFailed(_Event, frozen=True, tag="retrieval.failed/1"):
    """The search gave nothing, for this reason."""

    call: str
    turn: int
    reason: str
    elapsed_ms: float = 0
    spent: tuple[Spend, ...] = ()


class ResponseGiven(_Event, frozen=True, tag="response.given/1"):
    """The answer. `refused` are citations whose quote no retrieved passage holds. Where the agent's
    rules do not let the model's own words through, `outcome` and `reason` say so.
    """

    turn: int
    text: str
    citations: tuple[Citation, ...] = ()
    refused: tuple[RefusedCitation, ...] = ()
    outcome: Outcome = "answer"
    reason: str = ""


class ResponseDelivered(_Event, frozen=True, tag="response.delivered/1"):
    """A channel delivered the answer; `receipt` is its own name of that."""

    turn: int
    channel: str
    receipt: str = ""


class FeedbackGiven(_Event, frozen=True, tag="feedback.given/1"):
    """Somebody says what the answer of a turn was worth. It changes no decision."""

    turn: int
    rating: Rating
    comment: str = ""
    contact: str = ""


class GenerationRequested(_Event, frozen=True, tag="generation.requested/1"):
    """The direct path: `input` to JSON that fits `schema` (a JSON Schema), without a loop. A later
    `attempt` belongs to the `job` that the first one's call names; `repair` is what it must mend.
    """

    call: str
    task: str
    input: Any
    schema: dict[str, Any]
    model: str
    instructions: str = ""
    files: tuple[FileRef, ...] = ()
    job: str = ""
    attempt: int = 1
    delay_s: float = 0
    repair: Repair | None = None
    repairs: int = 0
    choice: Choice | None = None
    options: Options | None = None


class Generated(_Event, frozen=True, tag="generation.finished/1"):
    """The model gave JSON that fits the schema."""

    call: str
    output: Any
    model: str
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    elapsed_ms: float = 0
    attempt: int = 1
    provider: str = ""
    response: str = ""
    tier: str = ""
    price: Price | None = None


class GenerationFailed(_Event, frozen=True, tag="generation.failed/1"):
    """It did not; `reason` is a word of ours, `detail` says more, `body` is the provider's own.
    `output` is what does not fit the schema, when there was any.
    """

    call: str
    reason: str
    model: str
    detail: str = ""
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    elapsed_ms: float = 0
    attempt: int = 1
    retryable: bool = False
    delay_s: float = 0
    output: str = ""
    provider: str = ""
    response: str = ""
    body: str = ""
    price: Price | None = None


class GenerationAbandoned(_Event, frozen=True, tag="generation.abandoned/1"):
    """No attempt of the job `call` gave what was asked for."""

    call: str
    reason: str
    detail: str = ""
    choice: Choice | None = None


class TurnExpired(_Event, frozen=True, tag="turn.expired/1"):
    """A durable timer fired: the turn has used its total time."""

    turn: int


class TurnAbandoned(_Event, frozen=True, tag="turn.abandoned/1"):
    """The agent gave up: `reason` is a word of ours (`steps`, `cost`, `time`, `model`, ...)."""

    turn: int
    reason: str
    detail: str = ""
    choice: Choice | None = None


class TurnCancelled(_Event, frozen=True, tag="turn.cancelled/1"):
    """Somebody, or a newer message, ended the turn."""

    turn: int
    reason: str


class ConversationStopped(_Event, frozen=True, tag="conversation.stopped/1"):
    """Nothing acts on this conversation any more. `entry` is the id of what cannot be handled."""

    reason: str
    entry: str = ""
    detail: str = ""


class Unreadable(_Event, frozen=True, tag="unreadable/1"):
    """What a reader puts in place of a payload that it cannot read; `raw` is the payload.

    `known` is true when the kind is ours: then a newer version of us may be able to read it.
    """

    kind: str
    reason: str
    raw: bytes = b""
    known: bool = False


Event = (
    ConversationStarted
    | MessageReceived
    | ReasonRequested
    | Reasoned
    | ReasonFailed
    | ToolRequested
    | ToolStarted
    | ToolReturned
    | ToolFailed
    | ToolRefused
    | ToolUnknown
    | ApprovalRequested
    | ApprovalGranted
    | ApprovalDenied
    | ApprovalExpired
    | CodeRequested
    | RetrievalRequested
    | RetrievalReturned
    | RetrievalFailed
    | ResponseGiven
    | ResponseDelivered
    | FeedbackGiven
    | GenerationRequested
    | Generated
    | GenerationFailed
    | GenerationAbandoned
    | TurnExpired
    | TurnAbandoned
    | TurnCancelled
    | ConversationStopped
    | Unreadable
)

ToolOutcome = (
    ToolReturned | ToolFailed | ToolRefused | ToolUnknown | RetrievalReturned | RetrievalFailed
)
Request = ReasonRequested | ToolRequested | CodeRequested | RetrievalRequested | GenerationRequested
