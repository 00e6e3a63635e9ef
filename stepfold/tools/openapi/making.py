"""Makes a connection of a catalogue and of what somebody wants of it, and writes its two files."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from stepfold.policy.effect import Effect
from stepfold.policy.toolspec import ToolSpec
from stepfold.tools.openapi.brief import CHARACTERS_PER_TOKEN, tokens
from stepfold.tools.openapi.connection import NEEDS, OAUTH, Auth, Connection, parse_connection
from stepfold.tools.openapi.errors import ConnectionRefused
from stepfold.tools.openapi.find_tool import find_spec, use_spec
from stepfold.tools.openapi.loading import findable
from stepfold.tools.openapi.operation import Catalogue, Operation
from stepfold.tools.openapi.selection import Selection, select
from stepfold.tools.openapi.ways import secrets_of, unknown

REASONS_MAX = 10
_BARE = re.compile(r"[A-Za-z0-9_-]+")
AUTHS = "bearer:VAR, basic:VAR:VAR, header:NAME:VAR, query:NAME:VAR"


class Made(Struct, frozen=True):
    """`settings` is the text of its file. `kept` names what of that stood there before; `open` says
    what is still missing before a request can leave.
    """

    name: str
    connection: Connection
    catalogue: Catalogue
    selection: Selection
    settings: str
    kept: tuple[str, ...] = ()
    open: tuple[str, ...] = ()

    def effect(self, operation: Operation) -> Effect:
        """As it is enabled; as its method says where it is not."""
        if operation in self.selection.reads:
            return "read"
        if operation in self.selection.writes:
            return "write"
        return "read" if operation.reads and not operation.doubt else "write"

    def enabled(self, operation: Operation) -> bool:
        return operation in self.selection.reads or operation in self.selection.writes

    @property
    def tokens(self) -> Mapping[str, int]:
        """What a model is shown: every operation, the enabled ones, or the two tools that find and
        call reads beside the enabled writes. `file` is the description itself.
        """
        enabled = (*self.selection.reads, *self.selection.writes)
        own = [each for each in self.selection.reads if each not in self._findable()]
        specs = (find_spec(self.name, self.catalogue.title, 1), use_spec(self.name))
        return {
            "file": -(-self.catalogue.characters // CHARACTERS_PER_TOKEN),
            "all": sum(each.tokens for each in self.catalogue.operations),
            "enabled": sum(each.tokens for each in enabled),
            "found": sum(map(_tokens, specs))
            + sum(each.tokens for each in (*own, *self.selection.writes)),
            "characters_per_token": CHARACTERS_PER_TOKEN,
        }

    def _findable(self) -> tuple[Operation, ...]:
        return findable(self.connection, self.selection)


class Wanted(Struct, frozen=True, kw_only=True):
    """What of `before`, the text of a file that is there, is not named anew stays as it is."""

    name: str
    catalogue: Catalogue
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    server: str = ""
    variables: dict[str, str] = {}
    auth: str = ""
    private: tuple[str, ...] = ()
    key_header: str = ""
    before: str = ""

    def make(self, environment: Mapping[str, str] = os.environ) -> Made:
        """ConnectionRefused: what was asked means nothing, all of it at once."""
        auth, problem = _auth(self.auth)
        named, before = self._named(auth), self._before()
        told = merged(before, named)
        selection = select(self.catalogue, _texts(told["reads"]), _texts(told["writes"]))
        problems = [*selection.problems, *problem]
        if not (self.catalogue.operations or problems):
            why = "no operation can be called"
            skipped = self.catalogue.skipped
            reasons = [f"{each.name}: {each.reason}" for each in skipped[:REASONS_MAX]]
            more = len(skipped) - REASONS_MAX
            problems += [why, *reasons, *([f"and {more:,} more"] if more > 0 else [])]
        if problems:
            raise ConnectionRefused(*problems)
        settings = written(told)
        if told == before:
            settings = self.before
        connection = parse_connection(settings, f"{self.name}.toml")
        return Made(
            name=self.name,
            connection=connection,
            catalogue=self.catalogue,
            selection=selection,
            settings=settings,
            kept=tuple(key for key in before if key not in named and before[key]),
            open=tuple(self._open(connection, environment)),
        )

    def _named(self, auth: Auth | None) -> dict[str, Any]:
        told: dict[str, Any] = {
            "server": self.server.rstrip("/"),
            "reads": list(self.reads),
            "writes": list(self.writes),
            "key_header": self.key_header,
            "variables": self.variables,
            "auth": msgspec.to_builtins(auth) if auth else {},
            "reach": {"private": list(self.private)} if self.private else {},
        }
        return {key: value for key, value in told.items() if value}

    def _before(self) -> dict[str, Any]:
        try:
            parse_connection(self.before, f"{self.name}.toml")
        except ConnectionRefused as error:
            way_out = "nothing was overwritten: mend the file, or remove it"
            raise ConnectionRefused(*error.problems, way_out) from error
        return tomllib.loads(self.before)

    def _open(self, connection: Connection, environment: Mapping[str, str]) -> Iterator[str]:
        yield from unknown(connection, self.catalogue)
        for name in dict.fromkeys(secrets_of(connection)):
            if not environment.get(name):
                yield f"the variable {name} is not set here: export {name}=… where tools run"
        wanted = [scheme for scheme in self.catalogue.schemes if scheme.kind]
        if wanted and connection.auth is None and not connection.oauth:
            kinds = ", ".join(scheme.scheme or scheme.kind for scheme in wanted)
            yield f"the server wants to know who asks ({kinds}): --auth, or [auth] in the file"
        if not connection.reads and not connection.writes:
            yield "nothing is enabled: --read 'List*' and the like, --write NAME"


def _auth(told: str) -> tuple[Auth | None, tuple[str, ...]]:
    if not told:
        return None, ()
    kind, *words = told.split(":")
    if kind.startswith(OAUTH):
        return None, (f"--auth {kind}: write its [auth] in the connection's file",)
    if kind not in NEEDS or len(words) != len(NEEDS[kind]) or not all(words):
        return None, (f"--auth {told!r} (known: {AUTHS})",)
    keys = dict(zip(NEEDS[kind], words, strict=True))
    secret = {key: f"${{env:{word}}}" for key, word in keys.items() if key != "name"}
    return Auth(kind, **{**keys, **secret}), ()


def _tokens(spec: ToolSpec) -> int:
    return tokens(spec.name, spec.description, spec.parameters)


# -- its files ----------------------------------------------------------------------------------


def keep(made: Made, folder: Path) -> None:
    """Writes both files, the settings last: what is loaded is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / f"{made.name}.json", msgspec.json.encode(made.catalogue))
    _write(folder / f"{made.name}.toml", made.settings.encode())


