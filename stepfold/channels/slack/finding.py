"""What of a conversation is on Slack already. What is kept beside the log (keeping.py) comes first:
Slack is asked for what was posted by a process that died before it could keep that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from msgspec import Struct

from stepfold.channels.slack.api import SlackApi
from stepfold.channels.slack.naming import EVENT_TYPE

PAGES_MAX, PAGE = 5, 200
SLACK_S = 60.0
"""By how much Slack's clock may differ from the log's."""


class Named(Struct, frozen=True):
    """A message that says what it is; `digest` of what it shows, empty while that changes."""

    ts: str
    digest: str = ""


class Found(Struct, frozen=True):
    """Messages of ours: those that say what they are, by key, and those that say nothing: streams
    without an end, in order.
    """

    named: Mapping[str, Named] = {}
    open: tuple[str, ...] = ()


async def find(
    api: SlackApi,
    channel: str,
    conversation: str,
    *,
    since_s: float,
    until_s: float = 0.0,
    thread_ts: str = "",
) -> Found:
    """What of `conversation` is in a channel, or in a thread there, between two times of the log
    (seconds, Unix).
    """
    us = str((await api.call("auth_test")).get("user_id", ""))
    asked: dict[str, Any] = {"channel": channel, "oldest": f"{since_s - SLACK_S:.6f}"}
    if until_s:
        asked["latest"] = f"{until_s + SLACK_S:.6f}"
    named: dict[str, Named] = {}
    open_: list[str] = []
    async for message in listed(api, asked, thread_ts):
        ts = str(message["ts"])
        if message.get("user") != us or ts == thread_ts:
            continue
        payload = _payload(message)
        if payload.get("conversation") == conversation:
            named[str(payload.get("key", ""))] = Named(ts, str(payload.get("digest", "")))
        elif not message.get("metadata"):
            open_.append(ts)
    return Found(named, tuple(sorted(open_)))


async def listed(
    api: SlackApi, asked: Mapping[str, Any], thread_ts: str = ""
) -> AsyncIterator[Mapping[str, Any]]:
    """The messages of a channel, or of a thread there, as Slack lists them; the first thousand."""
    fields = {**asked, "include_all_metadata": True, "limit": PAGE}
    for _ in range(PAGES_MAX):
        if thread_ts:
            answer = await api.call("conversations_replies", ts=thread_ts, **fields)
        else:
            answer = await api.call("conversations_history", **fields)
        for message in answer.get("messages", ()):
            yield message
        cursor = (answer.get("response_metadata") or {}).get("next_cursor")
        if not cursor:
            return
        fields["cursor"] = cursor


def _payload(message: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = message.get("metadata") or {}
    payload = metadata.get("event_payload") if metadata.get("event_type") == EVENT_TYPE else None
    return payload if isinstance(payload, Mapping) else {}
