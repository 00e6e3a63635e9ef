"""`stepfold why`: every choice of a model, explained from the log alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from stepfold import settings
from stepfold.app import Opened, Parts, opened, working
from stepfold.cli import exits
from stepfold.handlers.budgets import Keeper
from stepfold.handlers.generation import GenerationError
from stepfold.handlers.inbox import Message
from stepfold.knowledge.library import Library
from stepfold.policy.agent import Agent, Limits
from stepfold.policy.budget import Budget, Budgets, encode_budgets
from stepfold.projections.conversation import replay
from stepfold.providers.model import Call, NoMoney, Prompt, Reply
from stepfold.providers.prices import load_prices
from stepfold.routing import digest, encode_routes
from stepfold.settings import parse_routes
from stepfold.streams.memory import utc_now
from stepfold.tasks import Brief
from tests.cli.commands import records, run
from tests.waiting import eventually

MINI, LARGE, BROKE = "openai/gpt-5-mini", "openai/gpt-5", "anthropic/claude-sonnet-4-5"
TABLE = parse_routes(
    f"""
[converse]
ask = [{{ model = "{LARGE}", when = {{ channels = ["slack"] }} }}, "{MINI}"]

[converse.customer]
falls.ask = ["{BROKE}", "{MINI}"]
compares.ask = ["{MINI}"]
compares.shadow = ["{LARGE}"]
fails.ask = ["{BROKE}"]
fits.ask = [{{ model = "{MINI}", when = {{ channels = ["slack"] }} }}]
saves.ask = ["{LARGE}", "{MINI}"]

[classify]
ask = ["{BROKE}", "{MINI}"]

