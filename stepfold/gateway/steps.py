"""What of a step is told to whom.

Whoever may `read` gets steps as they are on the wire. A contact, or a key that is only for talking,
gets what the agent does and says, without what its tools and passages hold, what it thinks and
costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from stepfold.events.envelope import Entry, kind, tag
from stepfold.events.event import ReasonRequested
from stepfold.events.values import Citation
from stepfold.events.wire import encode_event
from stepfold.gateway.principal import READ, Principal
from stepfold.policy.agent import Agent
from stepfold.projections.state import Conversation

CALL = ("call", "turn")
TOLD: Mapping[str, tuple[str, ...]] = {
    "conversation.started": ("agent",),
    "message.received": ("text", "contact", "message", "language"),
    "reason.requested": (*CALL, "attempt"),
    "reason.finished": (*CALL, "finish"),
    "reason.failed": (*CALL, "retryable"),
    "tool.requested": (*CALL, "name"),
    "tool.started": CALL,
    "tool.returned": CALL,
    "tool.failed": CALL,
    "tool.refused": (*CALL, "name"),
    "tool.unknown": CALL,
    "code.requested": CALL,
    "approval.requested": (*CALL, "name", "expires_s"),
    "approval.granted": CALL,
    "approval.denied": CALL,
    "approval.expired": CALL,
    "retrieval.requested": CALL,
    "retrieval.returned": CALL,
    "retrieval.failed": CALL,
    "response.given": ("turn", "text", "citations", "outcome"),
    "turn.expired": ("turn",),
    "turn.abandoned": ("turn", "reason"),
    "turn.cancelled": ("turn", "reason"),
    "conversation.stopped": (),
    "feedback.given": ("turn", "rating"),
}
"""Fields that a contact gets, by kind; a kind that does not stand here is not told."""


class Step(Struct, frozen=True, omit_defaults=True):
    """One step. `event` is as on the wire, its kind in `type`; to a contact only some fields."""

    position: int
    at: datetime
    kind: str
    event: Raw
    by: str = ""
    cause: str = ""


def step_for(who: Principal, entry: Entry, titles: Mapping[str, str] = {}) -> Step | None:
    """None when it is not told to them. `titles` are those of documents, by their names: who may
    not read passages gets them with the citations.
    """
    name = kind(entry.event)
    if who.may(READ):
        event = Raw(encode_event(entry.event))
        return Step(entry.position, entry.at, name, event, entry.by, entry.cause)
    if name not in TOLD or (isinstance(entry.event, ReasonRequested) and entry.event.shadow):
        return None
    fields: dict[str, Any] = {"type": tag(entry.event)}
    for field in TOLD[name]:
        if (value := getattr(entry.event, field)) not in ("", ()):
            fields[field] = value
    if "citations" in fields:
        fields["citations"] = [_titled(each, titles) for each in fields["citations"]]
    return Step(entry.position, entry.at, name, Raw(msgspec.json.encode(fields)))


def _titled(citation: Citation, titles: Mapping[str, str]) -> dict[str, Any]:
    title = titles.get(citation.document)
    return {**msgspec.to_builtins(citation), **({"title": title} if title else {})}


def hears_words(who: Principal, agent: Agent | None) -> bool:
    """Where rules may turn an answer down, a contact hears it only when it has passed them."""
    if who.may(READ):
        return True
    rules = agent.answers if agent else None
    return agent is not None and (rules is None or not (rules.cite or rules.characters_max))


Standing = Literal["rest", "working", "waiting", "stopped"]
"""Whose move it is: the contact's, the agent's, that of people who are asked; or nobody's."""


def standing(state: Conversation) -> Standing:
    """Whose move it is, in a word."""
    if state.stopped:
        return "stopped"
    if state.turn is None:
        return "working" if state.unheard else "rest"
    return "waiting" if state.turn.pending else "working"


def at_rest(state: Conversation) -> bool:
    """Is it the contact's move, for good or for now?"""
    return standing(state) in ("rest", "stopped")
