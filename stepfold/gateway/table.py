"""All doors of the gateway, in one place."""

from __future__ import annotations

from stepfold.gateway import agreeing, conversations, events, health, rating, vouching

DOORS = (
    *health.DOORS,
    *conversations.DOORS,
    *events.DOORS,
    *rating.DOORS,
    *agreeing.DOORS,
    *vouching.DOORS,
)
