"""`stepfold approval`: the calls that wait for people, and what people say to them."""

from __future__ import annotations

import asyncio
import getpass
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer
from msgspec import Struct

from stepfold.app import Opened, opened
from stepfold.cli.exits import CommandRefused
from stepfold.cli.find import Key, find
from stepfold.cli.options import ConversationName, Data, Json
from stepfold.cli.screen import is_interactive, lapse, paragraph, say, say_json, table
from stepfold.cli.viewing import Question, ask_views
from stepfold.cli.where import existing
from stepfold.events.envelope import Entry
from stepfold.handlers.approvals import Waiting
from stepfold.settings import Settings

WAITING = """
    SELECT customer, conversation, call, name, arguments, reason, people, granted_by, status,
        digest, requested_at, expires_at, denied_by
    FROM approvals
    {where}
    ORDER BY position DESC
"""
ONLY_WAITING = "WHERE status = 'waiting' AND expires_at > TIMESTAMP '{now}'"
DIGEST_CHARS_MIN = 8
"""Hexadecimal digits of a digest that are enough to say which call is meant."""

commands = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Calls of tools that wait until people agree to them.",
)

CallName = Annotated[str, typer.Argument(metavar="CALL", help="As `list` names it: r1.1.")]
Digest = Annotated[
    str,
    typer.Option(
        "--digest",
        metavar="HEX",
        help="The call that you have seen, as `show` names it; the first 8 digits are enough.",
    ),
]
Person = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="PERSON",
        help="Who says it (default: who is logged in).",
    ),
]


class Shown(Struct, frozen=True):
    """A call that waits, as it would run."""

    conversation: str
    call: str
    name: str
    arguments: dict[str, Any]
    reason: str
    digest: str
    people: int
    granted_by: tuple[str, ...]
    expires_at: datetime


@commands.command("list")
def list_(
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Those that are answered or too late as well.")
    ] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """The calls that wait, the latest first."""
    now = datetime.now(UTC).replace(tzinfo=None).isoformat(sep=" ")
    where = "" if everything else ONLY_WAITING.format(now=now)
    rows = asyncio.run(_rows(existing(data), WAITING.format(where=where)))
    if json:
        say_json(rows)
        return
    if not rows:
        say("no call was ever held up" if everything else "no call waits")
        return
    lines = [
        (
            f"{row['customer']}/{row['conversation']}",
            row["call"],
            f"{row['name']}({row['arguments']})",
            _standing(row),
        )
        for row in rows
    ]
    say(table(("conversation", "call", "would run", "state"), lines))


@commands.command()
def show(conversation: ConversationName, *, data: Data = None, json: Json = False) -> None:
    """What waits in a conversation, exactly as it would run."""
    waiting = asyncio.run(_waiting(existing(data), conversation))
    if json:
        say_json([_shown(each) for each in waiting])
        return
    if not waiting:
        say("nothing waits in this conversation")
    for each in waiting:
        _say(each)


@commands.command()
def grant(
    conversation: ConversationName,
    call: CallName,
    *,
    digest: Digest = "",
    person: Person = None,
    comment: Annotated[str, typer.Option(metavar="TEXT", help="It is recorded.")] = "",
    data: Data = None,
    json: Json = False,
) -> None:
    """Agree to a call. What runs is exactly what was shown, or nothing. Without a terminal to ask
    on, --digest must say which call was seen.
    """
    entry = asyncio.run(
        _answer(existing(data), conversation, call, digest, person, comment, agrees=True)
    )
    _told(entry, "granted", json=json)


@commands.command()
def deny(
    conversation: ConversationName,
    call: CallName,
    *,
    digest: Digest = "",
    person: Person = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; the model is told it.")] = "",
    data: Data = None,
    json: Json = False,
) -> None:
    """Say no to a call; one no is enough."""
    entry = asyncio.run(
        _answer(existing(data), conversation, call, digest, person, reason, agrees=False)
    )
    _told(entry, "denied", json=json)


