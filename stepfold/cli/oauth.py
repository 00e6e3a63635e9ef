"""`stepfold connection`: list connections; authorize one for a customer, see how it stands, take it
back.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer
from msgspec import Struct

from stepfold.app import opened
from stepfold.cli.coming_back import answers
from stepfold.cli.connect import connections
from stepfold.cli.exits import CommandRefused
from stepfold.cli.options import Data, Json
from stepfold.cli.screen import count, say, say_json, warn
from stepfold.cli.where import existing
from stepfold.events.names import token
from stepfold.settings import Settings
from stepfold.streams.jetstream.sealed import JetStreamSealed
from stepfold.tools.oauth import NO_NEED, OAuthCredentials, Standing
from stepfold.tools.oauth_server import Revoked
from stepfold.tools.oauth_table import SHARED, Auth, read_auth
from stepfold.tools.openapi.connection import FOLDER, read_connection
from stepfold.tools.vault import Vault, read_keys

PORT = 8976
"""Where the browser comes back; it stands in what is registered with the provider."""

commands = typer.Typer(
    help=(
        "List connections and their tools. Of one by OAuth: authorize it for a customer, see how it"
        " stands, take it back."
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="As in connections/NAME.toml.")]
Customer = Annotated[
    str, typer.Option("--customer", metavar="C", help="Whose tokens; none where all share one.")
]


class Ask(Struct, frozen=True):
    """What `authorize --json` prints first: `back` is where the browser is sent afterwards."""

    url: str
    back: str


commands.command("list")(connections)


@commands.command()
def authorize(
    name: Name,
    *,
    customer: Customer = "",
    port: Annotated[
        int, typer.Option(help="The port on this machine to which the browser comes back.")
    ] = PORT,
    paste: Annotated[
        bool, typer.Option("--paste", help="Paste the address that the browser ends at.")
    ] = False,
    within: Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait.")] = 600.0,
    data: Data = None,
    json: Json = False,
) -> None:
    """Print the address at which a person says yes, wait for the answer, and seal the tokens."""

    async def ask() -> Standing:
        async with _credentials(name, customer, data) as (auth, found):
            await _authorize(
                auth, found, customer, port=port, paste=paste, within=within, json=json
            )
            return await found.status(customer)

    _say([asyncio.run(ask())], json=json)


@commands.command()
def status(name: Name, *, customer: Customer = "", data: Data = None, json: Json = False) -> None:
    """How a customer's authorization stands; without --customer, those of all of them."""

    async def look() -> list[Standing]:
        async with _credentials(name, customer or SHARED, data) as (auth, found):
            whose = [customer] if customer or auth.holder("") else await found.holders()
            return [await found.status(each) for each in whose]

    if kind := _needs_nobody(name, data):
        standing = Standing(name, customer, NO_NEED, kind)
        _say([standing], json=json)
        return
    standings = asyncio.run(look())
    _say(standings, json=json)
    if not standings and not json:
        say(f"nobody has authorized {name}: `stepfold connection authorize {name} --customer C`")


@commands.command()
def revoke(name: Name, *, customer: Customer = "", data: Data = None, json: Json = False) -> None:
    """Have the provider take the tokens back, and forget them here whatever it says."""

    if kind := _needs_nobody(name, data):
        raise CommandRefused(
            f"{name}: {NO_NEED} ({kind}), so nothing of it is kept here: take back what its file"
            " names where that was given"
        )

    async def take_back() -> Revoked:
        async with _credentials(name, customer, data) as (_, found):
            return await found.revoke(customer)

    done = asyncio.run(take_back())
    if json:
        say_json(done)
    elif not done.found:
        whose = f" for {customer}" if customer else ""
        say(f"{name}: there was nothing to take back{whose}")
    elif done.told:
        say(f"{name}: the provider has taken the tokens back, and they are forgotten here")
    else:
        say(f"{name}: forgotten here")
        warn(f"the provider was not told ({done.reason}): withdraw the access there as well")


@commands.command()
def reseal(*, data: Data = None, json: Json = False) -> None:
    """Seal all tokens with the first key of STEPFOLD_VAULT_KEY, so that older keys can go."""
    here = existing(data)

    async def seal() -> int:
        async with opened(here) as found:
            return await _vault(JetStreamSealed(found.client), here).reseal()

    done = asyncio.run(seal())
    if json:
        say_json({"resealed": done})
    else:
        say(f"{count(done, 'sealed value')} sealed again: all are of the first key now")


# -- what the commands stand on -----------------------------------------------------------------


@asynccontextmanager
async def _credentials(
    name: str, customer: str, data: Path | None
) -> AsyncIterator[tuple[Auth, OAuthCredentials]]:
    here = existing(data)
    path = _path(name, here)
    auth = read_auth(path, os.environ)
    if auth is None:
        kind = _needs_nobody(name, data)
        raise CommandRefused(
            f"{name}: {NO_NEED} ({kind}); {path} has no table [auth] of a kind that does:"
            ' kind = "oauth2_code" or "oauth2_client"'
        )
    if not auth.holder(customer):
        raise CommandRefused(
            f"{name}: each customer authorizes: name one with --customer, or write shared = true"
            f" under [auth] in {path}"
        )
    async with opened(here) as found:
        credentials = OAuthCredentials(auth, _vault(JetStreamSealed(found.client), here))
        try:
            yield auth, credentials
        finally:
            await credentials.close()


def _path(name: str, here: Settings) -> Path:
    return here.folder / FOLDER / f"{token('connection', name)}.toml"


def _needs_nobody(name: str, data: Path | None) -> str:
    """The kind of a connection that nobody authorizes; empty of another. ConnectionRefused."""
    connection = read_connection(_path(name, existing(data)))
    if connection.oauth:
        return ""
    return connection.auth.kind if connection.auth else "none"


def _vault(store: JetStreamSealed, here: Settings) -> Vault:
    return Vault(store, read_keys(here.folder, os.environ, make=not here.nats_url))


async def _authorize(
    auth: Auth,
    found: OAuthCredentials,
    customer: str,
    *,
    port: int,
    paste: bool,
    within: float,
    json: bool,
) -> None:
    if auth.kind == "oauth2_client":
        await found.headers(customer)
        return
    back = auth.redirect_url or f"http://127.0.0.1:{port}/callback"

    async def finish(url: str) -> None:
        await found.authorizing.finish(customer, url)

    async with answers(back, finish, paste=paste) as answered:
        ask = Ask(await found.authorizing.begin(customer, back), back)
        _say_ask(ask, paste=paste, json=json)
        done, _ = await asyncio.wait([answered], timeout=within)
        if not done:
            raise CommandRefused(f"nobody came back within {within:g} s: authorize again")
        await answered


def _say_ask(ask: Ask, *, paste: bool, json: bool) -> None:
    if json:
        say_json(ask)
        return
    say("Open this in a browser, and say yes:")
    say(ask.url)
    if paste:
        say(f"It ends at {ask.back}…, which may show an error. Paste that whole address here:")


def _say(standings: list[Standing], *, json: bool) -> None:
    for each in standings:
        if json:
            say_json(each)
            continue
        until = f" until {each.expires_at}" if each.expires_at else ""
        renewed = ", renewed by itself" if each.renewable else ""
        whose = f" for {each.customer}" if each.customer else ""
        why = f": {each.reason}" if each.reason else ""
        if each.state == NO_NEED:
            why = f" ({each.reason})"
        say(f"{each.connection}{whose}: {each.state}{until}{renewed}{why}")
