"""What must hold in every world, each law a function that gives the ways in which it is broken.

They look at the log alone, and count by themselves: none asks the code that it judges, but for the
law that every decision must follow again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from stepfold.events.envelope import Entry, follow
from stepfold.events.event import (
    ConversationStarted,
    ConversationStopped,
    Generated,
    GenerationFailed,
    GenerationRequested,
    MessageReceived,
    Reasoned,
    ReasonFailed,
    ReasonRequested,
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
    Unreadable,
)
from stepfold.events.transcript import Heard, Item, Result, Thought
from stepfold.events.values import Passage
from stepfold.events.wire import decode, encode
from stepfold.handlers.choosing import World as Here
from stepfold.handlers.decide import BY, decide
from stepfold.projections.conversation import evolve
from stepfold.projections.state import EMPTY
from tests.worlds import effects

if TYPE_CHECKING:
    from stepfold.providers.model import Prompt
    from tests.worlds.world import Job, Process, World

__all__ = ["broken", "encode", "prompt", "run"]

Entries = Sequence[Entry]
REQUESTS = (ReasonRequested, ToolRequested, RetrievalRequested, GenerationRequested)
OUTCOMES = (
    Reasoned,
    ReasonFailed,
    ToolReturned,
    ToolFailed,
    ToolRefused,
    ToolUnknown,
    RetrievalReturned,
    RetrievalFailed,
    Generated,
    GenerationFailed,
)
PRICED = (Reasoned, ReasonFailed, Generated, GenerationFailed)


def broken(world: World) -> Iterator[str]:
    """Every way in which the log of a world that has come to rest breaks a law."""
    of: dict[str, list[Entry]] = {}
    for stored in world.log.steps:
        entry = decode(stored.subject, stored.payload, position=stored.position, at=stored.at)
        of.setdefault(entry.conversation, []).append(entry)
    world.counts["steps"] += len(world.log.steps)
    for conversation, entries in of.items():
        world.counts["conversations"] += 1
        chosen = STOPPED if conversation in world.poisoned else ALL
        for law in chosen:
            for how in law(world, conversation, entries):
                yield f"{conversation}: {law.__name__.replace('_', ' ')}: {how}"
    yield from _ids_are_unique(of)


def the_chain_is_whole(world: World, conversation: str, entries: Entries) -> Iterator[str]:
    after = 0
    for entry in entries:
        if entry.after != after:
            yield f"step {entry.position} follows {entry.after}, not {after}"
        if isinstance(entry.event, Unreadable):
            yield f"step {entry.position} is unreadable: {entry.event.reason}"
        after = entry.position


def everything_is_at_rest(world: World, conversation: str, entries: Entries) -> Iterator[str]:
    state = world.states[conversation]
    if state.turn is not None:
        yield f"turn {state.turn.number} still runs: {state.turn}"
    if state.unheard:
        yield f"nobody has heard {state.unheard}"
    if state.open:
        yield f"without an outcome: {sorted(state.open)}"
    if state.stopped:
        yield f"stopped: {state.stopped}"
    if state.begun:
        yield f"begun: {state.begun}"


def each_request_has_one_outcome(
    world: World, conversation: str, entries: Entries
) -> Iterator[str]:
    asked = Counter(e.event.call for e in entries if isinstance(e.event, REQUESTS))
    answered = Counter(e.event.call for e in entries if isinstance(e.event, OUTCOMES))
    yield from (f"{call} is requested {n} times" for call, n in asked.items() if n > 1)
    yield from (f"{call} has {n} outcomes" for call, n in answered.items() if n > 1)
    yield from (f"{call} has no outcome" for call in asked if call not in answered)
    refused = {e.event.call for e in entries if isinstance(e.event, ToolRefused)}
    yield from (f"{call} was never requested" for call in answered.keys() - asked - refused)
    begun = Counter(e.event.call for e in entries if isinstance(e.event, ToolStarted))
    names = {e.event.call: e.event.name for e in entries if isinstance(e.event, ToolRequested)}
    yield from (
        f"{call} starts {n} times"
        for call, n in begun.items()
        if n > 1 and not effects.repeats(world, names[call])
    )


def every_decision_follows_again(
    world: World, conversation: str, entries: Entries
) -> Iterator[str]:
    state, cause, here = EMPTY, None, Here("acme", conversation=conversation)
    for entry in entries:
        if entry.by == BY:
            assert cause is not None
            again = decide(world.plan.agent, state, world.plan.vetoes, here)[:1]
            if again != (entry.event,):
                yield f"step {entry.position} was {entry.event}, is {again}"
            elif follow(cause, BY, again)[0].id != entry.id:
                yield f"step {entry.position} has another id"
        else:
            cause = entry
        state = evolve(state, entry.event)
    if left := decide(world.plan.agent, state, world.plan.vetoes, here):
        yield f"still to be done: {left}"


def what_was_spent_adds_up(world: World, conversation: str, entries: Entries) -> Iterator[str]:
    costs = [e.event.cost_usd for e in entries if isinstance(e.event, PRICED)]
    total = sum((cost for cost in costs if cost is not None), Decimal(0))
    if world.states[conversation].spent_usd != total:
        yield f"{world.states[conversation].spent_usd} in the state, {total} in the log"


def turns_end_once(world: World, conversation: str, entries: Entries) -> Iterator[str]:
    running, latest = 0, 0
    for entry in entries:
        match entry.event:
            case ReasonRequested(turn=turn):
                if running not in (0, turn) or turn < latest or (not running and turn == latest):
                    yield f"step {entry.position} asks in turn {turn}, {running} runs of {latest}"
                running = latest = turn
            case ResponseGiven(turn=turn):
                if running != turn:
                    yield f"step {entry.position} responds in turn {turn}, {running} runs"
                running = 0
            case TurnAbandoned(turn=turn):
                if running != turn and (running or turn != latest + 1):
                    yield f"step {entry.position} abandons turn {turn}, {running} runs of {latest}"
                running, latest = 0, turn
            case TurnCancelled(turn=turn) if turn == running:
                running = 0
            case TurnCancelled() if entry.by == BY:
                yield f"step {entry.position} cancels what does not run"
            case ToolRequested(turn=turn) | RetrievalRequested(turn=turn) if turn != running:
                yield f"step {entry.position} calls in turn {turn}, {running} runs"
            case _:
                continue


def limits_are_kept(world: World, conversation: str, entries: Entries) -> Iterator[str]:
    limits, models = world.plan.agent.limits, len(world.plan.agent.models)
    asks = [e.event for e in entries if isinstance(e.event, ReasonRequested)]
    for turn, times in Counter(ask.turn for ask in asks if ask.attempt == 1).items():
        if times > limits.steps_max:
            yield f"turn {turn} asks {times} times"
    yield from (f"{a.call}" for a in asks if a.attempt > limits.attempts_max * models)
    requested = [
        e.event for e in entries if isinstance(e.event, ToolRequested | RetrievalRequested)
    ]
    for answer, calls in Counter(event.call.partition(".")[0] for event in requested).items():
        if calls > limits.calls_max:
            yield f"{calls} calls of {answer}"
    allowed = {*world.plan.agent.tools}
    yield from (
        f"{event.name} was requested"
        for event in requested
        if isinstance(event, ToolRequested) and event.name not in allowed
    )


def each_message_is_heard_once_in_order(
    world: World, conversation: str, entries: Entries
) -> Iterator[str]:
    received = [e.event.text for e in entries if isinstance(e.event, MessageReceived)]
    once = list(dict.fromkeys(received))
    heard = [i.text for i in world.states[conversation].transcript if isinstance(i, Heard)]
    if heard != once:
        yield f"received {once}, heard {heard}"
    if world.plan.agent.second_message != "merge":
        asked: set[int] = set()
        for event in (e.event for e in entries if isinstance(e.event, ReasonRequested)):
            if event.heard and event.turn in asked:
                yield f"{event.call} hears {event.heard} in the middle of a turn"
            asked.add(event.turn)


def nobody_is_answered_past_a_new_message(
    world: World, conversation: str, entries: Entries
) -> Iterator[str]:
    """Where a message is merged or supersedes, no answer is given while one is unheard."""
    if world.plan.agent.second_message == "wait":
        return
    received: set[str] = set()
    heard, asked = 0, 0
    for entry in entries:
        match entry.event:
            case MessageReceived(text=text):
                received.add(text)
            case ReasonRequested(turn=turn, heard=some):
                heard, asked = heard + some, turn
            case TurnAbandoned(turn=turn) if turn > asked:
                heard = len(received)
            case ResponseGiven() if heard < len(received):
                yield f"step {entry.position} answers, {len(received) - heard} are unheard"
            case _:
                continue


def citations_stand_in_what_was_retrieved(
    world: World, conversation: str, entries: Entries
) -> Iterator[str]:
    passages: list[Passage] = []
    for entry in entries:
        if isinstance(entry.event, RetrievalReturned):
            passages += entry.event.passages
        if isinstance(entry.event, ResponseGiven):
            for citation in entry.event.citations:
                if not any(citation.quote in passage.text for passage in passages):
                    yield f"step {entry.position} cites {citation.quote!r}"


def what_ran_had_started(world: World, conversation: str, entries: Entries) -> Iterator[str]:
    names = {e.event.call: e.event.name for e in entries if isinstance(e.event, ToolRequested)}
    returned = {e.event.call for e in entries if isinstance(e.event, ToolReturned)}
    for call in returned:
        ran = world.runs[f"acme/{conversation}/{call}"]
        if not ran or (ran > 1 and not effects.repeats(world, names[call])):
            yield f"{call} returned, it ran {ran} times"


def every_turn_has_its_timer(world: World, conversation: str, entries: Entries) -> Iterator[str]:
    """Before it opens; with a grace the turn may be over before it gets one."""
    for turn in {e.event.turn for e in entries if isinstance(e.event, ReasonRequested)}:
        if (conversation, turn) not in world.timed and not world.plan.grace_s:
            yield f"turn {turn} has none"


def a_calm_world_is_in_time(world: World, conversation: str, entries: Entries) -> Iterator[str]:
    """Nothing went wrong: then a turn that its timer had to end was forgotten by somebody."""
    expired = any(isinstance(entry.event, TurnExpired) for entry in entries)
    if expired and not world.plan.faults and not world.plan.trouble and not world.expires:
        yield "a turn expired"


def the_poisoned_are_stopped(world: World, conversation: str, entries: Entries) -> Iterator[str]:
    stops = [e for e in entries if isinstance(e.event, ConversationStopped)]
    if len(stops) != 1:
        yield f"stopped {len(stops)} times"
    elif not stops[0].event.reason:  # type: ignore[union-attr]
        yield "without a reason"
    if not any(entry.conversation == conversation for entry, _ in world.log.dead):
        yield "nothing was buried"


Law = Callable[["World", str, Entries], Iterator[str]]
ALL: tuple[Law, ...] = (
    the_chain_is_whole,
    everything_is_at_rest,
    each_request_has_one_outcome,
    every_decision_follows_again,
    what_was_spent_adds_up,
    turns_end_once,
    limits_are_kept,
    each_message_is_heard_once_in_order,
    nobody_is_answered_past_a_new_message,
    citations_stand_in_what_was_retrieved,
    what_ran_had_started,
    every_turn_has_its_timer,
    a_calm_world_is_in_time,
    effects.an_outcome_says_what_was_done,
    effects.what_must_never_repeat_is_asked_once,
    effects.what_is_idempotent_is_done_unless_it_is_given_up,
    effects.nothing_is_done_without_agreement,
)
STOPPED: tuple[Law, ...] = (
    the_poisoned_are_stopped,
    what_ran_had_started,
    effects.an_outcome_says_what_was_done,
    effects.what_must_never_repeat_is_asked_once,
    effects.nothing_is_done_without_agreement,
)


def _ids_are_unique(of: dict[str, list[Entry]]) -> Iterator[str]:
    """But for a message that a contact's channel sent again: the same message, the same id."""
    ids = Counter(
        entry.id
        for entries in of.values()
        for entry in entries
        if not isinstance(entry.event, MessageReceived | ConversationStarted | Unreadable)
    )
    yield from (f"id {made} is there {n} times" for made, n in ids.items() if n > 1)


