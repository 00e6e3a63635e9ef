"""The questions of the dashboard to the views: SQL files, each kept to one customer.

Every file has `$customer`: null is an operator's, who sees all. Answers are shared by everybody who
asks the same, until the views have read more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

from stepfold.gateway.asking import Row, ask_raw, bind
from stepfold.gateway.front import Front
from stepfold.gateway.refusals import refusing

FRESH_S = 1.0
"""How often at most it is asked where the views are."""
KEPT_S = 10.0
SEARCHED_STEPS = 100_000
"""How many of the latest steps are looked through, where looking means reading what they say."""
EXPORTED_MAX = 10_000
"""Rows of a file that is taken home."""

_INCLUDED = ("calls.sql", "states.sql", "waiting.sql")
"""What others include, and is no question of its own."""
_SQL = Environment(
    loader=PackageLoader("stepfold.gateway.dashboard", "sql"),
    autoescape=False,
    trim_blocks=True,
    undefined=StrictUndefined,
)
QUERIES = tuple(
    sorted(name.removesuffix(".sql") for name in _SQL.list_templates() if name not in _INCLUDED)
)


def sql_of(name: str, parameters: Mapping[str, object]) -> str:
    """A file with its conditions chosen and its values in their places."""
    return bind(_SQL.get_template(f"{name}.sql").render(parameters), parameters)


def steps_sql(kind: str, reason: str | None) -> str:
    """For an operator to ask on: the steps of a kind that tell this reason."""
    asked = {"kind": kind, "reason": reason}
    return bind(
        "SELECT position, recorded_at, customer, conversation, event\nFROM steps\n"
        "WHERE kind = $kind AND event ->> '$.reason' IS NOT DISTINCT FROM $reason\n"
        "ORDER BY position DESC\nLIMIT 100",
        asked,
    )


def unpriced_sql(since: datetime) -> str:
    """For an operator to ask on: the paid calls whose price nobody knows, by model."""
    return bind(
        "SELECT provider, model, what, outcome, count(*) AS calls, max(recorded_at) AS last_at,\n"
        "    arg_max(conversation, position) AS last_in\nFROM spend\n"
        "WHERE unpriced AND recorded_at >= $since\nGROUP BY ALL\nORDER BY calls DESC",
        {"since": since},
    )


class Questions:
    """Asks the process that owns the views, and the same only once until they have read more: so
    what a page shows is never older than where it says that it is.
    """

    def __init__(self, front: Front) -> None:
        self._front = front
        self._position: Asked | None = None
        self._asked: dict[tuple[str, int], Asked] = {}

    async def position(self) -> int:
        """Where the views are in the log, or were less than FRESH_S ago. FrontRefused (503)."""
        if self._position is None or self._position.is_old(FRESH_S):
            self._position = self._ask(sql_of("position", {}))
        (row,) = await self._position.rows()
        return int(row["position"])

    async def rows(self, name: str, parameters: Mapping[str, object]) -> list[Row]:
        """FrontRefused (503) when nobody owns the views."""
        key = sql_of(name, parameters), await self.position()
        self._asked = {one: asked for one, asked in self._asked.items() if not asked.is_old(KEPT_S)}
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = self._ask(key[0])
        return await asked.rows()

    def forget(self) -> None:
        """Something was written here just now: who asks next must see it."""
        self._position = None

    async def exported(self, name: str, parameters: Mapping[str, object], form: str) -> bytes:
        """One of the forms json, csv, parquet."""
        return await self.raw(sql_of(name, parameters), form)

    async def raw(self, sql: str, form: str, *, rows_max: int = EXPORTED_MAX) -> bytes:
        """FrontRefused (422) when the views refuse the question."""
        with refusing():
            return await ask_raw(self._front.found, sql, {}, form=form, rows_max=rows_max)

    def _ask(self, sql: str) -> Asked:
        return Asked(asyncio.create_task(self._front.ask_views(sql)))


class Asked:
    """One question, and all who wait for its answer."""

    def __init__(self, task: asyncio.Task[list[Row]]) -> None:
        self._task = task
        self._at = time.monotonic()
        task.add_done_callback(_look_at)

    def is_old(self, after_s: float) -> bool:
        """Is it to be asked again? What failed is."""
        if not self._task.done():
            return False
        failed = self._task.cancelled() or self._task.exception() is not None
        return failed or time.monotonic() - self._at > after_s

    async def rows(self) -> list[Row]:
        return await asyncio.shield(self._task)


def _look_at(task: asyncio.Task[list[Row]]) -> None:
    """So that nobody is told of an exception that nobody waited for."""
    if not task.cancelled():
        task.exception()
