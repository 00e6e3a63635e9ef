"""What a refusal of Google's means, where it differs from the table for all providers. Pure.

A quota of a minute says "exceeded your current quota, check your plan and billing" just as one of
a day does: only the names of the quotas tell them apart.
"""

from __future__ import annotations

from collections.abc import Mapping

from stepfold.providers.failures import DELAY_S_MAX, failure
from stepfold.providers.model import ModelBusy, ModelError, ModelFailed, NoMoney
from stepfold.providers.wire import Json, decoded

BAD_REQUEST, EXHAUSTED = 400, 429


def refusal(status: int, told: str, headers: Mapping[str, str] | None = None) -> ModelError:
    """The error for `status` of HTTP, or of an error inside a stream; `told` is its body."""
    error = failure(status, told, headers)
    if status == BAD_REQUEST and "API_KEY_INVALID" in told:
        return ModelFailed(str(error), reason="authentication", body=told)
    if status != EXHAUSTED:
        return error
    details = _details(told)
    quotas = [quota for detail in details for quota in _quotas(detail)]
    if any("PerDay" in quota for quota in quotas):
        return NoMoney(str(error), body=told)
    delay_s = max((_seconds(detail.get("retryDelay")) for detail in details), default=0.0)
    if quotas or delay_s:
        delay_s = delay_s or error.delay_s
        return ModelBusy(str(error), reason="rate_limit", delay_s=delay_s, body=told)
    return error


def _details(told: str) -> list[Json]:
    error = (decoded(told.strip().removeprefix("[").removesuffix("]")) or {}).get("error")
    details = error.get("details") if isinstance(error, dict) else None
    return [each for each in details or () if isinstance(each, dict)]


def _quotas(detail: Json) -> list[str]:
    violations = detail.get("violations")
    told = violations if isinstance(violations, list) else []
    return [str(each.get("quotaId", "")) for each in told if isinstance(each, dict)]


def _seconds(duration: object) -> float:
    """Of a duration as Google writes it: `34.5s`."""
    if not isinstance(duration, str) or not duration.endswith("s"):
        return 0.0
    try:
        return min(max(float(duration[:-1]), 0.0), DELAY_S_MAX)
    except ValueError:
        return 0.0
