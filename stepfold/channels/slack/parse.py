"""A request of Slack, as what happened. Pure: the clock is an argument.

A repeat is not looked for here: what a message is called derives from where it stands in Slack, so
that the same message, however often and by whichever event it is told, is one in the log.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import msgspec
from slack_sdk.signature import Clock, SignatureVerifier

from stepfold.channels.slack.happened import (
    APPROVE,
    DENY,
    Challenge,
    File,
    Happened,
    Ignored,
    Mark,
    Pressed,
    Refused,
    Said,
)
from stepfold.channels.slack.names import Thread, is_place, is_team, is_ts, is_user

BODY_BYTES_MAX = 1_000_000
FILES_MAX, FIELDS_MAX = 10, 10

_TIMESTAMP = re.compile(r"\d{1,12}")
_SIGNATURE = re.compile(r"v0=[0-9a-f]{64}")
_LINK = re.compile(r"<([^<>|]+)(?:\|([^<>]*))?>")
_HEARD = frozenset({"", "file_share", "thread_broadcast", "me_message"})
"""Subtypes of messages in which a person says something."""
_UNHEARD = {"message_changed": "an edit", "message_deleted": "a deletion"}


class _At(Clock):
    def __init__(self, now_s: float) -> None:
        self._now_s = now_s

    def now(self) -> float:
        return self._now_s


def events(body: bytes, headers: Mapping[str, str], *, secret: str, now_s: float) -> Happened:
    """What a request to the events URL tells."""
    told = _verified(body, headers, secret, now_s)
    if isinstance(told, Refused):
        return told
    payload = _read(told)
    if payload is None:
        return Refused(400, "the body is no JSON object")
    if payload.get("type") == "url_verification":
        return Challenge(_text(payload, "challenge"))
    if payload.get("type") != "event_callback":
        return Ignored(f"a request of type {payload.get('type')!r}")
    return _event(payload)


def interactive(body: bytes, headers: Mapping[str, str], *, secret: str, now_s: float) -> Happened:
    """What a request to the interactivity URL tells."""
    told = _verified(body, headers, secret, now_s)
    if isinstance(told, Refused):
        return told
    try:
        fields = parse_qs(told, max_num_fields=FIELDS_MAX)
    except ValueError:
        fields = {}
    payload = _read(fields.get("payload", [""])[0])
    if payload is None:
        return Refused(400, "the body has no payload")
    if payload.get("type") != "block_actions":
        return Ignored(f"an interaction of type {payload.get('type')!r}")
    return _pressed(payload)


def _verified(body: bytes, headers: Mapping[str, str], secret: str, now_s: float) -> str | Refused:
    """The body as text, once it is certain that Slack sent it within the last five minutes."""
    given = {name.lower(): value for name, value in headers.items()}
    stamp = given.get("x-slack-request-timestamp", "")
    signature = given.get("x-slack-signature", "")
    if len(body) > BODY_BYTES_MAX:
        return Refused(413, f"a body of more than {BODY_BYTES_MAX:,} bytes")
    if not _TIMESTAMP.fullmatch(stamp) or not _SIGNATURE.fullmatch(signature):
        return Refused(401, "the request is not signed by Slack")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return Refused(400, "the body is not UTF-8")
    verifier = SignatureVerifier(secret, _At(now_s))
    if not verifier.is_valid(text, stamp, signature):
        return Refused(401, "the signature is not Slack's, or older than five minutes")
    return text


def _read(text: str) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return None


# -- messages -----------------------------------------------------------------------------------


def _event(payload: dict[str, Any]) -> Happened:
    event = payload.get("event")
    if not isinstance(event, dict) or event.get("type") not in ("message", "app_mention"):
        kind = event.get("type") if isinstance(event, dict) else None
        return Ignored(f"an event of type {kind!r}")
    why = _why_not(payload, event, _bot(payload))
    return Ignored(why) if why else _said(event, _text(payload, "team_id"), payload)


def reply(message: Mapping[str, Any], to: Said) -> Said | Ignored:
    """A message as Slack lists it in the thread of another one."""
    event = {**message, "type": "message", "channel": to.thread.channel, "thread_ts": to.thread.ts}
    bot = {"is_bot": True, "user_id": to.bot}
    payload = {"team_id": to.thread.team, "authorizations": [bot]}
    why = _why_not(payload, event, to.bot)
    return Ignored(why) if why else _said(event, to.thread.team, payload)


def _said(event: Mapping[str, Any], team: str, payload: Mapping[str, Any]) -> Said | Ignored:
    bot, channel = _bot(payload), _text(event, "channel")
    ts, user = _text(event, "ts"), _text(event, "user")
    root = _text(event, "thread_ts") or ts
    if not (is_team(team) and is_place(channel) and is_user(user) and is_ts(ts) and is_ts(root)):
        return Ignored("a message without its workspace, channel, user or time stamp")
    thread = Thread(team, channel, root)
    files = _files(event)
    text = plain(_text(event, "text"), bot)
    if not text and not files:
        return Ignored("a message in which nothing is said")
    mentioned = event["type"] == "app_mention" or f"<@{bot}>" in _text(event, "text")
    return Said(
        thread,
        f"{team}:{channel}:{ts}",
        user,
        text,
        files,
        addressed=thread.direct or mentioned,
        home=_home(event, payload),
        bot=bot,
    )


def _home(event: Mapping[str, Any], payload: Mapping[str, Any]) -> str:
    """The contact's workspace where it is another one; empty for one of ours, which all are where
    the channel is shared with nobody.
    """
    home = _text(event, "user_team") or _text(event, "team")
    ours = {_text(payload, "team_id"), _text(payload, "enterprise_id")}
    return "" if home in ours or payload.get("is_ext_shared_channel") is False else home


def _why_not(payload: Mapping[str, Any], event: Mapping[str, Any], bot: str) -> str:
    """Why nobody hears this message; empty when it is heard."""
    subtype = _text(event, "subtype")
    if subtype not in _HEARD:
        return _UNHEARD.get(subtype, f"a message of subtype {subtype!r}")
    own = event.get("app_id") == payload.get("api_app_id") and event.get("app_id")
    if own or event.get("bot_id") or event.get("user") == bot:
        return "a bot's message"
    if event.get("hidden"):
        return "a hidden message"
    return ""


def _bot(payload: Mapping[str, Any]) -> str:
    """The user that we are in this workspace; a name that nobody has where it is not told."""
    authorizations = payload.get("authorizations")
    for each in authorizations if isinstance(authorizations, list) else ():
        if isinstance(each, dict) and each.get("is_bot") and is_user(_text(each, "user_id")):
            return _text(each, "user_id")
    return "U"


def _files(event: Mapping[str, Any]) -> tuple[File, ...]:
    found = event.get("files")
    named = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    return tuple(file_of(each) for each in named[:FILES_MAX] if _text(each, "id"))


def file_of(told: Mapping[str, Any]) -> File:
    """A file object of Slack's."""
    size = told.get("size")
    return File(
        _text(told, "id"),
        _text(told, "name") or _text(told, "title"),
        _text(told, "mimetype") or "application/octet-stream",
        _text(told, "url_private_download") or _text(told, "url_private"),
        size if isinstance(size, int) else 0,
    )


