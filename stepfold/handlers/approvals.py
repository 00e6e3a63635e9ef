"""How people agree to a call that waits for them, or do not.

ApprovalRefused    there is nothing to agree to under that name, or not any more, or it is another
                   call than the one that was meant
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from stepfold.events.envelope import Entry, first
from stepfold.events.event import (
    ApprovalDenied,
    ApprovalGranted,
    ApprovalRequested,
    ToolOutcome,
)
from stepfold.handlers.states import Known, States
from stepfold.policy.gate import Who, digest_of_call
from stepfold.projections.agreements import same_person
from stepfold.projections.state import Agreement
from stepfold.streams.log import Log, LogConflict

RACES_MAX = 100


class ApprovalRefused(Exception):
    """This call cannot be granted or denied so."""


class Waiting(Struct, frozen=True):
    """A call that waits: until `due`, for one more of the people that `agreement` still lacks."""

    customer: str
    conversation: str
    due: datetime
    agreement: Agreement


class Approvals:
    """`clock` tells what is too late; the log's own timer tells it to those who wait."""

    def __init__(self, log: Log, clock: Callable[[], datetime]) -> None:
        self._log = log
        self._states = States(log, text=False)
        self._clock = clock

    async def waiting(self, customer: str, conversation: str) -> tuple[Waiting, ...]:
        """The calls of one conversation that people are asked about now."""
        known = await self._states.refresh(customer, conversation)
        turn, now = known.state.turn, self._clock()
        if turn is None or known.state.stopped:
            return ()
        return tuple(
            Waiting(customer, conversation, due, turn.agreements[call])
            for call, due in known.waits.items()
            if due > now
        )

    async def grant(
        self,
        key: tuple[str, str],
        call: str,
        *,
        digest: str,
        person: str,
        comment: str = "",
        by: str = "",
    ) -> Entry:
        """`person` agrees to the call with this digest; `key` is the customer and the conversation.
        `by` is whoever vouches for the name: a login, a channel's user. ApprovalRefused.
        """

        def granted(request: ApprovalRequested) -> ApprovalGranted:
            return ApprovalGranted(call, request.turn, digest, person, comment)

        return await self._answer(key, call, digest, person, granted, by)

    async def deny(
        self,
        key: tuple[str, str],
        call: str,
        *,
        digest: str,
        person: str,
        reason: str = "",
        by: str = "",
    ) -> Entry:
        """`person` says no. ApprovalRefused."""

        def denied(request: ApprovalRequested) -> ApprovalDenied:
            return ApprovalDenied(call, request.turn, digest, person, reason)

        return await self._answer(key, call, digest, person, denied, by)

    async def _answer(
        self,
        key: tuple[str, str],
        call: str,
        digest: str,
        person: str,
        say: Callable[[ApprovalRequested], ApprovalGranted | ApprovalDenied],
        by: str,
    ) -> Entry:
        where = f"call {call} of conversation {'/'.join(key)}"
        person = " ".join(person.split())
        if not person:
            raise ApprovalRefused(f"{where}: nobody says who agrees: name the person")
        for _ in range(RACES_MAX):
            known = await self._states.refresh(*key)
            agreement = await self._asked(known, key, call, where)
            request = agreement.request
            event = say(request)
            self._refuse(known, agreement, digest, where)
            if isinstance(event, ApprovalGranted):
                _refuse_twice(agreement, person, where)
            event = replace(event, person=person)
            draft = first(*key, event, by=by or f"person:{person}", key=f"{call}.{person}")
            if known.cause is not None:
                draft = replace(draft, trace=known.cause.trace)
            try:
                (entry,) = await self._log.append([draft], after=known.position)
            except LogConflict:
                continue
            return entry
        raise ApprovalRefused(f"{where}: the conversation is too busy: try again")

    async def _asked(self, known: Known, key: tuple[str, str], call: str, where: str) -> Agreement:
        """What is asked for; ApprovalRefused with what became of it, when nothing is."""
        turn = known.state.turn
        found = turn.agreements.get(call) if turn else None
        if found is not None and not known.state.stopped:
            return found
        entries = await self._log.read(*key)
        if not entries:
            raise ApprovalRefused(f"{where}: there is no such conversation")
        about = [e for e in entries if getattr(e.event, "call", None) == call]
        if not any(isinstance(e.event, ApprovalRequested) for e in about):
            raise ApprovalRefused(f"{where}: nobody was asked to approve it")
        if any(isinstance(e.event, ToolOutcome) for e in about):
            raise ApprovalRefused(f"{where}: it is over; see `stepfold show {'/'.join(key)}`")
        raise ApprovalRefused(f"{where}: its turn is over, so nothing waits for it")

    def _refuse(self, known: Known, agreement: Agreement, digest: str, where: str) -> None:
        request = agreement.request
        turn, last = known.state.turn, known.last
        assert turn is not None
        assert last is not None
        asks = Who(last.customer, turn.contact, last.conversation)
        if digest_of_call(asks, request.call, request.name, request.arguments) != request.digest:
            raise ApprovalRefused(
                f"{where}: its digest is of another call than the one it shows: somebody has"
                " tampered with the log; nothing was recorded"
            )
        if digest != request.digest:
            raise ApprovalRefused(
                f"{where}: you mean the call {digest or '(none)'}, and {request.digest} is what"
                " waits: look at its arguments again"
            )
        if agreement.refused:
            raise ApprovalRefused(f"{where}: {agreement.refused}")
        if agreement.complete:
            raise ApprovalRefused(f"{where}: {' and '.join(agreement.people)} approved it already")
        due = known.waits.get(request.call)
        if due is None or self._clock() >= due:
            raise ApprovalRefused(f"{where}: too late, {request.expires_s:g} s were given for it")


def _refuse_twice(agreement: Agreement, person: str, where: str) -> None:
    if any(same_person(person, each) for each in agreement.people):
        must = f"{agreement.request.people} different people must"
        raise ApprovalRefused(f"{where}: {person} approved it already, and {must}")
