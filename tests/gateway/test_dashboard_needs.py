"""What needs a person is told as long as it does, and what it costs as far as anybody knows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx2
import pytest
import pytest_asyncio

from stepfold.events.event import Event, ReasonRequested, ToolRequested, ToolStarted, ToolUnknown
from stepfold.gateway.dashboard.cost import change
from stepfold.gateway.dashboard.periods import PERIODS, before
from stepfold.policy.budget import Budget, Budgets, encode_budgets
from stepfold.streams.memory import utc_now
from tests.gateway.dashboard_html import read
from tests.gateway.dashboard_sample import Told, open_now, sample, waiting
from tests.gateway.dashboard_stage import Stage, stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BUDGETS = Budgets(
    (
        Budget("customer", Decimal(5), name="acme"),
        Budget("customer", Decimal(50), name="globex"),
        Budget("agent", Decimal(7), name="help-desk"),
    )
)


def given_up(now: datetime) -> Told:
    found = next(each for each in open_now("acme", now) if each.conversation == "given-up")
    return Told("acme", "given-up-yesterday", now - 23 * HOUR, found.steps)


def unknown(now: datetime) -> Told:
    steps: tuple[tuple[float, Event], ...] = (
        (0, ReasonRequested("r1", 1, "m", ("send_mail",), heard=1)),
        (1, ToolRequested("r1.1", 1, "send_mail", {})),
        (1, ToolStarted("r1.1", 1)),
        (1, ToolUnknown("r1.1", 1, "the mail server did not answer")),
    )
    return Told("acme", "unknown-five-days-ago", now - 5 * DAY, steps)


def told(now: datetime) -> Iterator[Told]:
    """All that costs anything has a price, except in one conversation."""
    yield given_up(now)
    yield unknown(now)
    yield waiting("globex", "waits", now - timedelta(minutes=3))
    paid = next(each for each in sample(now) if each.customer == "initech")
    yield Told("initech", "today", now - HOUR, paid.steps)
    yield Told("initech", "before", now - 36 * HOUR, paid.steps)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with stage(tmp_path_factory.mktemp("needs"), list(told(utc_now()))) as made:
        await made.found.budgets.appoint(encode_budgets(BUDGETS))
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operator(desk: Stage) -> httpx2.AsyncClient:
    return await desk.operator()


async def words(client: httpx2.AsyncClient, path: str) -> str:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return " ".join(read(answer.text).text.split())


async def test_the_last_day_is_not_over_at_midnight() -> None:
    past = datetime(2026, 3, 2, 0, 3, 20, tzinfo=UTC)

    assert PERIODS["day"].since(past) == datetime(2026, 3, 1, 0, 3, tzinfo=UTC)
    assert PERIODS["today"].since(past) == datetime(2026, 3, 2, tzinfo=UTC)


async def test_what_was_given_up_yesterday_and_what_is_unknown_for_days_still_needs_somebody(
    operator: httpx2.AsyncClient,
) -> None:
    text = await words(operator, "/")

    assert "1 tool outcome is unknown · 1 turn was given up in 24 h" in text
    assert "the mail server did not answer 1 time in 7 days" in text
    assert "Unknown outcomes 1 ▲ tools, in 7 days" in text


async def test_the_tile_of_unknown_outcomes_leads_to_them(operator: httpx2.AsyncClient) -> None:
    page = read((await operator.get("/")).text)
    address = next(
        told["href"] for _, told in page.seen if "status=unknown" in told.get("href", "")
    )

    assert "unknown-five-days-ago" in await words(operator, address.removeprefix("/dashboard"))


async def test_who_waits_for_people_is_told_among_those_that_run(
    operator: httpx2.AsyncClient,
) -> None:
    assert "Running 2 1 of them waits for people" in await words(operator, "/")


async def test_all_budgets_are_told_with_the_costs(operator: httpx2.AsyncClient) -> None:
    page = await operator.get("/cost")
    text = " ".join(read(page.text).text.split())

    assert "acme customer, a month ▲ nearly used up 82% 82%: $4.12 of $5.00" in text
    assert "globex customer, a month ✓ in bounds" in text
    assert "help-desk agent, a month ✓ in bounds" in text
    assert page.text.count("<progress") == 3


async def test_a_customer_is_told_of_its_own_budgets_only(desk: Stage) -> None:
    text = await words(await desk.signed_in(await desk.key("globex")), "/cost")

    assert "of $50.00" in text
    assert "of $5.00" not in text


async def test_a_cost_that_nobody_knows_is_not_nothing(operator: httpx2.AsyncClient) -> None:
    of_one = await words(operator, "/conversations/acme/given-up-yesterday")
    of_all = await words(operator, "/cost?customer=acme")
    first = await words(operator, "/?customer=acme")

    assert "Cost – +3 unpriced" in of_one
    assert "Known prices –" in of_all
    assert "– in 7 days · +3 unpriced" in first
    assert "$0" not in of_one


async def test_where_nothing_was_paid_for_it_cost_nothing(operator: httpx2.AsyncClient) -> None:
    assert "Known prices $0" in await words(operator, "/cost?customer=nobody")
    assert "Cost today $0" in await words(operator, "/?customer=nobody")


async def test_costs_are_held_against_as_long_a_time_before() -> None:
    now = datetime(2026, 3, 8, 12, tzinfo=UTC)

    assert before(PERIODS["today"], now) == datetime(2026, 3, 7, 12, tzinfo=UTC)
    assert before(PERIODS["day"], now) == datetime(2026, 3, 6, 12, tzinfo=UTC)
    assert before(PERIODS["all"], now) is None
    assert change(Decimal(3), Decimal(2)) == 0.5
    assert [change(None, Decimal(2)), change(Decimal(3), None), change(Decimal(3), Decimal(0))] == [
        None, None, None,
    ]  # fmt: skip


async def test_the_page_of_costs_says_how_much_more_it_is(operator: httpx2.AsyncClient) -> None:
    assert ", +0 % on $" in await words(operator, "/cost?period=day&customer=initech")
    assert " % on $" not in await words(operator, "/cost?period=all&customer=initech")


async def test_of_an_empty_log_it_is_told_how_to_begin(operator: httpx2.AsyncClient) -> None:
    assert "stepfold chat begins a conversation" in await words(operator, "/?customer=nobody")
    assert "stepfold chat" not in await words(operator, "/")


async def test_an_approval_says_for_whom_and_what_was_said_last(
    operator: httpx2.AsyncClient,
) -> None:
    text = await words(operator, "/approvals")

    assert "amara said: I sent the jacket back two weeks ago. Where is my money?" in text
