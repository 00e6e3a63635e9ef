"""What the types cannot say of the words on the wire: who appends a kind, what it is paired with,
and what a field means that means the same wherever it stands. A docstring wins over this table.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping

from msgspec import Struct

from stepfold.events.event import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRequested,
    CodeRequested,
    ConversationStarted,
    ConversationStopped,
    Event,
    FeedbackGiven,
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
    TurnExpired,
)

OUTCOMES: Mapping[type[Event], tuple[type[Event], ...]] = {
    ReasonRequested: (Reasoned, ReasonFailed),
    ToolRequested: (ToolReturned, ToolFailed, ToolRefused, ToolUnknown),
    ApprovalRequested: (ApprovalGranted, ApprovalDenied, ApprovalExpired),
    CodeRequested: (ToolReturned, ToolFailed, ToolRefused, ToolUnknown),
    RetrievalRequested: (RetrievalReturned, RetrievalFailed),
    GenerationRequested: (Generated, GenerationFailed),
}
"""Each request, and the outcomes of which it gets exactly one, with the same `call`; only that
several people may each grant an approval.
"""

APPENDED_BY: Mapping[type[Event], str] = {
    ConversationStarted: "the inbox, in front of a conversation's first message; an import",
    MessageReceived: "the inbox, for a channel or a command",
    ReasonRequested: "`decide` (by `agent`)",
    Reasoned: "the worker `reason`",
    ReasonFailed: "the worker `reason`",
    ToolRequested: "`decide` (by `agent`)",
    ToolStarted: "the worker `tool` (by `tool/<process>`), before the effect",
    ToolReturned: "the worker `tool` or `sandbox`",
    ToolFailed: "the worker `tool` or `sandbox`",
    ToolRefused: "`decide`, in place of a request; or the worker `tool`, its outcome",
    ToolUnknown: "the worker `tool`, on a later delivery of a call that had started",
    ApprovalRequested: "`decide` (by `agent`), in place of a request",
    ApprovalGranted: "whoever may agree, by command or channel",
    ApprovalDenied: "whoever may agree, by command or channel",
    ApprovalExpired: "the lane `timer`, when too few agreed in time",
    CodeRequested: "`decide` (by `agent`)",
    RetrievalRequested: "`decide` (by `agent`)",
    RetrievalReturned: "the worker `retrieve`",
    RetrievalFailed: "the worker `retrieve`",
    ResponseGiven: "`decide` (by `agent`)",
    ResponseDelivered: "a channel, after it delivered the answer",
    FeedbackGiven: "a channel, for a contact",
    GenerationRequested: "a program that wants structured output; `decide`, for a further attempt",
    Generated: "the worker `generate`",
    GenerationFailed: "the worker `generate`",
    GenerationAbandoned: "`decide` (by `agent`)",
    TurnExpired: "the lane `timer`, when a turn's timer fires and the turn still runs",
    TurnAbandoned: "`decide` (by `agent`)",
    TurnCancelled: "whoever cancels; `decide`, when the agent's rule is `supersede`",
    ConversationStopped: "the shell of a worker, by `shell`",
}

_FIELDS: Mapping[str, str] = {
    "agent": "name of the agent",
    "answer": "the model's turn",
    "approval": "digest of the call that was approved; empty: nobody had to agree",
    "arguments": "the arguments as the model wrote them",
    "attempt": "the attempt's number within one ask, from 1",
    "call": "names a request and its outcome; unique in the conversation",
    "channel": "name of the channel",
    "code": "Python",
    "comment": "what they said to it",
    "citation": "the citation that was refused",
    "citations": "quotes that the text rests on",
    "collections": "names of the collections that are searched",
    "contact": "the person who writes, as the channel names them",
    "cost_usd": "US dollars; null: the price is not known, which is not zero",
    "detail": "the same in more words, for people",
    "digest": "`sha256:` and the hash of the version that is meant",
    "document": "id of the document",
    "elapsed_ms": "milliseconds that the work took",
    "end": "where it ends, in code points of the content",
    "expires_s": "seconds until it is too late",
    "file": "the whole of it; null: the result is the whole",
    "finish": "why the model stopped, in a word of ours",
    "finish_word": "the same in the provider's own word",
    "input": "what is asked about",
    "model": "name of the model, as the agent's configuration has it",
    "name": "name of the tool",
    "origin": "where an imported recording comes from; empty: it happened here",
    "output": "JSON that fits the schema",
    "outcome": "what it is: an answer, a refusal, or a hand-over to people",
    "people": "how many different people must agree",
    "person": "who",
    "parts": "what the model said, in order",
    "passages": "what was found, best first",
    "passages_max": "how many passages at most",
    "provider": "who served the model",
    "query": "the words to search for",
    "quote": "the words themselves",
    "rating": "whether it was of use",
    "reason": "why",
    "receipt": "the channel's own id of what it delivered",
    "refused": "citations that were not accepted",
    "response": "the provider's id of the response",
    "result": "what the tool returned",
    "retryable": "whether asking again may help",
    "sandbox": "name of the kind of sandbox",
    "score": "how well it fits; comparable within one search only",
    "start": "where it starts, in code points of the content",
    "task": "what is to be done, in words",
    "text": "the words",
    "title": "title of the document",
    "tools": "names of the tools that are offered",
    "turn": "number of the turn in its conversation, from 1",
    "usage": "tokens; null: not told",
    "worker": "name of the process",
    "api": "which API gave it, such as `openai.responses`",
    "budget": "how far the budget is used up; empty: far from it, or there is none",
    "budget_left_usd": "US dollars left of the narrowest budget; null: there is none",
    "cache": "whether the prompt's unchanging beginning may be kept by the provider",
    "choice": "why this model; null: whoever asked named it",
    "currency": "of the amounts, ISO 4217",
    "effort": "how much it is to think",
    "files": "images and documents that go with it",
    "hour": "of the day, UTC; -1: not known",
    "instructions": "what the model is told to do; empty: the task in words",
    "language": "language of the words, as the channel tells it (BCP 47)",
    "media": "its media type",
    "options": "how the model is asked; null: as the provider has it",
    "output_tokens_max": "tokens that the answer may have",
    "parallel": "whether it may call several tools at once",
    "passed": "candidates that were passed over, each with the reason",
    "place": "the candidate's place on its route, from 1; 0: none fitted",
    "price": "what the cost was reckoned with; null: the price is not known",
    "repairs": "how many attempts mended an answer",
    "route": "name of the route",
    "spent": "paid calls that the search made",
    "state": "the turn as its API gave it; null: the parts say it all",
    "status": "what became of it, in the provider's own word",
    "temperature": "randomness of the answer, where the model takes it",
    "tier": "the provider's service tier, where it told one",
    "why": "the reason in words",
    "GenerationRequested.delay_s": "seconds to wait before it is asked",
    "GenerationFailed.delay_s": "seconds that the provider asks to wait",
    "ReasonRequested.delay_s": "seconds to wait before it is asked",
    "ReasonFailed.delay_s": "seconds that the provider asks to wait",
    "Unreadable.kind": "the kind, as far as subject or payload tell it",
    "Usage.input": "tokens of the prompt",
    "Usage.output": "tokens of the answer",
    "Reasoned.model": "name of the model, as it answered",
    "Generated.model": "name of the model, as it answered",
    "ApprovalRequested.digest": "`sha256:` and the hash of customer, conversation, call, name and"
    " arguments",
    "ApprovalGranted.digest": "that of the `approval.requested` that is meant",
    "ApprovalDenied.digest": "that of the `approval.requested` that is meant",
    "ResponseGiven.reason": "why the model's words are not what is given; empty: they are",
    "ToolFailed.reason": "the tool's own message, which the model reads too",
    "Envelope.id": "UUID, derived from the cause, the author, the kind and the call or turn",
    "Envelope.at": "time of the append, by the appender's clock",
    "Envelope.after": "position of the step before it in its conversation, 0 for the first",
    "Envelope.event": "what happened: one of the kinds below",
    "Envelope.cause": "id of the step that it follows from; empty: it came from outside",
    "Envelope.by": "who appended it",
    "Envelope.trace": "W3C `traceparent` of the message that began it, when there was one",
    "Envelope.v": "version of the envelope",
    "Envelope.blob": "name of the object that holds the event; absent: the event is here",
}


def meaning(struct: type[Struct]) -> str:
    """The struct's docstring in one line; empty when it has none."""
    return " ".join(inspect.cleandoc(struct.__doc__ or "").split())


def field_meaning(struct: type[Struct], field: str) -> str:
    """The sentence of the docstring that names the field, else what is true of it everywhere."""
    sentences = re.split(r"(?<=[.;])\s+", meaning(struct))
    said = next((text for text in sentences if f"`{field}`" in text), "")
    known = _FIELDS.get(f"{struct.__name__}.{field}") or _FIELDS.get(field, "")
    return said.rstrip(".;") or known


def pair(struct: type[Event]) -> str:
    """What a request or an outcome belongs to; empty for a kind that stands alone."""
    if struct in OUTCOMES:
        names = [f"`{kind_of(outcome)}`" for outcome in OUTCOMES[struct]]
        return f"Its outcome is {', '.join(names[:-1])} or {names[-1]}."
    requests = [f"`{kind_of(asked)}`" for asked, outcomes in OUTCOMES.items() if struct in outcomes]
    return f"An outcome of {' or '.join(requests)}." if requests else ""


def kind_of(struct: type[Event]) -> str:
    """`noun.verb`, without the version."""
    return str(struct.__struct_config__.tag).partition("/")[0]
