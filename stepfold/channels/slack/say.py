"""A conversation's happenings, as what to show on Slack. Pure: a fold. What the sending of it met
is not known here (posts.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from stepfold.channels.slack.blocks import context, escaped_cut, people, sources
from stepfold.channels.slack.screen import Screen, Task
from stepfold.channels.slack.working import task_of
from stepfold.events.envelope import Entry
from stepfold.events.event import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRequested,
    ConversationStopped,
    MessageReceived,
    Reasoned,
    ReasonRequested,
    ResponseGiven,
    RetrievalReturned,
    TurnAbandoned,
    TurnCancelled,
)
from stepfold.events.values import ToolCall
from stepfold.streams.listening import Happening, TakenBack, Words

TITLES_MAX = 1_000
SUPERSEDED = "superseded"
"""How the reason begins with which a newer message ends a turn (handlers/decide.py)."""
WAITING = "_This needs somebody's approval; I go on as soon as it is given._"
HANDED_OFF = "Passed on to a colleague"
STOPPED = "I cannot go on in this thread. Please start a new one."
GAVE_UP: Mapping[str, str] = {
    "steps": "I could not finish this: it took too many steps.",
    "cost": "I could not finish this: it would have cost too much.",
    "budget": "I cannot answer now: the budget for answers is used up.",
    "time": "I could not finish this in time.",
    "channel": "I am not available in this channel.",
}
"""What a contact is told when a turn is given up, by its reason."""
FAILED = "Something went wrong, and I could not finish this. Please try again later."


class Asked(Struct, frozen=True):
    """A call that waits for people: since when, for whom, and who agreed so far."""

    request: ApprovalRequested
    at: datetime
    contact: str
    people: tuple[str, ...] = ()


class Settled(Struct, frozen=True):
    """What became of a call that was asked about. `how`, escaped, is empty while it still waits."""

    asked: Asked
    how: str = ""


class HandedOff(Struct, frozen=True):
    """An agent passed a turn on to people."""

    turn: int
    reason: str
    contact: str


Out = Screen | Asked | Settled | HandedOff


class Telling(Struct, frozen=True):
    """What is known of a conversation while a part of it is told. `part` names that part: what is
    shown in it, is in messages of its own. `saying` is what the open `call` says, `spoken` what was
    said before it in this turn; `given` says that the call is over, and nobody was given its words.
    """

    part: int
    turn: int = 0
    call: str = ""
    spoken: str = ""
    saying: str = ""
    given: bool = False
    tasks: tuple[Task, ...] = ()
    contact: str = ""
    titles: Mapping[str, str] = {}
    asks: Mapping[str, Asked] = {}


def begin(part: int, before: Telling | None = None) -> Telling:
    """The next part of a conversation: nothing of it is shown yet."""
    if before is None:
        return Telling(part)
    return replace(before, part=part, call="", spoken="", saying="", given=False, tasks=())


def tell(telling: Telling, happening: Happening) -> tuple[Telling, tuple[Out, ...]]:
    """The next state, and what is to be seen of it."""
    match happening:
        case Words(kind="text"):
            return _shown(_say(telling, happening))
        case TakenBack(call=telling.call):
            return _shown(replace(telling, saying=""))
        case Entry():
            return _step(telling, happening)
        case _:
            return telling, ()


def waits(telling: Telling) -> Screen:
    """The message that is left when nothing goes on before people agree."""
    spoken = _joined(telling.spoken, telling.saying)
    return _screen(replace(telling, spoken=spoken, saying=WAITING, tasks=telling.tasks), over=True)


def left(telling: Telling) -> Screen | None:
    """What was said in a part, where later ones are told already; None where it was nothing."""
    words = _joined(telling.spoken, telling.saying)
    return _screen(replace(telling, tasks=()), over=True) if words.strip() else None


def outcome(entries: Iterable[Entry], call: str) -> Settled | None:
    """What became of a call that was asked about, after all these steps; None while it waits."""
    telling, found = begin(0), None
    for entry in entries:
        telling, outs = tell(telling, entry)
        for out in outs:
            if isinstance(out, Settled) and out.asked.request.call == call:
                found = out if out.how else None
    return found


def _step(  # noqa: PLR0911  (one line a kind)
    telling: Telling, entry: Entry
) -> tuple[Telling, tuple[Out, ...]]:
    match event := entry.event:
        case MessageReceived():
            return replace(telling, contact=event.contact or telling.contact), ()
        case ReasonRequested(shadow=False):
            return _turned(telling, event.turn, fresh=event.attempt == 1), ()
        case Reasoned(call=telling.call):
            calls = any(isinstance(part, ToolCall) for part in event.parts)
            return replace(telling, given=not calls), ()
        case ResponseGiven():
            return _answered(telling, event)
        case TurnAbandoned():
            told = GAVE_UP.get(event.reason, FAILED)
            return _ended(_turned(telling, event.turn), told)
        case TurnCancelled():
            return _cancelled(_turned(telling, event.turn), event.reason)
        case ConversationStopped():
            return _ended(telling, STOPPED)
        case ApprovalRequested() | ApprovalGranted() | ApprovalDenied() | ApprovalExpired():
            return _agreed(telling, entry)
        case RetrievalReturned():
            found = {each.document: each.title for each in event.passages}
            telling = replace(
                telling, titles=dict([*telling.titles.items(), *found.items()][-TITLES_MAX:])
            )
            return _worked(telling, entry)
        case _:
            return _worked(telling, entry)


# -- words --------------------------------------------------------------------------------------


def _say(telling: Telling, words: Words) -> Telling:
    telling = _turned(telling, words.turn)
    if words.call != telling.call:
        before = "" if telling.given else telling.saying
        spoken = _joined(telling.spoken, before)
        telling = replace(telling, call=words.call, spoken=spoken, saying="", given=False)
    return replace(telling, saying=telling.saying + words.text)


def _turned(telling: Telling, turn: int, *, fresh: bool = False) -> Telling:
    """In this turn; with `fresh` the words of an answer that was not given are forgotten."""
    if turn != telling.turn:
        return replace(begin(telling.part, telling), turn=turn)
    return replace(telling, saying="", given=False) if fresh and telling.given else telling


def _joined(before: str, after: str) -> str:
    return f"{before.rstrip()}\n\n{after}" if before.strip() and after else before + after


def _screen(telling: Telling, *, over: bool = False) -> Screen:
    text = _joined(telling.spoken, telling.saying)
    return Screen(f"{telling.turn}.{telling.part}", telling.turn, text, telling.tasks, over)


def _shown(telling: Telling) -> tuple[Telling, tuple[Out, ...]]:
    return telling, (_screen(telling),)


# -- ends ---------------------------------------------------------------------------------------


def _answered(telling: Telling, given: ResponseGiven) -> tuple[Telling, tuple[Out, ...]]:
    """Whatever was streamed, this is the answer."""
    telling = replace(_turned(telling, given.turn), saying=given.text, given=False)
    below = sources(given.citations, telling.titles)
    if given.outcome == "hand_off":
        below.append(context(HANDED_OFF))
    screen = replace(
        _screen(telling, over=True),
        tasks=_finished(telling.tasks, "complete"),
        below=tuple(below),
        answers=True,
    )
    handed = HandedOff(given.turn, given.reason, telling.contact)
    return telling, ((screen, handed) if given.outcome == "hand_off" else (screen,))


def _ended(telling: Telling, text: str) -> tuple[Telling, tuple[Out, ...]]:
    """The turn ends without an answer: what was being said is no answer either."""
    telling = replace(telling, saying=text, given=False, tasks=_finished(telling.tasks, "error"))
    return telling, (*_unneeded(telling), _screen(telling, over=True))


def _cancelled(telling: Telling, reason: str) -> tuple[Telling, tuple[Out, ...]]:
    """What a newer message took the place of is not worth a message of its own."""
    superseded = reason.startswith(SUPERSEDED)
    if superseded and not (telling.spoken or telling.saying or telling.tasks):
        return telling, _unneeded(telling)
    told = "Stopped, because of your newer message." if superseded else f"Stopped: {reason}"
    return _ended(telling, f"_{told}_")


def _unneeded(telling: Telling) -> tuple[Out, ...]:
    open_ = (asked for asked in telling.asks.values() if asked.request.turn == telling.turn)
    return tuple(Settled(asked, "Not needed any more: the turn is over.") for asked in open_)


def _finished(tasks: tuple[Task, ...], status: str) -> tuple[Task, ...]:
    """No task goes on when its turn is over."""
    going = ("pending", "in_progress")
    return tuple(replace(t, status=status) if t.status in going else t for t in tasks)


# -- tasks --------------------------------------------------------------------------------------


def _worked(telling: Telling, entry: Entry) -> tuple[Telling, tuple[Out, ...]]:
    task = task_of(entry.event, telling.turn, telling.tasks)
    if task is None:
        return telling, ()
    others = [each for each in telling.tasks if each.id != task.id]
    place = next((n for n, each in enumerate(telling.tasks) if each.id == task.id), len(others))
    others.insert(place, task)
    return _shown(replace(telling, tasks=tuple(others)))


# -- approvals ----------------------------------------------------------------------------------


def _agreed(telling: Telling, entry: Entry) -> tuple[Telling, tuple[Out, ...]]:
    event = entry.event
    if isinstance(event, ApprovalRequested):
        asked = Asked(event, entry.at, telling.contact)
        telling = replace(telling, asks={**telling.asks, event.call: asked})
        telling, shown = _worked(telling, entry)
        return telling, (*shown, asked)
    assert isinstance(event, ApprovalGranted | ApprovalDenied | ApprovalExpired)
    asked_before = telling.asks.get(event.call)
    if asked_before is None:
        return telling, ()
    settled = _settled(asked_before, event)
    rest = {call: asked for call, asked in telling.asks.items() if call != event.call}
    asks = rest if settled.how else {**rest, event.call: settled.asked}
    return replace(telling, asks=asks), (settled,)


def _settled(asked: Asked, event: ApprovalGranted | ApprovalDenied | ApprovalExpired) -> Settled:
    match event:
        case ApprovalGranted():
            asked = replace(asked, people=(*asked.people, event.person))
            enough = len(asked.people) >= asked.request.people
            return Settled(asked, f"Approved by {people(asked.people)}" if enough else "")
        case ApprovalDenied():
            why = f": {escaped_cut(event.reason, 500)}" if event.reason else ""
            return Settled(asked, f"Denied by {people((event.person,))}{why}")
        case ApprovalExpired():
            return Settled(asked, "Too few people approved it in time.")
