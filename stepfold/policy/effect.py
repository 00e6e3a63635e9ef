"""How dangerous a tool is, and what may be done when nobody knows whether it ran."""

from __future__ import annotations

from typing import Literal, get_args

Effect = Literal["read", "write", "external"]
"""`read` changes nothing; `write` changes what the customer's own systems hold; `external` reaches
people or systems beyond them: mail, payments, code of others. In this order of danger.
"""
EFFECTS: tuple[Effect, ...] = get_args(Effect)

Recovery = Literal["never_repeat", "idempotent", "reconcile"]
"""What becomes of a call that had started when its worker died. `never_repeat`: its outcome is
unknown, for good. `idempotent`: it runs again with the same key. `reconcile`: the tool's lookup
tells whether it happened, and it runs again only when it did not.
"""
