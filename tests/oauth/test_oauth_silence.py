"""No token, code, verifier or secret is ever shown: not logged, not raised, not printed, not stored
in the open. A whole flow is run with everything that goes wrong in it, at the loudest level.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import traceback
from collections.abc import Awaitable
from pathlib import Path

import pytest
from msgspec.structs import replace

from stepfold.tools.oauth import OAuthCredentials
from stepfold.tools.oauth_record import Records
from stepfold.tools.oauth_table import Auth
from stepfold.tools.vault import Keys, Place, Secret, Vault
from tests.oauth.flows import CUSTOMER, KEY, Watch, auth, authorize, browse, jetstream, keys
from tests.oauth.provider import CLIENT, REDIRECT, Provider
from tests.servers import running

PARTS = 12
"""Characters: so much of a secret in a row is too much."""


class Everything:
    """All that a flow could show, as text."""

    def __init__(self) -> None:
        self.text: list[str] = []

    def see(self, *values: object) -> None:
        self.text += [f"{value!r} {value!s} {getattr(value, '__dict__', '')!r}" for value in values]

    async def fails(self, doing: Awaitable[object]) -> None:
        """It must; what it raises is seen with its causes, and all that they carry."""
        try:
            await doing
        except Exception as error:  # noqa: BLE001 - whatever it is, it must be silent
            self.text += traceback.format_exception(error)
            seen: BaseException | None = error
            while seen is not None:
                self.see(seen, seen.args)
                seen = seen.__cause__ or seen.__context__
            return
        raise AssertionError("it should have failed")


def shown(secrets: set[str], text: str) -> list[str]:
    """The secrets of which a part stands in `text`, in the open, in base64 or in hex."""
    found = []
    for secret in secrets:
        basic = base64.b64encode(f"{CLIENT}:{secret}".encode()).decode()
        forms = (secret, basic[len(CLIENT) * 2 :], base64.b64encode(secret.encode()).decode())
        parts = {form[-PARTS:] for form in forms} | {secret.encode().hex(), secret[:PARTS]}
        found += [secret for part in parts if part in text]
    return found


async def flow(desk: Auth, vault: Vault, provider: Provider, all_: Everything) -> None:
    watch = Watch()
    found = OAuthCredentials(desk, vault, clock=watch)
    url = await found.authorizing.begin(CUSTOMER, REDIRECT)
    back = await browse(url)
    await all_.fails(found.authorizing.finish(CUSTOMER, back.replace("state=", "state=x")))
    await all_.fails(found.authorizing.finish(CUSTOMER, back.replace("/callback", "/x")))
    await found.authorizing.finish(CUSTOMER, back)
    await all_.fails(found.authorizing.finish(CUSTOMER, back))
    await renewals(found, watch, provider, all_)
    await wrong_secret(desk, vault, provider, all_)
    records = Records(vault, desk.connection)
    all_.see(desk, vault, found, keys(), await records.get(CUSTOMER), await found.status(CUSTOMER))
    all_.see(await found.revoke(CUSTOMER), await vault.get(Place("pending", "desk", CUSTOMER)))


async def renewals(
    found: OAuthCredentials, watch: Watch, provider: Provider, all_: Everything
) -> None:
    watch.pass_(4000)
    sent = await found.headers(CUSTOMER)
    provider.away = True
    watch.pass_(4000)
    await all_.fails(found.headers(CUSTOMER))
    all_.see(await found.status(CUSTOMER))
    provider.away, provider.echoes = False, True
    provider.withdraw()
    await all_.fails(found.rejected(CUSTOMER, sent))
    await all_.fails(found.headers(CUSTOMER))
    await authorize(found)


async def wrong_secret(desk: Auth, vault: Vault, provider: Provider, all_: Everything) -> None:
    """The server says the secret back in its error."""
    wrong = Secret("short-and-wrong")
    provider.secrets.add(wrong.reveal())
    other = replace(desk, client_secret=wrong, connection="other")
    found = OAuthCredentials(other, vault)
    begun = await browse(await found.authorizing.begin(CUSTOMER, REDIRECT))
    await all_.fails(found.authorizing.finish(CUSTOMER, begun))


async def test_nothing_of_a_secret_is_shown_in_a_whole_flow(
    provider: Provider,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    desk, all_ = auth(tmp_path, provider), Everything()
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)

    with running(tmp_path) as server:
        async with jetstream(server.url) as store:
            vault = Vault(store, keys())
            await flow(desk, vault, provider, all_)
            await authorize(OAuthCredentials(desk, vault))
            await all_.fails(Vault(store, Keys([KEY[::-1]])).get(Place("tokens", "desk", "acme")))
        server.stop()
        stored = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]

    printed = capfd.readouterr()
    text = "\n".join((caplog.text, printed.out, printed.err, *all_.text))
    secrets = provider.secrets | {base64.b64encode(KEY).decode(), hashlib.sha256(KEY).hexdigest()}
    assert len(secrets) > 15
    assert shown(secrets, text) == []
    assert shown(secrets, "".join(each.decode("latin1") for each in stored)) == []
    assert "HTTP Request: POST" in text, "the loggers of the libraries were heard"
    assert len(all_.text) > 20


def test_the_search_would_find_one() -> None:
    secret = "access-0123456789abcdef"

    for form in (secret, secret.encode().hex(), base64.b64encode(secret.encode()).decode()):
        assert shown({secret}, f"so: {form}.")
    assert not shown({secret}, "nothing")
