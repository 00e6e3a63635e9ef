"""What follows when a generation failed: mend the answer, ask the next model, or give up. Pure.

Convergent like `decide`, which calls it: it asks the state which jobs have failed and go on.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from stepfold.events.event import (
    Event,
    GenerationAbandoned,
    GenerationFailed,
    GenerationRequested,
)
from stepfold.events.values import Choice, Repair
from stepfold.handlers.choosing import World, after, backoff_s, choice, routing_of_job
from stepfold.policy.agent import Limits
from stepfold.projections.state import Conversation, Job
from stepfold.routing import Pick

MALFORMED = "malformed"
"""The reason of a failure that a model may mend when it is shown its error."""
UNSENT = frozenset({"circuit_open", "at_capacity"})
"""Reasons of a provider's gate (providers/gate.py): nothing was sent, and soon more may be."""
UNSENT_ROUNDS_MAX = 12
"""Rounds through the models before one that was turned away is the last: about five minutes."""
LIMITS = Limits()


def rounds_max(granted: int, reason: str) -> int:
    """After how many rounds through the models an attempt that failed for `reason` is the last. One
    that was never sent does not use up those that were `granted`, and yet has an end.
    """
    return max(granted, UNSENT_ROUNDS_MAX) if reason in UNSENT else granted


def next_attempts(state: Conversation, world: World) -> Iterator[Event]:
    for name, job in state.jobs.items():
        if job.failure is not None:
            yield _next(name, job, job.failure, world)


def _next(name: str, job: Job, failure: GenerationFailed, world: World) -> Event:
    request = job.request
    routing = routing_of_job(request, world)
    told = f"{request.model}: {failure.reason}" + (f": {failure.detail}" if failure.detail else "")
    mine = (pick for pick in routing.picks if pick.model == request.model)
    same = next(mine, Pick(request.model, 0, request.options))
    mendable = failure.reason == MALFORMED and failure.output
    if mendable and request.repairs < routing.repairs_max:
        again = _attempt(name, request, same, choice(routing, same, world, "to mend its answer"))
        repair = Repair(failure.output, failure.detail)
        return replace(again, repair=repair, repairs=request.repairs + 1)
    asks = request.attempt - request.repairs
    left = [pick for pick in routing.picks if pick.model not in job.ruled_out]
    asks_max = rounds_max(routing.attempts_max, failure.reason) * len(routing.picks)
    if not left or asks >= asks_max:
        attempts = f"{request.attempt} attempt{'s' * (request.attempt > 1)}"
        why = choice(routing, None, world, f"after {told}")
        last = f"{request.model}: {failure.detail}" if failure.detail else request.model
        return GenerationAbandoned(name, failure.reason, f"{last} ({attempts})", why)
    pick = after(request.model, routing.picks, left)
    again = _attempt(name, request, pick, choice(routing, pick, world, f"after {told}"))
    asked_s = failure.delay_s if pick.model == request.model else 0
    return replace(again, delay_s=backoff_s(LIMITS, asks // len(routing.picks), asked_s))


def _attempt(
    name: str, request: GenerationRequested, pick: Pick, why: Choice | None
) -> GenerationRequested:
    return replace(
        request,
        call=f"{name}.{request.attempt + 1}",
        model=pick.model,
        job=name,
        attempt=request.attempt + 1,
        delay_s=0,
        repair=None,
        choice=why,
        options=pick.options,
    )
