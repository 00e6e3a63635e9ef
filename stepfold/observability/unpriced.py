"""Paid calls whose price is not known, by the same rule as the views (`views/sql/log/read.sql`)."""

from __future__ import annotations

from stepfold.events.event import Generated, GenerationFailed, Reasoned, ReasonFailed
from stepfold.events.values import Spend
from stepfold.handlers.asking import UNSEEN

Paid = Reasoned | ReasonFailed | Generated | GenerationFailed | Spend
MAYBE_PAID = UNSEEN | {"empty", "cancelled", "given_up", "bug", "lost"}
"""Reasons of failures without usage that a provider may have charged for all the same."""
TOO_LARGE = "too_large"
"""One more where no provider is named: there an answer had come, and could not be recorded."""


def unpriced(bought: Paid, model: str) -> bool:
    """Was it, or may it have been, paid for at a price that is not known? `model` is whom it was
    asked of; one of our own, without a provider in front, is not paid for a failure.
    """
    if bought.cost_usd is not None and bought.cost_usd.is_finite():
        return False
    if not isinstance(bought, ReasonFailed | GenerationFailed) or bought.usage is not None:
        return True
    if not bought.provider and "/" not in model:
        return False
    return bought.reason in MAYBE_PAID or (bought.reason == TOO_LARGE and not bought.provider)
