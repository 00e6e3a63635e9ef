"""The table [auth] of `connections/NAME.toml`, where its kind is one of OAuth 2.

Secrets stand there by reference only: client_secret = "${env:NAME}".
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from stepfold.providers.toml_lines import Lines
from stepfold.tools.guard import Reach
from stepfold.tools.oauth_errors import AuthTableRefused
from stepfold.tools.secrets import REFERENCE, SecretMissing, expand
from stepfold.tools.vault import Secret

Kind = Literal["oauth2_code", "oauth2_client"]
KINDS: tuple[str, ...] = get_args(Kind)
ClientAuth = Literal["basic", "post", "none"]

SHARED = "@all"
"""Under this name a token is kept that all customers share."""
URLS = ("issuer", "authorize_url", "token_url", "revoke_url")
OURS = frozenset(
    {
        *("client_id", "client_secret", "redirect_uri", "response_type", "state", "scope"),
        *("code", "code_challenge", "code_challenge_method", "code_verifier", "grant_type"),
        *("refresh_token", "token"),
    }
)
"""Parameters that nobody else may set."""
SEEN = re.compile(r"[\x21-\x7e]+( [\x21-\x7e]+)*")
"""What RFC 6749 lets an identifier or a secret hold."""


class Auth(Struct, frozen=True):
    """How a connection gets its tokens. `shared`: one token for all customers; those of
    `oauth2_client` always are, since the client is the same. `authorize_with` and `token_with`
    are parameters on top, such as audience or access_type.
    """

    connection: str
    kind: Kind
    client_id: str
    client_secret: Secret | None = None
    client_auth: ClientAuth = "basic"
    issuer: str = ""
    authorize_url: str = ""
    token_url: str = ""
    revoke_url: str = ""
    redirect_url: str = ""
    scopes: tuple[str, ...] = ()
    shared: bool = False
    authorize_with: dict[str, str] = {}
    token_with: dict[str, str] = {}
    reach: Reach = Reach()

    def holder(self, customer: str) -> str:
        """Under whose name the token for `customer` is kept."""
        return SHARED if self.shared or self.kind == "oauth2_client" else customer


class _Table(Struct, frozen=True):
    kind: Kind
    client_id: str
    client_secret: str = ""
    client_auth: ClientAuth | Literal[""] = ""
    issuer: str = ""
    authorize_url: str = ""
    token_url: str = ""
    revoke_url: str = ""
    redirect_url: str = ""
    scopes: tuple[str, ...] = ()
    shared: bool = False
    authorize_with: dict[str, str] = {}
    token_with: dict[str, str] = {}
    reach: Reach = Reach()


KEYS = get_type_hints(_Table)


def read_auth(path: Path, environment: Mapping[str, str]) -> Auth | None:
    """The table [auth] of a connection's file; None when it has none, or one of another kind.
    AuthTableRefused, with every mistake, its line and the way out.
    """
    try:
        text = path.read_text()
        told = tomllib.loads(text)
    except OSError as error:
        raise AuthTableRefused([f"{path}: {error.strerror}"]) from None
    except ValueError as error:  # TOML's, and bytes that are no text
        raise AuthTableRefused([f"{path}: {error}"]) from None
    table = told.get("auth")
    if not isinstance(table, dict) or not str(table.get("kind", "")).startswith("oauth2"):
        return None
    return _Reading(path, text, environment).auth(table)


class _Reading:
    def __init__(self, path: Path, text: str, environment: Mapping[str, str]) -> None:
        self._path = path
        self._lines = Lines(text)
        self._environment = environment
        self._problems: list[tuple[int, str]] = []

    def auth(self, table: Mapping[str, Any]) -> Auth:
        good = dict(self._good(table))
        for key in ("kind", "client_id"):
            if key not in table:
                self._wrong((), f"there is no `{key}`")
        secret = self._secret(good.pop("client_secret", ""))
        self._stop()
        written = _Table(**good)
        self._check(written, secret)
        self._stop()
        fields = {name: getattr(written, name) for name in _Table.__struct_fields__}
        how = written.client_auth or ("basic" if secret else "none")
        return Auth(
            **fields | {"client_secret": secret, "client_auth": how, "connection": self._path.stem}
        )

    def _good(self, table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for key, value in table.items():
            if key not in KEYS:
                self._wrong((key,), f"unknown key `{key}` (known: {', '.join(KEYS)})")
            elif key == "reach":
                yield from self._reach(value)
            else:
                yield from self._value(key, value, KEYS[key])

    def _value(self, key: str, value: object, form: Any) -> Iterator[tuple[str, Any]]:
        try:
            yield key, msgspec.convert(value, form)
        except msgspec.ValidationError as error:  # names types, never a value that was a text
            known = f" (known: {', '.join(KINDS)})" if key == "kind" else ""
            self._wrong((key,), f"{key}: {_typed(error)}{known}")

    def _reach(self, value: object) -> Iterator[tuple[str, Any]]:
        known = Reach.__struct_fields__
        unknown = sorted(set(value) - set(known)) if isinstance(value, dict) else []
        for key in unknown:
            self._wrong(("reach", key), f"unknown key `{key}` (known: {', '.join(known)})")
        yield from self._value("reach", value, Reach)

    def _secret(self, told: str) -> Secret | None:
        if not told:
            return None
        if not REFERENCE.fullmatch(told):
            self._wrong(
                ("client_secret",),
                'a secret stands in no file: write client_secret = "${env:NAME}" and set NAME',
            )
            return None
        try:
            secret = expand(told, self._environment)
        except SecretMissing as error:
            self._wrong(("client_secret",), f"client_secret: {error}")
            return None
        if not SEEN.fullmatch(secret):
            self._wrong(("client_secret",), f"the secret in {told} has characters that none may")
        return Secret(secret)

    def _check(self, table: _Table, secret: Secret | None) -> None:
        if not SEEN.fullmatch(table.client_id) or ":" in table.client_id:
            self._wrong(("client_id",), "client_id: printable ASCII without a colon")
        if not table.token_url and not table.issuer:
            self._wrong((), "there is no `token_url`: give it, or the `issuer` that tells it")
        self._check_kind(table, secret)
        for key in URLS:
            self._url(key, getattr(table, key), table.reach.schemes)
        if table.redirect_url:
            self._url("redirect_url", table.redirect_url, ("http", "https"))
        for key in ("authorize_with", "token_with"):
            for name in sorted(OURS & set(getattr(table, key))):
                self._wrong((key, name), f"{key}: `{name}` is set by stepfold: take it out")
        for scope in table.scopes:
            if not SEEN.fullmatch(scope) or " " in scope:
                self._wrong(("scopes",), f"scopes: {scope!r} is no scope: one word each")

    def _check_kind(self, table: _Table, secret: Secret | None) -> None:
        if table.kind == "oauth2_code" and not (table.authorize_url or table.issuer):
            self._wrong((), "there is no `authorize_url`: give it, or the `issuer` that tells it")
        if table.kind == "oauth2_client" and secret is None:
            self._wrong((), 'oauth2_client needs client_secret = "${env:NAME}"')
        if table.client_auth in ("basic", "post") and secret is None:
            self._wrong(("client_auth",), f"client_auth = {table.client_auth!r} needs a secret")

    def _url(self, key: str, told: str, schemes: tuple[str, ...]) -> None:
        parts = urlsplit(told)
        if told and (parts.scheme not in schemes or not parts.hostname or parts.username):
            self._wrong((key,), f"{key}: an address that begins with {schemes[0]}://")
        elif parts.fragment or (key == "issuer" and parts.query):
            self._wrong((key,), f"{key}: take out what stands behind its path")

    def _wrong(self, at: tuple[str, ...], why: str) -> None:
        self._problems.append((self._lines.of(("auth", *at)), why))

    def _stop(self) -> None:
        if self._problems:
            told = (f"{self._path}:{line}: [auth] {why}" for line, why in sorted(self._problems))
            raise AuthTableRefused(tuple(told))


def _typed(error: msgspec.ValidationError) -> str:
    """What was expected. A wrong word of an enumeration may be a secret in the wrong line."""
    return re.sub(r"Invalid enum value .*", "that is none", str(error))
