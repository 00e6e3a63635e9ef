"""Who is handed which kinds of step. An outcome is handed to nobody: who appends it decides."""

from __future__ import annotations

from collections.abc import Mapping

LANES: Mapping[str, tuple[str, ...]] = {
    "agent": ("message.received", "turn.cancelled", "approval.granted", "approval.denied"),
    "reason": ("reason.requested",),
    "tool": ("tool.requested",),
    "sandbox": ("code.requested",),
    "retrieve": ("retrieval.requested",),
    "generate": ("generation.requested",),
}
