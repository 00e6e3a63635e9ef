"""A message by its name: posted once, and found again by the metadata that it carries."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from stepfold.channels.slack.api import SlackApi, SlackRefused
from stepfold.channels.slack.blocks import Block
from stepfold.channels.slack.names import CHANNEL
from stepfold.events.envelope import NAMESPACE

EVENT_TYPE = "stepfold_message"
REPEATED = frozenset({"duplicate_message_not_found", "duplicate_channel_not_found"})
"""What Slack says when it knows a message's id, and the message is gone."""


class Name(Struct, frozen=True):
    """`key` in a conversation; `digest` of what the message shows, empty while that changes."""

    conversation: str
    key: str
    digest: str = ""

    @property
    def metadata(self) -> dict[str, Any]:
        payload = {"conversation": self.conversation, "key": self.key}
        if self.digest:
            payload["digest"] = self.digest
        return {"event_type": EVENT_TYPE, "event_payload": payload}

    @property
    def id(self) -> str:
        """The same name is the same message."""
        return str(uuid.uuid5(NAMESPACE, "/".join((CHANNEL, self.conversation, self.key))))


async def post(
    api: SlackApi,
    channel: str,
    text: str,
    blocks: Sequence[Block],
    *,
    name: Name,
    thread_ts: str = "",
) -> str:
    """A new message; returns its `ts`."""
    fields = {
        "channel": channel,
        "text": text,
        "blocks": list(blocks),
        "unfurl_links": False,
        "unfurl_media": False,
        "metadata": name.metadata,
        **({"thread_ts": thread_ts} if thread_ts else {}),
    }
    try:
        answer = await api.call("chat_postMessage", client_msg_id=name.id, **fields)
    except SlackRefused as refused:
        if refused.error not in REPEATED:
            raise
        answer = await api.call("chat_postMessage", **fields)
    return str(answer["ts"])
