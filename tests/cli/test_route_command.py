"""`stepfold route`: a file is checked, applied, shown and tried; the examples of its page work."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from stepfold import settings
from stepfold.app import opened
from stepfold.cli import exits
from stepfold.handlers.choosing import World, routing_of
from stepfold.projections.state import Conversation
from stepfold.routing import Candidate, Route, Routes, digest, encode_routes
from stepfold.settings import parse_routes, read_agent, read_routes
from stepfold.settings.hosted import KEYS
from tests.cli.commands import first_line, records, run, running, spawn
from tests.test_docs import DOCS, blocks, table

GOOD = """\
[converse]
ask = [
    { model = "openai/gpt-5", when = { channels = ["slack", "web"], hours = "22-6" } },
    { model = "anthropic/claude-sonnet-4-5", with = { effort = "low" } },
    "openai/gpt-5-mini",
]
shadow = ["google/gemini-2.5-pro"]

[converse.customer.acme]
ask = [{ model = "ours/small", when = { budget_left_min_usd = 1.5 } }, { task = "converse" }]
attempts_max = 2

[providers.ours]
base_url = "https://models.example.com/v1"
key_env = "OURS_KEY"

[models."ours/small"]
context = 32_000
"""
OTHER = '[converse]\nask = ["openai/gpt-5-mini"]\n'
BAD = {
    "an unknown model": (
        '[converse]\nask = ["openai/gpt-55"]\n',
        2,
        "model 'openai/gpt-55' is not known: did you mean 'openai/gpt-5.5'?",
    ),
    "an impossible need": (
        '[classify]\nask = ["extractive"]\n',
        2,
        "classify needs structured, and none of its candidates has that (extractive): add a model",
    ),
    "a circle": (
        '[a]\nask = [{ task = "b" }]\n[b]\nask = [{ task = "a" }]\n',
        2,
        "a circle of tasks: a → b → a: name a model in one of them",
    ),
    "an unknown key": (
        OTHER + "atempts_max = 2\n",
        3,
        "unknown key `atempts_max` (did you mean `attempts_max`? known: ask, shadow,",
    ),
    "a wrong type": (OTHER + 'repairs_max = "two"\n', 3, 'repairs_max = "two": Expected `int`'),
    "no TOML": ("[converse]\nask = openai/gpt-5\n", 2, "Invalid value"),
}


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*(name for names in KEYS.values() for name in names), "OURS_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "routes.toml"
    file.write_text(GOOD)
    return file


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a log on which the good routes are the current ones."""
    folder = tmp_path_factory.mktemp("routed")
    _ = applied(folder, GOOD)
    return folder


def applied(folder: Path, toml: str) -> str:
    """The digest of these routes, which are the current ones now."""
    file = folder / "some.toml"
    file.write_text(toml)
    (told,) = records(run("route", "apply", file, "--json", data=folder))
    return str(told["table"])


def tried(*words: str | Path) -> Any:
    (told,) = records(run("route", "try", *words, "--json"))
    return told


def picked(routing: Any) -> list[tuple[str, int]]:
    return [(pick["model"], pick["place"]) for pick in routing["picks"]]


# -- check --------------------------------------------------------------------------------------


def test_a_file_that_can_work_is_counted(file: Path) -> None:
    said = run("route", "check", file)

    assert said.exit_code == 0
    assert "2 routes, 5 models, no mistake" in " ".join(said.stdout.split())


def test_a_file_has_the_digest_that_decisions_will_name(file: Path) -> None:
    (told,) = records(run("route", "check", file, "--json"))

    assert told["table"] == digest(parse_routes(GOOD, "other.toml"))
    assert (told["routes"], len(told["models"])) == (2, 5)


@pytest.mark.parametrize("command", ["check", "apply"])
@pytest.mark.parametrize("what", BAD)
def test_a_mistake_is_told_with_its_line_and_the_way_out(
    file: Path, tmp_path: Path, what: str, command: str
) -> None:
    toml, line, told = BAD[what]
    file.write_text(toml)

    ended = run("route", command, file, data=tmp_path)

    assert ended.exit_code == exits.REFUSED
    assert f"stepfold: {file}:{line}: " in ended.stderr
    assert told in ended.stderr
    assert not ended.stdout


