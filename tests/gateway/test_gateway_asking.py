"""Questions to the views: what strangers say is a value in them, never SQL."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import duckdb
import pytest

from stepfold.gateway.asking import bind, literal
from stepfold.gateway.principal import CHAT, Principal
from tests.gateway.house import House
from tests.waiting import eventually

NASTY = ("", "a'b", "'; DROP TABLE x; --", "\\'", "$other", "ü\n\t", "''")


@pytest.mark.parametrize("value", [*NASTY, 0, -5, True, None, 1.5, Decimal("0.000000000001")])
def test_a_value_is_read_back_as_it_was(value: object) -> None:
    sql = bind("SELECT $value", {"value": value, "other": 1})

    (row,) = duckdb.connect().execute(sql).fetchall()

    assert row == (value,)


def test_a_time_is_that_of_the_views() -> None:
    assert literal(datetime(2026, 1, 31, 9, tzinfo=UTC)) == "TIMESTAMP '2026-01-31T09:00:00'"


def test_what_has_no_spelling_is_a_mistake_of_ours() -> None:
    with pytest.raises(TypeError):
        literal(object())
    with pytest.raises(KeyError):
        bind("SELECT $nobody", {"other": 1})


async def test_rows_come_from_the_process_that_keeps_the_views(home: House) -> None:
    await home.view()
    front = home.gateways[home.url].front
    who = Principal("acme", frozenset((CHAT,)), "k")
    await front.say(who, "c1", "Hi", id="m1", channel="api")

    async def rows() -> object:
        sql = "SELECT conversation FROM conversations WHERE customer = $customer"
        return await front.ask_views(sql, {"customer": "acme"})

    assert await eventually(rows) == [{"conversation": "c1"}]
