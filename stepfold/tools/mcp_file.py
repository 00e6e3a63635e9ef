"""MCP servers as a TOML file describes them: how each is reached, and what may be used of it.

McpFileRefused    it cannot be read, or means nothing: every mistake with its line
"""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic import field_validator as checked
from pydantic import model_validator as checked_whole

from stepfold.policy.effect import Effect, Recovery
from stepfold.providers.toml_lines import Lines
from stepfold.tools.mcp_mistakes import ONE_WAY, mistakes
from stepfold.tools.secrets import named

NAME = r"[A-Za-z0-9_-]{1,32}"
"""A server's name begins the names of its tools, which models take up to 64 characters of."""
SCHEMES = {"https": 443, "http": 80}
SECRET_HEADERS = ("authorization", "cookie", "key", "secret", "token")
"""What stands in a header with such a word in its name is a secret."""
Word = Annotated[str, StringConstraints(min_length=1)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


class McpFileRefused(Exception):
    """A file of servers that means nothing. Each of `problems` has its place and the way out."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class About(_Table):
    """What the file says of one tool. `key` is the argument that carries the call's idempotency
    key, which no model sees; `lookup` is a tool of the same server that is asked for that key, in
    its argument `lookup_key`, whether the call took effect. `digest` pins what was reviewed.
    """

    effect: Effect | None = None
    recovery: Recovery | None = None
    trusted: bool | None = None
    key: str = ""
    lookup: str = ""
    lookup_key: str = ""
    digest: str = ""

    @checked_whole(mode="after")
    def _agrees(self) -> Self:
        if self.recovery == "idempotent" and self.effect != "read" and not self.key:
            raise ValueError(
                "recovery = idempotent needs `key`: the argument by which the server knows a call"
                " that it has seen before"
            )
        if self.recovery == "reconcile" and not (self.key and self.lookup and self.lookup_key):
            raise ValueError(
                "recovery = reconcile needs `key`, `lookup` and `lookup_key`: the argument that"
                " carries the call's key, the tool that finds it, and the argument to find it by"
            )
        return self


class Written(_Table):
    """What a file says of a server. `tools` and `reads` are patterns such as `get_*`: only what is
    in `tools` is used, and what is in `reads` only reads. `private` are networks or hosts that may
    be reached although they are not public. `check_s` is how old the list of tools may be at a
    call; an answer of more than `bytes_max` ends the session.
    """

    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    folder: str = ""
    url: str = ""
    headers: dict[str, str] = {}
    private: tuple[str, ...] = ()
    tools: tuple[Word, ...] = ()
    reads: tuple[Word, ...] = ()
    tool: dict[str, About] = {}
    trusted: bool = False
    timeout_s: Seconds = 30
    start_s: Seconds = 30
    check_s: Annotated[float, Field(ge=0, le=3600)] = 30
    bytes_max: Annotated[int, Field(ge=1000, le=100_000_000)] = 5_000_000

    @checked_whole(mode="after")
    def _one_way(self) -> Self:
        if bool(self.command) == bool(self.url):
            raise ValueError(ONE_WAY)
        foreign = ("headers", "private") if self.command else ("args", "env", "folder")
        if wrong := [key for key in foreign if getattr(self, key)]:
            way = "command" if self.command else "url"
            raise ValueError(f"`{wrong[0]}` means nothing for a server with `{way}`: leave it out")
        return self

    @checked("url")
    @classmethod
    def _reachable(cls, url: str) -> str:
        if not url:
            return url
        parts = _split(url)
        if parts is None or parts.scheme not in SCHEMES or not parts.hostname:
            raise ValueError("it is no address: write https://HOST/PATH")
        if parts.username is not None or parts.password is not None or named(url):
            raise ValueError('no secret stands in a URL: write headers = { … = "${env:NAME}" }')
        return url

    @checked("headers")
    @classmethod
    def _secret(cls, headers: dict[str, str]) -> dict[str, str]:
        for key, value in headers.items():
            if any(word in key.lower() for word in SECRET_HEADERS) and not named(value):
                raise ValueError(f"no secret stands in a file: write {key} = '${{env:NAME}}'")
        return headers

    @checked_whole(mode="after")
    def _open_only_inside(self) -> Self:
        if self.url.startswith("http:") and not self.private:
            raise ValueError(
                "http is not encrypted: write https, or name the network that it stays in, as"
                ' private = ["127.0.0.0/8"]'
            )
        return self

    @property
    def port(self) -> int:
        parts = urlsplit(self.url)
        return parts.port or SCHEMES[parts.scheme]

    @property
    def secrets(self) -> tuple[str, ...]:
        """The variables that its way names."""
        texts = (*self.env.values(), *self.headers.values(), *self.args)
        return tuple(name for text in texts for name in named(text))

    def allows(self, tool: str) -> bool:
        return _any(tool, self.tools)

    def about(self, tool: str) -> About:
        return self.tool.get(tool, About())

    def effect(self, tool: str) -> Effect:
        """What the file says; a tool of which it says nothing is the most dangerous there is."""
        return self.about(tool).effect or ("read" if _any(tool, self.reads) else "external")

    def recovery(self, tool: str) -> Recovery:
        """Reading again does no harm."""
        reads = self.effect(tool) == "read"
        return self.about(tool).recovery or ("idempotent" if reads else "never_repeat")


class Described(Written):
    """A server with its name and the file it stands in."""

    name: str
    file: str


class _File(_Table):
    servers: dict[Annotated[str, StringConstraints(pattern=f"^{NAME}$")], Written]


def read_mcp(path: Path) -> tuple[Described, ...]:
    """The servers in a file, in its order; McpFileRefused."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise McpFileRefused((f"{path}: {error.strerror}",)) from error
    except UnicodeDecodeError as error:
        raise McpFileRefused((f"{path}: it is not UTF-8: save it as UTF-8",)) from error
    return parse_mcp(text, str(path))


def parse_mcp(text: str, file: str) -> tuple[Described, ...]:
    """The servers that are written in `text`; `file` stands before each mistake in it."""
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise McpFileRefused((f"{file}: {error}",)) from error
    try:
        servers = _File.model_validate(told).servers
    except ValidationError as error:
        found = mistakes(error, told, Lines(text), _known)
        raise McpFileRefused(tuple(f"{file}:{each}" for each in found)) from error
    return tuple(
        Described.model_construct(**dict(each), name=name, file=file)
        for name, each in servers.items()
    )


def _known(place: tuple[Any, ...]) -> str:
    of: type[BaseModel] = (_File, _File, Written, Written, About)[min(len(place), 5) - 1]
    return ", ".join(of.model_fields)


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _any(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
