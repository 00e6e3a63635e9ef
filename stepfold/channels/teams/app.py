"""The route that Teams calls. It verifies, appends and answers: whatever takes long is done by
those who follow the log.

What is not signed for this bot is refused with one and the same answer, whatever is wrong with it.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from microsoft_teams.api.models.adaptive_card import (
    AdaptiveCardActionCardResponse,
    AdaptiveCardActionMessageResponse,
)
from microsoft_teams.cards import AdaptiveCard
from msgspec import Struct
from msgspec.structs import replace
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stepfold.channels.teams.arrived import Decided, Ignored, Installed, Said
from stepfold.channels.teams.attachments import Attachments
from stepfold.channels.teams.cards import outcome_card, requested
from stepfold.channels.teams.config import TeamsConfig
from stepfold.channels.teams.connector import Connector, ConnectorError
from stepfold.channels.teams.deliver import DELIVER
from stepfold.channels.teams.parse import Unreadable, parse, told_service
from stepfold.channels.teams.places import Places, Post, Spoken
from stepfold.channels.teams.say import plain
from stepfold.channels.teams.trust import KeysAway, Trust, Untrusted, same_service
from stepfold.events.envelope import first
from stepfold.events.event import ConversationStarted
from stepfold.events.names import NameRefused, token
from stepfold.handlers.approvals import ApprovalRefused, Approvals
from stepfold.handlers.inbox import InboxRefused, Message
from stepfold.handlers.states import Known, advance
from stepfold.streams.log import Log, LogConflict, LogError
from stepfold.streams.memory import utc_now

PATH = "/channels/teams/messages"
BODY_BYTES_MAX = 512 * 1024
NAME_CHARS_MAX = 100
NOT_SO = "This cannot be decided any more, or it is not the call that waits."

Receive = Callable[[Message], Awaitable[object]]
"""Records what a contact says (`Inbox.receive`). InboxRefused, LogError."""
Begin = Callable[[str, str], Awaitable[object]]
"""Begins a conversation (customer, name) in which nothing is said yet; the same again is the same
one. LogError.
"""
log = logging.getLogger("stepfold.teams")


class Door(Struct, frozen=True):
    """What the route needs of the world."""

    config: TeamsConfig
    trust: Trust
    places: Places
    attachments: Attachments
    connector: Connector
    receive: Receive
    begin: Begin
    approvals: Approvals
    log: Log


def routes(door: Door, path: str = PATH) -> list[Route]:
    async def messages(request: Request) -> Response:
        return await _answer(request, door)

    return [Route(path, messages, methods=["POST"])]


def beginning(record: Log, agent: str, digest: str) -> Begin:
    """Begins conversations with this version of an agent."""

    async def begin(customer: str, conversation: str) -> None:
        started = ConversationStarted(agent, digest, channel=DELIVER)
        draft = first(customer, conversation, started, by=DELIVER, key="start")
        try:
            await record.append([draft], after=0)
        except LogConflict:
            return

    return begin


# -- one request --------------------------------------------------------------------------------


async def _answer(request: Request, door: Door) -> Response:
    try:
        service = await door.trust.service_url(request.headers.get("authorization", ""))
        raw = await _body(request)
        if raw is None:
            return _told(413, "too large")
        if not same_service(service, told_service(raw)):
            raise Untrusted
        return await _arrived(raw, door)
    except Untrusted:
        return _refusal()
    except Unreadable as error:
        return _told(400, f"no activity: {error}")
    except (KeysAway, LogError) as error:
        log.warning("Teams is told to come again: %s", error)
        return _told(503, "not now")


async def _body(request: Request) -> bytes | None:
    """None for one that is too large."""
    raw = bytearray()
    async for part in request.stream():
        raw += part
        if len(raw) > BODY_BYTES_MAX:
            return None
    return bytes(raw)


async def _arrived(raw: bytes, door: Door) -> Response:
    arrived = parse(raw)
    if isinstance(arrived, Ignored):
        log.debug("ignored: %s", arrived.why)
        return Response(status_code=arrived.status)
    customer = door.config.customers.get(arrived.tenant)
    if customer is None:
        log.warning("tenant %s is no customer: add it below [customers]", arrived.tenant[:64])
        return Response(status_code=403 if isinstance(arrived, Decided) else 200)
    match arrived:
        case Said():
            return await _said(arrived, customer, door)
        case Installed():
            await door.places.settle(customer, arrived.conversation, arrived.where)
            await door.begin(customer, arrived.conversation)
            return Response(status_code=200)
        case Decided():
            return await _decided(arrived, customer, door)


async def _said(said: Said, customer: str, door: Door) -> Response:
    await door.places.settle(customer, said.conversation, said.where)
    anew = said.text.casefold() == door.config.anew.casefold() and not said.files
    if said.where.personal:
        key, spoken = (customer, said.conversation), Spoken(said.id, utc_now(), anew)
        name = await door.places.hear(key, spoken, door.config.rest_s)
        said = replace(said, conversation=name)
        await door.places.settle(customer, name, said.where)
        if anew:
            await door.begin(customer, name)
            return Response(status_code=200)
    files, missing = await door.attachments.fetch(said.files)
    notes = (door.config.texts.unfetched.replace("{name}", name) for name in missing)
    message = Message(
        customer,
        said.conversation,
        "\n".join(part for part in (said.text, *notes) if part),
        said.id,
        contact=said.person.id,
        channel=DELIVER,
        files=files,
        language=said.language,
    )
    try:
        await door.receive(message)
    except InboxRefused as error:
        log.warning("a message is not taken: %s", error)
        if not await _is_closed(said, customer, door):
            return _told(503, "not now")
        closed = BackgroundTask(_tell_closed, said, customer, door)
        return Response(status_code=200, background=closed)
    return Response(status_code=200)


async def _is_closed(said: Said, customer: str, door: Door) -> bool:
    """Else it is only too busy."""
    state = advance(Known(), await door.log.read(customer, said.conversation)).state
    return bool(state.stopped or state.origin)


async def _tell_closed(said: Said, customer: str, door: Door) -> None:
    """After the answer to Teams, and once: it is no step of the log."""
    claim = Post(uuid.uuid4().hex, utc_now(), held=True)
    key, name = (customer, said.conversation), f"closed.{said.id}"
    try:
        if (await door.places.claim(key, name, claim, float("inf"))).by == claim.by:
            await door.connector.post(said.where, plain(door.config.texts.closed))
    except (ConnectorError, LogError) as error:
        log.warning("a contact is not told that the conversation is closed: %s", error)


# -- approvals ----------------------------------------------------------------------------------


async def _decided(decided: Decided, customer: str, door: Door) -> Response:
    """The card's new face, or why it stays as it is."""
    if not door.config.may_approve(customer, decided.person.id):
        return _say(decided, "You are not among those who may decide this.")
    try:
        key = customer, token("conversation", decided.about)
    except NameRefused:
        return _say(decided, NOT_SO)
    try:
        await _decide(decided, key, door.approvals)
        told = "Noted. More people must agree."
    except ApprovalRefused as error:
        log.info("a decision is not taken: %s", error)
        told = NOT_SO
    entries = await door.log.read(*key)
    request = requested(decided.call, entries)
    if request is None or request.digest != decided.digest:
        return _say(decided, NOT_SO)
    card = outcome_card(decided.call, entries)
    return _show(decided, card) if card else _say(decided, told)


