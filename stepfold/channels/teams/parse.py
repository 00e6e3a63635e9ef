"""What an activity of Microsoft Teams says. Pure: it knows no clock, no network and no log.

Unreadable    it is no activity at all
"""

from __future__ import annotations

import hashlib
import re
from mimetypes import guess_type
from typing import Any, Literal

import msgspec
from microsoft_teams.api.activities.conversation import ConversationUpdateActivity
from microsoft_teams.api.activities.invoke.adaptive_card import AdaptiveCardInvokeActivity
from microsoft_teams.api.activities.message import MessageActivity
from microsoft_teams.api.activities.utils import StripMentionsTextOptions
from microsoft_teams.api.models import Account, ActivityBase, Attachment
from msgspec import Struct
from pydantic import ValidationError

from stepfold.channels.teams.arrived import (
    Answer,
    Arrived,
    Attached,
    Decided,
    Heard,
    Ignored,
    Installed,
    Person,
    Said,
)
from stepfold.channels.teams.places import Where

PREFIX = "teams-"
"""How the names of conversations in Teams begin."""
DOWNLOAD = "application/vnd.microsoft.teams.file.download.info"
OF_BOTS = "28:"
FILES_MAX = 10
FILE_NAME_CHARS_MAX = 200
_LOCALE = re.compile(r"([A-Za-z]{2,3})(-[A-Za-z]{4})?(-(?:[A-Za-z]{2}|\d{3}))?")


class Unreadable(Exception):
    """It is no activity; says which key is wrong, and nothing of its value."""


class _Peek(Struct, frozen=True):
    type: str
    name: str = ""
    serviceUrl: str = ""


class _Press(Struct, frozen=True):
    """What a button of ours says."""

    kind: Literal["stepfold.approval"]
    about: str
    call: str
    digest: str
    answer: Answer


def told_service(raw: bytes) -> str:
    """The serviceUrl that an activity names. Unreadable."""
    return _peek(raw).serviceUrl


def parse(raw: bytes) -> Arrived:
    """Unreadable."""
    peek, raw = _peek(raw), _without_nulls(raw)
    try:
        match peek.type:
            case "message":
                return _message(MessageActivity.model_validate_json(raw))
            case "invoke" if peek.name == "adaptiveCard/action":
                return _invoke(AdaptiveCardInvokeActivity.model_validate_json(raw))
            case "invoke":
                return Ignored(f"an invoke of another kind: {peek.name[:80]!r}", 501)
            case "conversationUpdate":
                return _update(ConversationUpdateActivity.model_validate_json(raw))
            case other:
                return Ignored(f"an activity of another kind: {other[:80]!r}")
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, each["loc"])) for each in error.errors())
        raise Unreadable(f"wrong: {wrong[:500]}") from None


def _peek(raw: bytes) -> _Peek:
    try:
        return msgspec.json.decode(raw, type=_Peek)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Unreadable("it is no JSON of an activity") from None


def _without_nulls(raw: bytes) -> bytes:
    """What is told as null is not told: the SDK knows no null where a key may be left out."""
    told = msgspec.json.decode(raw, type=dict[str, Any])
    return msgspec.json.encode({key: value for key, value in told.items() if value is not None})


def conversation_name(tenant: str, place: str) -> str:
    """The name of a conversation: of its tenant and Teams' own id, which in a channel holds the
    first message of the thread.
    """
    made = hashlib.sha256(f"{tenant}\n{place}".encode()).hexdigest()
    return f"{PREFIX}{made[:40]}"


# -- kinds --------------------------------------------------------------------------------------


def _message(activity: MessageActivity) -> Arrived:
    heard = _heard(activity)
    if isinstance(heard, Ignored):
        return heard
    press = _press(activity.value)
    if press is not None:
        return _decided(heard, activity.from_, press, invoked=False)
    if not heard.where.personal and not activity.is_recipient_mentioned():
        return Ignored("a word to somebody else: the bot is not mentioned")
    files = tuple(_files(activity.attachments or [], heard.where.service_url))
    text = _text(activity)
    if not text and not files:
        return Ignored("nothing is said")
    return Said(
        *_fields(heard),
        person=_person(activity.from_),
        text=text,
        language=_language(activity.locale),
        files=files,
    )


def _invoke(activity: AdaptiveCardInvokeActivity) -> Arrived:
    heard = _heard(activity)
    if isinstance(heard, Ignored):
        return heard
    press = _press(activity.value.action.data)
    if press is None:
        return Ignored("a button of somebody else's card", 501)
    return _decided(heard, activity.from_, press, invoked=True)


