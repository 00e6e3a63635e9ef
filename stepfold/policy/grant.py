"""What an agent may do with one tool. Pinned with the agent, so that a tool that was changed later
cannot do more than what the agent's version allowed.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from stepfold.policy.effect import Effect, Recovery

EXPIRES_S_MAX = 30 * 86_400.0


class Approval(Struct, frozen=True, omit_defaults=True):
    """So many different `people` must agree within `expires_s` seconds. With `unless`, a JSON
    Schema for each of some arguments, a call whose arguments fit all of them needs nobody.
    """

    people: int = 1
    expires_s: float = 3600.0
    unless: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if self.people < 1:
            raise ValueError(f"people={self.people}: a call that waits needs 1 or more")
        if not 0 < self.expires_s <= EXPIRES_S_MAX:
            raise ValueError(f"expires_s={self.expires_s}: give 1 to {EXPIRES_S_MAX:g} seconds")


class Grant(Struct, frozen=True, omit_defaults=True):
    """`arguments` are JSON Schemas that single arguments must fit, beside the tool's own; each one
    named must be given, and `{customer}`, `{contact}` and `{conversation}` in their strings stand
    for those of the conversation. A tool that is `safe` needs no approval after a stranger's text.
    What it is in itself (`effect`, `recovery`, `trusted`) is taken from the tool when the agent is
    appointed.
    """

    effect: Effect = "external"
    recovery: Recovery = "never_repeat"
    trusted: bool = False
    safe: bool = False
    arguments: dict[str, Any] = {}
    approval: Approval | None = None
