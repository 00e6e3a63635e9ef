"""The pytest plugin that ships: recorded conversations as cases, and a real server of one's own."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import pytest

from stepfold.providers.model import Call, Reply
from stepfold.streams.archive import export
from stepfold.testing import AGENT, PASSAGE, Arrangement, Passages

pytest_plugins = "pytester"

INSTALLED = any(found.name == "stepfold" for found in entry_points(group="pytest11"))
PLAIN = [f"-pno:{name}" for name in ("asyncio", "cacheprovider", "hypothesispytest", "randomly")]
OPTIONS = PLAIN if INSTALLED else [*PLAIN, "-p", "stepfold.pytest_plugin"]
SEARCH = Reply(calls=(Call("search", {"query": "open"}),))

REPLAYS = """
import pytest

@pytest.mark.replay("logs/*.jsonl")
def test_every_decision_follows_again(replayed):
    assert replayed.entries[-1].event.text == "At 9."
    assert (replayed.decisions, replayed.differences) == (4, 0)
    assert replayed.state.turns == 1
    assert (replayed.path.name, replayed.conversation) == ("hours.jsonl", "c1")
"""


@pytest.fixture
async def recorded() -> bytes:
    arrangement = Arrangement(replies=[SEARCH, Reply("At 9.")], knowledge=Passages(PASSAGE))
    await arrangement.start(AGENT)
    await arrangement.say("When does the branch open?")
    await arrangement.run_to_rest()
    return b"".join(
        [line async for line in export(arrangement.log, arrangement.agents, arrangement.routes)]
    )


def write(pytester: pytest.Pytester, log: bytes, test: str = REPLAYS) -> None:
    folder: Path = pytester.mkdir("logs")
    (folder / "hours.jsonl").write_bytes(log)
    pytester.makepyfile(test)


def run(pytester: pytest.Pytester) -> pytest.RunResult:
    return pytester.runpytest_inprocess("--strict-markers", *OPTIONS)


def test_each_recorded_conversation_is_a_case(pytester: pytest.Pytester, recorded: bytes) -> None:
    write(pytester, recorded)

    found = pytester.runpytest_inprocess("-v", *OPTIONS)

    found.assert_outcomes(passed=1)
    found.stdout.fnmatch_lines(["*hours.jsonl-acme/c1* PASSED*"])


def test_a_case_fails_by_itself_with_the_difference_as_a_diff(
    pytester: pytest.Pytester, recorded: bytes
) -> None:
    empty = '@__import__("pytest").mark.replay("logs/*.jsonl")\ndef test_logs(): pass\n'
    write(pytester, recorded.replace(b'"query":"open","coll', b'"query":"shut","coll'), empty)

    found = run(pytester)

    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(
        [
            "*hours.jsonl: 1 of 4 decisions of conversation c1 do not follow again; the first:",
            '*-*"query": "open",',
            '*+*"query": "shut",',
        ]
    )


def test_a_recording_that_is_not_there_is_an_error(
    pytester: pytest.Pytester, recorded: bytes
) -> None:
    write(pytester, recorded, REPLAYS.replace("logs/*", "nowhere/*"))

    found = run(pytester)

    assert found.ret != 0
    found.stdout.fnmatch_lines(["*replay('nowhere/?.jsonl'): no such file in*"])


def test_the_fixture_without_the_mark_says_what_is_missing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_mine(replayed): pass")

    found = run(pytester)

    found.assert_outcomes(errors=1)
    found.stdout.fnmatch_lines(["*`replayed` needs recordings: mark the test replay(*"])


SERVED = """
from stepfold.policy.agent import Agent
from stepfold.providers.model import Reply

AGENT = Agent(name="help-desk", models=("scripted",))

def test_a_message_is_answered_on_a_real_server(stepfold):
    import asyncio
    rest = asyncio.run(stepfold.run(AGENT, "When?", "Why?", replies=[Reply("At 9."), Reply("!")]))
    assert [answer.text for answer in rest.answers] == ["At 9.", "!"]
    assert stepfold.url.startswith("nats://127.0.0.1:")

def test_another_test_has_another_server(stepfold):
    import asyncio
    async def last():
        async with stepfold.opened() as found:
            return await found.log.last()
    assert asyncio.run(last()) == 0
"""


def test_each_test_can_have_a_real_server_of_its_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SERVED)

    run(pytester).assert_outcomes(passed=2)
