"""What the tests of OAuth do over and over: a connection's file, a vault, a person's browser."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from stepfold.streams.jetstream import connect, prepare
from stepfold.streams.jetstream.sealed import JetStreamSealed
from stepfold.tools.oauth import OAuthCredentials
from stepfold.tools.oauth_table import Auth, read_auth
from stepfold.tools.vault import KEY_BYTES, Keys, Vault
from tests.oauth.provider import CLIENT, CLIENT_SECRET, REDIRECT, Provider

CUSTOMER = "acme"
NAME = "desk"
ENVIRONMENT = {"DESK_SECRET": CLIENT_SECRET}
KEY = bytes(range(KEY_BYTES))


class Watch:
    """A clock that is wound by hand; it starts now, else so many seconds from now."""

    def __init__(self, s: float = 0.0) -> None:
        self.now = datetime.now(UTC) + timedelta(seconds=s)

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, s: float) -> None:
        self.now += timedelta(seconds=s)


def written(provider: Provider, kind: str = "oauth2_code", *lines: str) -> str:
    """connections/desk.toml."""
    return "\n".join(
        (
            "[auth]",
            f'kind = "{kind}"',
            f'client_id = "{CLIENT}"',
            'client_secret = "${env:DESK_SECRET}"',
            *(lines or _endpoints(provider)),
            "[auth.reach]",
            'schemes = ["http"]',
            f"ports = [{provider.port}]",
            'private = ["127.0.0.0/8"]',
            "timeout_s = 20.0",
            "",
        )
    )


def _endpoints(provider: Provider) -> tuple[str, ...]:
    return (
        f'authorize_url = "{provider.url}/authorize"',
        f'token_url = "{provider.url}/token"',
        f'revoke_url = "{provider.url}/revoke"',
        'scopes = ["tickets:read", "offline"]',
    )


def auth(folder: Path, provider: Provider, kind: str = "oauth2_code", *lines: str) -> Auth:
    path = folder / f"{NAME}.toml"
    path.write_text(written(provider, kind, *lines))
    found = read_auth(path, ENVIRONMENT)
    assert found is not None
    return found


def keys() -> Keys:
    return Keys([KEY])


@asynccontextmanager
async def jetstream(url: str) -> AsyncIterator[JetStreamSealed]:
    async with connect(url) as client:
        await prepare(client, durability="interval")
        yield JetStreamSealed(client)


async def browse(url: str) -> str:
    """Open `url` as a browser: the address to which it is sent."""
    return await asyncio.to_thread(_browse, url)


def _browse(url: str) -> str:
    parts = urlsplit(url)
    web = HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    web.request("GET", f"{parts.path}?{parts.query}")
    answer = web.getresponse()
    said = answer.read()
    web.close()
    assert answer.status == 302, said
    return answer.headers["Location"]


async def authorize(found: OAuthCredentials, customer: str = CUSTOMER) -> str:
    """A person says yes; the access token."""
    url = await found.authorizing.begin(customer, REDIRECT)
    await found.authorizing.finish(customer, await browse(url))
    return bearer(await found.headers(customer))


def bearer(headers: dict[str, str]) -> str:
    return headers["Authorization"].removeprefix("Bearer ")


def environ(**more: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if k not in ("NATS_URL", "STEPFOLD_DATA_DIR")}
    return clean | ENVIRONMENT | more


def vault(store: JetStreamSealed) -> Vault:
    return Vault(store, keys())
