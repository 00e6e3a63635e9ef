"""The dashboard's own SQL says what the public views say, and to each customer only its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from stepfold.events.event import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRequested,
    ConversationStopped,
    Event,
    MessageReceived,
    ResponseGiven,
)
from stepfold.gateway.dashboard.queries import QUERIES, sql_of
from stepfold.projections.views import Views
from tests.projections.made import BEGIN, log, stored

CUSTOMER = "customer-3"
NOW = BEGIN + timedelta(days=1)
Rows = list[dict[str, Any]]
COSTS = ("calls", "failed", "input_tokens", "output_tokens", "cost_usd", "unpriced")


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Views]:
    with Views.open(tmp_path_factory.mktemp("views") / "views.duckdb") as made:
        steps = log(11, 400)
        made.fold(steps[: len(steps) * 9 // 10])  # so that some are running
        yield made


def told(**more: object) -> dict[str, object]:
    return {
        "customer": None, "names": None, "positions": (0,), "now": NOW, "rows": 100_000,
        "since": datetime(1970, 1, 1, tzinfo=UTC), "before": 2**62, "searched": 0, "status": None,
        "agent": None, "digest": None, "text": None, "tool": None, "unit": "day", "all": False,
        "answers": 100_000, "unknown_since": datetime(1970, 1, 1, tzinfo=UTC), "until": NOW,
        "model": None, "task": None, "outcome": None,
    } | more  # fmt: skip


def ask(views: Views, name: str, **more: object) -> Rows:
    rows: Rows = views.query(sql_of(name, told(**more)), rows_max=200_000).table.to_pylist()
    return rows


def public(views: Views, sql: str) -> Rows:
    rows: Rows = views.query(sql, rows_max=200_000).table.to_pylist()
    return rows


def by(rows: Rows, *names: str, of: tuple[str, ...]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    return {tuple(row[n] or "" for n in names): tuple(row[n] for n in of) for row in rows}


def test_a_conversation_is_listed_as_the_view_tells_it(views: Views) -> None:
    page = ask(views, "conversations_page")
    names = tuple(sorted({row["conversation"] for row in page}))
    positions = tuple(row["position"] for row in page)

    listed = ask(views, "conversations", names=names, positions=positions)

    facts = ("state", "agent", "contact", "digest", "turns", "cost_usd", "unpriced", "last_at")
    whole = public(views, "FROM conversations")
    assert len(listed) == len(whole) > 300
    assert by(listed, "customer", "conversation", of=facts) == by(
        whole, "customer", "conversation", of=facts
    )
    assert [row["position"] for row in listed] == sorted(positions, reverse=True)


def test_states_are_counted_as_the_view_counts_them(views: Views) -> None:
    (now,) = ask(views, "now")

    states = Counter(row["state"] for row in public(views, "FROM conversations"))
    assert states["running"] > 0
    assert states["stopped"] > 0
    assert {name: now[name] for name in ("running", "stopped", "unreadable")} == {
        name: states[name] for name in ("running", "stopped", "unreadable")
    }


@pytest.mark.parametrize("status", ["running", "stopped", "at rest"])
def test_a_list_of_one_state_has_those_of_the_view(views: Views, status: str) -> None:
    page = ask(views, "conversations_page", status=status)

    whole = public(views, f"FROM conversations WHERE state = '{status}'")
    assert {row["conversation"] for row in page} == {row["conversation"] for row in whole}


def asked_people(number: int, *answers: Event, ends: bool = False) -> list[Event]:
    """A call that two must agree to, within an hour."""
    call = f"r{number}.1"
    asked = ApprovalRequested(call, number, "pay", {"n": number}, "d", "money", 3_600, people=2)
    return [
        MessageReceived(f"pay {number}", contact="ada", message=f"m{number}"),
        asked, *answers, *([ResponseGiven(number, "no")] if ends else []),
    ]  # fmt: skip


def test_what_waits_for_people_is_what_the_view_says_is_waiting(tmp_path: Path) -> None:
    def granted(number: int, person: str, digest: str = "d") -> Event:
        return ApprovalGranted(f"r{number}.1", number, digest, person)

    told: dict[str, list[Event]] = {
        "waits": asked_people(1, granted(1, "Ines")),
        "the-same-twice": asked_people(1, granted(1, "Ines"), granted(1, " ines ")),
        "another-digest": asked_people(1, granted(1, "Ines"), granted(1, "Ola", "other")),
        "granted": asked_people(1, granted(1, "Ines"), granted(1, "Ola")),
        "denied": asked_people(1, ApprovalDenied("r1.1", 1, "d", "Ola", "no")),
        "denied-another": asked_people(1, ApprovalDenied("r1.1", 1, "other", "Ola", "no")),
        "expired": asked_people(1, ApprovalExpired("r1.1", 1)),
        "void": asked_people(1, ends=True),
        "stopped": [*asked_people(1), ConversationStopped("bug")],
        "the-second": [*asked_people(1, ends=True), *asked_people(2)],
    }
    with Views.open(tmp_path / "views.duckdb") as made:
        for name, events in told.items():
            made.fold(stored(events, conversation=name, position=made.position + 1))
        mine = ask(made, "approvals_waiting", now=BEGIN)
        page = ask(made, "conversations_page", status="waiting", now=BEGIN)
        late = ask(made, "approvals_waiting", now=BEGIN + timedelta(days=1))
        whole = public(made, "FROM approvals WHERE status = 'waiting'")

    of = ("position", "name", "reason", "digest", "people", "granted_by", "expires_at")
    assert by(mine, "conversation", "call", of=of) == by(whole, "conversation", "call", of=of)
    waits = {"waits", "the-same-twice", "another-digest", "denied-another", "the-second"}
    assert {row["conversation"] for row in page} == waits
    assert late == []
    assert {row["conversation"]: (row["contact"], row["words"]) for row in mine} == {
        name: ("ada", "pay 2" if name == "the-second" else "pay 1") for name in waits
    }


def test_what_a_length_of_time_cost_is_what_its_days_cost(views: Views) -> None:
    since, until = BEGIN, BEGIN + timedelta(minutes=30)

    (mine,) = ask(views, "cost_between", since=since, until=until)

    (same,) = public(
        views,
        "SELECT sum(cost_usd) AS cost_usd FROM spend WHERE recorded_at >= TIMESTAMP"
        f" '{since:%Y-%m-%d %H:%M:%S}' AND recorded_at < TIMESTAMP '{until:%Y-%m-%d %H:%M:%S}'",
    )
    assert mine["cost_usd"] == same["cost_usd"] is not None


def test_models_cost_what_the_view_says(views: Views) -> None:
    mine = by(ask(views, "cost_by_model"), "provider", "model", of=COSTS)

    assert mine == by(public(views, "FROM cost_by_model"), "provider", "model", of=COSTS)


@pytest.mark.parametrize(
    ("name", "column"), [("cost_by_customer", "customer"), ("cost_by_agent", "agent")]
)
def test_customers_and_agents_cost_what_the_view_says(views: Views, name: str, column: str) -> None:
    of = ("cost_usd", "unpriced")

    assert by(ask(views, name), column, of=of) == by(public(views, f"FROM {name}"), column, of=of)


def test_days_cost_what_the_view_says_and_a_day_of_nothing_has_no_row(views: Views) -> None:
    of = ("cost_usd", "unpriced")
    whole = by(public(views, "FROM cost_by_day"), "day", of=of)

    mine = by(ask(views, "cost_by_day"), "day", of=of)

    assert mine == {day: row for day, row in whole.items() if row != (None, 0)}


def test_tasks_cost_what_the_view_says(views: Views) -> None:
    sums: dict[str, Decimal] = {}
    for row in ask(views, "cost_by_task"):
        sums[row["task"]] = sums.get(row["task"], Decimal(0)) + (row["cost_usd"] or 0)

    whole = {row["task"]: row["cost_usd"] for row in public(views, "FROM cost_by_task")}
    assert sums == whole


def test_routes_cost_what_the_view_says(views: Views) -> None:
    sums: dict[str, Decimal] = {}
    for row in ask(views, "cost_by_task"):
        sums[row["route"]] = sums.get(row["route"], Decimal(0)) + (row["cost_usd"] or 0)

    whole = {row["route"] or "": row["cost_usd"] for row in public(views, "FROM cost_by_route")}
    assert sums == whole


def test_turns_are_counted_and_timed_as_the_view_does(views: Views) -> None:
    (whole,) = ask(views, "turn_times", all=True)

    (same,) = public(
        views,
        "SELECT count(*) AS turns, count(*) FILTER (outcome = 'answered') AS answered,"
        " count(*) FILTER (outcome = 'abandoned') AS abandoned,"
        " median(elapsed_ms) FILTER (outcome = 'answered') AS p50_ms FROM turns",
    )
    assert {name: whole[name] for name in same} == same


def test_tools_are_counted_by_outcome_as_the_view_does(views: Views) -> None:
    of = ("calls", "unknown", "failed", "refused", "returned", "p50_ms")

    whole = public(
        views,
        "SELECT name, count(*) AS calls, count(*) FILTER (status = 'unknown') AS unknown,"
        " count(*) FILTER (status = 'failed') AS failed,"
        " count(*) FILTER (status = 'refused') AS refused,"
        " count(*) FILTER (status = 'returned') AS returned,"
        " median(elapsed_ms) AS p50_ms FROM tool_calls GROUP BY name",
    )
    assert by(ask(views, "tools"), "name", of=of) == by(whole, "name", of=of)


def test_calls_to_look_at_are_those_of_the_view(views: Views) -> None:
    of = ("name", "status", "reason", "requested_at", "elapsed_ms")
    calls = by(ask(views, "tool_calls"), "customer", "conversation", "call", of=of)

    whole = public(views, "FROM tool_calls WHERE status IN ('unknown', 'failed', 'refused')")
    assert calls == by(whole, "customer", "conversation", "call", of=of)


def test_text_is_found_in_what_was_said_and_in_names(views: Views) -> None:
    said = ask(views, "conversations_page", text="café refund")
    named = ask(views, "conversations_page", text="v17")
    nothing = ask(views, "conversations_page", text="it's not there")

    whole = public(
        views,
        "SELECT DISTINCT conversation FROM messages WHERE contains(lower(text), 'café refund')",
    )
    assert {row["conversation"] for row in said} == {row["conversation"] for row in whole}
    assert {"v17", "v170", "v179"} <= {row["conversation"] for row in named}
    assert nothing == []


def test_what_was_answered_without_a_quote_is_told_with_its_question(views: Views) -> None:
    (whole,) = ask(views, "answers")
    lacking = ask(views, "unanswered")

    answers = public(views, "SELECT count(*) AS n FROM steps WHERE kind = 'response.given'")
    assert whole["answers"] == answers[0]["n"]
    assert len(lacking) == whole["refused"] + whole["handed_off"] + whole["uncited"]


@pytest.mark.parametrize("name", QUERIES)
def test_a_question_for_one_customer_tells_of_no_other(views: Views, name: str) -> None:
    page = ask(views, "conversations_page")
    more: dict[str, object] = {}
    if name == "conversations":
        more["names"] = tuple(row["conversation"] for row in page)
        more["positions"] = tuple(row["position"] for row in page)

    rows = ask(views, name, customer=CUSTOMER, **more)
    nobody = ask(views, name, customer="nobody", **more)

    assert {row["customer"] for row in rows if "customer" in row} <= {CUSTOMER}
    counted = {"now", "answers", "position", "cost_between"}
    assert name in counted or not nobody or all(row.get("turns") == 0 for row in nobody)
    assert name == "position" or all(not row.get("conversations") for row in nobody)
