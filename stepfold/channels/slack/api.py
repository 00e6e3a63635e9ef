"""The only file that knows how Slack is called: the SDK's client, in a few threads of its own.

(The SDK's asynchronous client stands on aiohttp, which nothing else here needs.) A rate limit is
waited for; nothing else is tried again here, because only the caller knows whether it may be.

    SlackError
    ├── SlackRefused    Slack answers, and did not do it; `error` is its word for why
    └── SlackAway       no answer, or none that says whether it was done
        └── SlackLimited    not now: too much was asked
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Literal

from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.client import WebClient

from stepfold.channels.slack.config import API, Secret
from stepfold.providers.failures import retry_after_s

TIMEOUT_S = 15
THREADS = 8
LIMITS_MAX = 5
"""How often a rate limit is waited for."""
WAIT_S, WAIT_S_MAX = 1.0, 120.0
TOO_MANY, SERVER_ERROR = 429, 500
AWAY = frozenset({"fatal_error", "internal_error", "request_timeout", "service_unavailable"})
"""Answers of Slack after which nobody knows whether it was done."""

Method = Literal[
    "auth_test",
    "assistant_threads_setStatus",
    "chat_appendStream",
    "chat_delete",
    "chat_postEphemeral",
    "chat_postMessage",
    "chat_startStream",
    "chat_stopStream",
    "chat_update",
    "conversations_history",
    "conversations_replies",
    "files_info",
]
"""What we ask of Slack, as the SDK spells it."""

log = logging.getLogger("stepfold.slack")


class SlackError(Exception):
    """Slack did not do what was asked, or nobody knows."""


class SlackRefused(SlackError):
    def __init__(self, method: str, error: str) -> None:
        super().__init__(f"Slack refuses {method}: {error}")
        self.error = error


class SlackAway(SlackError):
    def __init__(self, method: str, why: str) -> None:
        super().__init__(f"{method}: no answer of Slack: {why}")


class SlackLimited(SlackAway):
    def __init__(self, method: str) -> None:
        super().__init__(method, "it limits the rate")


class SlackApi:
    """A workspace's API. One instance per token; `close` it."""

    def __init__(self, token: Secret, *, base_url: str = API) -> None:
        self._client = WebClient(
            token.reveal(), base_url, timeout=TIMEOUT_S, retry_handlers=[], logger=_quiet()
        )
        if base_url.startswith("http://"):  # on this machine, where no proxy leads
            self._client.proxy = None
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="slack")

    async def call(self, method: Method, **fields: Any) -> Mapping[str, Any]:
        """What Slack answers; SlackError."""
        for _ in range(LIMITS_MAX):
            wait_s = await self._once(method, fields)
            if not isinstance(wait_s, float):
                return wait_s
            log.info("Slack limits %s: waiting for %g s", method, wait_s)
            await asyncio.sleep(wait_s)
        raise SlackLimited(method)

    async def call_now(self, method: Method, **fields: Any) -> Mapping[str, Any]:
        """As `call`; but where the rate is limited, SlackLimited at once."""
        answer = await self._once(method, fields)
        if isinstance(answer, float):
            raise SlackLimited(method)
        return answer

    async def _once(self, method: Method, fields: Mapping[str, Any]) -> Mapping[str, Any] | float:
        """The answer, or how many seconds to wait."""
        send = partial(getattr(self._client, method), **fields)
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._pool, send)
        except SlackApiError as error:
            return _limit(method, error)
        except (SlackClientError, OSError) as error:
            raise SlackAway(method, type(error).__name__) from None
        return dict(answer.data)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _limit(method: str, failed: SlackApiError) -> float:
    """How long to wait, where it was a rate limit; SlackError where it was not. The SDK's own text
    repeats what was sent, so it is not told on.
    """
    response = failed.response
    status = int(response.status_code)
    data = response.data if isinstance(response.data, dict) else {}
    error = str(data.get("error", ""))[:200]
    if status == TOO_MANY or error in ("ratelimited", "rate_limited"):
        return min(retry_after_s(response.headers) or WAIT_S, WAIT_S_MAX)
    if status >= SERVER_ERROR or error in AWAY:
        raise SlackAway(method, error or f"status {status}") from None
    raise SlackRefused(method, error or f"status {status}") from None


def _quiet() -> logging.Logger:
    """The SDK's own lines: errors are raised as well, and its debug lines show what was said."""
    logger = logging.getLogger("stepfold.slack.sdk")
    logger.setLevel(logging.CRITICAL)
    return logger
