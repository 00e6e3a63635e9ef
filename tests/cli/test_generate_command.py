"""`stepfold generate`: one input, ready tasks, and what it says when something is in the way."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from stepfold.cli import exits
from stepfold.events.event import ConversationStarted
from stepfold.streams import jetstream
from stepfold.tasks import READY
from stepfold.testing import FOUND, HELLO, PASSAGE, RESPONDED
from tests.cli.commands import first_line, records, run, running, spawn
from tests.cli.paid import paid_events
from tests.observability.made import TRACEPARENT
from tests.projections.made import DIGEST
from tests.servers import free_port

ROUTES = """
classify.ask = ["scripted"]
describe_image.ask = ["scripted"]
judge.ask = ["scripted"]
summarise.ask = ["scripted"]
"""
ASKED = {"text": "What does it cost?", "labels": ["fees", "hours"]}
FEES = {"label": "fees", "reason": "It asks for a price."}
TIMES = {"label": "times", "reason": "It asks for a price."}
MOOD = {"type": "object", "properties": {"mood": {"enum": ["good", "bad"]}}, "required": ["mood"]}
PIXEL = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a log, its routes, and an input for `classify`."""
    (tmp_path / "routes.toml").write_text(ROUTES)
    (tmp_path / "input.json").write_text(json.dumps(ASKED))
    (tmp_path / "mood.json").write_text(json.dumps(MOOD))
    assert run("route", "apply", tmp_path / "routes.toml", data=tmp_path).exit_code == 0
    return tmp_path


def script(here: Path, *outputs: Any) -> tuple[str, Path]:
    """The option for a model that gives these outputs."""
    file = here / "script.jsonl"
    file.write_text("".join(json.dumps({"text": json.dumps(each)}) + "\n" for each in outputs))
    return "--script", file


def classify(here: Path, *more: str | Path, columns: int = 100) -> Any:
    words = ("generate", "--task", "classify", "--input", here / "input.json")
    return run(*words, *more, data=here, columns=columns)


def steps(here: Path, *words: str) -> list[Any]:
    return [each["event"] for each in records(run("tail", *words, "--json", data=here))]


# -- one input ----------------------------------------------------------------------------------


def test_a_ready_task_prints_what_was_made_and_by_whom(here: Path) -> None:
    ended = classify(here, *script(here, FEES))

    assert ended.exit_code == 0
    assert json.loads(ended.stdout) == FEES
    assert ended.stderr.startswith("stepfold: scripted, 1 attempt, ")
    assert ended.stderr.endswith(", $0\n")


def test_a_schema_of_ones_own_takes_the_place_of_the_tasks(here: Path) -> None:
    (here / "text.txt").write_text("I am so glad.")

    ended = run(
        *("generate", "--task", "classify", "--schema", here / "mood.json"),
        *("--input", here / "text.txt", *script(here, {"mood": "good"})),
        data=here,
    )

    assert json.loads(ended.stdout) == {"mood": "good"}
    asked = steps(here)[0]
    assert (asked["input"], asked["schema"]) == ("I am so glad.", MOOD)
    assert asked["instructions"].startswith("Say which label fits the text.")


def test_what_is_asked_for_of_ones_own_needs_no_route_where_a_model_is_named(here: Path) -> None:
    (made,) = records(
        run(
            *("generate", "--task", "mood", "--schema", here / "mood.json"),
            *("--input", here / "input.json", "--instructions", "Tell the mood."),
            *("--model", "scripted", *script(here, {"mood": "bad"}), "--json"),
            data=here,
        )
    )

    assert made["output"] == {"mood": "bad"}
    assert steps(here)[0]["instructions"] == "Tell the mood."


def test_json_says_where_it_came_from(here: Path) -> None:
    (made,) = records(classify(here, *script(here, TIMES, FEES), "--json"))

    assert made["output"] == FEES
    assert (made["model"], made["attempts"], made["cost_usd"]) == ("scripted", 2, "0")
    assert {step["type"] for step in steps(here, "--conversation", made["conversation"])} == {
        "generation.requested/1",
        "generation.failed/1",
        "generation.finished/1",
    }


