"""Conversations in Teams, from the webhook to the answer, on a real log."""

from __future__ import annotations

import time
from pathlib import Path

from stepfold.channels.teams.config import TEXTS
from stepfold.channels.teams.parse import conversation_name
from stepfold.events.envelope import first
from stepfold.events.event import (
    ConversationStopped,
    MessageReceived,
    ResponseDelivered,
    ResponseGiven,
    ToolReturned,
)
from stepfold.providers.model import Call, Reply
from stepfold.providers.scripted import ScriptedModel
from stepfold.tools.tool import FunctionTool
from tests.channels.teams_fake import ADA, BOT, TENANT, Sent
from tests.channels.teams_world import CAREFUL, NAME, REFUND, Gated, pays, site


def is_final(sent: Sent) -> bool:
    return sent.stream.get("streamType") == "final"


def is_plain(sent: Sent) -> bool:
    return sent.body["type"] == "message" and not sent.stream and not sent.card


async def test_a_conversation_with_a_tool_an_approval_and_citations(tmp_path: Path) -> None:
    model = ScriptedModel(
        [
            Reply(calls=(Call("search", {"query": "opens"}),)),
            Reply(calls=(Call("refund", {"order": "A-1"}),)),
            Reply('Paid. "The branch opens at nine in the morning."'),
        ]
    )
    refund = FunctionTool(REFUND, pays)
    models = {"scripted": model}
    async with site(tmp_path, agent=CAREFUL, models=models, tools=[refund]) as made:
        fake = made.fake
        assert (await made.post(fake.says("Please refund A-1"))).status_code == 200
        asked = await fake.until(lambda sent: bool(sent.card))

        pressed = await made.post(fake.presses(asked.card, "Approve"))
        await made.until_kind("response.delivered")

        entries = await made.entries()
        (given,) = [e.event for e in entries if isinstance(e.event, ResponseGiven)]
        (told,) = [e.event for e in entries if isinstance(e.event, ResponseDelivered)]
        results = [e.event.result for e in entries if isinstance(e.event, ToolReturned)]
        final = [s for s in fake.sent if s.text.startswith(given.text)][-1]
    assert pressed.json()["type"] == "application/vnd.microsoft.card.adaptive"
    assert "Approved by" in str(pressed.json()["value"])
    assert "actions" not in pressed.json()["value"]
    assert results == ["paid for A-1"]
    assert final.message["additionalType"] == ["AIGeneratedContent"]
    (claim,) = final.message["citation"]
    assert claim["position"] == 1
    assert claim["appearance"]["name"] == "hours.md"
    assert claim["appearance"]["abstract"] == "The branch opens at nine in the morning."
    assert final.text.endswith("[1]")
    assert (told.turn, told.channel) == (1, "teams")
    assert fake.screen[told.receipt] == final.text


async def test_words_stream_while_the_model_speaks_and_the_stream_ends_in_the_answer(
    tmp_path: Path,
) -> None:
    model = Gated(Reply("At nine, I think."), words=["At "])
    async with site(tmp_path, models={"scripted": model}) as made:
        fake = made.fake
        await made.post(fake.says("When?"))
        await fake.until(lambda sent: sent.text == "At ")
        model.say("nine")
        await fake.until(lambda sent: sent.text == "At nine")
        model.gate.set()
        final = await fake.until(is_final)
        await made.until_kind("response.delivered")

    assert final.text == "At nine, I think."
    streamed = [s.stream["streamType"] for s in fake.sent if s.stream]
    assert streamed[-1] == "final"
    assert set(streamed[:-1]) <= {"informative", "streaming"}
    assert list(fake.screen.values()) == ["At nine, I think."]


async def test_the_webhook_is_acknowledged_while_the_model_takes_long(tmp_path: Path) -> None:
    model = Gated(Reply("At nine."))
    async with site(tmp_path, models={"scripted": model}) as made:
        said, token = made.fake.says("When?"), made.fake.token()
        begin = time.monotonic()
        answer = await made.post(said, token=token)
        took_s = time.monotonic() - begin
        await model.asked.wait()

        assert answer.status_code == 200
        assert took_s < 0.5
        assert "response.given" not in await made.kinds()
        model.gate.set()
        await made.until_kind("response.delivered")


async def test_a_repeated_activity_is_heard_and_answered_once(tmp_path: Path) -> None:
    async with site(tmp_path, models={"scripted": ScriptedModel([Reply("At nine.")])}) as made:
        said = made.fake.says("When?")
        for _ in range(3):
            assert (await made.post(said)).status_code == 200
        await made.until_kind("response.delivered")
        assert (await made.post(said)).status_code == 200

        kinds = await made.kinds()
    assert kinds.count("message.received") == 1
    assert kinds.count("response.given") == 1
    assert list(made.fake.screen.values()) == ["At nine."]