[classify.customer.fails]
ask = ["{BROKE}"]
""",
    "routes.toml",
)
WITHOUT = f'[classify]\nask = ["{MINI}"]\n'
ROUTED = Agent("desk", models=())
LISTING = Agent("listing", models=(MINI,))
LISTING_BROKE = Agent("broke", models=(BROKE,))
ONE_STEP = Agent("short", models=(MINI,), tools=("none",), limits=Limits(steps_max=1))
SCHEMA = {"type": "object", "required": ["label"]}
BRIEF = Brief("classify", "Where is my card?", SCHEMA)
NO_CREDIT = f"{BROKE}: no_money: the credit is used up"


class Good:
    """Answers; wants a tool, or waits until its shadow is asked, where the question says so."""

    def __init__(self) -> None:
        self._shadowed = asyncio.Event()

    async def reply(self, prompt: Prompt, /) -> Reply:
        if prompt.question == "compare":
            await self._answer_after_the_shadow(prompt.model)
        if prompt.schema:
            return Reply(text='{"label": "card"}', cost_usd=Decimal("0.001"))
        if prompt.question == "loop":
            return Reply(calls=(Call("none", {}),), cost_usd=Decimal(0))
        return Reply(text="At 9.", cost_usd=Decimal("0.002"))

    async def _answer_after_the_shadow(self, model: str) -> None:
        """Else a model that takes no time may have answered before anybody asked the other."""
        if LARGE.endswith(f"/{model}"):
            self._shadowed.set()
        await self._shadowed.wait()


class Broke:
    async def reply(self, prompt: Prompt, /) -> Reply:
        raise NoMoney("the credit is used up")


async def ask(found: Opened, agent: Agent, customer: str, text: str = "Hi") -> None:
    """One message, and what follows from it."""
    message = Message(customer, f"{customer}1", text, "m1", channel="web")
    await (await found.inbox(agent)).receive(message)

    async def rests() -> bool:
        entries = await found.log.read(customer, message.conversation)
        state = replay(entry.event for entry in entries)
        return not (state.turn or state.unheard or state.open)

    await eventually(rests, what=f"{customer} comes to rest")


async def use_up(found: Opened) -> None:
    """As far as `saves` may ask only the cheapest, as workers do it."""
    limit = Budget("customer", Decimal(10), "saves")
    await found.budgets.appoint(encode_budgets(Budgets((limit,))))
    keeper = Keeper(found.budgets, found.balances, found.log, utc_now)
    await keeper.look()
    await keeper.reserve(("saves", "other1"), "desk", "r1", Decimal("9.25"))


async def play(folder: Path) -> None:
    parts = Parts(
        knowledge=Library(folder / "knowledge"),
        models={"openai": Good(), "anthropic": Broke()},
        prices=load_prices(None),
    )
    async with opened(settings.read({}, folder=folder)) as found:
        await found.routes.appoint(encode_routes(TABLE))
        await use_up(found)
        async with working(found, parts):
            for customer in ("plain", "falls", "fails", "fits", "saves"):
                await ask(found, ROUTED, customer)
            await ask(found, ROUTED, "compares", "compare")
            await ask(found, LISTING, "lists")
            await ask(found, LISTING_BROKE, "lists-broke")
            await ask(found, ONE_STEP, "loops", "loop")
            made = found.generations()
            await made.make(BRIEF, customer="plain", conversation="made1")
            with pytest.raises(GenerationError):
                await made.make(BRIEF, customer="fails", conversation="made2")
            named = Brief("classify", "Hi", SCHEMA, model=MINI)
            await made.make(named, customer="plain", conversation="made3")
        await found.routes.appoint(encode_routes(parse_routes(WITHOUT, "routes.toml")))
        async with working(found, parts):
            await ask(found, ROUTED, "lost")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("asked")
    asyncio.run(play(folder))
    return folder


def choices(here: Path, conversation: str) -> list[Any]:
    (told,) = records(run("why", conversation, "--json", data=here))
    return list(told["choices"])


def said(here: Path, conversation: str) -> str:
    """In one line, as wide as it may be."""
    ended = run("why", conversation, data=here, columns=120)
    assert ended.exit_code == 0, ended.output
    return " ".join(ended.stdout.split())


def models(told: Sequence[Any]) -> list[tuple[str, str]]:
    return [(each["model"], each["outcome"]) for each in told]


def test_a_choice_names_its_route_its_place_what_was_passed_over_and_the_table(here: Path) -> None:
    (why,) = choices(here, "plain1")

    assert (why["model"], why["task"], why["why"]) == (MINI, "converse", "the first that fits")
    assert (why["choice"]["route"], why["choice"]["place"]) == ("converse", 2)
    assert why["choice"]["passed"] == [f"{LARGE}: channel web is not among slack"]
    assert why["choice"]["table"] == digest(TABLE)
    assert (why["outcome"], why["cost_usd"]) == ("reason.finished", "0.002")


def test_it_says_so_in_words(here: Path) -> None:
    told = said(here, "plain/plain1")

    assert told.startswith("plain/plain1 ")
    assert f" r1: {MINI} route converse, place 2: the first that fits" in told
    assert f"not {LARGE}: channel web is not among slack" in told
    assert f" h UTC, routes {digest(TABLE)} reason.finished, " in told
    assert told.endswith(", $0.002")


def test_a_fallback_says_after_which_failure(here: Path) -> None:
    first, second = choices(here, "falls1")

    assert (first["model"], first["outcome"]) == (BROKE, "reason.failed")
    assert first["failure"] == "no_money: the credit is used up"
    assert (second["model"], second["attempt"], second["outcome"]) == (MINI, 2, "reason.finished")
    assert second["why"] == f"after {NO_CREDIT}"
    assert f"route converse for customer falls, place 2: after {NO_CREDIT}" in said(here, "falls1")


def test_a_shadow_is_told_apart(here: Path) -> None:
    told = choices(here, "compares1")

    assert [(each["model"], each["shadow"], each["why"]) for each in told] == [
        (MINI, False, "the first that fits"),
        (LARGE, True, "a shadow"),
    ]
    assert f"r1s1: {LARGE} (a shadow: its answer counts for nothing)" in said(here, "compares1")


def test_a_turn_that_was_given_up_says_why_no_more_was_asked(here: Path) -> None:
    asked, end = choices(here, "fails1")

    assert asked["outcome"] == "reason.failed"
    assert (end["call"], end["task"], end["model"]) == ("turn 1", "converse", "")
    assert (end["outcome"], end["choice"]["route"]) == (
        "turn.abandoned",
        "converse for customer fails",
    )
    assert end["failure"] == f"model: {NO_CREDIT}"
    assert f"turn 1: no model route converse for customer fails: {NO_CREDIT}" in said(
        here, "fails1"
    )


def test_where_no_candidate_fits_all_reasons_are_told(here: Path) -> None:
    (end,) = choices(here, "fits1")

    assert (end["model"], end["why"]) == ("", "none fits")
    assert end["choice"]["passed"] == [f"{MINI}: channel web is not among slack"]


def test_where_there_is_no_route_the_way_out_is_told(here: Path) -> None:
    told = said(here, "lost1")

    assert "turn 1: no model no route for task 'converse' (known: classify): none fits" in told
    assert "write one (docs/routing.md), then `stepfold route apply FILE`" in told


def test_a_budget_that_is_nearly_used_up_is_the_reason_for_the_cheapest(here: Path) -> None:
    (why,) = choices(here, "saves1")

    assert (why["model"], why["outcome"]) == (MINI, "reason.finished")
    assert why["choice"]["passed"] == [f"{LARGE}: the budget is nearly used up"]
    assert (why["choice"]["budget"], why["choice"]["budget_left_usd"]) == ("cheaper", "0.75")
    assert "0.75 USD of the budget left, budget: cheaper" in said(here, "saves1")


def test_an_agents_own_list_needs_no_route(here: Path) -> None:
    (why,) = choices(here, "lists1")

    assert (why["model"], why["choice"]) == (MINI, None)
    assert "the model was named, no route was asked" in said(here, "lists1")


def test_an_agents_own_list_that_is_at_its_end_is_told_too(here: Path) -> None:
    told = choices(here, "lists-broke1")

    assert models(told) == [(BROKE, "reason.failed"), ("", "turn.abandoned")]
    assert (told[1]["why"], told[1]["failure"]) == ("no other was asked", f"model: {NO_CREDIT}")


def test_a_limit_that_ends_a_turn_is_told(here: Path) -> None:
    told = choices(here, "loops1")

    assert models(told) == [(MINI, "reason.finished"), ("", "turn.abandoned")]
    assert "ended: steps: the model was asked 1 times in this turn" in said(here, "loops1")


def test_a_generation_has_a_task_and_a_choice_for_each_attempt(here: Path) -> None:
    told = choices(here, "made1")

    assert [(each["call"], each["task"]) for each in told] == [
        ("g1", "classify"),
        ("g1.2", "classify"),
    ]
    assert models(told) == [(BROKE, "generation.failed"), (MINI, "generation.finished")]
    assert told[1]["why"] == f"after {NO_CREDIT}"


def test_a_generation_that_was_given_up_keeps_its_task(here: Path) -> None:
    asked, end = choices(here, "made2")

    assert (asked["model"], end["model"]) == (BROKE, "")
    assert (end["call"], end["task"]) == ("g1", "classify")
    assert end["choice"]["route"] == "classify for customer fails"
    assert end["failure"] == f"no_money: {BROKE}: the credit is used up (1 attempt)"


def test_a_generation_whose_model_was_named_says_so(here: Path) -> None:
    (why,) = choices(here, "made3")

    assert (why["model"], why["choice"]) == (MINI, None)
    assert why["why"] == "the model was named, no route was asked"


@pytest.mark.parametrize("columns", [40, 60, 100, 120])
@pytest.mark.parametrize("name", ["plain1", "falls1", "compares1", "fails1", "saves1", "made2"])
def test_it_fits_its_terminal(here: Path, name: str, columns: int) -> None:
    lines = run("why", name, data=here, columns=columns).stdout.splitlines()

    assert max(map(len, lines)) <= columns


def test_a_conversation_that_is_not_there_is_refused_with_the_way_out(here: Path) -> None:
    ended = run("why", "nobody1", data=here)

    assert ended.exit_code == exits.REFUSED
    assert "conversation 'nobody1' is not in this log; `stepfold tail --after 0`" in ended.stderr


def test_a_folder_without_a_log_is_not_made_into_one(tmp_path: Path) -> None:
    ended = run("why", "c1", data=tmp_path / "typo")

    assert ended.exit_code == exits.REFUSED
    assert "there is no log in" in ended.stderr
    assert not (tmp_path / "typo").exists()


def test_before_any_ask_there_is_nothing_to_explain(tmp_path: Path) -> None:
    words = ("publish", "Hi", "--customer", "acme", "--conversation", "c1")
    assert run(*words, data=tmp_path).exit_code == 0

    ended = run("why", "c1", data=tmp_path)

    assert ended.stdout.split("\n")[0] == "acme/c1"
    assert "no model was asked yet" in ended.stdout
    assert choices(tmp_path, "c1") == []
