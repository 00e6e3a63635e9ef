"""Every decision of a log follows again from the steps before it, without a model or a tool."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from msgspec.structs import replace

from stepfold.evaluation.as_test import as_test
from stepfold.evaluation.replay import AgentMissing, Replay, Report, replay_archive, replay_log
from stepfold.events.envelope import Entry
from stepfold.events.event import Event, MessageReceived, ReasonRequested, ToolRequested
from stepfold.handlers.decide import Veto
from stepfold.policy.agent import Agent, digest
from stepfold.projections.state import Conversation
from stepfold.providers.model import Call, Reply
from stepfold.streams.archive import Archive, ArchiveError, entries, export, load
from stepfold.streams.memory import MemoryAgents
from stepfold.testing import AGENT, Arrangement

LOGS = sorted((Path(__file__).parents[1] / "logs").glob("*.jsonl"))


def log_of(name: str) -> Archive:
    return load(next(path for path in LOGS if path.stem == name))


def replayed(archive: Archive, taken: Iterable[Entry]) -> Report:
    replay = Replay(archive.agents)
    replay.take(taken)
    return replay.report()


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_every_recorded_log_decides_again_what_it_decided(path: Path) -> None:
    report = replay_archive(load(path))

    assert report.differences == 0, report.first
    assert report.decisions > 0
    assert (report.model_calls, report.pending, report.unreadable) == (0, 0, 0)


async def test_a_log_is_replayed_with_the_agents_it_keeps() -> None:
    arrangement = await conversed()

    whole = await replay_log(arrangement.log, arrangement.agents, arrangement.routes)
    one = await replay_log(
        arrangement.log, arrangement.agents, arrangement.routes, key=("acme", "c1")
    )

    assert (whole.conversations, whole.entries) == (2, len(arrangement.log.steps))
    assert (one.conversations, one.differences) == (1, 0)
    assert whole.differences == 0, whole.first


def test_a_log_that_ends_before_a_decision_leaves_it_pending() -> None:
    archive = log_of("refund")

    report = replayed(archive, list(entries(archive))[:-1])

    assert (report.pending, report.differences) == (1, 0)


def test_a_decision_that_a_fact_came_before_is_no_difference() -> None:
    archive = log_of("refund")
    started, said, *_ = entries(archive)
    again = replace(said, id=started.id, event=MessageReceived("?"), position=3, after=2)

    report = replayed(archive, (started, said, again))

    assert (report.decisions, report.differences, report.pending) == (0, 0, 1)


def test_another_event_than_decided_is_a_difference_shown_as_a_diff() -> None:
    archive = log_of("refund")
    taken = list(entries(archive))
    assert isinstance(taken[2].event, ReasonRequested)
    taken[2] = replace(taken[2], event=replace(taken[2].event, model="another"))

    report = replayed(archive, taken[:3])

    assert (report.differences, report.differing) == (1, ("acme/refund",))
    assert report.first.splitlines()[:2] == [
        "--- acme/refund step 3, derived",
        "+++ acme/refund step 3, recorded",
    ]
    assert '-    "model": "scripted",' in report.first
    assert '+    "model": "another",' in report.first


@pytest.mark.parametrize("field", ["id", "cause", "trace"])
def test_a_decision_that_follows_from_something_else_is_a_difference(field: str) -> None:
    archive = log_of("refund")
    taken = list(entries(archive))[:3]
    taken[2] = replace(taken[2], **{field: taken[0].id})

    assert replayed(archive, taken).differences == 1


def test_a_decision_out_of_turn_is_a_difference() -> None:
    archive = log_of("refund")
    taken = list(entries(archive))
    again = replace(taken[2], position=4, after=3)

    report = replayed(archive, [*taken[:3], again])

    assert report.differences == 1
    assert "(no decision: it is not the agent's move)" in report.first


def test_what_follows_an_unreadable_step_cannot_be_derived() -> None:
    made = Path(log_of("refund").name).read_bytes().splitlines(keepends=True)
    made[2] = made[2].replace(b"message.received/1", b"message.received/9")

    report = replay_archive(load(made))

    assert report.unreadable == 1
    assert report.differences == report.decisions
    assert "upgrade this worker" in report.first


def test_the_first_step_cannot_be_a_decision() -> None:
    archive = log_of("refund")
    _, _, asked, *_ = entries(archive)

    assert replayed(archive, [asked]).differences == 1


def test_without_its_agent_a_conversation_cannot_be_replayed() -> None:
    path = next(path for path in LOGS if path.stem == "refund")
    _, *steps = path.read_bytes().splitlines(keepends=True)
    name = next(iter(load(path).agents))
    archive = load([b'{"missing":"' + name.encode() + b'"}\n', *steps])

    with pytest.raises(AgentMissing, match=rf"acme/refund: agent 'help-desk' .*{name}.*export"):
        replay_archive(archive)


async def test_a_version_that_the_store_never_kept_is_named() -> None:
    arrangement = Arrangement()
    await arrangement.start(AGENT)

    with pytest.raises(AgentMissing, match=digest(AGENT)):
        await replay_log(arrangement.log, MemoryAgents(), arrangement.routes)


async def test_vetoes_are_asked_again() -> None:
    def no_search(state: Conversation, event: Event) -> str | None:
        return "not today" if isinstance(event, ToolRequested) else None

    arrangement = await conversed(vetoes=(no_search,))

    with_it = await replay_log(
        arrangement.log, arrangement.agents, arrangement.routes, vetoes=(no_search,)
    )
    without = await replay_log(arrangement.log, arrangement.agents, arrangement.routes)

    assert with_it.differences == 0, with_it.first
    assert without.differences == 2
    assert '+    "type": "tool.refused/1"' in without.first


async def conversed(vetoes: Iterable[Veto] = ()) -> Arrangement:
    """Two conversations at once, with one call each."""
    agent = Agent("help-desk", models=("scripted",), tools=("look_up",))
    called = Reply(calls=(Call("look_up", {}),))
    done = Reply(text="Done.")
    arrangement = Arrangement(replies=(called, called, done, done), vetoes=tuple(vetoes))
    for conversation in ("c1", "c2"):
        await arrangement.start(agent, conversation)
        await arrangement.say("Hi", conversation)
    await arrangement.run_to_rest()
    return arrangement


# -- a conversation as a test ---------------------------------------------------------------------


def test_a_recorded_conversation_becomes_a_test() -> None:
    made = as_test(log_of("refund"))

    compile(made, "test_refund.py", "exec")
    assert '@pytest.mark.replay("logs/refund.jsonl")' in made
    assert "def test_refund_decides_again_what_it_decided(replayed" in made
    assert '        "find_order",\n        "close_account",\n        "search",\n' in made
    assert '        "A refund takes three working days.",\n' in made
    assert max(map(len, made.splitlines())) <= 100


async def test_what_was_said_is_quoted_whole_however_it_is_written() -> None:
    said = 'It\'s "here":\n' + "a very long answer, " * 20 + "{braces} \\ é"
    arrangement = Arrangement(replies=(Reply(text=said),))
    await arrangement.start(AGENT, "C-1:x")
    await arrangement.say("Hi", "C-1:x")
    await arrangement.run_to_rest()
    archive = load(
        [line async for line in export(arrangement.log, arrangement.agents, arrangement.routes)]
    )

    made = as_test(archive, log="../logs/it's.jsonl")

    source = made.partition("[-1:] == ")[2]
    assert eval(source) == [said]
    assert "def test_c_1_x_decides_again" in made
    assert max(map(len, made.splitlines())) <= 100


def test_a_test_is_about_one_conversation() -> None:
    with pytest.raises(ArchiveError, match="holds 0 conversations, a test is about one"):
        as_test(load([], name="none.jsonl"))
