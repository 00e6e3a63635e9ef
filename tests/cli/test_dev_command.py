"""`stepfold dev`: what it says when, and what is left when it or its server is killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest

from stepfold.cli import exits
from tests.cli.commands import LIMIT_S, first_line, run, running, spawn
from tests.servers import free_port


def begun(process: subprocess.Popen[str]) -> Any:
    """What it says first: by then it answers."""
    about = json.loads(first_line(process))
    assert httpx2.get(f"{about['url']}/healthz").status_code == 200
    return about


def server_of(process: subprocess.Popen[str]) -> int:
    """The process id of the server that it has started."""
    words = ("pgrep", "-P", str(process.pid), "-f", "stepfold serve")
    (pid,) = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    return int(pid)


def test_a_port_that_is_taken_is_told_alone_and_without_a_way_out_that_it_refuses(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = spawn("dev", "--http", str(port), STEPFOLD_DATA_DIR=str(tmp_path))

    assert (ended.returncode, ended.stdout) == (exits.REFUSED, "")
    assert ended.stderr.startswith(f"stepfold: --http 127.0.0.1:{port}: Address already in use")
    assert ended.stderr.endswith("name another port\n")


def test_a_file_that_is_not_there_is_told_before_any_success(tmp_path: Path) -> None:
    words = ("dev", "--http", str(free_port()), "--agent", "nope.toml")
    ended = spawn(*words, STEPFOLD_DATA_DIR=str(tmp_path))

    assert (ended.returncode, ended.stdout) == (exits.REFUSED, "")
    assert "nope.toml" in ended.stderr


def test_an_address_of_another_machine_is_told_so(tmp_path: Path) -> None:
    ended = run("serve", "--only", "gateway", "--http", "192.0.2.1:0", data=tmp_path)

    assert ended.exit_code == exits.REFUSED
    assert "--http 192.0.2.1:0: this machine has no such address" in ended.stderr


def test_a_server_that_is_killed_is_told_and_ends_it(tmp_path: Path) -> None:
    words = ("dev", "--http", str(free_port()), "--json")
    with running(*words, STEPFOLD_DATA_DIR=str(tmp_path)) as process:
        begun(process)
        os.kill(server_of(process), signal.SIGKILL)
        _, said = process.communicate(timeout=LIMIT_S)

    assert process.returncode == 128 + signal.SIGKILL
    assert "it was killed by signal 9" in said


def test_a_server_whose_dev_is_killed_ends_too(tmp_path: Path) -> None:
    words = ("dev", "--http", str(free_port()), "--json")
    with running(*words, STEPFOLD_DATA_DIR=str(tmp_path)) as process:
        about = begun(process)
        process.kill()
        process.communicate(timeout=LIMIT_S)  # until nobody has its stdout any more

    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{about['url']}/healthz")


def test_what_it_proposes_to_ask_is_answered_by_the_sample(tmp_path: Path) -> None:
    with running("dev", "--http", str(free_port()), STEPFOLD_DATA_DIR=str(tmp_path)) as process:
        said = [first_line(process) for _ in range(12)]
        (question,) = [
            line.split('"text": "')[1].split('"')[0] for line in said if '"text"' in line
        ]
        words = ("publish", question, "--customer", "acme", "--conversation", "c1", "--wait", "30")
        answer = run(*words, data=tmp_path).stdout

    assert "within 30 days of your first payment" in " ".join(answer.split())
