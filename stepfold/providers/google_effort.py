"""How much a Gemini is told to think: two generations take two forms. Pure.

2.5        a budget of tokens; the largest models cannot be told not to think
from 3     a level; the lowest stands for not to think, and the large ones have a higher lowest
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from stepfold.events.values import Effort
from stepfold.providers.wire import Json

BUDGETED, LEVELS, MEDIUM = (2, 5), (3, 0), (3, 1)
CURRENT = (99, 0)
"""A name without a version: what is true of the newest models is true of it."""
BUDGETS: Mapping[Effort, int] = {
    "none": 0,
    "minimal": 512,
    "low": 2_048,
    "medium": 8_192,
    "high": 16_384,
}
BUDGET_MAX, PRO_BUDGET_MAX, PRO_BUDGET_MIN = 24_576, 32_768, 128
_VERSION = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_NO_THOUGHTS = re.compile(r"image|tts|audio|live|embedding|computer-use")


def thinking(model: str, effort: Effort) -> Json:
    """`thinkingConfig`, empty where nothing can be said; what is thought is shown."""
    if not effort or version(model) < BUDGETED or _NO_THOUGHTS.search(model):
        return {}
    if version(model) < LEVELS:
        budget = _budget(model, effort)
        return {"thinkingBudget": budget, "includeThoughts": budget > 0}
    return {"thinkingLevel": _level(model, effort), "includeThoughts": effort != "none"}


def takes_both(model: str) -> bool:
    """Tools and a schema at once."""
    return version(model) >= LEVELS


def version(model: str) -> tuple[int, int]:
    """Of a Gemini; (0, 0) of what is none."""
    name = model.rpartition("/")[2].lower()
    found = _VERSION.match(name)
    if found:
        return int(found[1]), int(found[2] or 0)
    return CURRENT if name.startswith("gemini") else (0, 0)


def _budget(model: str, effort: Effort) -> int:
    if "pro" not in model:
        return BUDGETS.get(effort, BUDGET_MAX)
    return max(BUDGETS.get(effort, PRO_BUDGET_MAX), PRO_BUDGET_MIN)


def _level(model: str, effort: Effort) -> str:
    if effort in ("none", "minimal"):
        return "LOW" if "pro" in model else "MINIMAL"
    if effort == "medium" and "pro" in model and version(model) < MEDIUM:
        return "HIGH"
    return "HIGH" if effort == "max" else effort.upper()
