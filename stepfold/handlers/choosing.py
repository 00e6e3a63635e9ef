"""Which model is asked: what a decision knows of the world, and who is next on a route. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from msgspec import Struct

from stepfold.events.event import GenerationRequested
from stepfold.events.values import BudgetStep, Choice
from stepfold.policy.agent import SEARCH, Agent, Limits, offered
from stepfold.projections.state import Conversation
from stepfold.routing import Facts, Need, Pick, Routes, Routing, route

CONVERSE = "converse"
"""The task of an agent's own loop."""
TOKEN_CHARS = 4
"""Characters of a token, roughly: a route needs no better estimate."""
AGENT = "agent"
"""The name of the route of an agent that lists its models itself."""
REQUEST = "request"
"""The name of the route of a generation whose model was named by whoever asked for it."""


class World(Struct, frozen=True):
    """What a decision knows beside the conversation: the routes (`table` is their digest) and the
    facts that a route may depend on. The `Choice` of what is decided records them.
    """

    customer: str = ""
    routes: Routes = Routes()
    table: str = ""
    hour: int = -1
    budget: BudgetStep = ""
    budget_left_usd: Decimal | None = None
    conversation: str = ""


def shown(agent: Agent, world: World) -> tuple[str, ...]:
    """The tools that are offered; when the budget is nearly used up, only those that read."""
    tools = offered(agent)
    if world.budget != "read_only":
        return tools
    return tuple(name for name in tools if _reads(agent, name))


def _reads(agent: Agent, name: str) -> bool:
    if name not in agent.tools:
        return name == SEARCH
    return name in agent.grants and agent.grants[name].effect == "read"


def routing_of(agent: Agent, state: Conversation, world: World) -> Routing:
    """The candidates of an agent's next ask."""
    if agent.models:
        picks = tuple(Pick(model, place) for place, model in enumerate(agent.models, start=1))
        return Routing(AGENT, picks, attempts_max=agent.limits.attempts_max)
    needs: set[Need] = {"tools"} if shown(agent, world) else set()
    if state.files:
        needs.add("vision")
    characters = min(state.characters, state.compact or state.characters)
    facts = Facts(
        task=CONVERSE,
        customer=world.customer,
        agent=state.agent,
        channel=state.channel,
        language=state.language,
        needs=frozenset(needs),
        tokens=(characters + len(agent.instructions)) // TOKEN_CHARS,
        hour=world.hour,
        budget=world.budget,
        budget_left_usd=world.budget_left_usd,
    )
    return route(world.routes, facts)


def listed(routing: Routing) -> bool:
    """Is it an agent's own list? There a failure that asking again cannot mend ends the turn."""
    return routing.route == AGENT


def routing_of_job(request: GenerationRequested, world: World) -> Routing:
    """The candidates of a generation; only its own model when whoever asked for it named that."""
    if request.choice is None:
        return Routing(REQUEST, (Pick(request.model, 1, request.options),))
    return route(world.routes, facts_of_job(request, world))


def facts_of_job(request: GenerationRequested, world: World) -> Facts:
    needs: set[Need] = {"structured"}
    if request.files:
        needs.add("vision")
    written = len(str(request.input)) + len(str(request.schema)) + len(request.instructions)
    return Facts(
        task=request.task,
        customer=world.customer,
        needs=frozenset(needs),
        tokens=written // TOKEN_CHARS,
        hour=world.hour,
        budget=world.budget,
        budget_left_usd=world.budget_left_usd,
    )


def choice(routing: Routing, pick: Pick | None, world: World, why: str) -> Choice | None:
    """Why this model, or none. That whoever asks names the model is reason enough, and that an
    agent does, as long as no budget has a say in which tools it gets.
    """
    if routing.route == REQUEST or (routing.route == AGENT and not world.budget):
        return None
    return Choice(
        route=routing.route,
        place=pick.place if pick else 0,
        why=why,
        table=world.table,
        passed=routing.passed,
        hour=world.hour,
        budget=world.budget,
        budget_left_usd=world.budget_left_usd,
    )


def after(model: str, picks: Sequence[Pick], left: Sequence[Pick]) -> Pick:
    """The next of `left` after `model`, in the order of `picks`, round and round."""
    names = [pick.model for pick in picks]
    begin = names.index(model) + 1 if model in names else 0
    order = names[begin:] + names
    return min(left, key=lambda pick: order.index(pick.model))


def backoff_s(limits: Limits, rounds: int, asked_s: float) -> float:
    """How long to wait after so many whole rounds, and at least what the provider asked for."""
    own_s = limits.backoff_s * 2 ** (rounds - 1) if rounds else 0
    return min(max(own_s, asked_s), limits.backoff_s_max)
