"""A conversation as server-sent events, each of its steps and words once.

    id: 12                          event: step         the step at position 12
    id: 12.r1.40.1f2e3d4c5b6a       event: words        after it, 40 characters of call r1 by now
    id: 13.r1.40.1f2e3d4c5b6a       event: step         another step, while r1 is still open
    id: 12                          event: taken_back   forget the words of this call
    id: 14                          event: rest         it is the contact's move

Whoever comes back with the last id goes on right behind it: the id says which words it has, by how
many they are and their digest. Where that cannot be checked any more they are taken back first.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from msgspec import Struct

from stepfold.events.envelope import Entry
from stepfold.events.event import Reasoned, ReasonRequested
from stepfold.events.values import Text
from stepfold.gateway.front import Front
from stepfold.gateway.placing import titles_in
from stepfold.gateway.principal import READ, Principal
from stepfold.gateway.refusals import FrontRefused, nothing, refusing
from stepfold.gateway.steps import Standing, at_rest, hears_words, standing, step_for
from stepfold.gateway.streaming import Sent
from stepfold.projections.conversation import evolve, replay
from stepfold.projections.state import Conversation, without_text
from stepfold.streams.listening import Shown, TakenBack, Words, digest_of
from stepfold.streams.tokens import ask_said

ID = r"([0-9]{1,18})(?:\.([A-Za-z0-9._-]{1,64})\.([0-9]{1,9})\.([0-9a-f]{12}))?"
_ID = re.compile(ID)


class Rest(Struct, frozen=True):
    """It is the contact's move: `standing` is `rest`, or `stopped` for good."""

    position: int
    standing: Standing


class Mark(Struct, frozen=True):
    """Where a client is: behind the step at `position`, with `shown` of the call that is open."""

    position: int = 0
    shown: Shown | None = None


def read_mark(text: str) -> Mark:
    """Of an id as this module writes it; FrontRefused (422) for any other."""
    found = _ID.fullmatch(text.strip())
    if found is None:
        why = f"{text[:100]!r} is no id of this stream: leave it out to begin at the beginning"
        raise FrontRefused(422, "Wrong Last-Event-ID", why)
    position, call, characters, digest = found.groups()
    shown = Shown(call, int(characters), digest) if call else None
    return Mark(int(position), shown)


async def followed(
    front: Front, who: Principal, conversation: str, mark: Mark, *, until_rest: bool
) -> AsyncGenerator[Sent, None]:
    """The events behind `mark`, for ever, or until it is the contact's move."""
    started = await front.check(who, conversation)
    with refusing():
        entries = await front.found.log.read(who.customer, conversation)
        words = hears_words(who, await front.agent(started.digest))
    if not entries:
        raise nothing(conversation)
    before = [entry for entry in entries if entry.position <= mark.position]
    last = entries[-1].position
    begun = without_text(replay(each.event for each in before))
    telling = Telling(who, begun, mark, last, words=words)
    for entry in before:
        telling.know(entry)
    if until_rest and telling.rests:
        yield telling.rest()
        return
    claimed = await _claimed(front, who, conversation, entries, mark.shown)
    if mark.shown is not None and claimed is None:
        yield telling.taken_back(_of(mark.shown.call, before))
    if claimed is not None and mark.shown is not None:
        telling.go_on(mark.shown.call, claimed)
    happenings = front.happenings(
        who, conversation, after=mark.position, shown=mark.shown if claimed else None
    )
    async with aclosing(happenings) as told:
        async for each in told:
            match each:
                case Entry():
                    for sent in telling.step(each):
                        yield sent
                    if until_rest and telling.rests:
                        return
                case Words():
                    for sent in telling.words(each):
                        yield sent
                case TakenBack():
                    yield telling.taken_back(each)


async def _claimed(
    front: Front, who: Principal, conversation: str, entries: Sequence[Entry], shown: Shown | None
) -> str | None:
    """The words that a client says it has, if they are the beginning of what the call says."""
    if shown is None:
        return None
    answers = [e.event for e in entries if isinstance(e.event, Reasoned)]
    over = next((each for each in answers if each.call == shown.call), None)
    if over is not None:
        whole = "".join(part.text for part in over.parts if isinstance(part, Text))
    else:
        said = await ask_said(front.found.client, who.customer, conversation, shown.call)
        whole = said.text if said is not None else ""
    begin = whole[: shown.characters]
    right = len(begin) == shown.characters and digest_of(begin) == shown.digest
    return begin if right else None


def _of(call: str, before: Sequence[Entry]) -> TakenBack:
    """The call is named as it was when its words were told."""
    asked = (e.event for e in before if isinstance(e.event, ReasonRequested))
    found = next((each for each in asked if each.call == call), None)
    return TakenBack(call, found.turn, found.attempt) if found else TakenBack(call, 0, 0)


class Telling:
    """What was told so far; `last` is the step that was the last one when it began."""

    def __init__(
        self, who: Principal, state: Conversation, mark: Mark, last: int, *, words: bool
    ) -> None:
        self._who = who
        self._state = state
        self._position = mark.position
        self._last = last
        self._words = words
        self._call, self._said = "", ""
        self._titles = dict[str, str]()

    def know(self, entry: Entry) -> None:
        """A step that is not told any more: documents have their titles from it."""
        self._titles |= titles_in(entry.event)

    def go_on(self, call: str, said: str) -> None:
        """The client has this of the open call."""
        self._call, self._said = call, said

    @property
    def rests(self) -> bool:
        return self._position >= self._last and at_rest(self._state)

    @property
    def id(self) -> str:
        """Where the client is after what it was told."""
        if not self._said:
            return str(self._position)
        said = f"{len(self._said)}.{digest_of(self._said)}"
        return f"{self._position}.{self._call}.{said}"

    def rest(self) -> Sent:
        return Sent("rest", Rest(self._position, standing(self._state)), self.id)

    def step(self, entry: Entry) -> list[Sent]:
        self._state = without_text(evolve(self._state, entry.event))
        self._position = entry.position
        if isinstance(entry.event, Reasoned) and entry.event.call == self._call:
            self.go_on("", "")
        self.know(entry)
        step = step_for(self._who, entry, self._titles)
        sent = [] if step is None else [Sent("step", step, self.id)]
        return [*sent, self.rest()] if self.rests else sent

    def words(self, words: Words) -> list[Sent]:
        """Nothing where they are not for the caller."""
        if words.kind == "thinking":
            return [Sent("words", words)] if self._who.may(READ) else []
        if not self._words:
            return []
        self.go_on(words.call, (self._said if words.call == self._call else "") + words.text)
        return [Sent("words", words, self.id)]

    def taken_back(self, words: TakenBack) -> Sent:
        if words.call == self._call:
            self.go_on("", "")
        return Sent("taken_back", words, self.id)
