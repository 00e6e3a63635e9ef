"""Answers of any length come whole, on as many messages as Slack needs for them."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepfold.channels.slack import blocks
from stepfold.channels.slack.keeping import Kept
from stepfold.channels.slack.pages import PAGE_CHARS_MAX, PAGES_MAX, pages, parted
from stepfold.channels.slack.screen import TOO_LONG, Screen
from stepfold.events.event import ResponseDelivered
from stepfold.events.values import Citation
from stepfold.policy.agent import Answers
from stepfold.providers.model import Reply
from stepfold.streams.config import CHANNELS
from stepfold.streams.jetstream.sealed import JetStreamSealed
from tests.channels.slack_fake import AWAY, BOT, FakeSlack, Fault, slack
from tests.channels.slack_office import DIRECT, Speaker, office, texts
from tests.waiting import eventually

LONG = "".join(f"Line {number} of a long answer.\n" for number in range(1_000))


@pytest.fixture
def fake() -> Iterator[FakeSlack]:
    with slack() as made:
        yield made


@given(
    words=st.lists(st.sampled_from(["a", "<&>", "\n", " ", "word ", "x" * 999]), max_size=150),
    share=st.floats(0, 1),
)
def test_pages_are_the_whole_and_what_is_full_stays_as_more_is_said(
    words: list[str], share: float
) -> None:
    text = "".join(words) * 3
    begun = text[: int(len(text) * share)]

    found, before = parted(text), parted(begun)

    assert "".join(found).rstrip() == text.rstrip()
    assert all(len(blocks.escaped(page)) <= PAGE_CHARS_MAX for page in found)
    assert found[: len(before) - 1] == before[:-1]
    assert "".join(found[len(before) - 1 :]).startswith(before[-1])


def test_more_than_anybody_reads_is_cut_and_it_is_said() -> None:
    shown = pages(Screen("1", 1, "word " * 50_000, over=True))

    assert len(shown) == PAGES_MAX
    assert TOO_LONG in str(shown[-1].below)


def test_sources_that_find_no_room_under_the_last_page_have_one_of_their_own() -> None:
    quotes = [Citation(f"d{n}.md", "sha256:0", 0, 9, "q" * 300) for n in range(20)]
    below = tuple(blocks.sources(quotes, {}))

    shown = pages(Screen("1", 1, "x" * 7_900, over=True, below=below))

    assert [page.key for page in shown] == ["1", "1/2"]
    assert sum((page.below for page in shown), ()) == below


def test_an_address_that_is_too_long_for_slack_is_no_link() -> None:
    page = Citation("https://docs.example/?" + "a=1&" * 900, "sha256:0", 0, 9, "q")

    told = texts(blocks.sources([page], {page.document: "Hours"}))

    assert "*Hours*" in told
    assert "docs.example" not in told


async def test_a_long_answer_is_there_whole_on_several_messages(
    tmp_path: Path, fake: FakeSlack
) -> None:
    async with office(tmp_path, fake, Reply(LONG)) as here:
        thread = await here.says("Tell me all.")
        (delivered,) = await here.told(thread, ResponseDelivered)

    shown = here.ours()
    assert len(shown) == 4
    assert "".join(said(each) for each in shown) == LONG
    assert delivered.receipt == shown[0]["ts"]
    assert {each["thread_ts"] for each in shown} == {thread.ts}


def said(message: dict[str, object]) -> str:
    """All of it: the text of a plain message is only its beginning."""
    found = message.get("blocks") or ()
    assert isinstance(found, list | tuple)
    markdown = [each["text"] for each in found if each["type"] == "markdown"]
    return markdown[0] if markdown else str(message["text"])


async def test_a_long_answer_is_streamed_and_never_takes_words_back(
    tmp_path: Path, fake: FakeSlack
) -> None:
    pieces = [LONG[at : at + 1_500] for at in range(0, len(LONG), 1_500)]
    model = Speaker(*pieces)
    async with office(tmp_path, fake, model=model) as here:
        thread = await here.says("Tell me all.")
        for number in range(1, len(pieces) + 1):
            model.let()
            told = "".join(pieces[:number])
            await eventually(lambda: "".join(m["text"] for m in here.ours()) == told)  # noqa: B023
        assert [m["streaming"] for m in here.ours()] == [False, False, False, True]
        model.let()
        await here.told(thread, ResponseDelivered)

    assert "".join(each["text"] for each in here.ours()) == LONG
    assert fake.asked("chat.update") + fake.asked("chat.postMessage") == []


async def test_pages_of_words_that_are_not_the_answer_are_taken_away(
    tmp_path: Path, fake: FakeSlack
) -> None:
    model = Speaker(LONG[:12_000], LONG[12_000:])
    rules = Answers(cite=True, refusal="I do not know that.")
    async with office(tmp_path, fake, model=model, answers=rules) as here:
        thread = await here.says("Tell me all.")
        model.let()
        await here.shown(many=2)
        model.let(2)
        (delivered,) = await here.told(thread, ResponseDelivered)

    (shown,) = here.ours()
    assert shown["text"] == "I do not know that."
    assert delivered.receipt == shown["ts"]


async def test_another_process_goes_on_with_all_pages_that_one_left(
    tmp_path: Path, fake: FakeSlack
) -> None:
    model = Speaker(LONG[:12_000], LONG[12_000:])
    async with office(tmp_path, fake, model=model, deliver=False) as here:
        async with here.delivering():
            thread = await here.says("Tell me all.")
            model.let()
            begun = [each["ts"] for each in await here.shown(many=2)]
            await eventually(lambda: sum(len(said(m)) for m in here.ours()) == 12_000)
            fake.fail("chat.stopStream", AWAY)

        async with here.delivering():
            model.let(2)
            await here.told(thread, ResponseDelivered)

    shown = here.ours()
    assert [each["ts"] for each in shown][:2] == begun
    assert "".join(said(each) for each in shown) == LONG


async def is_kept(kept: Kept) -> bool:
    await kept.get("", again=True)
    return bool(await kept.claimed())


async def test_a_page_that_nobody_could_keep_is_gone_on_with(
    tmp_path: Path, fake: FakeSlack
) -> None:
    model = Speaker(LONG[:4_000], LONG[4_000:])
    async with office(tmp_path, fake, model=model, deliver=False) as here:
        async with here.delivering():
            thread = await here.says("Tell me all.")
            model.let()
            kept = Kept(JetStreamSealed(here.found.client, CHANNELS), "acme", thread.conversation)
            await eventually(functools.partial(is_kept, kept))
            fake.fail("chat.stopStream", AWAY)
        begun = fake.say(DIRECT, BOT, "Line 30", thread.ts)

        async with here.delivering():
            model.let(2)
            await here.told(thread, ResponseDelivered)

    shown = here.ours()
    assert shown[1]["ts"] == begun
    assert "".join(said(each) for each in shown) == LONG


@pytest.mark.parametrize("streams", [True, False], ids=["streamed", "plain"])
async def test_where_slack_takes_less_than_we_think_the_beginning_is_told(
    tmp_path: Path, fake: FakeSlack, *, streams: bool
) -> None:
    text = "word " * 1_000
    model = Speaker("word ", text[5:])
    if not streams:
        fake.fail("chat.startStream", Fault("channel_type_not_supported"))
    async with office(tmp_path, fake, model=model) as here:
        thread = await here.says("Tell me all.")
        model.let()
        await here.shown()
        fake.fail("chat.appendStream", Fault("msg_too_long"))
        fake.fail("chat.update", Fault("msg_blocks_too_long"))
        model.let()
        await eventually(lambda: TOO_LONG in texts(here.ours()[0].get("blocks")))
        fake.fail("chat.update", Fault("msg_blocks_too_long"))
        model.let()
        (delivered,) = await here.told(thread, ResponseDelivered)

    (shown,) = here.ours()
    assert delivered.receipt == shown["ts"]
    assert "word word" in texts(shown["blocks"])
    assert TOO_LONG in texts(shown["blocks"])
