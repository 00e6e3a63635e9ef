"""What an activity says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stepfold.channels.teams.arrived import Arrived, Decided, Ignored, Installed, Person, Said
from stepfold.channels.teams.parse import Unreadable, parse
from tests.channels.teams_fake import ADA, BOT, CHAT, TENANT, FakeTeams

FAKE = FakeTeams(9)
GROUP = {"id": "19:x@thread.v2", "conversationType": "groupChat", "isGroup": True}
THREAD = {"id": "19:x@thread.tacv2", "conversationType": "channel", "isGroup": True}


def heard(activity: dict[str, Any]) -> Arrived:
    return parse(msgspec.json.encode(activity))


def said(activity: dict[str, Any]) -> Said:
    found = heard(activity)
    assert isinstance(found, Said), found
    return found


def mention(name: str, id: str) -> dict[str, Any]:
    text = f"<at>{name}</at>"
    return {"type": "mention", "text": text, "mentioned": {"id": id, "name": name}}


def placed(conversation: dict[str, Any], text: str, **fields: Any) -> dict[str, Any]:
    told = {**conversation, "tenantId": TENANT}
    return FAKE.says(text, conversation=told, entities=[mention("Desk", BOT)], **fields)


def test_a_message_names_its_person_place_and_language() -> None:
    found = said(FAKE.says(" Hello ", locale="zh-hant-tw"))

    assert (found.text, found.language) == ("Hello", "zh-Hant-TW")
    assert found.person == Person(ADA, "Ada")
    assert (found.where.conversation, found.where.personal, found.where.bot) == (CHAT, True, BOT)
    assert found.where.service_url == FAKE.service_url.rstrip("/")
    assert found.conversation.startswith("teams-")


@pytest.mark.parametrize("locale", ["", "x", "<script>", "en-US-x-private", "e n"])
def test_what_is_no_language_is_none(locale: str) -> None:
    assert said(FAKE.says("Hi", locale=locale)).language == ""


def test_the_bots_name_is_taken_out_and_other_names_stay() -> None:
    text = "<at>Desk</at>&nbsp;ask <at>Bob</at> please"
    told = placed(GROUP, text)
    told["entities"].append(mention("Bob", "29:bob"))

    assert said(told).text == "ask Bob please"


def test_a_group_is_heard_only_where_the_bot_is_named() -> None:
    assert said(placed(GROUP, "<at>Desk</at> hi")).where.personal is False
    assert isinstance(heard({**placed(GROUP, "hi"), "entities": []}), Ignored)


def test_a_thread_is_a_conversation_of_its_own() -> None:
    one, two = ({**THREAD, "id": f"{THREAD['id']};messageid={n}"} for n in (1, 2))
    first, again, other = (said(placed(each, "hi")) for each in (one, one, two))
    begun = said(placed(THREAD, "hi", id="1"))
    reply = said(placed(THREAD, "hi", replyToId="1"))

    assert first.conversation == again.conversation != other.conversation
    assert begun.conversation == reply.conversation == first.conversation


def test_the_same_place_of_another_tenant_is_another_conversation() -> None:
    other = {"id": CHAT, "conversationType": "personal", "tenantId": "f" * 8}
    strange = FAKE.says("hi", conversation=other, channelData={})

    assert said(FAKE.says("hi")).conversation != said(strange).conversation


@pytest.mark.parametrize(
    "told",
    [
        {"from": {"id": BOT}},
        {"from": {"id": "28:another-bot"}},
        {"from": {"id": "29:x", "role": "bot"}},
        {"type": "messageReaction"},
        {"type": "messageUpdate"},
        {"type": "typing"},
        {"text": "  "},
        {"channelId": "webchat"},
        {"conversation": {"id": CHAT}, "channelData": {}},
        {"channelData": {"tenant": {"id": "another"}}},
        {"type": "conversationUpdate", "membersAdded": [{"id": "29:ada"}]},
        {"type": "conversationUpdate", "membersRemoved": [{"id": BOT}]},
    ],
    ids=str,
)
def test_what_is_not_for_the_bot_is_ignored(told: dict[str, Any]) -> None:
    found = heard({**FAKE.says("hi"), **told})

    assert isinstance(found, Ignored)
    assert found.status == 200


def test_the_bot_is_told_that_it_came() -> None:
    found = heard(FAKE.activity("conversationUpdate", membersAdded=[{"id": BOT}]))

    assert isinstance(found, Installed)
    assert found.conversation == said(FAKE.says("hi")).conversation


@pytest.mark.parametrize("kind", ["Action.Execute", "Action.Submit"])
def test_a_button_says_which_call_it_means(kind: str) -> None:
    data = {"kind": "stepfold.approval", "about": "c1", "call": "r1.1", "digest": "d"}
    pressed = {"action": {"type": kind, "data": {**data, "answer": "deny"}}}
    found = heard(FAKE.activity("invoke", name="adaptiveCard/action", value=pressed))

    assert isinstance(found, Decided)
    assert (found.about, found.call, found.digest, found.answer) == ("c1", "r1.1", "d", "deny")
    assert found.invoked


def test_an_older_client_sends_the_button_as_a_message() -> None:
    data = {"kind": "stepfold.approval", "about": "c1", "call": "r1.1", "digest": "d"}
    found = heard({**FAKE.says(""), "value": {**data, "answer": "approve"}})

    assert isinstance(found, Decided)
    assert not found.invoked


@pytest.mark.parametrize(
    "data", [{}, {"kind": "stepfold.approval"}, {"kind": "another", "call": "x"}, {"call": 7}]
)
def test_the_button_of_another_card_is_not_ours(data: dict[str, Any]) -> None:
    pressed = {"action": {"type": "Action.Execute", "data": data}}
    found = heard(FAKE.activity("invoke", name="adaptiveCard/action", value=pressed))

    assert isinstance(found, Ignored)
    assert found.status == 501


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{", b'{"type": 1}', b'"\xff"', b'{"type": "message"}']
)
def test_what_is_no_activity_is_unreadable(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        parse(raw)


def test_what_is_unreadable_says_where_and_not_what() -> None:
    with pytest.raises(Unreadable, match="from") as unread:
        heard({**FAKE.says("hi"), "from": "s3cret"})

    assert "s3cret" not in str(unread.value)


def test_at_most_ten_files_and_no_cards() -> None:
    upload = {
        "contentType": "application/vnd.microsoft.teams.file.download.info",
        "name": "a.pdf",
        "content": {"downloadUrl": "https://x.example/a", "fileType": "pdf"},
    }
    card = {"contentType": "application/vnd.microsoft.card.adaptive", "content": {}}
    elsewhere = {"contentType": "image/png", "contentUrl": "https://x.example/i.png"}
    ours = {"contentType": "image/*", "contentUrl": f"{FAKE.service_url}v3/attachments/1"}

    found = said(FAKE.says("", attachments=[card, elsewhere, ours, *[upload] * 20])).files

    assert [each.ours for each in found[:3]] == [False, True, False]
    assert [each.media for each in found[:3]] == ["image/png", "image/png", "application/pdf"]
    assert len(found) == 10