async def _decide(decided: Decided, key: tuple[str, str], approvals: Approvals) -> None:
    """A person is its object id: names change, and two may have the same. ApprovalRefused."""
    call, digest, person = decided.call, decided.digest, decided.person.id
    name = " ".join(decided.person.name.split())[:NAME_CHARS_MAX]
    if decided.answer == "approve":
        await approvals.grant(key, call, digest=digest, person=person, comment=name)
    else:
        await approvals.deny(key, call, digest=digest, person=person, reason=name)


# -- answers ------------------------------------------------------------------------------------


def _show(decided: Decided, card: AdaptiveCard) -> Response:
    """In the place of the card that was pressed. Where the card does not wait for it, the lane that
    delivers replaces it.
    """
    return _pressed(decided, AdaptiveCardActionCardResponse(value=card))


def _say(decided: Decided, words: str) -> Response:
    return _pressed(decided, AdaptiveCardActionMessageResponse(value=words))


def _pressed(
    decided: Decided, answer: AdaptiveCardActionCardResponse | AdaptiveCardActionMessageResponse
) -> Response:
    if not decided.invoked:
        return Response(status_code=200)
    body: Any = answer.model_dump(mode="json", by_alias=True, exclude_none=True)
    return JSONResponse(body)


def _refusal() -> Response:
    return JSONResponse({"error": "unauthorized"}, status_code=401)


def _told(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status_code=status)
