"""A request of Slack, as what happened."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepfold.channels.slack.happened import (
    Challenge,
    File,
    Happened,
    Ignored,
    Pressed,
    Refused,
    Said,
)
from stepfold.channels.slack.names import Thread, thread_of
from stepfold.channels.slack.parse import BODY_BYTES_MAX, events, interactive, plain
from stepfold.events.names import token
from tests.channels.slack_fake import BOT
from tests.channels.slack_office import ADA, BOB, CHANNEL, DIRECT, SECRET, TEAM, message, signed

NOW_S = 1_800_000_000.0
KEYS = ("type", "event", "team_id", "channel", "user", "ts", "thread_ts", "text", "files", "id")
MORE = ("actions", "action_id", "value", "team", "authorizations", "payload", "url_private")
TS, LATER = "1800000000.000100", "1800000001.000200"


def told(payload: Any, **headers: str) -> Happened:
    body = json.dumps(payload).encode()
    return events(body, {**signed(body, NOW_S), **headers}, secret=SECRET, now_s=NOW_S)


def press(payload: Any) -> Happened:
    body = urlencode({"payload": json.dumps(payload)}).encode()
    return interactive(body, signed(body, NOW_S), secret=SECRET, now_s=NOW_S)


# -- who asks -----------------------------------------------------------------------------------


def test_the_url_is_ours() -> None:
    assert told({"type": "url_verification", "challenge": "3eZbrw"}) == Challenge("3eZbrw")


@pytest.mark.parametrize("age_s", [301, -301, 86_400])
def test_a_request_older_than_five_minutes_is_refused_though_well_signed(age_s: int) -> None:
    body = json.dumps(message(TS, "hello")).encode()
    found = events(body, signed(body, NOW_S - age_s), secret=SECRET, now_s=NOW_S)

    assert isinstance(found, Refused)
    assert found.status == 401


def test_a_request_of_another_secret_or_another_body_is_refused() -> None:
    body = json.dumps(message(TS, "hello")).encode()
    others = signed(body, NOW_S, secret="not the secret")
    ours = signed(body, NOW_S)

    for sent, headers in ((body, others), (body + b" ", ours)):
        found = events(sent, headers, secret=SECRET, now_s=NOW_S)
        assert isinstance(found, Refused)
        assert found.status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Slack-Signature": "v0="},
        {"X-Slack-Signature": "v0=" + "ü" * 64},
        {"X-Slack-Signature": "v0=" + "0" * 64},
        {"X-Slack-Request-Timestamp": "soon"},
        {"X-Slack-Request-Timestamp": "-1800000000"},
        {"X-Slack-Request-Timestamp": "9" * 400},
    ],
)
def test_a_request_without_a_signature_is_refused(headers: dict[str, str]) -> None:
    body = json.dumps(message(TS, "hello")).encode()
    given = {**signed(body, NOW_S), **headers} if headers else {}

    assert isinstance(events(body, given, secret=SECRET, now_s=NOW_S), Refused)
    assert isinstance(interactive(body, given, secret=SECRET, now_s=NOW_S), Refused)


def test_a_body_that_is_too_large_or_no_text_is_refused() -> None:
    for body in (b"x" * (BODY_BYTES_MAX + 1), b"\xff\xfe", b"[]", b"not json"):
        found = events(body, signed(body, NOW_S), secret=SECRET, now_s=NOW_S)
        assert isinstance(found, Refused)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from((*KEYS, *MORE)),
                inner,
                max_size=6,
            )
        ),
        max_leaves=20,
    )
)
def test_whatever_is_signed_is_read_without_an_error(payload: Any) -> None:
    told(payload)
    told({"type": "event_callback", "event": payload})
    told({**message(TS, "x"), "event": {**message(TS, "x")["event"], "files": payload}})
    press(payload)
    press({"type": "block_actions", "actions": payload, "team": payload, "user": payload})


# -- messages -----------------------------------------------------------------------------------


def test_a_direct_message_begins_a_thread() -> None:
    assert told(message(TS, "hello")) == Said(
        Thread(TEAM, DIRECT, TS), f"{TEAM}:{DIRECT}:{TS}", ADA, "hello", bot=BOT
    )


def test_a_reply_is_said_in_its_thread() -> None:
    found = told(message(LATER, "and now?", thread_ts=TS))

    assert isinstance(found, Said)
    assert found.thread == Thread(TEAM, DIRECT, TS)
    assert found.message == f"{TEAM}:{DIRECT}:{LATER}"


def test_a_mention_in_a_channel_is_addressed_and_a_reply_there_is_not() -> None:
    mention = told(message(TS, f"<@{BOT}> hi", channel=CHANNEL, kind="app_mention"))
    same = told(message(TS, f"<@{BOT}> hi", channel=CHANNEL, event_id="Ev2"))
    reply = told(message(LATER, "thanks", channel=CHANNEL, thread_ts=TS))

    assert (
        mention
        == same
        == Said(Thread(TEAM, CHANNEL, TS), f"{TEAM}:{CHANNEL}:{TS}", ADA, "hi", bot=BOT)
    )
    assert isinstance(reply, Said)
    assert not reply.addressed


@pytest.mark.parametrize(
    "more",
    [
        {"subtype": "message_changed"},
        {"subtype": "message_deleted"},
        {"subtype": "channel_join"},
        {"bot_id": "B0OTHER"},
        {"app_id": "A0APP"},
        {"user": BOT},
        {"hidden": True},
        {"channel": "*"},
        {"ts": "soon"},
        {"text": ""},
        {"text": f"<@{BOT}>"},
    ],
    ids=str,
)
def test_edits_deletions_bots_and_nothing_said_are_ignored(more: dict[str, Any]) -> None:
    payload = message(TS, "hello")
    payload["event"].update(more)

    found = told(payload)

    assert isinstance(found, Ignored)
    assert found.reason


def test_files_are_told_as_references() -> None:
    file = {"id": "F1", "name": "a.png", "mimetype": "image/png", "size": 12}
    found = told(
        message(TS, "", subtype="file_share", files=[{**file, "url_private": "https://f/a.png"}])
    )

    assert isinstance(found, Said)
    assert found.files == (File("F1", "a.png", "image/png", "https://f/a.png", 12),)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("a &lt;b&gt; &amp; c", "a <b> & c"),
        (f"<@{BOT}> is <@U1|ada> or <@U2> here?", "is @ada or @U2 here?"),
        (
            "see <https://a.example/x?y=1&amp;z=2|the page>",
            "see the page (https://a.example/x?y=1&z=2)",
        ),
        ("<https://a.example>", "https://a.example"),
        ("<!here> in <#C1|general>", "@here in #general"),
        ("<!subteam^S1|@desk> 1 < 2", "@desk 1 < 2"),
    ],
)
def test_slacks_marks_become_words(text: str, meant: str) -> None:
    assert plain(text, BOT) == meant


def test_a_thread_and_its_conversation_are_told_from_each_other() -> None:
    thread = Thread(TEAM, CHANNEL, TS)

    assert token("conversation", thread.conversation)
    assert thread_of(thread.conversation) == thread
    assert thread_of("slack:T1:C1:*") is None
    assert thread_of("c1") is None


# -- buttons ------------------------------------------------------------------------------------


def button(**more: Any) -> dict[str, Any]:
    value = json.dumps({"conversation": "c1", "call": "r1.1", "digest": "sha256:0"})
    return {
        "type": "block_actions",
        "team": {"id": TEAM},
        "user": {"id": BOB},
        "channel": {"id": CHANNEL},
        "actions": [{"action_id": "stepfold_deny", "value": value}],
        **more,
    }


def test_a_button_names_the_call_and_its_digest() -> None:
    assert press(button()) == Pressed(TEAM, BOB, CHANNEL, "c1", "r1.1", "sha256:0", approve=False)


def test_other_buttons_are_ignored_and_broken_ones_refused() -> None:
    assert isinstance(press(button(actions=[{"action_id": "open"}])), Ignored)
    assert isinstance(press(button(type="view_submission")), Ignored)
    broken = [{"action_id": "stepfold_approve", "value": "{}"}]
    assert isinstance(press(button(actions=broken)), Refused)
    assert isinstance(press(button(user={})), Refused)


@pytest.mark.parametrize(
    ("more", "outside", "home"),
    [
        ({}, {}, ""),
        ({"team": TEAM}, {"is_ext_shared_channel": True}, ""),
        ({"user_team": "T0OTHER", "team": TEAM}, {"is_ext_shared_channel": True}, "T0OTHER"),
        ({"team": "T0OTHER"}, {}, "T0OTHER"),
        ({"team": "T0SISTER"}, {"is_ext_shared_channel": False}, ""),
        ({"team": "E0ORG"}, {"is_ext_shared_channel": True, "enterprise_id": "E0ORG"}, ""),
    ],
)
def test_who_is_of_another_organisation_is_known(
    more: dict[str, Any], outside: dict[str, Any], home: str
) -> None:
    mention = message(TS, f"<@{BOT}> hi", channel=CHANNEL, kind="app_mention", **more)

    said = told({**mention, **outside})

    assert isinstance(said, Said)
    assert said.home == home


def test_a_button_of_an_app_of_a_whole_organisation_names_its_workspace_by_the_user() -> None:
    mark = json.dumps({"conversation": "c", "call": "r1.1", "digest": "sha256:1"})
    payload = {
        "type": "block_actions",
        "team": None,
        "enterprise": {"id": "E0ORG"},
        "user": {"id": BOB, "team_id": TEAM},
        "channel": {"id": CHANNEL},
        "actions": [{"action_id": "stepfold_approve", "value": mark}],
    }

    assert press(payload) == Pressed(TEAM, BOB, CHANNEL, "c", "r1.1", "sha256:1", approve=True)
