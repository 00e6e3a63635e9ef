"""A contact's image reaches every provider that can see, by the bytes that were kept for it."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

import msgspec
import pytest

from stepfold.events.event import MessageReceived, TurnAbandoned
from stepfold.events.values import FileRef
from stepfold.handlers.asking import Asker
from stepfold.handlers.reason import Reason
from stepfold.policy.agent import Agent
from stepfold.streams.memory import MemoryFiles
from stepfold.testing import Arrangement
from tests.providers.raw_server import json, serving
from tests.providers.spoken import SAID, SPOKEN, Spoken

PNG = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYPgPAAEDAQAIicLsAAAAAElFTkSuQmCC"
)
every = pytest.mark.parametrize("spoken", SPOKEN.values(), ids=SPOKEN)


async def asked(spoken: Spoken, files: MemoryFiles, image: FileRef) -> tuple[Any, str]:
    """(the bodies that were sent, and what became of them)."""
    async with serving(json(spoken.whole(SAID))) as server:
        model = spoken.make(server.url, 20.0)
        arrangement = Arrangement()
        asker = Asker({spoken.provider: model}, files=files)
        arrangement.workers = {**arrangement.workers, "reason.requested": Reason(asker)}
        arrangement.restart()
        await arrangement.start(Agent(name="desk", models=(spoken.name,)))
        await arrangement.append("c1", MessageReceived("What is this?", files=(image,)))
        await arrangement.run_to_rest()
        await model.close()  # type: ignore[attr-defined]
        rest = await arrangement.rest()
        told = rest.entries[-1].event
        ended = told.detail if isinstance(told, TurnAbandoned) else rest.answer
        return [each.json for each in server.requests], ended


@every
async def test_an_image_goes_along_as_its_bytes(spoken: Spoken) -> None:
    files = MemoryFiles()
    image = FileRef("image/png", blob=await files.put(PNG), name="screen.png")

    (body,), answer = await asked(spoken, files, image)

    assert b64encode(PNG).decode() in msgspec.json.encode(body).decode()
    assert answer == SAID


@every
async def test_an_image_whose_bytes_are_gone_is_a_failure_that_names_it(spoken: Spoken) -> None:
    image = FileRef("image/png", blob="sha256:" + "0" * 64)

    bodies, ended = await asked(spoken, MemoryFiles(), image)

    assert bodies == []
    assert ended == (
        f"{spoken.name}: file_missing: file {image.blob} is not in this log's object store"
    )