def test_an_input_may_come_from_a_pipe(here: Path) -> None:
    words = map(str, ("generate", "--task", "classify", "--input", "-", *script(here, FEES)))

    ended = spawn(*words, input=json.dumps(ASKED), STEPFOLD_DATA_DIR=str(here))

    assert (ended.returncode, json.loads(ended.stdout)) == (0, FEES)


def test_the_same_input_again_is_found_and_not_bought(here: Path) -> None:
    classify(here, *script(here, FEES))

    again = classify(here)

    assert json.loads(again.stdout) == FEES
    assert again.stderr.startswith("stepfold: scripted, made before, ")
    assert len(steps(here)) == 2


def test_another_batch_makes_the_same_input_again(here: Path) -> None:
    classify(here, *script(here, FEES))

    again = classify(here, "--batch", "second", *script(here, {**FEES, "label": "hours"}))

    assert json.loads(again.stdout)["label"] == "hours"


def test_on_a_narrow_screen_an_output_is_one_whole_line(here: Path) -> None:
    long = {**FEES, "reason": "It asks for a price. " * 20}

    ended = classify(here, *script(here, long), columns=60)

    (line,) = ended.stdout.splitlines()
    assert json.loads(line) == long
    assert all(len(line) < 60 for line in ended.stderr.splitlines())


def test_each_task_has_its_own_line_in_the_costs(here: Path) -> None:
    classify(here, *script(here, TIMES, FEES))

    (costs,) = records(run("cost", "--by", "task", "--json", data=here))

    assert [(row["by"], row["calls"]) for row in costs["sums"]] == [(["classify"], 2)]


def test_the_callers_trace_is_that_of_all_its_steps(here: Path) -> None:
    classify(here, *script(here, FEES), "--traceparent", TRACEPARENT)

    entries = records(run("tail", "--json", data=here))
    assert {entry["trace"] for entry in entries} == {TRACEPARENT}


# -- of a conversation, of a file ---------------------------------------------------------------


@pytest.fixture
def talked(here: Path) -> Path:
    """A log with a conversation acme/c1 in it."""
    started = ConversationStarted("help-desk", DIGEST)
    return paid_events(here, (started, HELLO, FOUND, RESPONDED))


def test_a_conversation_is_summed_up(talked: Path) -> None:
    summary = {
        "summary": "Ada asked.",
        "wanted": "The hours.",
        "done": [],
        "still_open": [],
        "resolved": True,
        "mood": "neutral",
    }
    words = ("generate", "--task", "summarise", "--conversation", "acme/c1")

    ended = run(*words, *script(talked, summary), data=talked)

    assert json.loads(ended.stdout) == summary
    asked = steps(talked, "--customer", "generate")[0]
    assert asked["input"] == f"contact: {HELLO.text}\n\nagent: {RESPONDED.text}"


def test_an_answer_is_judged_by_what_it_was_made_from_and_the_verdict_is_checked(
    talked: Path,
) -> None:
    claim = {"quote": "At 9.", "why": "no passage says so"}
    words = ("generate", "--task", "judge", "--conversation", "acme/c1")

    ended = run(
        *words, *script(talked, {"unsupported": [claim], "verdict": "supported"}), data=talked
    )

    assert steps(talked, "--customer", "generate")[0]["input"] == {
        "question": HELLO.text,
        "answer": RESPONDED.text,
        "passages": [f"[1] {PASSAGE.text}"],
    }
    assert json.loads(ended.stdout) == {
        "verdict": "partly",
        "unsupported": [{**claim, "start": 0, "end": 5}],
    }


def test_an_image_is_kept_beside_the_log_and_named_in_it(here: Path) -> None:
    seen = {
        "kind": "photo",
        "description": "A dot.",
        "text": [],
        "errors": [],
        "personal": False,
        "answer": None,
    }
    (here / "dot.png").write_bytes(PIXEL)

    ended = run(
        *("generate", "--task", "describe_image", "--file", here / "dot.png"),
        *script(here, seen),
        data=here,
    )

    assert json.loads(ended.stdout) == seen
    (file,) = steps(here)[0]["files"]
    assert (file["media"], file["name"]) == ("image/png", "dot.png")
    assert file["blob"].startswith("sha256:")


