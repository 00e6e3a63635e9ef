"""Makes a connection of a catalogue and of what somebody wants of it, and writes its two files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from stepfold.policy.effect import Effect
from stepfold.policy.toolspec import ToolSpec
from stepfold.tools.guard import Reach
from stepfold.tools.openapi.brief import CHARACTERS_PER_TOKEN, tokens
from stepfold.tools.openapi.connection import NEEDS, OAUTH, Auth, Connection, parse_connection
from stepfold.tools.openapi.errors import ConnectionRefused
from stepfold.tools.openapi.find_tool import find_spec, use_spec
from stepfold.tools.openapi.loading import findable
from stepfold.tools.openapi.operation import Catalogue, Operation
from stepfold.tools.openapi.selection import Selection, select
from stepfold.tools.openapi.ways import unknown

REASONS_MAX = 10
AUTHS = "bearer:VAR, basic:VAR:VAR, header:NAME:VAR, query:NAME:VAR"


class Made(Struct, frozen=True):
    """`open` says what is still missing before a request can leave."""

    name: str
    connection: Connection
    catalogue: Catalogue
    selection: Selection
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
    name: str
    catalogue: Catalogue
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    server: str = ""
    variables: dict[str, str] = {}
    auth: str = ""
    private: tuple[str, ...] = ()
    key_header: str = ""

    def make(self) -> Made:
        """ConnectionRefused: what was asked means nothing, all of it at once."""
        selection = select(self.catalogue, self.reads, self.writes)
        auth, problem = _auth(self.auth)
        problems = [*selection.problems, *problem]
        if not (self.catalogue.operations or problems):
            why = "no operation can be called"
            skipped = self.catalogue.skipped
            reasons = [f"{each.name}: {each.reason}" for each in skipped[:REASONS_MAX]]
            more = len(skipped) - REASONS_MAX
            problems += [why, *reasons, *([f"and {more:,} more"] if more > 0 else [])]
        if problems:
            raise ConnectionRefused(*problems)
        connection = Connection(
            server=self.server.rstrip("/"),
            reads=self.reads,
            writes=self.writes,
            key_header=self.key_header,
            variables=self.variables,
            auth=auth,
            reach=Reach(private=self.private),
        )
        parse_connection(settings_text(connection), f"{self.name}.toml")
        return Made(self.name, connection, self.catalogue, selection, tuple(self._open(connection)))

    def _open(self, connection: Connection) -> Iterator[str]:
        yield from unknown(connection, self.catalogue)
        wanted = [scheme for scheme in self.catalogue.schemes if scheme.kind]
        if wanted and connection.auth is None:
            kinds = ", ".join(scheme.scheme or scheme.kind for scheme in wanted)
            yield f"the server wants to know who asks ({kinds}): --auth, or [auth] in the file"
        if not self.reads and not self.writes:
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
    _write(folder / f"{made.name}.toml", settings_text(made.connection).encode())


def _write(path: Path, raw: bytes) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(raw)
    os.replace(fresh, path)


def settings_text(connection: Connection) -> str:
    """TOML, the tables last."""
    told = msgspec.to_builtins(replace(connection, reach=Reach()))
    told.pop("reach", None)
    told.pop("oauth", None)
    told.setdefault("reads", [])
    told.setdefault("writes", [])
    if connection.reach.private:
        told["reach"] = {"private": list(connection.reach.private)}
    plain = [f"{key} = {_toml(value)}" for key, value in told.items() if not _is_table(value)]
    tables = [
        f"\n[{key}]\n" + "\n".join(f"{_toml(name)} = {_toml(each)}" for name, each in value.items())
        for key, value in told.items()
        if _is_table(value) and value
    ]
    return "\n".join([*plain, *tables]) + "\n"


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _toml(value: Any) -> str:
    """A text or a list of texts; TOML's basic strings are JSON's, but for one control code."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
