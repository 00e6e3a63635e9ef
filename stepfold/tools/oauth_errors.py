"""What goes wrong with OAuth. None of it has done anything in the world, and none shows a secret.

OAuthError (a ToolError)
├── AuthTableRefused        the table [auth] of a connection's file; `problems` has a line each
├── NeedsAuthorization      a person must authorize (again): the text has the command
├── AuthorizationRefused    an answer to an authorization that is not accepted
├── ServerRefused           the authorization server says no, and asking again will not help
└── ServerAway              it cannot be reached, or answers nonsense: try again later
"""

from __future__ import annotations

from collections.abc import Sequence

from stepfold.tools.tool import ToolError


class OAuthError(ToolError):
    """There is no token for this call."""


class AuthTableRefused(OAuthError):
    """A table [auth] that means nothing."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class NeedsAuthorization(OAuthError):
    """A person must authorize."""

    def __init__(self, connection: str, customer: str, why: str) -> None:
        for_whom = f" --customer {customer}" if customer else ""
        super().__init__(
            f"connection {connection!r}: {why}: an operator must run"
            f" `stepfold connection authorize {connection}{for_whom}`"
        )


class AuthorizationRefused(OAuthError):
    """An answer that is not accepted."""


class NotOurs(AuthorizationRefused):
    """An answer to nothing that was begun."""


class ServerRefused(OAuthError):
    """The authorization server says no."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


class ServerAway(OAuthError):
    """The authorization server cannot be asked now."""
