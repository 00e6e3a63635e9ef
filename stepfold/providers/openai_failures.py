"""OpenAI's own words for what went wrong where no status of HTTP says it: inside a stream, or in an
answer of 200.
"""

from __future__ import annotations

from collections.abc import Mapping

from stepfold.events.values import Usage
from stepfold.providers.failures import failure
from stepfold.providers.model import BODY_CHARS_MAX, ModelError, ModelRefused
from stepfold.providers.wire import Json

REQUEST, UNAVAILABLE = 400, 500
_STATUS: Mapping[str, int] = {
    "authentication_error": 401,
    "content_filter": REQUEST,
    "context_length_exceeded": REQUEST,
    "failed_to_download_image": REQUEST,
    "insufficient_quota": 429,
    "invalid_api_key": 401,
    "model_not_found": 404,
    "overloaded_error": 529,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "server_error": UNAVAILABLE,
    "server_is_overloaded": 529,
    "string_above_max_length": REQUEST,
    "vector_store_timeout": 504,
}
_OURS = ("empty_", "image_", "invalid_", "unsupported_")
"""Beginnings of codes that say that the request was wrong."""


def told(error: object, body: str, usage: Usage | None = None) -> ModelError:
    """`error` is an object with `code`, `type` and `message`, or what a server put in its place.
    What nobody has a name for is worth asking again. Only the error's own words are read: the body
    around it may repeat instructions that speak of billing.
    """
    fields: Json = error if isinstance(error, dict) else {"message": error}
    words = [str(fields[key]) for key in ("code", "type") if fields.get(key)]
    message = str(fields.get("message") or "no reason given")
    detail = ": ".join((*words[:1], message))
    if any(word.endswith("_policy") or "policy_violation" in word for word in words):
        return ModelRefused(detail, body=body, usage=usage)
    found = failure(_status(fields.get("code"), words), " ".join((*words, message)), detail=detail)
    found.body, found.usage = body[:BODY_CHARS_MAX], usage
    return found


def _status(code: object, words: list[str]) -> int:
    if isinstance(code, int) and not isinstance(code, bool) and code >= REQUEST:
        return code
    known = [_STATUS[word] for word in words if word in _STATUS]
    if known:
        return known[0]
    return REQUEST if any(word.startswith(_OURS) for word in words) else UNAVAILABLE
