"""The cost view at the end of the demo: what these conversations cost, as the views tell it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec
from msgspec import Struct

from stepfold.app import Opened
from stepfold.cli.screen import price, say, table
from stepfold.cli.viewing import Question, ask_views
from stepfold.settings import Settings

VIEW = "cost_by_conversation"


class _Row(Struct, frozen=True):
    conversation: str
    calls: int
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: Decimal | None


async def say_costs(found: Opened, here: Settings, customer: str, names: Sequence[str]) -> None:
    """One row a conversation. `names` are ours, so that they may stand in SQL."""
    which = ", ".join(f"'{name}'" for name in names)
    sql = (
        f"SELECT conversation, calls, input_tokens, output_tokens, cost_usd FROM {VIEW}"
        f" WHERE customer = '{customer}' AND conversation IN ({which}) ORDER BY conversation"
    )
    told = await ask_views(found, here, Question(sql, "json"))
    rows = msgspec.json.decode(told.body, type=list[_Row])
    say(f"{VIEW}, in {here.views.name}", bold=True)
    columns = ("conversation", "calls", "tokens in", "out", "cost")
    say(table(columns, map(_cells, rows), numbers=range(1, 5)))


def _cells(row: _Row) -> tuple[str, ...]:
    tokens = (
        "?" if each is None else f"{each:,}" for each in (row.input_tokens, row.output_tokens)
    )
    return (row.conversation, f"{row.calls:,}", *tokens, price(row.cost_usd))
