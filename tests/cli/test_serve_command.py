"""`stepfold serve`, and the commands beside it: publish, tail, show, cancel."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from stepfold.cli import exits
from stepfold.streams import server
from tests.cli.commands import LIMIT_S, first_line, records, run, running

SECONDS = "30"
QUESTION = "What does the Team plan cost?"


def publish(served: Path, conversation: str, text: str = QUESTION, *more: str) -> None:
    words = ("publish", text, "--customer", "acme", "--conversation", conversation, *more)
    assert run(*words, data=served).exit_code == 0


def test_a_published_message_is_answered_by_the_process_that_serves(served: Path) -> None:
    entry, answer = records(
        run(
            *("publish", QUESTION, "--customer", "acme", "--conversation", "asked"),
            *("--wait", SECONDS, "--json"),
            data=served,
        )
    )

    assert entry["event"] == {"type": "message.received/1", "text": QUESTION} | entry["event"]
    assert answer["citations"][0]["document"] == "plans-and-prices.md"


def test_publishing_the_same_id_again_records_nothing_new(served: Path) -> None:
    words = ("publish", QUESTION, "--customer", "acme", "--conversation", "twice", "--id", "m1")

    first, again = (records(run(*words, "--json", data=served))[0] for _ in range(2))

    assert (again["position"], again["id"]) == (first["position"], first["id"])


def test_publishing_says_where_it_was_recorded(served: Path) -> None:
    said = run("publish", "Hi", "--customer", "acme", "--conversation", "said", data=served).stdout

    assert "acme/said" in said


@pytest.mark.parametrize("name", ["a.b", "a b", "*", ""])
def test_a_name_that_nats_would_misread_is_refused(served: Path, name: str) -> None:
    ended = run("publish", "Hi", "--customer", name, "--conversation", "c1", data=served)

    assert ended.exit_code == exits.REFUSED
    assert ended.stderr.startswith("stepfold: customer")


def test_waiting_ends_with_a_hint_when_nobody_serves(tmp_path: Path) -> None:
    ended = run(
        *("publish", "Hi", "--customer", "acme", "--conversation", "c1", "--wait", "0.1"),
        data=tmp_path,
    )

    assert ended.exit_code == exits.REFUSED
    assert "nobody serves this log: start `stepfold serve`" in ended.stderr
    assert "no answer within 100 ms" in ended.stderr


def test_following_the_tail_prints_what_comes_and_what_was_there(served: Path) -> None:
    publish(served, "tailed", "First", "--wait", SECONDS)
    words = ("tail", "--follow", "--conversation", "tailed", "--json")
    with running(*words, STEPFOLD_DATA_DIR=str(served)) as process:
        begin = json.loads(first_line(process))
        publish(served, "tailed", "Second", "--wait", SECONDS)
        texts = []
        while "Second" not in texts:
            texts.append(json.loads(first_line(process))["event"].get("text"))

    assert begin["event"]["type"] == "conversation.started/1"
    assert "First" in texts


def test_the_tail_ends_at_the_end_and_can_begin_anywhere(served: Path) -> None:
    publish(served, "ended", QUESTION, "--wait", SECONDS)
    entries = records(run("tail", "--conversation", "ended", "--json", data=served))

    after = str(entries[-2]["position"])
    rest = records(run("tail", "--after", after, "--conversation", "ended", "--json", data=served))

    assert {entry["conversation"] for entry in entries} == {"ended"}
    assert rest == entries[-1:]


def test_the_tail_is_a_line_a_step_that_fits(served: Path) -> None:
    publish(served, "narrow", QUESTION, "--wait", SECONDS)

    said = run("tail", "--conversation", "narrow", data=served, columns=60).stdout.splitlines()

    assert max(map(len, said)) < 60
    assert "message.received" in said[1]


def test_a_conversation_is_shown_turn_by_turn(served: Path) -> None:
    publish(served, "shown", QUESTION, "--wait", SECONDS)
    publish(served, "shown", "And how long is the free trial?", "--wait", SECONDS)

    said = run("show", "shown", data=served).stdout
    (shown,) = records(run("show", "acme/shown", "--json", data=served))

    assert said.startswith("acme/shown\nagent help-desk, at rest\n")
    assert said.count("2 model calls, $0") == 2
    assert [turn["steps"][-1] for turn in shown["turns"]] == ["response.given"] * 2
    assert shown["state"] == "at rest"


@pytest.mark.parametrize("command", ["show", "cancel"])
def test_a_conversation_that_is_not_there_is_refused(served: Path, command: str) -> None:
    ended = run(command, "never", data=served)

    assert ended.exit_code == exits.REFUSED
    assert "conversation 'never' is not in this log" in ended.stderr


def test_a_name_that_two_customers_share_has_to_be_given_in_full(served: Path) -> None:
    publish(served, "shared")
    run("publish", "Hi", "--customer", "other", "--conversation", "shared", data=served)

    ended = run("show", "shared", data=served)

    assert ended.exit_code == exits.REFUSED
    assert "acme/shared, other/shared" in ended.stderr


def test_cancelling_what_does_not_run_is_refused(served: Path) -> None:
    publish(served, "over", QUESTION, "--wait", SECONDS)

    ended = run("cancel", "over", data=served)

    assert ended.exit_code == exits.REFUSED
    assert "no turn is running" in ended.stderr


def test_a_running_turn_is_cancelled_with_the_reason(tmp_path: Path) -> None:
    with running("serve", "--only", "agent", "--json", STEPFOLD_DATA_DIR=str(tmp_path)) as process:
        first_line(process)
        publish(tmp_path, "c1")
        with running("tail", "--follow", "--after", "0", STEPFOLD_DATA_DIR=str(tmp_path)) as tail:
            while "reason.requested" not in first_line(tail):
                pass
        (entry,) = records(run("cancel", "c1", "--reason", "enough", "--json", data=tmp_path))

    assert entry["event"] == {"type": "turn.cancelled/1", "turn": 1, "reason": "enough"}


# -- serving --------------------------------------------------------------------


def test_it_says_what_it_serves_where_and_what_is_missing(tmp_path: Path) -> None:
    with running("serve", STEPFOLD_DATA_DIR=str(tmp_path)) as process:
        lines = [first_line(process) for _ in range(6)]

    said = "".join(lines)
    assert "agent, reason, tool, sandbox, retrieve, generate, timer, views" in said
    assert "nats://127.0.0.1:" in said
    assert "default is empty: stepfold knowledge add PATH" in said


ROUTED = 'name = "shop"\nmodels = []\n'
CLASSIFY = '[classify]\nask = ["openai/gpt-5-mini"]\n'
CONVERSE_FOR_OTHERS = '[converse.agent.other]\nask = ["extractive"]\n'
CONVERSE = '[converse]\nask = ["extractive"]\n'
CONVERSE_FOR_IT = '[converse.agent.shop]\nask = ["extractive"]\n'
CONVERSE_FOR_ONE = '[converse.customer.acme]\nask = ["extractive"]\n'


def warned(folder: Path, agent: str, routes: str, *more: str) -> str:
    """What serving an agent by these routes says on stderr, from its start to its end."""
    (folder / "shop.toml").write_text(agent)
    words = ["serve", "--json", "--agent", str(folder / "shop.toml"), *more]
    if routes:
        (folder / "routes.toml").write_text(routes)
        words += ["--routes", str(folder / "routes.toml")]
    with running(*words, STEPFOLD_DATA_DIR=str(folder / "data")) as process:
        assert '"agent":"shop"' in first_line(process)
        process.terminate()
        return process.communicate(timeout=LIMIT_S)[1]


@pytest.mark.parametrize(
    "routes", ["", CLASSIFY, CONVERSE_FOR_OTHERS], ids=["none", "another task", "another agent"]
)
def test_an_agent_without_models_and_routes_is_told_at_the_start(
    tmp_path: Path, routes: str
) -> None:
    line, _ = warned(tmp_path, ROUTED, routes).splitlines()

    assert line.startswith("stepfold: agent 'shop' ")
    assert "no route for task 'converse'" in line
    assert line.endswith("`stepfold route apply FILE`")


@pytest.mark.parametrize(
    ("agent", "routes"),
    [
        ('name = "shop"\n', ""),
        (ROUTED, CONVERSE),
        (ROUTED, CONVERSE_FOR_IT),
        (ROUTED, CONVERSE_FOR_ONE),
    ],
    ids=["models of its own", "a route", "a route of its own", "a route for one customer"],
)
def test_an_agent_that_some_model_can_answer_for_is_served_without_a_word(
    tmp_path: Path, agent: str, routes: str
) -> None:
    assert "shop" not in warned(tmp_path, agent, routes)


def test_who_decides_nothing_does_not_warn_of_the_routes(tmp_path: Path) -> None:
    assert "shop" not in warned(tmp_path, ROUTED, "", "--only", "tool")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_its_server(tmp_path: Path, how: signal.Signals) -> None:
    with running("serve", "--json", STEPFOLD_DATA_DIR=str(tmp_path)) as process:
        first_line(process)
        process.send_signal(how)
        code = process.wait(LIMIT_S)

    assert code == 0
    with pytest.raises(server.ServerError):
        server.url(tmp_path)


@pytest.mark.parametrize("only", ["nobody", "", "agent,nobody"])
def test_an_unknown_role_is_a_usage_error(only: str) -> None:
    ended = run("serve", "--only", only)

    assert ended.exit_code == exits.USAGE
    assert "known: agent, reason, tool" in ended.stderr


def test_the_views_are_taken_over_from_a_process_that_ends(tmp_path: Path) -> None:
    more = {"STEPFOLD_DATA_DIR": str(tmp_path)}
    with running("serve", "--json", **more) as first:
        first_line(first)
        with running("serve", "--json", **more) as second:
            assert second.stderr is not None
            kept = second.stderr.readline()
            alone = json.loads(first_line(second))["serves"]
            first.terminate()
            first.wait(LIMIT_S)
            assert any("keeps them now" in line for line in iter(second.stderr.readline, ""))
            told = records(run("doctor", "--json", data=tmp_path))

    assert kept.startswith(f"stepfold: the views are kept by process {first.pid}; ")
    assert "views" not in alone
    assert any(each["told"].endswith("and kept up to date") for each in told)