# -- whoever serves -----------------------------------------------------------------------------


def test_whoever_serves_the_log_makes_it(here: Path) -> None:
    with running("serve", "--json", *script(here, FEES), STEPFOLD_DATA_DIR=str(here)) as process:
        first_line(process)
        ended = classify(here)
        refused = classify(here, *script(here, FEES), "--batch", "other")

    assert json.loads(ended.stdout) == FEES
    assert refused.exit_code == exits.REFUSED
    assert "workers serve this log, and they answer with what they were" in refused.stderr


def test_where_nobody_serves_generations_it_brings_its_own_worker(here: Path) -> None:
    words = ("serve", "--only", "agent", "--json")
    with running(*words, STEPFOLD_DATA_DIR=str(here)) as process:
        first_line(process)
        ended = classify(here, *script(here, FEES))

    assert json.loads(ended.stdout) == FEES


def test_a_server_that_is_away_is_said_in_one_line(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jetstream, "connect", partial(jetstream.connect, within_s=0.1))
    words = ("generate", "--task", "classify", "--input", here / "input.json")

    ended = run(*words, data=here, url=f"nats://127.0.0.1:{free_port()}")

    assert ended.exit_code == exits.UNAVAILABLE
    assert len(ended.stderr.splitlines()) == 1


# -- what is in the way -------------------------------------------------------------------------


