"""Who calls, and what for."""

from __future__ import annotations

from msgspec import Struct

CHAT, READ, APPROVE, ADMIN = "chat", "read", "approve", "admin"
VISITOR, OPERATOR = "visitor", "operator"
SCOPES = (CHAT, READ, APPROVE, ADMIN)
"""What a key of a customer may be for. `visitor` is of tokens only. `operator` is who runs the
process: of no customer, and so in no conversation but in the dashboard's.
"""


class Principal(Struct, frozen=True):
    """Who calls; made from a key or a visitor token, never from a body. `contact` is a visitor's
    own name; a token may be bound to one `conversation`.
    """

    customer: str
    scopes: frozenset[str]
    key: str
    contact: str = ""
    conversation: str = ""

    def may(self, *scopes: str) -> bool:
        """Has it one of these? `admin` may do all that a key of its customer may."""
        every = ADMIN in self.scopes and not frozenset(SCOPES).isdisjoint(scopes)
        return every or not self.scopes.isdisjoint(scopes)