def test_all_mistakes_are_told_at_once_a_line_each(file: Path) -> None:
    file.write_text(BAD["an unknown model"][0] + "wrong = 1\n[embed]\nask = 3\n")

    told = run("route", "check", file).stderr.splitlines()

    assert [each.removeprefix(f"stepfold: {file}:")[0] for each in told] == ["2", "3", "5"]


def test_a_file_that_is_not_there_or_not_text_is_named(file: Path, tmp_path: Path) -> None:
    file.write_bytes(b"\xff\xfe")

    for path, why in ((tmp_path / "no.toml", "No such file"), (file, "it is not UTF-8")):
        ended = run("route", "check", path)

        assert ended.exit_code == exits.REFUSED
        assert ended.stderr.startswith(f"stepfold: {path}: {why}")


def test_a_name_never_carries_a_control_code_to_the_screen(file: Path) -> None:
    file.write_text('[converse]\nask = ["openai/\\u001b[31mgpt"]\n')

    told = run("route", "check", file).stderr

    assert told.count("\\x1b[31mgpt") == 2


def test_models_that_cannot_be_asked_from_here_are_told_with_what_to_set(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")

    told = run("route", "check", file).stderr

    assert "anthropic/claude-sonnet-4-5 cannot be asked from here: set ANTHROPIC_API_KEY" in told
    assert "ours is asked without a key from here: set OURS_KEY" in told
    assert "openai" not in told


def test_in_json_they_are_told_too(file: Path) -> None:
    (told,) = records(run("route", "check", file, "--json"))

    hints = "\n".join(told["keyless"])
    assert "google/gemini-2.5-pro cannot be asked from here: set GEMINI_API_KEY or" in hints
    assert "ours is asked without a key from here: set OURS_KEY" in hints
    assert len(told["keyless"]) == 5


def test_routes_may_come_from_a_pipe(tmp_path: Path) -> None:
    here = {"STEPFOLD_DATA_DIR": str(tmp_path)}

    checked = spawn("route", "check", "-", input=OTHER, **here)
    wrong = spawn("route", "check", "-", input=BAD["an unknown key"][0], **here)
    applied = spawn("route", "apply", "-", "--json", input="\ufeff" + OTHER, **here)

    assert checked.stdout == "stdin: 1 route, 1 model, no mistake\n"
    assert wrong.stderr.startswith("stepfold: stdin:3: converse: unknown key `atempts_max`")
    assert json.loads(applied.stdout)["table"] == digest(parse_routes(OTHER, ""))


def test_a_file_without_a_route_is_refused(file: Path, tmp_path: Path) -> None:
    file.write_text("# later\n")

    for command in ("check", "apply"):
        ended = run("route", command, file, data=tmp_path)

        assert ended.exit_code == exits.REFUSED
        assert ended.stderr.startswith(f"stepfold: {file}: there is no route in it: write one")


# -- apply and show -----------------------------------------------------------------------------


def test_before_any_were_applied_there_are_none_and_how_to_is_told(tmp_path: Path) -> None:
    for words in (("show",), ("try",)):
        ended = run("route", *words, data=tmp_path)

        assert ended.exit_code == exits.REFUSED
        assert "no routes yet: write a file (docs/routing.md), then `stepfold route" in ended.stderr


def test_where_there_is_no_log_none_is_made_by_looking(tmp_path: Path) -> None:
    ended = run("route", "show", data=tmp_path / "typo")

    assert ended.exit_code == exits.REFUSED
    assert "there is no log in" in ended.stderr
    assert not (tmp_path / "typo").exists()


def test_where_no_server_answers_it_can_be_tried_again(file: Path) -> None:
    ended = run("route", "apply", file, url="nats://127.0.0.1:9")

    assert ended.exit_code == exits.UNAVAILABLE
    assert "no NATS server answers at nats://127.0.0.1:9" in ended.stderr


def test_what_is_applied_is_current_and_earlier_ones_are_kept(tmp_path: Path) -> None:
    first, second = applied(tmp_path, GOOD), applied(tmp_path, OTHER)

    (now,) = records(run("route", "show", "--json", data=tmp_path))
    (then,) = records(run("route", "show", first, "--json", data=tmp_path))

    assert now["table"] == second == digest(parse_routes(OTHER, ""))
    assert then["table"] == first == digest(parse_routes(GOOD, ""))
    assert [each["task"] for each in then["routes"]] == ["converse", "converse"]
    assert applied(tmp_path, GOOD) == first


def test_the_first_digits_of_a_digest_are_enough(here: Path) -> None:
    whole = digest(parse_routes(GOOD, ""))
    digits = whole.removeprefix("sha256:")

    for name in (digits[:4], f"sha256:{digits[:4]}", digits[:63], digits):
        (told,) = records(run("route", "show", name, "--json", data=here))
        assert told["table"] == whole

    for name in (digits[:3], digits[:4] + "x", "f" * 20):
        ended = run("route", "show", name, data=here)
        assert ended.exit_code == exits.REFUSED
        assert f"routes {name!r} are not on this log" in ended.stderr


def test_digits_of_several_tables_are_said_to_be(tmp_path: Path) -> None:
    one, other, digits = alike()

    async def keep() -> None:
        async with opened(settings.read({}, folder=tmp_path)) as found:
            await found.routes.put(encode_routes(one))
            await found.routes.appoint(encode_routes(other))

    asyncio.run(keep())
    ended = run("route", "show", digits, data=tmp_path)
    (told,) = records(run("route", "show", digest(one)[7:24], "--json", data=tmp_path))

    assert ended.exit_code == exits.REFUSED
    first, second = (digest(each)[7:19] for each in (one, other))
    assert f"routes {digits!r} could be any of {first}, {second}: write more dig" in ended.stderr
    assert told["table"] == digest(one)


def alike() -> tuple[Routes, Routes, str]:
    """Two tables whose digests begin with the same four digits."""
    seen: dict[str, Routes] = {}
    for number in range(10_000):
        table = Routes((Route("converse", (Candidate("extractive"),), attempts_max=number),))
        digits = digest(table)[7:11]
        if digits in seen:
            return seen[digits], table, digits
        seen[digits] = table
    raise AssertionError("no two are alike")


@pytest.mark.parametrize("name", ["sha256:" + "0" * 64, "current", "*", "sha256:>"])
def test_routes_that_were_never_there_are_refused(here: Path, name: str) -> None:
    ended = run("route", "show", name, data=here)

    assert ended.exit_code == exits.REFUSED
    assert f"routes {name!r} are not on this log: `stepfold why CONVERSATION`" in ended.stderr


def test_a_file_that_is_refused_leaves_the_current_ones(here: Path, file: Path) -> None:
    before = records(run("route", "show", "--json", data=here))
    file.write_text(BAD["a circle"][0])

    ended = run("route", "apply", file, data=here)

    assert ended.exit_code == exits.REFUSED
    assert records(run("route", "show", "--json", data=here)) == before


def test_routes_are_shown_in_words(here: Path) -> None:
    said = run("route", "show", data=here).stdout

    assert "  1. openai/gpt-5, channel slack or web, 22 to 6 h UTC\n" in said
    assert "  2. anthropic/claude-sonnet-4-5, effort low\n" in said
    assert "  beside it, to compare:\n  1. google/gemini-2.5-pro\n" in said
    assert "converse for customer acme\n  1. ours/small, at least 1.5 USD of the budget" in said
    assert "  2. the models of converse\n  attempts_max 2, repairs_max 2\n" in said


def test_routes_of_another_version_are_refused_with_the_way_out(tmp_path: Path) -> None:
    async def appoint() -> None:
        async with opened(settings.read({}, folder=tmp_path)) as found:
            await found.routes.appoint(b'{"routes":3}')

    asyncio.run(appoint())

    ended = run("route", "show", data=tmp_path)

    assert ended.exit_code == exits.REFUSED
    assert "of another version of stepfold: upgrade, or apply a file" in ended.stderr


@pytest.mark.parametrize("columns", [40, 60, 100])
def test_it_fits_its_terminal(here: Path, file: Path, columns: int) -> None:
    for words in (
        ("check", file),
        ("apply", file),
        ("show",),
        ("try", "--customer", "acme", "--budget-left", "1"),
        ("try", "--task", "a-task-with-a-long-name-that-nobody-has-a-route-for"),
    ):
        lines = run("route", *words, data=here, columns=columns).stdout.splitlines()

        assert lines
        if words[0] != "check":  # the path of the file is as long as it is
            assert max(map(len, lines)) <= columns, lines


# -- try ----------------------------------------------------------------------------------------


def test_the_models_are_tried_in_order_and_the_others_say_why_not(file: Path) -> None:
    told = tried("--routes", file, "--channel", "email")

    assert told["route"] == "converse"
    assert picked(told) == [("anthropic/claude-sonnet-4-5", 2), ("openai/gpt-5-mini", 3)]
    assert told["passed"] == ["openai/gpt-5: channel email is not among slack, web"]
    assert [each["model"] for each in told["shadow"]] == ["google/gemini-2.5-pro"]


def test_a_customers_route_goes_first_and_leads_on_to_the_route_for_all(file: Path) -> None:
    words = ("--routes", file, "--customer", "acme", "--channel", "web")

    rich, poor = (tried(*words, "--hour", "23", "--budget-left", usd) for usd in ("1.5", "1.49"))

    assert rich["route"] == "converse for customer acme"
    assert [model for model, _ in picked(rich)][:2] == ["ours/small", "openai/gpt-5"]
    assert picked(poor)[0] == ("openai/gpt-5", 2)
    assert poor["passed"] == ["ours/small: 1.49 USD of the budget are left, at least 1.5"]


def test_needs_and_length_pass_models_over(file: Path) -> None:
    words = ("--routes", file, "--customer", "acme", "--hour", "12")

    told = tried(*words, "--needs", "vision", "--tokens", "300000")

    assert picked(told) == [("openai/gpt-5-mini", 4)]
    assert "ours/small: it has no vision" in told["passed"]
    assert any("about 300000 tokens do not fit into its 200000" in each for each in told["passed"])


def test_a_budgets_steps_are_tried_too(file: Path) -> None:
    words = ("--routes", file, "--hour", "12")

    warned, cheaper = (tried(*words, "--budget", step) for step in ("warn", "cheaper"))
    used_up = run("route", "try", *words, "--budget", "refuse")

    assert len(picked(warned)) == 2
    assert picked(cheaper) == [("openai/gpt-5-mini", 3)]
    assert "anthropic/claude-sonnet-4-5: the budget is nearly used up" in cheaper["passed"]
    assert used_up.exit_code == exits.REFUSED
    assert "not openai/gpt-5-mini: the budget is used up" in used_up.stdout
    assert "beside it" not in used_up.stdout


def test_where_there_is_no_route_the_known_tasks_are_told(file: Path) -> None:
    ended = run("route", "try", "--routes", file, "--task", "judge")

    assert ended.exit_code == exits.REFUSED
    assert ended.stdout == "no route for task 'judge' (known: converse)\n  no model fits\n"


def test_without_a_file_the_current_routes_are_tried(here: Path) -> None:
    (told,) = records(run("route", "try", "--channel", "email", "--json", data=here))

    assert [model for model, _ in picked(told)] == [
        "anthropic/claude-sonnet-4-5",
        "openai/gpt-5-mini",
    ]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--needs", "ears"), "unknown need 'ears' (known: tools, vision, structured)"),
        (("--budget", "gone"), "unknown step 'gone' (known: warn, cheaper, read_only, refuse)"),
        (("--budget-left", "much"), "'much' is no amount"),
        (("--budget-left", "nan"), "'nan' is no amount"),
        (("--hour", "24"), "less than or equal to 23"),
    ],
)
def test_a_fact_that_means_nothing_is_a_usage_error(
    file: Path, words: tuple[str, ...], why: str
) -> None:
    ended = run("route", "try", "--routes", file, *words)

    assert ended.exit_code == exits.USAGE
    assert why in ended.stderr


