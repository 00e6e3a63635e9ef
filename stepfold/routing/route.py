"""Facts in, candidates in order out, each with the reason why it is or is not one."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from msgspec import Struct

from stepfold.events.values import BudgetStep, Options
from stepfold.routing.table import Can, Candidate, Conditions, Need, Route, Routes

ANYTHING = Can(vision=True)
SAVING: frozenset[BudgetStep] = frozenset({"cheaper", "read_only", "refuse"})
"""Steps of a budget at which no shadow is asked."""


class Facts(Struct, frozen=True):
    """What a route may depend on. `tokens` is an estimate; `hour` is UTC's, -1 = not known."""

    task: str
    customer: str = ""
    agent: str = ""
    channel: str = ""
    language: str = ""
    needs: frozenset[Need] = frozenset()
    tokens: int = 0
    hour: int = -1
    budget: BudgetStep = ""
    budget_left_usd: Decimal | None = None


class Pick(Struct, frozen=True):
    """`place` is the candidate's on its route, from 1."""

    model: str
    place: int
    options: Options | None = None


class Routing(Struct, frozen=True):
    """The candidates that fit, in order, and those passed over, with the reason."""

    route: str
    picks: tuple[Pick, ...] = ()
    passed: tuple[str, ...] = ()
    shadow: tuple[Pick, ...] = ()
    attempts_max: int = 3
    repairs_max: int = 2


def route(routes: Routes, facts: Facts) -> Routing:
    """The candidates of the narrowest route for this task; none when there is no route."""
    found = _narrowest(routes, facts, facts.task)
    if found is None:
        known = ", ".join(sorted({each.task for each in routes.routes})) or "none"
        return Routing(f"no route for task {facts.task!r} (known: {known})")
    picks: list[Pick] = []
    passed: list[str] = []
    candidates = _models(routes, facts, found.candidates, frozenset({found.name}))
    for place, candidate in enumerate(candidates, start=1):
        why = _why_not(routes, facts, candidate)
        if why:
            passed.append(f"{candidate.model or f'task {candidate.task}'}: {why}")
        elif candidate.model not in {pick.model for pick in picks}:
            picks.append(Pick(candidate.model, place, candidate.options))
    if facts.budget == "cheaper":
        passed += [f"{pick.model}: the budget is nearly used up" for pick in picks[:-1]]
        picks = picks[-1:]
    return Routing(
        route=found.name,
        picks=tuple(picks),
        passed=tuple(passed),
        shadow=() if facts.budget in SAVING else tuple(_shadows(routes, facts, found)),
        attempts_max=found.attempts_max,
        repairs_max=found.repairs_max,
    )


def _narrowest(
    routes: Routes, facts: Facts, task: str, but: frozenset[str] = frozenset()
) -> Route | None:
    fitting = [
        each
        for each in routes.routes
        if each.task == task
        and each.name not in but
        and each.customer in ("", facts.customer)
        and each.agent in ("", facts.agent)
    ]
    return max(fitting, key=lambda each: (bool(each.customer), bool(each.agent)), default=None)


def _models(
    routes: Routes, facts: Facts, candidates: tuple[Candidate, ...], seen: frozenset[str]
) -> Iterator[Candidate]:
    """The candidates, those of other routes in their places where their conditions hold. `seen` are
    the routes that led here.
    """
    for candidate in candidates:
        if candidate.model or _fits(candidate.when, facts):
            yield candidate
        else:
            other = _narrowest(routes, facts, candidate.task, seen)
            if other is not None:
                yield from _models(routes, facts, other.candidates, seen | {other.name})


def _shadows(routes: Routes, facts: Facts, found: Route) -> Iterator[Pick]:
    shadows = _models(routes, facts, found.shadow, frozenset({found.name}))
    for place, candidate in enumerate(shadows, start=1):
        if _why_not(routes, facts, candidate) is None:
            yield Pick(candidate.model, place, candidate.options)


def _why_not(routes: Routes, facts: Facts, candidate: Candidate) -> str | None:
    can = routes.models.get(candidate.model, ANYTHING)
    for need in sorted(facts.needs):
        if not getattr(can, need):
            return f"it has no {need}"
    if can.context and facts.tokens > can.context:
        return f"about {facts.tokens} tokens do not fit into its {can.context}"
    return _fits(candidate.when, facts)


def _fits(when: Conditions, facts: Facts) -> str | None:
    """The condition that does not hold, in words; None when all do."""
    for what, allowed, has in (
        ("customer", when.customers, (facts.customer,)),
        ("channel", when.channels, (facts.channel,)),
        ("language", when.languages, (facts.language, facts.language.partition("-")[0])),
    ):
        if allowed and not set(has) & set(allowed):
            return f"{what} {has[0] or 'unknown'} is not among {', '.join(allowed)}"
    if missing := set(when.needs) - facts.needs:
        return f"{', '.join(sorted(missing))} not needed"
    if unwanted := set(when.not_needs) & facts.needs:
        return f"{', '.join(sorted(unwanted))} needed"
    if when.tokens_max is not None and facts.tokens > when.tokens_max:
        return f"about {facts.tokens} tokens, at most {when.tokens_max}"
    return _fits_world(when, facts)


def _fits_world(when: Conditions, facts: Facts) -> str | None:
    least, left = when.budget_left_min_usd, facts.budget_left_usd
    if least is not None and left is not None and left < least:
        return f"{left} USD of the budget are left, at least {least}"
    if when.hours is not None and facts.hour >= 0 and not _within(when.hours, facts.hour):
        return f"hour {facts.hour} UTC is not from {when.hours[0]} to {when.hours[1]}"
    return None


def _within(hours: tuple[int, int], hour: int) -> bool:
    begin, end = hours
    return begin <= hour < end if begin <= end else hour >= begin or hour < end