async def _rows(here: Settings, sql: str) -> list[dict[str, Any]]:
    async with opened(here) as found:
        told = await ask_views(found, here, Question(sql, "json"))
    return msgspec.json.decode(told.body, type=list[dict[str, Any]])


async def _waiting(here: Settings, name: str) -> tuple[Waiting, ...]:
    async with opened(here) as found:
        return await found.approvals().waiting(*await find(found, name))


async def _answer(
    here: Settings,
    name: str,
    call: str,
    digest: str,
    person: str | None,
    said: str,
    *,
    agrees: bool,
) -> Entry:
    async with opened(here) as found:
        key = await find(found, name)
        digest = await _meant(found, key, call, digest)
        login = getpass.getuser()
        who = login if person is None else person
        by, approvals = f"cli:{login}", found.approvals()
        if agrees:
            return await approvals.grant(key, call, digest=digest, person=who, comment=said, by=by)
        return await approvals.deny(key, call, digest=digest, person=who, reason=said, by=by)


async def _meant(found: Opened, key: Key, call: str, digest: str) -> str:
    """The whole digest of the call that a person has seen: told, or looked at now."""
    waiting = await found.approvals().waiting(*key)
    each = next((w for w in waiting if w.agreement.request.call == call), None)
    if each is None:
        return digest  # the log itself says what became of it
    whole = each.agreement.request.digest
    digits = digest.removeprefix("sha256:")
    if digits:
        if len(digits) < DIGEST_CHARS_MIN:
            least = f"give at least {DIGEST_CHARS_MIN} digits of it"
            raise CommandRefused(f"--digest {digest}: {least}")
        return whole if whole.removeprefix("sha256:").startswith(digits) else digest
    if not is_interactive():
        raise CommandRefused(
            f"say which call you have seen: --digest, as `stepfold approval show {'/'.join(key)}`"
            " names it"
        )
    _say(each)
    if not typer.confirm("This call?"):
        raise CommandRefused("nothing was said to it")
    return whole


def _standing(row: dict[str, Any]) -> str:
    agreed = f"{len(row['granted_by'])} of {row['people']} agreed"
    match row["status"]:
        case "granted":
            return f"granted by {', '.join(row['granted_by'])}"
        case "denied":
            return f"denied by {row['denied_by']}"
        case "waiting":
            return f"{agreed}, until {row['expires_at'][:16].replace('T', ' ')} UTC"
        case other:
            return f"{other}, {agreed}"


def _shown(each: Waiting) -> Shown:
    request = each.agreement.request
    return Shown(
        conversation=f"{each.customer}/{each.conversation}",
        call=request.call,
        name=request.name,
        arguments=request.arguments,
        reason=request.reason,
        digest=request.digest,
        people=request.people,
        granted_by=each.agreement.people,
        expires_at=each.due,
    )


def _say(each: Waiting) -> None:
    shown = _shown(each)
    left_s = (each.due - datetime.now(UTC)).total_seconds()
    say(f"{shown.conversation} {shown.call}: {shown.name}", bold=True)
    arguments = msgspec.json.format(msgspec.json.encode(shown.arguments), indent=2).decode()
    say(paragraph(arguments, first="  ", rest="  "))
    say(paragraph(shown.reason, first="  ", rest="  "))
    agreed = f"; agreed: {', '.join(shown.granted_by)}" if shown.granted_by else ""
    must = "person must" if shown.people == 1 else "people must"
    say(f"  {shown.people} {must} agree within {lapse(left_s * 1000)}{agreed}")
    digits = shown.digest.removeprefix("sha256:")[:16]
    how = f"stepfold approval grant {shown.conversation} {shown.call} --digest {digits}"
    say(paragraph(how, first="  ", rest="    "))


def _told(entry: Entry, what: str, *, json: bool) -> None:
    if json:
        say_json(entry)
        return
    call = getattr(entry.event, "call", "")
    say(f"recorded at {entry.position}: {call} of {'/'.join(entry.key)} is {what}")