# -- serve --------------------------------------------------------------------------------------


def test_serve_applies_a_file_before_anything_else(file: Path, tmp_path: Path) -> None:
    file.write_text(OTHER)
    words = ("serve", "--only", "agent", "--routes", file, "--json")
    with running(*words, STEPFOLD_DATA_DIR=str(tmp_path)) as process:
        assert '"serves"' in first_line(process)

        (now,) = records(run("route", "show", "--json", data=tmp_path))

    assert now["table"] == digest(read_routes(file))


def test_serve_does_not_begin_with_routes_that_cannot_work(file: Path, tmp_path: Path) -> None:
    file.write_text(BAD["an unknown key"][0])

    ended = run("serve", "--routes", file, data=tmp_path / "new")

    assert ended.exit_code == exits.REFUSED
    assert f"{file}:3: converse: unknown key" in ended.stderr
    assert not (tmp_path / "new").exists()


# -- the page -----------------------------------------------------------------------------------

PAGE = DOCS / "routing.md"
EXAMPLES = blocks(PAGE, "toml")
MODEL = '[models."a/b"]\n'
SERVER = '[providers.a]\nbase_url = "http://a"\n'
TABLES = {
    "| key of a route | means |": OTHER,
    "| key of a candidate | means |": "[[converse.ask]]\n",
    "| key of `when` | holds |": OTHER + '[[embed.ask]]\nmodel = "hashing"\n[embed.ask.when]\n',
    "| key of `with` | means |": OTHER + '[[embed.ask]]\nmodel = "hashing"\n[embed.ask.with]\n',
    "| key of a server | means |": OTHER + SERVER,
    "| key of a model | means |": OTHER + MODEL,
}


