"""What was spent: every paid thing is one row, and any sum over them is the sum over the events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Context, Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepfold.events import wire
from stepfold.events.event import (
    ConversationStarted,
    Event,
    Generated,
    GenerationAbandoned,
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
)
from stepfold.events.values import Choice, Price, Spend, Text, Usage
from stepfold.handlers.asking import UNSEEN
from stepfold.projections.views import Views
from tests.projections.made import DIGEST, Stored, log, stored

Row = dict[str, Any]
Show = Callable[[Sequence[Event], str], list[Row]]

STARTED = ConversationStarted("help-desk", DIGEST)
CHOICE = Choice("converse for agent help-desk", 1, "the first that fits", DIGEST)
EXACT = Context(prec=100)
PRICE = Price("genai-prices 0.2.3", {"input": "2.5", "cached": "1.25", "output": "10"})
ASKED = ReasonRequested("r1", 1, "openai/gpt-4o", heard=1, choice=CHOICE)
ANSWERED = Reasoned(
    "r1",
    1,
    "gpt-4o-2024-08-06",
    (Text("hi"),),
    provider="openai",
    usage=Usage(1_000, 100, cached=400, cache_write=9, billed={"web_search": 2}, raw={"n": 1}),
    cost_usd=Decimal("0.003"),
    price=PRICE,
    tier="default",
    elapsed_ms=90.5,
    first_ms=12.25,
)


@pytest.fixture
def show(views: Views) -> Show:
    """The rows of a query over one conversation."""

    def shown(events: Sequence[Event], sql: str) -> list[Row]:
        views.fold(stored(events))
        found: list[Row] = views.query(sql).table.to_pylist()
        return found

    return shown


def test_an_ask_of_the_loop_is_one_row_with_all_that_a_bill_needs(show: Show) -> None:
    (row,) = show((STARTED, ASKED, ANSWERED), "FROM spend")

    billed, usage, rates = (
        msgspec.json.decode(row.pop(key)) for key in ("billed", "usage", "rates")
    )
    del row["recorded_at"]
    assert (billed, usage["raw"], rates) == ({"web_search": 2.0}, {"n": 1}, PRICE.rates)
    assert row == {
        "position": 3,
        "item": 1,
        "customer": "acme",
        "conversation": "c1",
        "turn": 1,
        "call": "r1",
        "what": "reason",
        "task": "converse",
        "route": "converse for agent help-desk",
        "agent": "help-desk",
        "provider": "openai",
        "model": "gpt-4o-2024-08-06",
        "attempt": 1,
        "shadow": False,
        "outcome": "finished",
        "input_tokens": 1_000,
        "output_tokens": 100,
        "cached_tokens": 400,
        "cache_write_tokens": 9,
        "thinking_tokens": None,
        "tier": "default",
        "cost_usd": Decimal("0.003"),
        "unpriced": False,
        "price_book": "genai-prices 0.2.3",
        "elapsed_ms": 90.5,
    }


def test_a_failed_attempt_is_a_row_under_the_name_of_its_model(show: Show) -> None:
    failed = ReasonFailed("r1", 1, "openai/gpt-4o", "cut", usage=Usage(1_000, 3), provider="openai")
    busy = ReasonFailed("r2", 1, "openai/gpt-4o", "rate_limit", attempt=2, provider="openai")
    again = ReasonRequested("r2", 1, "openai/gpt-4o", attempt=2)

    rows = show(
        (ASKED, failed, again, busy),
        "SELECT provider, model, attempt, outcome, cost_usd, unpriced FROM spend ORDER BY position",
    )

    assert [tuple(row.values()) for row in rows] == [
        ("openai", "gpt-4o", 1, "failed", None, True),
        ("openai", "gpt-4o", 2, "failed", None, False),
    ]


def test_a_name_with_a_path_keeps_it_where_that_is_not_the_provider(show: Show) -> None:
    failed = ReasonFailed("r1", 1, "house/meta/llama", "cut", provider="house")
    other = Reasoned("r2", 1, "meta/llama", (Text("hi"),))

    rows = show((failed, other), "SELECT model, provider FROM spend ORDER BY position")

    assert [tuple(row.values()) for row in rows] == [("meta/llama", "house"), ("meta/llama", None)]


def test_a_failure_that_names_no_provider_is_of_the_one_that_was_asked(show: Show) -> None:
    """So are those that a worker tells for a model that never came back."""
    given_up = ReasonFailed("r1", 1, "ours/small", "given_up")
    failed = GenerationFailed("g1", "timeout", "ours/small")
    answered = Reasoned("r2", 1, "small", (Text("hi"),), provider="ours")
    theirs = Reasoned("r3", 1, "small", (Text("hi"),), provider="theirs")
    own = ReasonFailed("r4", 1, "extractive", "timeout")

    rows = show(
        (given_up, failed, answered, theirs, own),
        "SELECT provider, model, calls FROM cost_by_model ORDER BY ALL",
    )

    assert [tuple(row.values()) for row in rows] == [
        ("ours", "small", 3),
        ("theirs", "small", 1),
        (None, "extractive", 1),
    ]


@pytest.mark.parametrize(
    "reason", [*sorted(UNSEEN), "empty", "cancelled", "given_up", "bug", "too_large"]
)
def test_what_a_provider_may_have_charged_for_is_unpriced_though_it_tells_no_usage(
    show: Show, reason: str
) -> None:
    events = (
        STARTED,
        ReasonFailed("r1", 1, "openai/gpt-4o", reason),
        GenerationFailed("g1", reason, "openai/gpt-4o"),
        ReasonFailed("r2", 1, "extractive", reason),
    )

    rows = show(events, "SELECT unpriced, outcome FROM spend ORDER BY position")
    calls = show((), "SELECT unpriced FROM model_calls ORDER BY position")
    (whole,) = show((), "SELECT unpriced, cost_usd FROM conversations")

    assert [row["unpriced"] for row in rows] == [True, True, False]
    assert {row["outcome"] for row in rows} == {"failed"}
    assert [row["unpriced"] for row in calls] == [True, True, False]
    assert tuple(whole.values()) == (2, None)


@pytest.mark.parametrize("reason", ["rate_limit", "no_money", "too_large", "invalid_request"])
def test_what_a_provider_turns_away_costs_nothing(show: Show, reason: str) -> None:
    refused = ReasonFailed("r1", 1, "openai/gpt-4o", reason, provider="openai")

    assert show((refused,), "SELECT unpriced FROM spend") == [{"unpriced": False}]


@pytest.mark.parametrize(
    "reason",
    [
        *("budget", "model_unknown", "circuit_open", "at_capacity", "file_missing", "schema"),
        "over",
    ],
)
def test_what_never_left_this_process_is_unsent_and_no_call(show: Show, reason: str) -> None:
    unsent = ReasonFailed("r1", 1, "openai/gpt-4o", reason, provider="openai")
    failed = ReasonFailed("r2", 1, "openai/gpt-4o", "rate_limit", provider="openai")

    rows = show((unsent, failed), "SELECT outcome FROM spend ORDER BY position")
    calls = show((), "SELECT outcome, reason FROM model_calls ORDER BY position")
    (sums,) = show((), "SELECT calls, failed, unsent, unpriced FROM cost_by_model")

    assert [row["outcome"] for row in rows] == ["unsent", "failed"]
    assert [tuple(row.values()) for row in calls] == [
        ("unsent", reason),
        ("failed", "rate_limit"),
    ]
    assert tuple(sums.values()) == (1, 1, 1, 0)


def test_a_shadow_is_paid_for_and_no_part_of_the_turn(show: Show) -> None:
    shadow = ReasonRequested("r1.s", 1, "anthropic/claude-x", choice=CHOICE, shadow=True)
    late = Reasoned("r1.s", 1, "claude-x", (Text("ho"),), cost_usd=Decimal("0.5"))
    events = (
        STARTED,
        MessageReceived("hello"),
        ASKED,
        shadow,
        ANSWERED,
        ResponseGiven(1, "hi"),
        late,
    )

    rows = show(events, "SELECT call, shadow, cost_usd FROM spend ORDER BY position")
    (turn,) = show((), "SELECT outcome, cost_usd, model_calls FROM turns")
    (conversation,) = show((), "SELECT state, turns, cost_usd FROM conversations")

    assert [row["shadow"] for row in rows] == [False, True]
    assert tuple(turn.values()) == ("answered", Decimal("0.503"), 2)
    assert tuple(conversation.values()) == ("at rest", 1, Decimal("0.503"))


GENERATE = GenerationRequested("g1", "classify", {}, {}, "openai/gpt-4o", choice=CHOICE)
MENDED = GenerationRequested("g1.2", "classify", {}, {}, "openai/gpt-4o", job="g1", attempt=2)
FAILED = GenerationFailed("g1", "malformed", "gpt-4o", usage=Usage(9, 9), cost_usd=Decimal("0.1"))
GAVE = Generated("g1.2", {}, "gpt-4o", Usage(9, 9), Decimal("0.2"), attempt=2)


def test_each_attempt_of_a_generation_is_a_row_of_its_task(show: Show) -> None:
    rows = show(
        (GENERATE, FAILED, MENDED, GAVE),
        "SELECT what, task, route, agent, call, attempt, outcome, cost_usd FROM spend ORDER BY ALL",
    )

    assert [tuple(row.values()) for row in rows] == [
        ("generate", "classify", CHOICE.route, None, "g1", 1, "failed", Decimal("0.1")),
        ("generate", "classify", None, None, "g1.2", 2, "finished", Decimal("0.2")),
    ]


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ((GENERATE,), "running"),
        ((GENERATE, FAILED), "running"),
        ((GENERATE, FAILED, MENDED), "running"),
        ((GENERATE, FAILED, MENDED, GAVE), "at rest"),
        ((GENERATE, FAILED, GenerationAbandoned("g1", "malformed")), "at rest"),
        ((GENERATE, FAILED, MENDED, GAVE, GenerationRequested("g2", "x", {}, {}, "m")), "running"),
    ],
)
def test_a_job_runs_until_it_gave_what_was_asked_for_or_was_given_up(
    show: Show, events: tuple[Event, ...], state: str
) -> None:
    assert show(events, "SELECT state FROM conversations") == [{"state": state}]


EMBEDDED = Spend(
    "embed",
    "embed-x",
    "openai",
    Usage(9),
    Decimal("0.00000018"),
    Price("b", {"input": "0.02"}),
    3.5,
)
RERANKED = Spend("rerank", "rerank-x", "cohere", Usage(billed={"search_units": 1}))


SPENT = (EMBEDDED, RERANKED)


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (RetrievalReturned("s1", 1, (), 1.0, SPENT), "finished"),
        (RetrievalFailed("s1", 1, "gone", 1.0, SPENT), "failed"),
    ],
)
def test_what_a_search_paid_for_is_a_row_each(show: Show, end: Event, outcome: str) -> None:
    events = (STARTED, ASKED, RetrievalRequested("s1", 1, "fees", ("help",), 3), end)

    rows = show(
        events,
        "SELECT item, what, task, agent, call, turn, provider, model, outcome, input_tokens,"
        " billed, cost_usd, unpriced, price_book, elapsed_ms FROM spend ORDER BY item",
    )
    (turn,) = show((), "SELECT cost_usd, unpriced, model_calls FROM turns")
    units = [msgspec.json.decode(row.pop("billed") or "null") for row in rows]

    common = ("help-desk", "s1", 1)
    assert [tuple(row.values()) for row in rows] == [
        (1, "embed", "embed", *common, "openai", "embed-x", outcome, 9,
         Decimal("0.00000018"), False, "b", 3.5),
        (2, "rerank", "rerank", *common, "cohere", "rerank-x", outcome, None,
         None, True, None, 0.0),
    ]  # fmt: skip
    assert units == [None, {"search_units": 1}]
    assert tuple(turn.values()) == (Decimal("0.00000018"), 1, 1)


@pytest.mark.parametrize(
    "spent",
    [
        "much",
        {"what": "embed"},
        [{"what": "embed"}],
        [{"what": "embed", "model": "m", "cost_usd": "much"}],
        [None],
    ],
)
def test_a_spend_that_is_none_makes_its_step_unreadable(views: Views, spent: object) -> None:
    (step,) = stored([RetrievalReturned("s1", 1, ())])
    form = msgspec.json.decode(step[2])
    form["event"]["spent"] = spent

    views.fold([(*step[:2], msgspec.json.encode(form), step[3])])

    (row,) = views.query("SELECT error FROM steps").table.to_pylist()
    assert row["error"].startswith("malformed")
    assert views.query("FROM spend").table.num_rows == 0


def test_a_model_call_shows_how_much_of_it_came_from_a_cache(show: Show) -> None:
    columns = "task, route, shadow, first_ms, cached_share, finish"

    (row,) = show((ASKED, ANSWERED), f"SELECT {columns} FROM model_calls")

    assert row == {
        "task": "converse",
        "route": CHOICE.route,
        "shadow": False,
        "first_ms": 12.25,
        "cached_share": 0.4,
        "finish": "stop",
    }


def test_a_loop_without_a_word_of_its_task_converses() -> None:
    assert ReasonRequested("r1", 1, "m").task == "converse"


# -- sums -----------------------------------------------------------------------

STEPS = log(21, 150)
KEYS = (
    "customer",
    "conversation",
    "recorded_at::DATE",
    "what",
    "task",
    "route",
    "agent",
    "provider",
    "model",
    "attempt",
    "shadow",
    "outcome",
    "turn",
)


def paid(steps: Sequence[Stored]) -> Iterator[Decimal | None]:
    """The costs of all paid things, as the events tell them; None = not known."""
    for position, subject, payload, at in steps:
        event = wire.decode(subject, payload, position=position, at=at).event
        yield from (spend.cost_usd for spend in getattr(event, "spent", ()))
        if isinstance(event, Reasoned | ReasonFailed | Generated | GenerationFailed):
            yield event.cost_usd


def total(costs: Sequence[Decimal | None]) -> Decimal:
    whole = Decimal(0)
    for cost in costs:
        whole = EXACT.add(whole, cost or Decimal(0))
    return whole


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Views]:
    with Views.open(tmp_path_factory.mktemp("spend") / "views.duckdb") as views:
        views.fold(STEPS)
        yield views


@given(keys=st.sets(st.sampled_from(KEYS)))
@settings(max_examples=60, deadline=None)
def test_the_sum_over_any_grouping_is_the_sum_over_the_events(full: Views, keys: set[str]) -> None:
    costs = list(paid(STEPS))

    rows = full.query(
        f"SELECT {''.join(f'{key}, ' for key in sorted(keys))} sum(cost_usd) AS cost,"
        " count(*) AS calls FROM spend GROUP BY ALL"
    ).table.to_pylist()

    assert total([row["cost"] for row in rows]) == total(costs)
    assert sum(row["calls"] for row in rows) == len(costs)


@pytest.mark.parametrize(
    "by", ["model", "customer", "conversation", "day", "task", "route", "agent"]
)
def test_every_cost_view_holds_all_of_what_was_spent(full: Views, by: str) -> None:
    costs = list(paid(STEPS))

    rows = full.query(f"FROM cost_by_{by}").table.to_pylist()

    assert total([row["cost_usd"] for row in rows]) == total(costs)
    assert sum(row["calls"] for row in rows) == len(costs)
    (unpriced,) = (
        full.query("SELECT count(*) AS n FROM spend WHERE unpriced").table["n"].to_pylist()
    )
    assert sum(row["unpriced"] for row in rows) == unpriced > 0


@pytest.mark.parametrize("view", ["conversations", "turns"])
def test_conversations_and_turns_count_what_spend_does(full: Views, view: str) -> None:
    where = "WHERE turn IS NOT NULL" if view == "turns" else ""
    kept, counted = "sum(unpriced)::BIGINT", "count(*) FILTER (unpriced)"

    shown = full.query(f"SELECT sum(cost_usd) AS cost, {kept} AS unpriced FROM {view}")
    spent = full.query(f"SELECT sum(cost_usd) AS cost, {counted} AS unpriced FROM spend {where}")

    assert shown.table.to_pylist() == spent.table.to_pylist()


MONEY = st.decimals(min_value=0, max_value=10**6, places=18, allow_nan=False, allow_infinity=False)
COST = st.none() | MONEY
STEP = st.tuples(st.booleans(), COST, st.lists(COST, max_size=3))


@given(spent=st.lists(STEP, min_size=1, max_size=30))
@settings(max_examples=15, deadline=None)
def test_amounts_of_any_size_are_summed_to_the_last_digit(spent: list[Any]) -> None:
    events: list[Event] = []
    for number, (fine, cost, more) in enumerate(spent):
        spends = tuple(Spend("embed", "m", cost_usd=each) for each in more)
        events.append(RetrievalReturned(f"s{number}", 1, (), 0, spends))
        reasoned = Reasoned(f"r{number}", 1, "m", (Text("a"),), cost_usd=cost)
        events.append(
            reasoned if fine else ReasonFailed(f"r{number}", 1, "m", "cut", cost_usd=cost)
        )
    steps = stored(events)

    with TemporaryDirectory() as folder, Views.open(Path(folder) / "views.duckdb") as views:
        views.fold(steps)
        ((told,),) = views.query("SELECT sum(cost_usd) AS c FROM spend").table.to_pydict().values()

    assert (told or 0) == total(list(paid(steps)))
