"""The cost view: what it all cost."""

from __future__ import annotations


async def say_costs(found, here):
    pass
