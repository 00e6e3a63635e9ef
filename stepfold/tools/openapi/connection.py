"""A connection as it stands in `connections/NAME.toml`, beside the catalogue in `NAME.json`.

What is wrong in the file is told all at once, each with its line. A secret stands in no file: it is
named, `${env:NAME}`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from stepfold.providers.toml_lines import Lines, Place
from stepfold.tools.guard import Reach
from stepfold.tools.openapi.answers import Results
from stepfold.tools.openapi.errors import ConnectionRefused
from stepfold.tools.openapi.operation import Catalogue
from stepfold.tools.secrets import named

FOLDER = "connections"
NAME = re.compile(r"[a-z][a-z0-9_-]{0,14}")
NAMED = (
    "a connection's name has at most 15 small letters, digits, - and _, and begins with a letter"
)
OAUTH = "oauth2"
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_|~-]+")
_TAKEN = frozenset({"host", "content-length", "transfer-encoding", "connection", "content-type"})


class Auth(Struct, frozen=True, omit_defaults=True):
    """How requests say who they come from: `bearer` has a token, `basic` a user and a password,
    `header` and `query` a name and a value.
    """

    kind: str
    token: str = ""
    user: str = ""
    password: str = ""
    name: str = ""
    value: str = ""


NEEDS: Mapping[str, tuple[str, ...]] = {
    "bearer": ("token",),
    "basic": ("user", "password"),
    "header": ("name", "value"),
    "query": ("name", "value"),
}
_SECRET = frozenset({"token", "password", "value"})


class Customer(Struct, frozen=True, omit_defaults=True):
    """What is another for one customer."""

    server: str = ""
    variables: dict[str, str] = {}
    headers: dict[str, str] = {}
    auth: Auth | None = None


class Connection(Struct, frozen=True, omit_defaults=True):
    """`own` are patterns of reads that are tools under their own name only. With a `key_header`
    every write is sent with an idempotency key, and can be repeated. `results` says what becomes of
    answers that are not as described. `oauth`: [auth] is of that kind, which is read elsewhere.
    """

    server: str = ""
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    key_header: str = ""
    variables: dict[str, str] = {}
    headers: dict[str, str] = {}
    auth: Auth | None = None
    reach: Reach = Reach()
    results: Results = "note"
    customers: dict[str, Customer] = {}
    oauth: bool = False


_KEYS = {key: form for key, form in get_type_hints(Connection).items() if key != "oauth"}
_CUSTOMER_KEYS = get_type_hints(Customer)


def read_connection(path: Path) -> Connection:
    """ConnectionRefused, with every mistake, its line and the way out."""
    try:
        return parse_connection(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise ConnectionRefused(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConnectionRefused(f"{path}: {error}") from error


def parse_connection(text: str, name: str) -> Connection:
    """What stands in a file called `name`."""
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConnectionRefused(f"{name}: {error}") from error
    return _Reading(name, text).connection(told)


def read_catalogue(path: Path) -> Catalogue:
    again = "make it again: stepfold connect NAME --spec FILE --replace"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Catalogue)
    except OSError as error:
        raise ConnectionRefused(f"{path}: {error.strerror}: {again}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConnectionRefused(f"{path}: {error}: {again}") from error


class _Reading:
    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._lines = Lines(text)
        self._problems: list[tuple[int, str]] = []

    def connection(self, told: Mapping[str, Any]) -> Connection:
        auth = told.get("auth")
        oauth = isinstance(auth, dict) and str(auth.get("kind", "")).startswith(OAUTH)
        plain = {key: value for key, value in told.items() if not (oauth and key == "auth")}
        good = dict(self._good((), plain, _KEYS))
        made = Connection(**good, oauth=oauth)
        self._check((), made)
        for name, customer in made.customers.items():
            self._check(("customers", name), customer)
        if made.key_header and not _HEADER.fullmatch(made.key_header):
            self._wrong(("key_header",), f"{made.key_header!r} is no name of a header")
        if self._problems:
            lines = (f"{self._name}:{line}: {why}" for line, why in sorted(self._problems))
            raise ConnectionRefused(*lines)
        return made

    def _good(
        self, at: Place, table: Mapping[str, Any], keys: Mapping[str, Any]
    ) -> Iterator[tuple[str, Any]]:
        """The values of a table that mean something."""
        for key, value in table.items():
            if key not in keys:
                self._wrong((*at, key), f"unknown key `{key}` (known: {', '.join(keys)})")
            elif key == "customers" and isinstance(value, dict):
                yield key, {name: self._customer(name, each) for name, each in value.items()}
            elif self._known((*at, key), value):
                try:
                    yield key, msgspec.convert(value, keys[key])
                except msgspec.ValidationError as error:
                    self._wrong((*at, key), f"{key}: {error}")

    def _known(self, at: Place, value: Any) -> bool:
        """Are the keys of a table in the file known? What msgspec would pass over is found."""
        form = {"auth": Auth, "reach": Reach}.get(str(at[-1]))
        if form is None or not isinstance(value, dict):
            return True
        unknown = sorted(set(value) - set(form.__struct_fields__))
        for key in unknown:
            known = ", ".join(form.__struct_fields__)
            self._wrong((*at, key), f"unknown key `{key}` (known: {known})")
        return not unknown

    def _customer(self, name: str, told: Any) -> Customer:
        if not isinstance(told, dict):
            self._wrong(("customers", name), f"a customer is a table: [customers.{name}]")
            return Customer()
        return Customer(**dict(self._good(("customers", name), told, _CUSTOMER_KEYS)))

    def _check(self, at: Place, made: Connection | Customer) -> None:
        if made.server:
            self._check_server((*at, "server"), made.server)
        for name in made.headers:
            if not _HEADER.fullmatch(name) or name.lower() in _TAKEN:
                self._wrong((*at, "headers", name), f"{name!r} is no header that can be set")
        if made.auth is not None:
            self._check_auth((*at, "auth"), made.auth)

    def _check_server(self, at: Place, url: str) -> None:
        parts = urlsplit(re.sub(r"\{[^{}]*\}", "x", url))
        if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
            self._wrong(at, f"server = {url!r}: write https://host/path, without a user")
        elif parts.query or parts.fragment:
            self._wrong(at, f"server = {url!r}: take out what stands behind its path")

    def _check_auth(self, at: Place, auth: Auth) -> None:
        if auth.kind not in NEEDS:
            known = ", ".join([*NEEDS, f"{OAUTH}_…"])
            self._wrong((*at, "kind"), f"kind = {auth.kind!r} (known: {known})")
            return
        for key in NEEDS[auth.kind]:
            if not getattr(auth, key):
                self._wrong(at, f"auth of the kind {auth.kind} needs `{key}`")
            elif key in _SECRET and not named(getattr(auth, key)):
                way_out = f'write {key} = "${{env:VARIABLE}}" and set VARIABLE'
                self._wrong((*at, key), f"a secret stands in no file: {way_out}")
        if auth.kind == "header" and auth.name and not _HEADER.fullmatch(auth.name):
            self._wrong((*at, "name"), f"{auth.name!r} is no name of a header")

    def _wrong(self, at: Place, why: str) -> None:
        where = ".".join(str(word) for word in at[:-1])
        self._problems.append((self._lines.of(at), f"{where}: {why}" if where else why))
