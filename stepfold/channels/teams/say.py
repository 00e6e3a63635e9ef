"""What a contact is shown of a turn, and the activities that show it. Pure.

A stream of Teams goes on as it began: each update holds the words of the one before, and what keeps
a contact informed comes before the first word. So what is taken back ends the stream, and the
answer then takes the place of what was said.
"""

from __future__ import annotations

from typing import Any, Literal, assert_never

import msgspec
from microsoft_teams.api.activities.message import MessageActivityInput
from microsoft_teams.api.activities.typing import TypingActivityInput
from microsoft_teams.api.models import CitationAppearance, StreamInfoEntity
from msgspec import Struct
from msgspec.structs import replace

from stepfold.channels.teams.config import Texts
from stepfold.events.envelope import Entry
from stepfold.events.event import (
    ApprovalRequested,
    CodeRequested,
    ConversationStopped,
    Event,
    ReasonRequested,
    ResponseGiven,
    RetrievalRequested,
    ToolRequested,
    TurnAbandoned,
    TurnCancelled,
)
from stepfold.events.values import Citation
from stepfold.streams.listening import Happening, TakenBack, Words

BYTES_MAX = 28 * 1024
"""Of a message, as JSON. Teams takes about so much and refuses more."""
TEXT_BYTES_MAX = 18 * 1024
"""Of a part of an answer: the rest of a message is citations and what Teams adds."""
STREAMED_BYTES_MAX = TEXT_BYTES_MAX // 2
"""More is not streamed: the first part of a long answer must hold all that was."""
INFORMED_CHARS_MAX = 1_000
CITATIONS_MAX = 20
TITLE_CHARS_MAX, QUOTE_CHARS_MAX = 80, 160

PACE_S = 1.0
"""Teams takes one update of a stream a second."""
STREAM_S = 110.0
"""A stream lives for two minutes, its end included."""

Activity = MessageActivityInput | TypingActivityInput
End = Literal["", "over", "waiting"]


class Turn(Struct, frozen=True):
    """What can be shown of the turn `number`: the words of its calls, in order, or what is done.
    `over`: its outcome is in the log; `waiting`: it goes on when people have agreed.
    """

    number: int
    said: tuple[tuple[str, str], ...] = ()
    status: str = ""
    end: End = ""

    @property
    def text(self) -> str:
        return "\n\n".join(words for _, words in self.said if words)


class Stream(Struct, frozen=True):
    """What was sent of it: so many updates, the last one at `sent_at`, with these words. Times are
    seconds of any one clock.
    """

    began_at: float
    id: str = ""
    sent: int = 0
    sent_at: float = float("-inf")
    text: str = ""
    status: str = ""


class Update(Struct, frozen=True):
    """What is to be sent next, by its kind."""

    kind: Literal["informative", "streaming"]
    text: str


# -- a turn -------------------------------------------------------------------------------------


def hear(turn: Turn, happening: Happening, texts: Texts) -> Turn:
    match happening:
        case Words(kind="text") if happening.turn in (turn.number, 0):
            return _speak(turn, happening)
        case Words():
            return turn
        case TakenBack():
            said = tuple(each for each in turn.said if each[0] != happening.call)
            return replace(turn, said=said)
        case Entry():
            return _step(turn, happening.event, texts)
        case _:
            assert_never(happening)


def _speak(turn: Turn, words: Words) -> Turn:
    before = dict(turn.said)
    before[words.call] = before.get(words.call, "")[: words.offset] + words.text
    return replace(turn, said=tuple(before.items()))


def _step(turn: Turn, event: Event, texts: Texts) -> Turn:
    match event:
        case ConversationStopped():
            return replace(turn, end="over")
        case ResponseGiven() | TurnAbandoned() | TurnCancelled() if event.turn == turn.number:
            return replace(turn, end="over")
        case ApprovalRequested() if event.turn == turn.number:
            return replace(turn, end="waiting")
        case ReasonRequested() if event.turn == turn.number and not event.shadow:
            return replace(turn, status=texts.thinking)
        case RetrievalRequested() if event.turn == turn.number:
            return replace(turn, status=texts.searching)
        case ToolRequested() | CodeRequested() if event.turn == turn.number:
            return replace(turn, status=texts.using.replace("{tool}", event.name))
        case _:
            return turn


# -- a stream -----------------------------------------------------------------------------------


