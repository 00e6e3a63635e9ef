"""Images and documents, kept by their digest: in memory and in the object store alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stepfold.app import opened
from stepfold.handlers.asking import Files
from stepfold.settings import Settings
from stepfold.streams.jetstream import JetStreamFiles
from stepfold.streams.jetstream import files as module
from stepfold.streams.log import FileMissing, FileRefused
from stepfold.streams.memory import MemoryFiles

ABSENT = "sha256:" + "0" * 64


@pytest.fixture(params=["memory", "jetstream"])
async def files(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Files]:
    if request.param == "memory":
        yield MemoryFiles()
        return
    async with opened(Settings(folder=tmp_path)) as found:
        yield found.files


async def test_bytes_come_back_as_they_were(files: Files) -> None:
    data = bytes(range(256)) * 2_000  # several chunks of the store

    assert await files.get(await files.put(data)) == data
    assert await files.get(await files.put(b"")) == b""


async def test_the_same_bytes_have_the_same_name(files: Files) -> None:
    assert await files.put(b"one") == await files.put(b"one")
    assert await files.put(b"one") != await files.put(b"two")


async def test_a_file_that_was_never_kept_is_missing_by_name(files: Files) -> None:
    with pytest.raises(FileMissing, match=f"file {ABSENT} is not in this log's object store"):
        await files.get(ABSENT)


async def test_a_file_that_is_too_large_is_refused_with_both_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FILE_BYTES_MAX", 10)
    async with opened(Settings(folder=tmp_path)) as found:
        assert isinstance(found.files, JetStreamFiles)
        with pytest.raises(FileRefused, match=r"a file of 11 bytes is too large \(at most 10\)"):
            await found.files.put(b"12345678901")
