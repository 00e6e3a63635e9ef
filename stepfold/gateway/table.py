"""All doors of the gateway, in one place."""

from __future__ import annotations

from stepfold.gateway import (
    ag_ui,
    agreeing,
    ai_sdk,
    conversations,
    events,
    health,
    mcp,
    openai_chat,
    openai_responses,
    rating,
    vouching,
    widget,
)

DOORS = (
    *health.DOORS,
    *conversations.DOORS,
    *events.DOORS,
    *rating.DOORS,
    *agreeing.DOORS,
    *vouching.DOORS,
    *widget.DOORS,
    *openai_chat.DOORS,
    *openai_responses.DOORS,
    *ai_sdk.DOORS,
    *ag_ui.DOORS,
    *mcp.DOORS,
)