def next_update(stream: Stream, turn: Turn) -> Update | None:
    """None when everything is shown, or cannot be shown in this stream."""
    text = turn.text
    if text and text != stream.text and text.startswith(stream.text):
        if size(text) > STREAMED_BYTES_MAX:
            return None
        return Update("streaming", text)
    if not stream.text and turn.status and turn.status != stream.status:
        return Update("informative", turn.status[:INFORMED_CHARS_MAX])
    return None


def broken(stream: Stream, turn: Turn) -> bool:
    """Was something said that is not to be said any more?"""
    return not turn.text.startswith(stream.text)


def wait_s(stream: Stream, now: float, pace_s: float = PACE_S) -> float:
    """How long the next update has to wait."""
    return max(0.0, stream.sent_at + pace_s - now)


def sent(stream: Stream, update: Update, *, id: str, now: float) -> Stream:
    shown = {"text": update.text} if update.kind == "streaming" else {"status": update.text}
    return replace(stream, id=stream.id or id, sent=stream.sent + 1, sent_at=now, **shown)


def updating(stream: Stream, update: Update) -> TypingActivityInput:
    info = StreamInfoEntity(
        stream_id=stream.id or None, stream_type=update.kind, stream_sequence=stream.sent + 1
    )
    return TypingActivityInput(text=update.text, entities=[info])


def ending(message: MessageActivityInput, stream: str) -> MessageActivityInput:
    """The same message as the end of a stream."""
    info = StreamInfoEntity(stream_id=stream, stream_type="final")
    return message.model_copy(update={"entities": [info, *(message.entities or [])]})


def typing() -> TypingActivityInput:
    """What is shown where nothing can be streamed."""
    return TypingActivityInput()


# -- an answer ----------------------------------------------------------------------------------


def plain(text: str) -> MessageActivityInput:
    """The channel's own words."""
    return MessageActivityInput(text=text)


def answer(given: ResponseGiven) -> tuple[MessageActivityInput, ...]:
    """The messages of an answer: one, or more where it is too long for one. The label says that a
    model wrote it; citations are on the last one.
    """
    *firsts, last = split(given.text)
    quotes = _distinct(given.citations)
    messages = [_labelled(part) for part in firsts]
    message = _cited(last, quotes)
    while size(wire(message)) > BYTES_MAX and quotes:
        quotes = quotes[:-1]
        message = _cited(last, quotes)
    return (*messages, message)


def split(text: str, bytes_max: int = TEXT_BYTES_MAX) -> tuple[str, ...]:
    """The text in parts of at most `bytes_max` bytes as JSON, cut where it reads best, never in the
    first half of a part.
    """
    parts = []
    while size(text) > bytes_max:
        cut = _cut(text, _fitting(text, bytes_max // 2), _fitting(text, bytes_max))
        parts.append(text[:cut].rstrip())
        text = text[cut:].lstrip()
    return (*parts, text)


def size(value: Any) -> int:
    return len(msgspec.json.encode(value))


def wire(activity: Activity) -> dict[str, Any]:
    """As Teams reads it."""
    return activity.model_dump(mode="json", by_alias=True, exclude_none=True)


def _fitting(text: str, bytes_max: int) -> int:
    """How many characters fit."""
    low, high = 1, min(len(text), bytes_max)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if size(text[:middle]) <= bytes_max else (low, middle - 1)
    return low


def _cut(text: str, least: int, most: int) -> int:
    for mark in ("\n\n", "\n", ". ", " "):
        found = text.rfind(mark, least, most)
        if found >= 0:
            return found + len(mark)
    return most


def _labelled(text: str) -> MessageActivityInput:
    return MessageActivityInput(text=text).add_ai_generated()


def _cited(text: str, quotes: tuple[Citation, ...]) -> MessageActivityInput:
    marks = "".join(f"[{position}]" for position in range(1, len(quotes) + 1))
    message = _labelled(f"{text}\n\n{marks}" if marks else text)
    for position, quote in enumerate(quotes, start=1):
        message.add_citation(position, _appearance(quote))
    return message


def _distinct(citations: tuple[Citation, ...]) -> tuple[Citation, ...]:
    return tuple(dict.fromkeys(citations))[:CITATIONS_MAX]


def _appearance(citation: Citation) -> CitationAppearance:
    is_address = citation.document.startswith("https://")
    return CitationAppearance(
        name=_short(citation.document, TITLE_CHARS_MAX),
        abstract=_short(citation.quote, QUOTE_CHARS_MAX),
        url=citation.document if is_address else None,
    )


def _short(text: str, most: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"