async def test_what_comes_late_and_out_of_order_is_heard(tmp_path: Path) -> None:
    replies = [Reply("First."), Reply("Second.")]
    async with site(tmp_path, models={"scripted": ScriptedModel(replies)}) as made:
        newer = made.fake.says("b", timestamp="2026-01-01T09:00:05.000Z")
        older = made.fake.says("a", timestamp="2026-01-01T08:00:00.000Z")
        await made.post(newer)
        await made.until_kind("response.delivered")
        await made.post(older)
        await made.until_kind("response.delivered", 2)

        events = [entry.event for entry in await made.entries()]
    assert [e.text for e in events if isinstance(e, MessageReceived)] == ["b", "a"]
    assert list(made.fake.screen.values()) == ["First.", "Second."]


async def test_who_is_heard_and_in_which_language(tmp_path: Path) -> None:
    async with site(tmp_path, workers=False, lanes=False) as made:
        await made.post(made.fake.says("Wann?", locale="de-de"))

        (_, heard) = await made.entries()
    assert heard.event.contact == ADA  # type: ignore[union-attr]
    assert heard.event.language == "de-DE"  # type: ignore[union-attr]
    assert heard.by == f"contact:{ADA}"


async def test_a_thread_in_a_channel_is_answered_there_without_a_stream(tmp_path: Path) -> None:
    place = {
        "id": "19:general@thread.tacv2;messageid=1",
        "conversationType": "channel",
        "isGroup": True,
        "tenantId": "AAAAAAAA-BBBB-4CCC-8DDD-EEEEEEEEEEEE",
    }
    mention = {"type": "mention", "text": "<at>Desk</at>", "mentioned": {"id": BOT}}
    async with site(tmp_path, models={"scripted": ScriptedModel([Reply("At nine.")])}) as made:
        fake = made.fake
        said = fake.says("<at>Desk</at>&nbsp;When?", conversation=place, entities=[mention])
        await made.post(said)
        answered = await fake.until(is_plain)
        name = conversation_name(TENANT, str(place["id"]))
        await made.until_kind("response.delivered", name=name)

        heard = [e.event for e in await made.entries(name)][1]
    assert heard.text == "When?"  # type: ignore[union-attr]
    assert (answered.place, answered.text) == (place["id"], "At nine.")
    assert not [sent for sent in fake.sent if sent.stream]


async def test_the_bot_greets_once_however_often_it_is_told_that_it_came(tmp_path: Path) -> None:
    async with site(tmp_path, models={"scripted": ScriptedModel([Reply("At nine.")])}) as made:
        fake = made.fake
        came = fake.activity("conversationUpdate", membersAdded=[{"id": BOT}])
        other = fake.activity("conversationUpdate", membersAdded=[{"id": "29:ada"}])
        for activity in (came, came, other, {**came, "id": "another"}):
            assert (await made.post(activity)).status_code == 200
        await fake.until(is_plain)
        await made.post(fake.says("When?"))
        await made.until_kind("response.delivered")

    assert [s.text for s in fake.sent if is_plain(s)] == [TEXTS.greeting]


async def test_files_are_kept_before_they_are_heard_and_their_addresses_are_not(
    tmp_path: Path,
) -> None:
    async with site(tmp_path, workers=False, lanes=False) as made:
        fake = made.fake
        upload = {
            "contentType": "application/vnd.microsoft.teams.file.download.info",
            "name": "cat.png",
            "content": {"downloadUrl": f"{fake.url}/download/cat.png", "fileType": "png"},
        }
        pasted = {
            "contentType": "image/*",
            "contentUrl": f"{fake.service_url}v3/attachments/cat.png",
        }
        lost = {**upload, "name": "dog.pdf", "content": {"downloadUrl": f"{fake.url}/download/no"}}
        html = {"contentType": "text/html", "content": "<p>Look</p>"}
        await made.post(fake.says("Look", attachments=[html, upload, pasted, lost]))

        (_, heard) = await made.entries()
        first, second = heard.event.files  # type: ignore[union-attr]
        assert await made.found.files.get(first.blob) == b"a picture"
    assert (first.name, first.media, first.url) == ("cat.png", "image/png", "")
    assert second.blob == first.blob
    assert heard.event.text == "Look\n[a file could not be fetched: dog.pdf]"  # type: ignore[union-attr]


async def test_who_writes_where_nothing_goes_on_is_told_so_once(tmp_path: Path) -> None:
    async with site(tmp_path, workers=False, lanes=False) as made:
        fake = made.fake
        await made.post(fake.says("Hello"))
        last = (await made.entries())[-1]
        stop = first("acme", NAME, ConversationStopped("broken"), by="test", key="1")
        await made.found.log.append([stop], after=last.position)

        said = fake.says("Anybody there?")
        for _ in range(3):
            assert (await made.post(said)).status_code == 200
        await fake.until(is_plain)

    assert [sent.text for sent in fake.sent] == [TEXTS.closed]