def _write(path: Path, raw: bytes) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(raw)
    os.replace(fresh, path)


def merged(before: Mapping[str, Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """What is named goes before what stood there; of variables and reach, key by key."""
    told: dict[str, Any] = {"reads": [], "writes": [], **before, **named}
    for key in ("variables", "reach"):
        if isinstance(before.get(key), dict) and key in named:
            told[key] = {**before[key], **named[key]}
    order = [*Connection.__struct_fields__, *before]
    return {key: told[key] for key in sorted(told, key=order.index)}


def _texts(told: Any) -> tuple[str, ...]:
    """Those of a list in a file, which somebody else judges."""
    return tuple(map(str, told)) if isinstance(told, list) else ()


def written(told: Mapping[str, Any], head: str = "") -> str:
    """TOML, the tables last."""
    plain = [f"{_key(key)} = {_toml(each)}" for key, each in told.items() if not _is_table(each)]
    tables = [
        _table(f"{head}.{_key(key)}" if head else _key(key), each)
        for key, each in told.items()
        if _is_table(each) and (each or head)
    ]
    return "\n".join([*plain, *tables]) + ("" if head else "\n")


def _table(name: str, told: Mapping[str, Any]) -> str:
    return f"\n[{name}]\n{written(told, name)}".rstrip("\n")


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _toml(name)


def _toml(value: Any) -> str:
    """What JSON has too; TOML's basic strings are JSON's, but for one control code."""
    return json.dumps(value, ensure_ascii=False, default=str).replace("\x7f", "\\u007f")
