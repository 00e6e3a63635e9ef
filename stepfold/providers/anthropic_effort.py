"""How much a Claude is told to think: three generations take three forms. Pure.

    to 4.5     a budget of tokens, within the answer's limit; off unless asked for
    from 4.6   adaptive thinking and a level of effort
    from 5.5   (Fable and Mythos: all) the same, and it cannot be switched off

A model that is forced to call a tool does not think: the API refuses both at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from stepfold.events.values import Options
from stepfold.providers.wire import Json

THINKS, TAKES_SCHEMA, ADAPTIVE, ALWAYS = (3, 7), (4, 1), (4, 6), (5, 5)
CURRENT = (99, 0)
"""A name without a version: what is true of the newest models is true of it."""
BUDGET_TOKENS_MIN = 1_024
ANSWER_TOKENS_MIN = 1_024
"""What thinking leaves to the answer, at least."""
BUDGETS: Mapping[str, int] = {
    "minimal": 1_024,
    "low": 2_048,
    "medium": 8_192,
    "high": 16_384,
    "max": 32_768,
}
_VERSION = re.compile(r"claude\D*?(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
_ALWAYS = re.compile("fable|mythos")


def effort(model: str, options: Options, limit: int) -> Json:
    """The parts of a request to a model with `limit` output tokens that say how much to think."""
    forced = options.tool_choice not in ("", "auto", "none")
    told = "none" if forced else options.effort
    if not told:
        return {}
    if version(model) < ADAPTIVE:
        return _budget(model, told, limit)
    if told == "none":
        off = {"thinking": {"type": "disabled"}}
        return {"output_config": {"effort": "low"}} if _always(model) else off
    level = "low" if told == "minimal" else told
    shown = {"type": "adaptive", "display": "summarized"}
    return {"thinking": shown, "output_config": {"effort": level}}


def takes_schema(model: str) -> bool:
    return version(model) >= TAKES_SCHEMA


def version(model: str) -> tuple[int, int]:
    found = _VERSION.search(model.lower())
    return (int(found[1]), int(found[2] or 0)) if found else CURRENT


def _always(model: str) -> bool:
    return version(model) >= ALWAYS or bool(_ALWAYS.search(model.lower()))


def _budget(model: str, told: str, limit: int) -> Json:
    tokens = min(BUDGETS.get(told, 0), limit - ANSWER_TOKENS_MIN)
    if tokens < BUDGET_TOKENS_MIN or version(model) < THINKS:
        return {}
    return {"thinking": {"type": "enabled", "budget_tokens": tokens}}