def prompt(world: World, process: Process, job: Job | None, asked: Prompt) -> Iterator[str]:
    """What a model is shown is legal; its answer was not in the log when this was handed out."""
    yield from (f"{asked.call} in {process.name}: {how}" for how in illegal(asked.items))
    if job is None:
        yield f"{asked.call} is asked outside of a delivery"
        return
    if (job.conversation, asked.call) in process.asked:
        yield f"{job.conversation}: {process.name} asks {asked.call} twice, it had an outcome"
    process.asked.add((job.conversation, asked.call))
    for stored in world.log.steps[: job.begun_at]:
        entry = decode(stored.subject, stored.payload, position=stored.position, at=stored.at)
        answered = isinstance(entry.event, PRICED) and entry.event.call == asked.call
        if answered and entry.conversation == job.conversation:
            yield f"{entry.conversation}: {asked.call} is asked again, step {entry.position} has it"


def illegal(items: Iterable[Item]) -> Iterator[str]:
    """Why a provider would refuse this history."""
    open_calls: list[str] = []
    last: Item | None = None
    seen: set[str] = set()
    for item in items:
        last = item
        match item:
            case Result(call=call):
                if open_calls[:1] != [call]:
                    yield f"a result of {call} where {open_calls[:1]} is due"
                open_calls = open_calls[1:]
            case Heard() | Thought():
                if open_calls:
                    yield f"no results of {open_calls}"
                open_calls = [c.call for c in item.calls] if isinstance(item, Thought) else []
                yield from (f"{call} was there before" for call in open_calls if call in seen)
                seen.update(open_calls)
    if open_calls:
        yield f"no results of {open_calls}"
    if isinstance(last, Thought):
        yield "the model had the last word"


def run(world: World, process: Process, name: str, call: str) -> Iterator[str]:
    """A tool runs once, or as its rule is, in a process that recorded its start, and only if it is
    configured.
    """
    if world.runs[call] > 1 and not effects.repeats(world, name):
        yield f"{call} runs {world.runs[call]} times"
    if name not in world.plan.agent.tools:
        yield f"{name} runs, only {world.plan.agent.tools} are allowed"
    customer, conversation, short = call.split("/")
    subject = f"steps.{customer}.{conversation}.tool.started"
    started = {
        entry.event.worker
        for stored in world.log.steps
        if stored.subject == subject
        for entry in (decode(stored.subject, stored.payload, position=1, at=stored.at),)
        if isinstance(entry.event, ToolStarted) and entry.event.call == short
    }
    if process.name not in started:
        yield f"{call} runs in {process.name}, {sorted(started) or 'nobody'} started it"
