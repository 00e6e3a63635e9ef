"""Questions to one process, over a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from stepfold.streams import ask, jetstream
from stepfold.streams.jetstream import Connection
from stepfold.streams.server import embedded

SUBJECT = "test.ask"
LIMIT_S = 20.0


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Connection]:
    async with embedded(tmp_path, durability="interval") as url, jetstream.connect(url) as client:
        yield client


@asynccontextmanager
async def answering(client: Connection, answer: bytes | Exception) -> AsyncIterator[list[bytes]]:
    questions: list[bytes] = []

    async def handle(question: bytes) -> bytes:
        questions.append(question)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with ask.serve(client, SUBJECT, handle):
        yield questions


@pytest.mark.parametrize("size", [0, 1, ask.PART_BYTES, ask.PART_BYTES + 1, 70 * ask.PART_BYTES])
async def test_an_answer_of_any_size_arrives_whole(client: Connection, size: int) -> None:
    answer = bytes(index % 251 for index in range(1000)) * (size // 1000 + 1)

    async with answering(client, answer[:size]) as questions:
        heard = await ask.ask(client, SUBJECT, b"how much?", timeout_s=LIMIT_S)

    assert heard == answer[:size]
    assert questions == [b"how much?"]


async def test_where_nobody_answers_it_is_known_at_once(client: Connection) -> None:
    with pytest.raises(ask.NobodyAnswers, match=SUBJECT):
        await ask.ask(client, SUBJECT, b"", timeout_s=LIMIT_S)


async def test_a_refusal_is_told_in_its_own_words(client: Connection) -> None:
    async with answering(client, ask.AskRefused("not on Sundays")):
        with pytest.raises(ask.AskRefused, match=r"^not on Sundays$"):
            await ask.ask(client, SUBJECT, b"", timeout_s=LIMIT_S)


async def test_a_bug_of_the_answerer_is_told_and_it_goes_on(
    client: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    async with answering(client, KeyError("x")):
        for _ in range(2):
            with pytest.raises(ask.AskRefused, match="KeyError"):
                await ask.ask(client, SUBJECT, b"", timeout_s=LIMIT_S)

    assert "could not be answered" in caplog.text


async def test_an_answer_that_is_too_large_is_refused(
    client: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ask, "ANSWER_BYTES_MAX", 10)

    async with answering(client, b"x" * 11):
        with pytest.raises(ask.AskRefused, match="11 bytes, at most 10"):
            await ask.ask(client, SUBJECT, b"", timeout_s=LIMIT_S)


async def test_an_answer_that_does_not_come_in_time_is_lost(client: Connection) -> None:
    await client.subscribe(SUBJECT)

    with pytest.raises(ask.AnswerLost, match=r"within 0\.05 s"):
        await ask.ask(client, SUBJECT, b"", timeout_s=0.05)
