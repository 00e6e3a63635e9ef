"""A conversation as it happens: its steps, and the words in between, each character once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import msgspec
import pytest

from stepfold.app import Opened, opened
from stepfold.events.envelope import Entry, first, kind
from stepfold.events.event import Event, Reasoned, ReasonFailed, ReasonRequested
from stepfold.events.values import Delta, Text
from stepfold.settings import Settings
from stepfold.streams.jetstream import JetStreamLog, Message
from stepfold.streams.listening import Happening, Shown, TakenBack, Words, digest_of, listening
from stepfold.streams.log import Tail
from stepfold.streams.tokens import Part, Said, Tokens, question, subject
from tests.waiting import eventually

LIMIT_S = 10.0
ASKED = ReasonRequested("r1", 1, "m")


class Talk:
    """A conversation on a real server, and who speaks in it."""

    def __init__(self, found: Opened) -> None:
        self.found = found
        self.tokens = Tokens(found.client)
        self._after = 0

    async def append(self, event: Event) -> Entry:
        draft = first("acme", "c1", event, by="test", key=f"{self._after}")
        (entry,) = await self.found.log.append([draft], after=self._after)
        self._after = entry.position
        return entry

    async def answer(self, text: str) -> None:
        await self.append(Reasoned("r1", 1, "m", (Text(text),)))

    @asynccontextmanager
    async def questions(self) -> AsyncIterator[list[str]]:
        """The calls that are asked for, as it happens."""
        calls: list[str] = []

        async def on_message(message: Message) -> None:
            calls.append(message.subject.rpartition(".")[2])

        subscription = await self.found.client.subscribe(question("acme", "c1", "*"), cb=on_message)
        yield calls
        await subscription.unsubscribe()

    @asynccontextmanager
    async def heard(
        self, *, after: int = 0, shown: Shown | None = None
    ) -> AsyncIterator[list[Happening]]:
        """What is heard, as it comes."""
        told: list[Happening] = []

        async def listen() -> None:
            where = listening(
                self.found.client, self.found.log, "acme", "c1", after=after, shown=shown
            )
            async with aclosing(where) as happenings:
                async for each in happenings:
                    told.append(each)

        task = asyncio.create_task(listen())
        try:
            yield told
        finally:
            task.cancel()
            done, _ = await asyncio.wait({task}, timeout=LIMIT_S)
            assert done, "who listens does not end when it is cancelled"


@pytest.fixture
async def talk(tmp_path: Path) -> AsyncIterator[Talk]:
    async with opened(Settings(folder=tmp_path)) as found:
        made = Talk(found)
        async with made.tokens.serving():
            yield made


async def until(told: list[Happening], done: Callable[[list[Happening]], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not done(told):
            await asyncio.sleep(0.005)


def shown(told: list[Happening]) -> str:
    """What a listener has on its screen, its offsets checked."""
    screen = ""
    for each in told:
        if isinstance(each, TakenBack):
            screen = ""
        elif isinstance(each, Words) and each.kind == "text":
            assert each.offset == len(screen)
            screen += each.text
    return screen


def kinds(told: list[Happening]) -> list[str]:
    """Without the requests: words may overtake the step that asked for them."""
    named = (kind(e.event) if isinstance(e, Entry) else type(e).__name__ for e in told)
    return [name for name in named if name != "reason.requested"]


def shows_more(than: int, told: list[Happening]) -> bool:
    return len(shown(told)) > than


def ends(told: list[Happening]) -> bool:
    return kinds(told)[-1:] in (["reason.finished"], ["reason.failed"])


async def test_words_come_while_they_are_said_and_each_once(talk: Talk) -> None:
    async with talk.heard() as told:
        asked = await talk.append(ASKED)
        speaking = talk.tokens.speak(asked, "r1", 1)
        for word in ("At ", "nine", ", ", "I ", "think."):
            speaking.hear(Delta("text", word))
            await until(told, partial(shows_more, len(shown(told))))
        speaking.end()
        await talk.answer("At nine, I think.")
        await until(told, ends)

    assert shown(told) == "At nine, I think."
    assert kinds(told) == [*["Words"] * 5, "reason.finished"]


async def test_who_comes_late_is_told_the_whole(talk: Talk) -> None:
    asked = await talk.append(ASKED)
    speaking = talk.tokens.speak(asked, "r1", 1)
    speaking.hear(Delta("thinking", "hm"))
    speaking.hear(Delta("text", "At ni"))

    async with talk.heard() as told:
        await until(told, lambda told: shown(told) == "At ni")
        speaking.hear(Delta("text", "ne."))
        await until(told, lambda told: shown(told) == "At nine.")

    assert [w.text for w in told if isinstance(w, Words) and w.kind == "thinking"] == ["hm"]


async def test_a_part_that_was_lost_is_asked_for(talk: Talk) -> None:
    async with talk.heard() as told:
        asked = await talk.append(ASKED)
        await until(told, lambda told: len(told) == 1)
        speaking = talk.tokens.speak(asked, "r1", 1)
        speaking.texts["text"] = "At nine."
        run = speaking.said().run
        late = Part("r1", 1, 1, run, 7, ".")
        await talk.found.client.publish(subject("acme", "c1", "r1"), msgspec.json.encode(late))
        await until(told, lambda told: shown(told) == "At nine.")


async def test_a_failed_attempt_takes_its_words_back_before_its_step(talk: Talk) -> None:
    async with talk.heard() as told:
        asked = await talk.append(ASKED)
        talk.tokens.speak(asked, "r1", 1).hear(Delta("text", "At fi"))
        await until(told, lambda told: shown(told) == "At fi")
        await talk.append(ReasonFailed("r1", 1, "m", "cut", retryable=True, streamed=5))
        await until(told, ends)

    assert kinds(told) == ["Words", "TakenBack", "reason.failed"]
    assert shown(told) == ""


async def test_another_run_of_the_same_call_takes_back_what_the_first_said(talk: Talk) -> None:
    async with talk.heard() as told:
        asked = await talk.append(ASKED)
        talk.tokens.speak(asked, "r1", 1).hear(Delta("text", "It opens"))
        await until(told, lambda told: shown(told) == "It opens")
        talk.tokens.speak(asked, "r1", 1).hear(Delta("text", "At nine."))
        await until(told, lambda told: shown(told) == "At nine.")

    assert kinds(told) == ["Words", "TakenBack", "Words"]


async def test_an_answer_that_nobody_heard_is_told_by_its_step(talk: Talk) -> None:
    async with talk.heard() as told:
        await talk.append(ASKED)
        await talk.answer("At nine.")
        await until(told, ends)

    assert kinds(told) == ["Words", "reason.finished"]
    assert shown(told) == "At nine."


async def test_the_step_has_the_last_word(talk: Talk) -> None:
    async with talk.heard() as told:
        asked = await talk.append(ASKED)
        talk.tokens.speak(asked, "r1", 1).hear(Delta("text", "At five."))
        await until(told, lambda told: shown(told) == "At five.")
        await talk.answer("At nine.")
        await until(told, ends)

    assert shown(told) == "At nine."


async def test_who_comes_back_goes_on_after_the_last_step_it_saw(talk: Talk) -> None:
    await talk.append(ASKED)
    await talk.answer("At nine.")

    async with talk.heard(after=1) as told:
        await until(told, ends)

    assert kinds(told) == ["Words", "reason.finished"]


@pytest.mark.parametrize("over", [False, True], ids=["running", "over"])
async def test_who_comes_back_in_the_middle_is_told_only_the_rest(
    talk: Talk, *, over: bool
) -> None:
    asked = await talk.append(ASKED)
    talk.tokens.speak(asked, "r1", 1).hear(Delta("text", "At nine."))
    if over:
        await talk.answer("At nine.")

    async with talk.heard(after=1, shown=Shown("r1", 5, digest_of("At ni"))) as told:
        if not over:
            speaking = talk.tokens.speak(asked, "r1", 1)
            speaking.texts["text"] = "At nine"
            speaking.hear(Delta("text", "."))
        await until(told, lambda told: any(isinstance(each, Words) for each in told))

    assert [(w.offset, w.text) for w in told if isinstance(w, Words)] == [(5, "ne.")]


async def test_who_comes_back_to_another_text_forgets_what_it_had(talk: Talk) -> None:
    await talk.append(ASKED)
    await talk.answer("It opens at nine.")

    async with talk.heard(after=1, shown=Shown("r1", 5, digest_of("At ni"))) as told:
        await until(told, ends)

    assert kinds(told) == ["TakenBack", "Words", "reason.finished"]
    assert shown(told) == "It opens at nine."


async def test_the_words_of_a_shadow_are_nobodys(talk: Talk) -> None:
    async with talk.heard() as told:
        asked = await talk.append(ReasonRequested("r1s1", 1, "m", shadow=True))
        await until(told, lambda told: len(told) == 1)
        talk.tokens.speak(asked, "r1s1", 1).hear(Delta("text", "psst"))
        await talk.append(Reasoned("r1s1", 1, "m", (Text("psst"),)))
        await until(told, ends)

    assert kinds(told) == ["reason.finished"]


async def test_the_words_of_a_shadow_stay_nobodys_for_who_comes_back(talk: Talk) -> None:
    asked = await talk.append(ReasonRequested("r1s1", 1, "m", shadow=True))

    async with talk.heard(after=asked.position) as told:
        await talk.append(ASKED)
        await until(told, lambda told: len(told) == 1)
        talk.tokens.speak(asked, "r1s1", 1).hear(Delta("text", "psst"))
        await talk.append(Reasoned("r1s1", 1, "m", (Text("psst"),)))
        await until(told, ends)

    assert kinds(told) == ["reason.finished"]


@pytest.mark.parametrize("had", [None, Shown("r1", 5, digest_of("At ni"))], ids=["none", "some"])
async def test_who_comes_back_in_a_silence_is_told_what_was_said_meanwhile(
    talk: Talk, had: Shown | None
) -> None:
    asked = await talk.append(ASKED)
    talk.tokens.speak(asked, "r1", 1).texts["text"] = "At nine."  # and no part of it comes

    async with talk.heard(after=asked.position, shown=had) as told:
        await until(told, lambda told: any(isinstance(each, Words) for each in told))

    begin = had.characters if had else 0
    assert told == [Words("r1", 1, 1, "text", begin, "At nine."[begin:])]


async def test_a_question_that_nobody_answers_in_time_is_put_again(talk: Talk) -> None:
    busy = Tokens(talk.found.client)
    asked = await talk.append(ASKED)
    busy.speak(asked, "r1", 1).texts["text"] = "At nine."

    async with talk.questions() as questions, talk.heard() as told:
        await eventually(lambda: questions)
        async with busy.serving():
            await until(told, lambda told: shown(told) == "At nine.")

    assert set(questions) == {"r1"}
    assert len(questions) > 1


async def test_words_that_come_while_a_question_is_open_are_kept(talk: Talk) -> None:
    """The answer knows nothing of them, and nothing comes after them."""
    client = talk.found.client

    async def answer(message: Message) -> None:
        for offset, text in ((3, "nine"), (7, ".")):
            part = Part("r1", 1, 1, "run", offset, text)
            await client.publish(subject("acme", "c1", "r1"), msgspec.json.encode(part))
        said = Said("r1", 1, 1, "run", "At ")
        await client.publish(message.reply, msgspec.json.encode(said))

    await talk.append(ASKED)
    await client.subscribe(question("acme", "c1", "r1"), cb=answer)
    async with talk.heard(after=1) as told:
        await until(told, lambda told: shown(told) == "At nine.")

    assert "TakenBack" not in kinds(told)


async def test_an_answer_of_a_run_that_died_meanwhile_does_not_hide_the_next_run(
    talk: Talk,
) -> None:
    """Its last words come just before those of the next run, which then is silent."""
    client = talk.found.client
    answers = [Said("r1", 1, 1, "dead", "At five"), Said("r1", 1, 1, "lives", "At nine.")]

    async def answer(message: Message) -> None:
        if len(answers) > 1:
            part = Part("r1", 1, 1, "lives", 0, "At nine.")
            await client.publish(subject("acme", "c1", "r1"), msgspec.json.encode(part))
        await client.publish(message.reply, msgspec.json.encode(answers.pop(0)))

    await talk.append(ASKED)
    await client.subscribe(question("acme", "c1", "r1"), cb=answer)
    had = Shown("r1", 5, digest_of("At fi"))
    async with talk.heard(after=1, shown=had) as told:
        await until(told, lambda told: Words("r1", 1, 1, "text", 0, "At nine.") in told)

    assert kinds(told)[-2:] == ["TakenBack", "Words"]


async def test_what_is_over_is_not_asked_for(talk: Talk) -> None:
    """Nobody could answer, and a long conversation has many calls."""
    for number in range(1, 6):
        await talk.append(ReasonRequested(f"r{number}", number, "m"))
        await talk.append(Reasoned(f"r{number}", number, "m", (Text("Yes."),)))
    await talk.append(ReasonRequested("r6", 6, "m"))

    async with talk.questions() as questions, talk.heard() as told:
        await eventually(lambda: questions)

    assert len([each for each in told if isinstance(each, Entry)]) == 11
    assert set(questions) == {"r6"}


async def test_the_rest_of_what_somebody_has_names_its_turn(talk: Talk) -> None:
    await talk.append(ReasonRequested("r1", 3, "m", attempt=2))
    await talk.append(Reasoned("r1", 3, "m", (Text("At nine."),), attempt=2))

    async with talk.heard(after=1, shown=Shown("r1", 5, digest_of("At ni"))) as told:
        await until(told, ends)

    assert told[0] == Words("r1", 3, 2, "text", 5, "ne.")


class SwallowingLog(JetStreamLog):
    """Its listener is cancelled in the moment in which it answers: `wait_for` keeps that back."""

    async def tail(self, customer: str, conversation: str) -> Tail:
        found = await super().tail(customer, conversation)
        if (task := asyncio.current_task()) is not None:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        return found


async def test_who_is_cancelled_while_it_begins_to_listen_ends(talk: Talk) -> None:
    happenings = listening(talk.found.client, SwallowingLog(talk.found.client), "acme", "c1")
    task = asyncio.ensure_future(anext(happenings))

    await asyncio.wait({task}, timeout=LIMIT_S)

    assert task.cancelled()


async def test_who_is_cancelled_at_whatever_moment_ends_and_leaves_nothing_behind(
    talk: Talk,
) -> None:
    asked = await talk.append(ASKED)
    async with talk.heard() as told:
        talk.tokens.speak(asked, "r1", 1).texts["text"] = "At nine."
        await until(told, lambda told: shown(told) == "At nine.")
    before = asyncio.all_tasks()  # with those that the connection keeps once it has been used

    for loops in range(0, 240, 3):
        async with talk.heard(after=1, shown=Shown("r1", 5, digest_of("At ni"))):
            for _ in range(loops):
                await asyncio.sleep(0)

    await eventually(lambda: asyncio.all_tasks() <= before)