def _update(activity: ConversationUpdateActivity) -> Arrived:
    added = {account.id for account in activity.members_added or []}
    if activity.recipient.id not in added:
        return Ignored("somebody else came or went")
    heard = _heard(activity, own=True)
    return heard if isinstance(heard, Ignored) else Installed(*_fields(heard))


def _decided(heard: Heard, account: Account, press: _Press, *, invoked: bool) -> Decided:
    return Decided(
        *_fields(heard),
        person=_person(account),
        about=press.about,
        call=press.call,
        digest=press.digest,
        answer=press.answer,
        invoked=invoked,
    )


# -- parts --------------------------------------------------------------------------------------


def _fields(heard: Heard) -> tuple[str, str, str, Where]:
    return heard.tenant, heard.conversation, heard.id, heard.where


def _heard(activity: ActivityBase, *, own: bool = False) -> Heard | Ignored:
    """`own`: it may come from the bot itself."""
    place = activity.conversation
    if activity.channel_id != "msteams":
        return Ignored("it is of another channel than Teams")
    if not own and _is_bot(activity.from_, activity.recipient):
        return Ignored("the bot's own word, or another bot's")
    tenant = _tenant(activity)
    if not tenant or not activity.service_url:
        return Ignored("it names no tenant, or two, or no service")
    root = _root(activity)
    where = Where(
        service_url=activity.service_url.rstrip("/"),
        conversation=root,
        personal=(place.conversation_type or "personal") == "personal" and not place.is_group,
        bot=activity.recipient.id,
    )
    return Heard(tenant, conversation_name(tenant, root), activity.id, where)


def _is_bot(who: Account, bot: Account) -> bool:
    return who.id == bot.id or who.id.startswith(OF_BOTS) or who.role in ("bot", "skill")


def _tenant(activity: ActivityBase) -> str:
    """Empty where none is told, or two that differ."""
    told = {activity.conversation.tenant_id}
    if activity.channel_data is not None and activity.channel_data.tenant is not None:
        told.add(activity.channel_data.tenant.id)
    named = {each.lower() for each in told if each}
    return named.pop() if len(named) == 1 else ""


def _root(activity: ActivityBase) -> str:
    """Teams' id of the conversation; in a channel with the message that began the thread."""
    place = activity.conversation
    if place.conversation_type != "channel" or ";messageid=" in place.id:
        return place.id
    if not isinstance(activity, MessageActivity):
        return place.id
    return f"{place.id};messageid={activity.reply_to_id or activity.id}"


def _person(account: Account) -> Person:
    return Person((account.aad_object_id or account.id).lower(), account.name or "")


def _text(activity: MessageActivity) -> str:
    """Without the bot's name; other people's names stay."""
    bot = StripMentionsTextOptions(account_id=activity.recipient.id)
    stripped = activity.strip_mentions_text(bot)
    named = stripped.strip_mentions_text(StripMentionsTextOptions(tag_only=True))
    return named.text.replace("&nbsp;", " ").replace("\xa0", " ").strip()


def _language(locale: str | None) -> str:
    """A BCP 47 tag, spelled as it recommends; empty for what is none."""
    found = _LOCALE.fullmatch(locale or "")
    if found is None:
        return ""
    language, script, region = found.groups()
    return language.lower() + (script or "").title() + (region or "").upper()


def _press(value: Any) -> _Press | None:
    """None for a button that is not ours."""
    try:
        return msgspec.convert(value, _Press)
    except msgspec.ValidationError:
        return None


def _files(attachments: list[Attachment], service_url: str) -> list[Attached]:
    found = [_attached(each, service_url) for each in attachments]
    return [each for each in found if each is not None][:FILES_MAX]


def _attached(told: Attachment, service_url: str) -> Attached | None:
    """None for what is no file: the HTML of the message itself, cards, quotes."""
    kind, name = told.content_type or "", (told.name or "")[:FILE_NAME_CHARS_MAX]
    if kind == DOWNLOAD:
        content = told.content if isinstance(told.content, dict) else {}
        media = guess_type(name)[0] or guess_type(f"x.{content.get('fileType', '')}")[0]
        url = str(content.get("downloadUrl") or "")
        return Attached(name, media or "application/octet-stream", url) if url else None
    url = told.content_url or ""
    if not kind.startswith("image/") or not url:
        return None
    media = "image/png" if kind == "image/*" else kind
    return Attached(name or "image", media, url, ours=url.startswith(f"{service_url}/"))
