"""Tokens of visitors: whoever has a key vouches for one contact, for a while.

`sfv_<sealed claims>`: sealed (AES-GCM) with a key that every gateway of the log has, so that any of
them can open it and none has to remember it. It stops when it expires, or when the key that vouched
is revoked.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from msgspec import Struct

from stepfold.gateway.principal import VISITOR, Principal
from stepfold.tools.vault import FILE, VARIABLE, Keys, VaultError, read_keys

PREFIX = "sfv_"
PLACE = "visitor.token.1"
KEY_VARIABLE = "STEPFOLD_VISITOR_KEY"
TOKEN_CHARS_MAX = 4_000


class Claims(Struct, frozen=True, omit_defaults=True):
    """`key` is the id of the key that vouches; `origin` the site whose pages may use the token,
    empty: those of the key; `conversation` empty: all that the contact began.
    """

    key: str
    customer: str
    contact: str
    expires: int
    conversation: str = ""
    origin: str = ""


class Visitors:
    """`keys` are what every gateway of the log has."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys

    def token(self, claims: Claims) -> str:
        sealed = self.keys.seal(PLACE, msgspec.json.encode(claims))
        return PREFIX + base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def claims(self, shown: str, now: datetime) -> Claims | None:
        """What a token claims; None when it is none of ours, was changed, or has expired."""
        if len(shown) > TOKEN_CHARS_MAX or not shown.startswith(PREFIX):
            return None
        try:
            sealed = base64.urlsafe_b64decode(shown[len(PREFIX) :] + "==")
            claims = msgspec.json.decode(self.keys.open(PLACE, sealed), type=Claims)
        except (ValueError, binascii.Error, VaultError):
            return None
        return claims if now.timestamp() < claims.expires else None


def expiry(now: datetime, lasts_s: float) -> datetime:
    """To the second, as the token says it."""
    return (now + timedelta(seconds=lasts_s)).astimezone(UTC).replace(microsecond=0)


def principal(claims: Claims) -> Principal:
    return Principal(
        claims.customer,
        frozenset((VISITOR,)),
        VISITOR,
        contact=claims.contact,
        conversation=claims.conversation,
    )


def read_visitor_keys(folder: Path, environment: Mapping[str, str], *, make: bool) -> Keys:
    """Those of STEPFOLD_VISITOR_KEY, else the vault's (tools/vault.py). VaultError."""
    own = environment.get(KEY_VARIABLE, "")
    return read_keys(folder, {VARIABLE: own} if own else environment, make=make)


__all__ = ["FILE", "Claims", "Visitors", "expiry", "principal", "read_visitor_keys"]
