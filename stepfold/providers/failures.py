"""What a provider's refusal means for us: one table for all of them.

A status says whether asking again may help; the words in the body say which of the refusals it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from stepfold.providers.model import (
    ContextOverflow,
    Malformed,
    ModelBusy,
    ModelError,
    ModelFailed,
    ModelRefused,
    NoMoney,
)

DELAY_S_MAX = 3_600.0
TOLD_CHARS_MAX = 300
PAYMENT_REQUIRED, SERVER_ERROR, OVERLOADED = 402, 500, 529

_NO_MONEY = re.compile(
    r"insufficient_quota|insufficient.{0,12}(?:credit|balance|fund)|billing|credit balance"
    r"|spend(?:ing)?[ _-]?limit|payment required|exceeded your current quota"
    r"|(?:per|/) ?(?:day|month)",
    re.IGNORECASE,
)
_TOO_LONG = re.compile(
    r"context_length_exceeded|context (?:length|limit|window)|maximum context|prompt is too long"
    r"|too many (?:input )?tokens|input token count|exceeds? the (?:maximum|limit).{0,40}token"
    r"|request_too_large|string_above_max_length",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    r"content[_ ]?(?:policy|filter)|safety|responsibleai|prohibited|usage policies", re.IGNORECASE
)
_BUSY: Mapping[int, str] = {
    408: "timeout",
    409: "conflict",
    425: "busy",
    429: "rate_limit",
    OVERLOADED: "overloaded",
}
_FAILED: Mapping[int, str] = {
    400: "invalid_request",
    401: "authentication",
    403: "permission",
    404: "not_found",
    413: "too_large",
    422: "invalid_request",
}


def failure(
    status: int, body: str, headers: Mapping[str, str] | None = None, *, detail: str = ""
) -> ModelError:
    """The error for an answer with `status` (of HTTP, or what stands for it inside a stream)."""
    told = detail or f"HTTP {status}: {_short(body)}"
    delay_s = retry_after_s(headers or {})
    if status in (400, 413, 422) and _TOO_LONG.search(body):
        return ContextOverflow(told, body=body)
    if status == PAYMENT_REQUIRED or (status in (400, 403, 429) and _NO_MONEY.search(body)):
        return NoMoney(told, body=body)
    if status in (400, 403, 422) and _REFUSED.search(body):
        return ModelRefused(told, body=body)
    if status in _BUSY:
        return ModelBusy(told, reason=_BUSY[status], delay_s=delay_s, body=body)
    if status >= SERVER_ERROR:
        return ModelBusy(told, reason="unavailable", delay_s=delay_s, body=body)
    return ModelFailed(told, reason=_FAILED.get(status, "invalid_request"), body=body)


def cut(what: str) -> Malformed:
    """A stream that ended without its end."""
    return Malformed(f"the stream was cut: {what}", reason="cut")


def unreadable(body: str, why: str) -> Malformed:
    """An answer of 200 that is none."""
    return Malformed(f"not an answer of the API: {why}: {_short(body)}", body=body)


def unreachable(error: Exception) -> ModelBusy:
    """No answer at all: the network, or the wait for it."""
    what = type(error).__name__
    slow = isinstance(error, TimeoutError) or "timeout" in what.lower()
    return ModelBusy(f"{what}: {error}".rstrip(": "), reason="timeout" if slow else "unreachable")


def retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds that the provider asks to wait, 0 when it does not say; never more than an hour."""
    told = {name.lower(): value for name, value in headers.items()}
    if "retry-after-ms" in told:
        return _seconds(told["retry-after-ms"], 0.001)
    text = told.get("retry-after", "")
    if not text:
        return 0.0
    try:
        return _seconds(text, 1.0) if text.strip().replace(".", "").isdigit() else _until(text)
    except (ValueError, OverflowError):
        return 0.0


def _seconds(text: str, unit: float) -> float:
    try:
        told = float(text) * unit
    except ValueError:
        return 0.0
    return min(max(told, 0.0), DELAY_S_MAX) if math.isfinite(told) else 0.0


def _until(text: str) -> float:
    when = parsedate_to_datetime(text)
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return min(max((when - datetime.now(UTC)).total_seconds(), 0.0), DELAY_S_MAX)


def _short(body: str) -> str:
    line = " ".join(body.split())
    return line if len(line) <= TOLD_CHARS_MAX else line[: TOLD_CHARS_MAX - 1] + "…"
