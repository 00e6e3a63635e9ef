"""`stepfold demo`: what a newcomer runs first."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from stepfold.cli import exits
from stepfold.knowledge.documents import SAMPLE, load
from tests.cli.commands import records, run, spawn

WIDTH = 60
HOURS = "# Hours\n\nThe branch opens at nine and closes at five.\n"


def test_it_answers_what_the_sample_knows_with_quotes_and_admits_what_it_does_not() -> None:
    contents = {document.id: document.content for document in load(SAMPLE)}

    answers = records(run("demo", "--json"))

    assert [len(answer["citations"]) > 0 for answer in answers] == [True, True, False]
    for answer in answers:
        assert set(answer) == {
            *("conversation", "answer", "citations", "steps"),
            *("model_calls", "cost_usd", "elapsed_ms"),
        }
        assert answer["answer"]
        assert answer["steps"][0] == "conversation.started"
        assert answer["steps"][-1] == "response.given"
        assert answer["model_calls"] == answer["steps"].count("reason.finished")
        assert Decimal(answer["cost_usd"]) == 0
        assert answer["elapsed_ms"] > 0
        for citation in answer["citations"]:
            assert citation["quote"] in contents[citation["document"]]


def test_it_says_which_model_answers_and_shows_each_step_with_its_price() -> None:
    said = run("demo", "--ask", "How do I export invoices as CSV?", columns=WIDTH).stdout

    assert "understands nothing" in said
    for kind in ("message.received", "retrieval.returned", "reason.finished", "response.given"):
        assert kind in said
    assert "$0" in said
    assert "[1] export-data.md, characters" in said


def test_it_fits_sixty_columns_and_has_no_control_codes() -> None:
    said = run("demo", columns=WIDTH).stdout

    assert max(map(len, said.splitlines())) < WIDTH
    assert all(each.isprintable() or each == "\n" for each in said)


def test_a_question_with_control_codes_does_not_reach_the_terminal_as_such() -> None:
    said = run("demo", "--ask", "\x1b[31mred\x07 \u202e?").stdout

    assert "\x1b" not in said
    assert "\\x1b[31mred" in said


def test_it_asks_ones_own_questions_about_ones_own_documents(tmp_path: Path) -> None:
    (tmp_path / "hours.md").write_text(HOURS)

    (answer,) = records(
        run("demo", "--knowledge", tmp_path, "--ask", "When does the branch open?", "--json")
    )

    assert [citation["document"] for citation in answer["citations"]] == ["hours.md"]


def test_with_a_folder_of_its_own_the_log_stays(tmp_path: Path) -> None:
    (answer,) = records(run("demo", "--ask", "Refunds?", "--data", tmp_path, "--json"))

    (shown,) = records(run("show", answer["conversation"], "--json", data=tmp_path))

    assert [turn["steps"] for turn in shown["turns"]] == [answer["steps"]]


@pytest.mark.parametrize("name", ["nowhere", "picture.png"])
def test_documents_that_cannot_be_read_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")

    ended = run("demo", "--knowledge", tmp_path / name)

    assert ended.exit_code == exits.REFUSED
    assert len(ended.stderr.splitlines()) == 1
    assert name in ended.stderr


def test_in_a_process_of_its_own_json_is_all_it_prints(tmp_path: Path) -> None:
    ended = spawn("demo", "--ask", "Refunds?", "--json", TMPDIR=str(tmp_path))

    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(ended.stdout)["steps"]
    assert list(tmp_path.iterdir()) == []
