"""The questions of the dashboard to the views: SQL files, each kept to one customer.

Every file has `$customer`: null is an operator's, who sees all. Answers that are less than FRESH_S
old are shared by everybody who asks the same.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined

from stepfold.gateway.asking import Row, ask_raw, bind
from stepfold.gateway.front import Front, refusing

FRESH_S = 1.0
SEARCHED_STEPS = 100_000
"""How many of the latest steps are looked through, where looking means reading what they say."""
EXPORTED_MAX = 10_000
"""Rows of a file that is taken home."""

_INCLUDED = ("calls.sql", "states.sql")
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


class Questions:
    """Asks the process that owns the views."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._asked: dict[str, tuple[float, asyncio.Task[list[Row]]]] = {}

    async def rows(self, name: str, parameters: Mapping[str, object]) -> list[Row]:
        """FrontRefused (503) when nobody owns the views."""
        sql = sql_of(name, parameters)
        now = time.monotonic()
        self._forget(now)
        _, task = self._asked.get(sql, (0.0, None))
        if task is None or (task.done() and _failed(task)):
            task = asyncio.create_task(self._front.ask_views(sql))
            task.add_done_callback(_failed)
            self._asked[sql] = now, task
        return await asyncio.shield(task)

    async def exported(self, name: str, parameters: Mapping[str, object], form: str) -> bytes:
        """One of the forms json, csv, parquet."""
        return await self.raw(sql_of(name, parameters), form)

    async def raw(self, sql: str, form: str, *, rows_max: int = EXPORTED_MAX) -> bytes:
        """FrontRefused (422) when the views refuse the question."""
        with refusing():
            return await ask_raw(self._front.found, sql, {}, form=form, rows_max=rows_max)

    def _forget(self, now: float) -> None:
        old = [sql for sql, (at, task) in self._asked.items() if now - at > FRESH_S and task.done()]
        for sql in old:
            del self._asked[sql]


def _failed(task: asyncio.Task[list[Row]]) -> bool:
    """Looked at, so that nobody is told of an exception that nobody waited for."""
    return task.cancelled() or task.exception() is not None