def test_the_page_has_an_example_of_each_kind() -> None:
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_of_the_page_can_work(file: Path, example: str) -> None:
    file.write_text(example)

    ended = run("route", "check", file)

    assert ended.exit_code == 0, ended.stderr
    assert read_routes(file) != Routes()


@pytest.mark.parametrize("heading", TABLES)
def test_the_page_names_every_key_that_can_be_written(file: Path, heading: str) -> None:
    file.write_text(TABLES[heading] + "zzz = 1\n")

    told = run("route", "check", file).stderr

    (known,) = re.findall(r"unknown key `zzz` \(known: (.*)\)", told)
    assert set(table(PAGE, heading)) == set(known.split(", "))


def test_what_the_page_shows_of_why_and_try_is_what_they_print(tmp_path: Path) -> None:
    shown, tried_ = blocks(PAGE, "text")
    file = tmp_path / "routes.toml"
    file.write_text(EXAMPLES[-1])

    _, _, rest = tried_.partition("\n")
    (line,) = re.findall("routes (sha256:.*)", shown)

    assert run("route", "try", "--routes", file, "--channel", "cli").stdout == rest
    assert line == digest(read_routes(file))


@pytest.mark.parametrize(("line", "models"), [("", ("extractive",)), ("models = []", ())])
def test_an_agent_file_without_models_quotes_and_an_empty_list_follows_the_routes(
    tmp_path: Path, line: str, models: tuple[str, ...]
) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(f'name = "desk"\n{line}\n')

    agent = read_agent(file)

    routes = parse_routes(OTHER, "routes.toml")
    routing = routing_of(agent, Conversation(agent="desk"), World("acme", routes))
    assert agent.models == models
    assert [pick.model for pick in routing.picks] == [*(models or ("openai/gpt-5-mini",))]
