"""`stepfold key`: keys of customers for the gateway."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from stepfold import settings
from stepfold.app import opened
from stepfold.cli.exits import CommandRefused
from stepfold.cli.options import Data, Json
from stepfold.cli.screen import paragraph, say, say_json, table
from stepfold.cli.where import existing
from stepfold.gateway.keys import FRESH_S, Key, KeyRefused, keys_of
from stepfold.gateway.principal import OPERATOR, SCOPES
from stepfold.settings import Settings

CHAT = SCOPES[0]
DAYS_MAX = 36_500
ONCE = "It is shown this once: only its hash is kept."

commands = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Keys with which programs talk to the gateway. Each is of one customer.",
)


@commands.command()
def create(
    *,
    customer: Annotated[str, typer.Option(metavar="C", help="Whose conversations it opens.")] = "",
    scope: Annotated[
        list[str] | None,
        typer.Option(
            metavar="S", help=f"One of {', '.join(SCOPES)}; may be repeated (default: {CHAT})."
        ),
    ] = None,
    operator: Annotated[
        bool, typer.Option("--operator", help="Of no customer: /metrics, and all of the dashboard.")
    ] = False,
    name: Annotated[str, typer.Option(metavar="TEXT", help="What it is for.")] = "",
    origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SITE",
            help="https://shop.example: pages of this site may use it; may be repeated.",
        ),
    ] = None,
    days: Annotated[
        float | None,
        typer.Option(min=0, max=DAYS_MAX, metavar="N", help="It expires after so many days."),
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Make a key, and show it once."""
    if not customer and not operator:
        raise typer.BadParameter("say whose it is", param_hint="--customer")
    if days is not None and days <= 0:
        raise typer.BadParameter("it would open nothing: more than 0", param_hint="--days")
    scopes = (OPERATOR,) if operator else tuple(scope or (CHAT,))
    ends = datetime.now(UTC) + timedelta(days=days) if days is not None else None
    key, shown = asyncio.run(
        _create(settings.read(folder=data), customer, scopes, name, tuple(origin or ()), ends)
    )
    if json:
        say_json({**_listed(key), "key": shown})
        return
    say(shown, bold=True)
    typer.echo(paragraph(ONCE), err=True)


async def _create(
    here: Settings,
    customer: str,
    scopes: tuple[str, ...],
    name: str,
    origins: tuple[str, ...],
    ends: datetime | None,
) -> tuple[Key, str]:
    try:
        async with opened(here) as found:
            return await keys_of(found).create(
                customer, scopes, name=name, origins=origins, expires_at=ends
            )
    except KeyRefused as error:
        raise CommandRefused(str(error)) from error


@commands.command("list")
def list_(*, data: Data = None, json: Json = False) -> None:
    """All keys, the expired and the revoked too; what opens anything is not among it."""
    keys = asyncio.run(_every(existing(data)))
    if json:
        say_json([_listed(key) for key in keys])
        return
    if not keys:
        say("there is no key: stepfold key create --customer C")
        return
    lines = [
        (
            key.id,
            key.customer or "(operator)",
            ", ".join(key.scopes),
            key.name,
            ", ".join(key.origins),
            f"{key.made_at:%Y-%m-%d}",
            _state(key),
        )
        for key in keys
    ]
    say(table(("id", "customer", "scopes", "name", "origins", "made", "state"), lines))


@commands.command()
def revoke(
    id: Annotated[str, typer.Argument(metavar="ID", help="As `list` names it, or the whole key.")],
    *,
    data: Data = None,
    json: Json = False,
) -> None:
    """From now on it opens nothing, nor does a visitor's token that it vouched for."""
    key = asyncio.run(_revoke(existing(data), id))
    if json:
        say_json(_listed(key))
    else:
        say(f"key {key.id} is revoked: every gateway refuses it within {FRESH_S:g} s")


async def _every(here: Settings) -> list[Key]:
    async with opened(here) as found:
        return await keys_of(found).every()


async def _revoke(here: Settings, id: str) -> Key:
    try:
        async with opened(here) as found:
            return await keys_of(found).revoke(id)
    except KeyRefused as error:
        raise CommandRefused(str(error)) from error


def _listed(key: Key) -> dict[str, object]:
    """Without what it is checked by."""
    told = {name: getattr(key, name) for name in key.__struct_fields__}
    return {name: value for name, value in told.items() if name not in ("salt", "hash")} | {
        "state": _state(key)
    }


def _state(key: Key) -> str:
    if key.revoked_at is not None:
        return f"revoked {key.revoked_at:%Y-%m-%d}"
    if key.expires_at is None:
        return "good"
    good = key.good(datetime.now(UTC))
    return f"{'good until' if good else 'expired'} {key.expires_at:%Y-%m-%d}"