def plain(text: str, bot: str) -> str:
    """What a person meant: Slack's own marks as words, the mention of the agent left out."""

    def said(mark: re.Match[str]) -> str:
        what, label = mark[1], mark[2] or ""
        if what == f"@{bot}":
            return ""
        if what.startswith("!"):
            return label or "@" + what[1:].partition("^")[0]
        if what.startswith(("@", "#")):
            return what[0] + (label or what[1:])
        return f"{label} ({what})" if label and label != what else what

    return html.unescape(_LINK.sub(said, text)).strip()


# -- buttons ------------------------------------------------------------------------------------


def _pressed(payload: dict[str, Any]) -> Happened:
    actions = payload.get("actions")
    action = actions[0] if isinstance(actions, list) and actions else None
    if not isinstance(action, dict) or action.get("action_id") not in (APPROVE, DENY):
        return Ignored("a button that is not ours")
    try:
        mark = msgspec.json.decode(_text(action, "value"), type=Mark)
    except msgspec.DecodeError:
        return Refused(400, "a button without its call")
    person = _inner(payload, "user")
    team = _inner(payload, "team") or _inner(
        payload, "user", "team_id"
    )  # where the app is an org's
    channel = _inner(payload, "channel")
    if not (is_team(team) and is_user(person)):
        return Refused(400, "nobody says who pressed the button")
    return Pressed(
        team,
        person,
        channel,
        mark.conversation,
        mark.call,
        mark.digest,
        action["action_id"] == APPROVE,
    )


def _inner(payload: dict[str, Any], key: str, inner: str = "id") -> str:
    found = payload.get(key)
    return _text(found, inner) if isinstance(found, dict) else ""


def _text(told: Mapping[str, Any], key: str) -> str:
    found = told.get(key)
    return found if isinstance(found, str) else ""
