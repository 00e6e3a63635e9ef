"""A store without room: appends say so, workers keep what they have, then all goes on."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stepfold.app import opened
from stepfold.events.envelope import first
from stepfold.events.event import ResponseDelivered
from stepfold.settings import Settings
from stepfold.streams.jetstream import JetStreamLog
from stepfold.streams.log import LogUnavailable
from tests.crash.stage import Stage
from tests.servers import Server, running
from tests.waiting import eventually

FILL_BYTES = 50_000
STEPS_MAX = 1_000
CONVERSATIONS = tuple(f"c{number}" for number in range(5))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path, limits="max_file_store: 2MB") as server:
        yield server


async def test_with_a_full_store_workers_wait_and_go_on_when_there_is_room(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage.working(model_s=0.5):
        for conversation in CONVERSATIONS:
            await stage.say(conversation)
        await eventually(lambda: len(stage.asked) == len(CONVERSATIONS))
        kept = await _fill(stage.log)
        with pytest.raises(LogUnavailable, match="its store is full, make room or raise max_file"):
            await stage.say("late")
        await eventually(lambda: "holds: the log did not take" in caplog.text)

        stage.server.stop()
        stage.server.limits = ""
        stage.server.start()
        await stage.say_until_acknowledged("late", 1)
        await stage.rest([*CONVERSATIONS, "late"])

    for conversation in (*CONVERSATIONS, "late"):
        await stage.each_step_once(conversation)
        await stage.every_message_is_answered(conversation)
    assert set(stage.asked.values()) == {1}
    assert set(stage.ran.values()) == {1}
    assert len(await stage.log.read("acme", "filler")) == kept


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    if (
        os.geteuid()
        or shutil.which("mount") is None
        or subprocess.run(mount, check=False).returncode
    ):
        pytest.skip("only root may mount a small disk, and not in every container")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_an_embedded_server_whose_disk_was_full_goes_on_by_itself(small_disk: Path) -> None:
    async with opened(Settings(folder=small_disk)) as found:
        log = JetStreamLog(found.client, timeout_s=0.2, tries=1)
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"x" * (shutil.disk_usage(small_disk).free - 1_000_000))
        kept = await _fill(log, match="is its disk full")

        ballast.unlink()
        await eventually(lambda: _takes(log), 20, what="the log takes steps again")

        assert len(await log.read("acme", "filler")) == kept


async def _takes(log: JetStreamLog) -> bool:
    draft = first("acme", "c1", ResponseDelivered(1, "web"), by="test", key="c1")
    try:
        return bool(await log.append([draft], after=0))
    except LogUnavailable:
        return False


async def _fill(log: JetStreamLog, *, match: str = "its store is full") -> int:
    """Append until there is no room; how many steps were acknowledged."""
    after = 0
    for number in range(STEPS_MAX):
        event = ResponseDelivered(number, "web", secrets.token_hex(FILL_BYTES // 2))
        draft = first("acme", "filler", event, by="test", key=str(number))
        try:
            (entry,) = await log.append([draft], after=after)
        except LogUnavailable as error:
            assert match in str(error)  # noqa: PT017
            return number
        after = entry.position
    raise AssertionError(f"there was room for {STEPS_MAX} steps")
