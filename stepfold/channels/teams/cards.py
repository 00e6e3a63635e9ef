"""Cards on which people agree to a call, or do not. Pure.

What a call says is shown as plain runs of text: a model wrote it, and a text block would make links
and headings of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from microsoft_teams.cards import (
    AdaptiveCard,
    CardElement,
    ExecuteAction,
    RichTextBlock,
    SubmitAction,
    TextBlock,
    TextRun,
)

from stepfold.channels.teams.arrived import PRESSED, Answer
from stepfold.events.envelope import Entry
from stepfold.events.event import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRequested,
)

ARGUMENTS_CHARS_MAX = 4_000
BUTTONS: tuple[tuple[Answer, str], ...] = (("approve", "Approve"), ("deny", "Deny"))


def asking(request: ApprovalRequested, about: str) -> AdaptiveCard:
    """May this call of the conversation `about` run?"""
    card = _card(request, "Approval needed")
    card.actions = [_button(request, about, answer, title) for answer, title in BUTTONS]
    return card


def outcome_card(call: str, entries: Sequence[Entry]) -> AdaptiveCard | None:
    """What became of a call that people were asked about, without buttons; None while people are
    still missing. `entries` are those of the conversation.
    """
    request = requested(call, entries)
    words = _outcome(request, entries) if request else ""
    return _card(request, words) if request and words else None


def requested(call: str, entries: Sequence[Entry]) -> ApprovalRequested | None:
    for entry in entries:
        if isinstance(entry.event, ApprovalRequested) and entry.event.call == call:
            return entry.event
    return None


def _outcome(request: ApprovalRequested, entries: Sequence[Entry]) -> str:
    agreed: list[str] = []
    for entry in entries:
        match entry.event:
            case ApprovalGranted(call=call) if call == request.call:
                agreed.append(_who(entry.event.person, entry.event.comment))
            case ApprovalDenied(call=call) if call == request.call:
                return f"Denied by {_who(entry.event.person, entry.event.reason)}"
            case ApprovalExpired(call=call) if call == request.call:
                return "Nobody decided in time"
            case _:
                pass
    return f"Approved by {' and '.join(agreed)}" if len(agreed) >= request.people else ""


def _who(person: str, note: str) -> str:
    return f"{person} ({note})" if note else person


def _card(request: ApprovalRequested, title: str) -> AdaptiveCard:
    people = f"{request.people} people must agree. " if request.people > 1 else ""
    body: list[CardElement] = [
        TextBlock(text="Approval", size="Small", is_subtle=True, wrap=True),
        _plain(title, bold=True),
        _plain(f"{request.name}: {request.reason}"),
        _plain(_arguments(request), code=True),
        _plain(f"{people}Call {request.call}, digest {request.digest}"),
    ]
    return AdaptiveCard(version="1.5", body=body, fallback_text=f"{title}: {request.name}")


def _arguments(request: ApprovalRequested) -> str:
    raw = msgspec.json.format(msgspec.json.encode(request.arguments), indent=2).decode()
    left = len(raw) - ARGUMENTS_CHARS_MAX
    if left <= 0:
        return raw
    return f"{raw[:ARGUMENTS_CHARS_MAX]}… {left:,} more characters: `stepfold approval list`"


def _plain(text: str, *, bold: bool = False, code: bool = False) -> RichTextBlock:
    run = TextRun(text=text)
    if bold:
        run.with_weight("Bolder")
    if code:
        run.with_font_type("Monospace")
    runs: list[CardElement] = [run]
    return RichTextBlock(inlines=runs)


def _button(request: ApprovalRequested, about: str, answer: Answer, title: str) -> ExecuteAction:
    data: dict[str, Any] = {
        "kind": PRESSED,
        "about": about,
        "call": request.call,
        "digest": request.digest,
        "answer": answer,
    }
    style: Literal["positive", "destructive"]
    style = "positive" if answer == "approve" else "destructive"
    old = SubmitAction(title=title, style=style, data=data)
    return ExecuteAction(title=title, style=style, verb=answer, data=data, fallback=old)
