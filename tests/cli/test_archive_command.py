"""`stepfold export`, `import` and `replay`: a log leaves, comes back, and is decided again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stepfold.cli import exits
from tests.cli.commands import records, run

CHAT = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Is my flight late?"},
    {"role": "assistant", "content": "No, it is on time."},
]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a log with two conversations."""
    folder = tmp_path_factory.mktemp("asked")
    questions = ("--ask", "How do I export invoices as CSV?", "--ask", "Refunds?")
    assert run("demo", *questions, "--json", "--data", folder).exit_code == 0
    return folder


@pytest.fixture(scope="module")
def archive(asked: Path) -> Path:
    file = asked / "all.jsonl"
    assert run("export", "--output", file, data=asked).exit_code == 0
    return file


def test_an_export_is_the_same_to_a_file_and_to_stdout(asked: Path, archive: Path) -> None:
    assert run("export", data=asked).stdout == archive.read_text()


def test_an_import_brings_every_step_back_and_a_second_one_nothing(
    archive: Path, tmp_path: Path
) -> None:
    done = [records(run("import", archive, "--json", data=tmp_path))[0] for _ in range(2)]

    assert [each["conversations"] for each in done] == [2, 2]
    assert done[0]["steps"] == done[1]["there"] > 0
    assert done[1]["steps"] == 0
    assert run("export", data=tmp_path).stdout == archive.read_text()


def test_an_import_into_a_log_that_is_served_is_refused(archive: Path, served: Path) -> None:
    ended = run("import", archive, data=served)

    assert ended.exit_code == exits.REFUSED
    assert "stop them, then import" in ended.stderr


def test_recorded_chats_become_logs_that_replay(tmp_path: Path) -> None:
    file = tmp_path / "chats.jsonl"
    file.write_text(json.dumps({"id": "a1", "messages": CHAT, "reward": 1.0}) + "\n")

    (done,) = records(
        run("import", file, "--format", "openai-chat", "--customer", "air", "--json", data=tmp_path)
    )
    (shown,) = records(run("show", "air/a1", "--json", data=tmp_path))
    (report,) = records(run("replay", "--json", data=tmp_path))

    assert done["conversations"] == 1
    assert "reward" in " ".join(done["unused"])
    assert shown["state"].startswith("imported from openai-chat")
    assert (report["differences"], report["model_calls"]) == (0, 0)


@pytest.mark.parametrize("text", ["", "{", '{"id": "a"}', "[1]"])
@pytest.mark.parametrize("form", ["stepfold", "openai-chat"])
def test_a_file_that_is_no_such_thing_is_refused_or_empty(
    tmp_path: Path, text: str, form: str
) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text(text)

    ended = run("import", file, "--format", form, data=tmp_path)

    assert ended.exit_code == (exits.REFUSED if text else ended.exit_code)
    assert len(ended.stderr.splitlines()) <= 1


def test_a_file_and_a_conversation_replay_without_a_difference_or_a_model_call(
    asked: Path, archive: Path
) -> None:
    name = records(run("tail", "--json", data=asked))[-1]["conversation"]

    reports = records(run("replay", archive, name, "--json", data=asked))
    said = run("replay", archive, archive, data=asked).stdout

    assert [report["conversations"] for report in reports] == [2, 1]
    assert all(report["decisions"] and not report["differences"] for report in reports)
    assert "together: 4 conversations" in said
    assert "0 differences, 0 model calls" in said


def test_a_decision_that_differs_is_shown_as_a_diff_and_ends_with_1(
    archive: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.jsonl"
    given = '"response.given/1","turn":1,"text":"'
    other.write_text(archive.read_text().replace(given, f"{given}Surely: ", 1))

    ended = run("replay", other)

    assert ended.exit_code == exits.REFUSED
    assert ", 1 difference, 0 model calls" in " ".join(ended.stdout.split())
    assert '+    "text": "Surely: ' in ended.stdout


@pytest.mark.parametrize("name", ["nowhere.jsonl", "nobody", "nobody/nothing"])
def test_what_is_not_there_cannot_be_replayed(tmp_path: Path, name: str) -> None:
    ended = run("replay", name, data=tmp_path)

    assert ended.exit_code == exits.REFUSED
    assert name.rpartition("/")[2] in ended.stderr


def test_a_conversation_is_exported_as_a_test_once(asked: Path, tmp_path: Path) -> None:
    name = records(run("tail", "--json", data=asked))[-1]["conversation"]
    test = tmp_path / "test_it.py"

    first, again = (
        run("export", name, "--as-test", "--output", test, data=asked) for _ in range(2)
    )

    assert first.exit_code == 0
    assert "@pytest.mark.replay" in test.read_text()
    assert len(list((tmp_path / "logs").glob("*.jsonl"))) == 1
    assert again.exit_code == exits.REFUSED


def test_a_test_is_about_one_conversation(asked: Path) -> None:
    assert run("export", "--as-test", data=asked).exit_code == exits.USAGE