def test_what_was_given_up_is_one_line_with_the_way_to_each_attempt(here: Path) -> None:
    ended = classify(here, *script(here, *[TIMES] * 20))

    assert (ended.exit_code, ended.stdout) == (exits.REFUSED, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("stepfold: malformed: scripted: label: 'times' is not one of")
    _, command, _ = line.split("`")
    told = run(*command.split()[1:], data=here)
    assert told.exit_code == 0
    assert "to mend its answer" in told.stdout


def test_what_takes_too_long_is_one_line_and_goes_on(here: Path) -> None:
    late = classify(here, "--timeout", "0", *script(here, FEES))

    assert late.exit_code == exits.REFUSED
    saying, line = late.stderr.splitlines()
    assert saying == "stepfold: no end within 0 s; finishing what is in hand"
    assert line.startswith("stepfold: late: no end within 0 s; it is not lost")
    assert json.loads(classify(here, *script(here, FEES)).stdout) == FEES


def test_a_task_without_a_route_is_one_line_with_the_way_out(here: Path) -> None:
    ended = run(
        *("generate", "--task", "extract", "--input", here / "mood.json", "--schema"),
        here / "mood.json",
        data=here,
    )

    assert ended.exit_code == exits.REFUSED
    (line,) = ended.stderr.splitlines()
    assert "no route for task 'extract'" in line
    assert "`stepfold route try --task extract`" in line
    assert steps(here) == []


WRONG = {
    "none.json": None,
    "broken.json": '{"text": "x",\n "labels": [}\n',
    "cut.json": '{"text":\n\n',
    "words.txt": "no JSON at all",
    "label.json": '{"text": "x", "label": ["fees"]}',
    "array.json": "[]",
    "objekt.json": '{"type": "objekt"}',
    "away.json": '{"$ref": "https://example.com/schema.json"}',
    "some.bin2": "?",
    "empty.txt": "",
    "blank.json": " \n\n",
    "begun.json": '{"type":\n',
}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--task", "classify", "--input", "none.json"), "none.json: No such file or directory"),
        (("--task", "classify", "--input", "broken.json"), "broken.json:2: not JSON: "),
        (("--task", "classify", "--input", "cut.json"), "cut.json:1: not JSON: "),
        (("--task", "classify", "--input", "empty.txt"), "empty.txt: it is empty; nothing was ask"),
        (("--task", "summarise", "--input", "blank.json"), "blank.json: it is empty; nothing was"),
        (("--task", "classify", "--input", "words.txt"), "`labels`"),
        (("--task", "classify", "--input", "label.json"), "(fields: text, labels, several)"),
        (("--task", "sort", "--input", "words.txt"), "task 'sort' needs --schema FILE (ready"),
        (("--task", "judge", "--conversation", "c9"), "conversation 'c9' is not in this log"),
        (("--task", "extract", "--input", "words.txt", "--file", "array.json"), "takes no file"),
        (("--task", "describe_image", "--file", "some.bin2"), "its name says no kind"),
        (("--task", "describe_image", "--file", "none.json"), "none.json: No such file"),
    ],
)
def test_an_input_that_cannot_be_is_refused_in_one_line(
    here: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], why: str
) -> None:
    wrong(here, monkeypatch)

    ended = run("generate", *words, data=here)

    assert ended.exit_code == exits.REFUSED
    assert why in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ("none.json", "none.json: No such file or directory"),
        ("broken.json", "broken.json:2: not JSON: "),
        ("words.txt", "words.txt:1: not JSON: "),
        ("begun.json", "begun.json:1: not JSON: Input data was truncated"),
        ("array.json", "array.json: list is no JSON Schema: give an object"),
        ("objekt.json", "objekt.json: this is no JSON Schema: type: 'objekt' is not valid"),
        ("away.json", "a schema refers only to its own parts (#/$defs/name)"),
    ],
)
def test_a_schema_that_is_none_is_refused_in_one_line(
    here: Path, monkeypatch: pytest.MonkeyPatch, schema: str, why: str
) -> None:
    wrong(here, monkeypatch)

    ended = run(
        *("generate", "--task", "sort", "--input", "words.txt", "--schema", schema), data=here
    )

    assert ended.exit_code == exits.REFUSED
    assert why in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def wrong(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in WRONG.items():
        if text is not None:
            (here / name).write_text(text)
    monkeypatch.chdir(here)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "give one of --input, --many, --conversation, --file"),
        (("--input", "a", "--conversation", "c"), "give one of --input, --many and --conversation"),
        (("--many", "a", "--file", "b"), "--file goes with --input"),
        (("--many", "a", "--at-once", "0"), "--at-once"),
        (("--input", "a", "--timeout", "-1"), "--timeout"),
        (("--input", "a", "--traceparent", "x"), "is no W3C traceparent"),
    ],
)
def test_a_wrong_command_line_is_a_usage_error(words: tuple[str, ...], why: str) -> None:
    ended = run("generate", "--task", "classify", *words)

    assert ended.exit_code == exits.USAGE
    assert why in ended.stderr


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ("Sort!", "task 'Sort!': a name has small letters, digits, - and _, and begins with a le"),
        ("request", "task 'request': that word is taken"),
    ],
)
def test_a_task_that_no_route_can_be_for_is_told_what_one_may_be_called(
    here: Path, task: str, why: str
) -> None:
    words = ("generate", "--task", task, "--schema", here / "mood.json", "--input")

    ended = run(*words, here / "input.json", data=here, columns=300)
    named = run(
        *(*words, here / "input.json", "--model", "scripted", *script(here, {"mood": "bad"})),
        data=here,
    )

    assert ended.exit_code == exits.USAGE
    assert why in " ".join(ended.stderr.split())
    assert "route try" not in ended.stderr
    assert json.loads(named.stdout) == {"mood": "bad"}


def test_an_empty_pipe_is_refused_before_anything_is_asked(here: Path) -> None:
    words = map(str, ("generate", "--task", "summarise", "--input", "-"))

    ended = spawn(*words, input="\n", STEPFOLD_DATA_DIR=str(here))

    assert ended.returncode == exits.REFUSED
    assert ended.stderr == "stepfold: stdin: it is empty; nothing was asked\n"
    assert steps(here) == []


def test_its_help_names_the_tasks_that_are_ready() -> None:
    said = " ".join(run("generate", "--help").stdout.split())

    assert ", ".join(READY) in said
