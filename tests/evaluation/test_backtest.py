"""What another version of an agent would have allowed: its rules are asked of each call and each
answer on the log again.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from stepfold.evaluation.backtest import Backtest, backtest_archive, backtest_log
from stepfold.evaluation.backtest_counts import Calls, Change, Example, Report
from stepfold.events.event import MessageReceived, Reasoned
from stepfold.events.values import Arguments
from stepfold.policy.agent import Agent, Answers, Limits
from stepfold.policy.effect import Effect
from stepfold.policy.grant import Approval, Grant
from stepfold.policy.toolspec import ToolSpec
from stepfold.providers.model import Call, Reply
from stepfold.streams.archive import load
from stepfold.testing import PASSAGE, Arrangement, Passages
from tests.evaluation.test_replay import LOGS


class Said:
    """A tool that says the same to everybody."""

    def __init__(self, name: str, effect: Effect = "read", *, trusted: bool = True) -> None:
        self.spec = ToolSpec(name, effect=effect, trusted=trusted)

    async def run(self, arguments: Arguments, *, call: str) -> str:
        return f"{self.spec.name} did it"


TOOLS = (Said("find"), Said("refund", "write"), Said("forum", trusted=False))
SPECS = {tool.spec.name: tool.spec for tool in TOOLS}
DESK = Agent("desk", models=("scripted",), tools=("find", "refund", "forum"))


async def conversed(*replies: Reply, agent: Agent = DESK, said: int = 1) -> Arrangement:
    arrangement = Arrangement(replies=replies, tools=TOOLS, knowledge=Passages(PASSAGE))
    await arrangement.start(agent)
    for number in range(said):
        await arrangement.say(f"Message {number}")
        await arrangement.run_to_rest()
    return arrangement


def called(*calls: tuple[str, Arguments]) -> Reply:
    return Reply(calls=tuple(Call(name, arguments) for name, arguments in calls))


async def against(arrangement: Arrangement, agent: Agent, *, every: bool = False) -> Report:
    return await backtest_log(arrangement.log, arrangement.agents, agent, {}, every=every)


def of(report: Report, tool: str) -> Calls:
    return next(each for each in report.calls if each.tool == tool)


DONE = Reply(text="Done.")


async def test_a_version_changes_nothing_about_what_it_did_itself() -> None:
    arrangement = await conversed(
        called(("find", {}), ("refund", {"amount": 5}), ("emial", {})), DONE
    )

    report = await against(arrangement, DESK)

    assert [(each.tool, each.allowed, each.refused, each.changed) for each in report.calls] == [
        ("emial", 0, 1, 0),
        ("find", 1, 0, 0),
        ("refund", 1, 0, 0),
    ]
    assert (report.agents, report.conversations, report.unknown) == (("desk",), 1, ())
    assert (report.answered.answers, report.answered.changed, report.answered.turns) == (1, 0, 1)


async def test_a_call_beyond_a_constraint_would_be_refused_and_its_conversation_is_named() -> None:
    arrangement = await conversed(
        called(("refund", {"amount": 5})), DONE, called(("refund", {"amount": 500})), DONE, said=2
    )
    strict = replace(DESK, grants={"refund": Grant(arguments={"amount": {"maximum": 50}})})

    refund = of(await against(arrangement, strict), "refund")

    why = "agent 'desk' may not call 'refund' so: amount: 500 is greater than the maximum of 50"
    assert (refund.calls, refund.allowed, refund.refused, refund.changed) == (2, 1, 1, 1)
    assert refund.changes == (Change("allowed", "refused", 1, (Example("acme/c1", why),)),)


async def test_the_templates_stand_for_the_conversation_of_the_call() -> None:
    arrangement = await conversed(called(("find", {"of": "acme"}), ("find", {"of": "other"})), DONE)
    own = replace(DESK, grants={"find": Grant(arguments={"of": {"const": "{customer}"}})})

    find = of(await against(arrangement, own), "find")

    assert (find.allowed, find.refused) == (1, 1)


async def test_a_tool_that_is_not_named_any_more_would_be_refused() -> None:
    arrangement = await conversed(called(("refund", {})), DONE)

    refund = of(await against(arrangement, replace(DESK, tools=("find",))), "refund")

    (change,) = refund.changes
    assert (change.was, change.now) == ("allowed", "refused")
    assert "'refund' is not allowed for agent 'desk' (allowed: find)" in change.examples[0].reason


async def test_a_tool_that_was_refused_would_be_allowed_and_why_it_was_not_is_told() -> None:
    arrangement = await conversed(
        called(("refund", {})), DONE, agent=replace(DESK, tools=("find",))
    )

    refund = of(await against(arrangement, DESK), "refund")

    (change,) = refund.changes
    assert (change.was, change.now) == ("refused", "allowed")
    assert "'refund' is not allowed" in change.examples[0].reason


async def test_people_would_be_asked_by_a_rule_or_after_a_strangers_text() -> None:
    arrangement = await conversed(called(("refund", {})), called(("refund", {"amount": 9})), DONE)
    ruled = replace(DESK, grants={"refund": Grant(approval=Approval(unless={"amount": {}}))})

    refund = of(await against(arrangement, ruled), "refund")

    assert (refund.approval, refund.allowed, refund.changed) == (1, 1, 1)
    assert refund.changes[0].now == "approval"


async def test_what_a_tool_was_when_its_agent_was_appointed_says_whether_it_taints() -> None:
    rule = {"refund": Grant(safe=True)}
    arrangement = await conversed(
        called(("forum", {})), called(("refund", {})), DONE, agent=replace(DESK, grants=rule)
    )

    pinned = of(await against(arrangement, DESK), "refund")
    brought = await backtest_log(
        arrangement.log,
        arrangement.agents,
        DESK,
        {**SPECS, "refund": ToolSpec("refund", effect="read")},
    )

    assert (pinned.approval, pinned.changed) == (1, 1)
    assert "after text of a stranger" in pinned.changes[0].examples[0].reason
    assert of(brought, "refund").allowed == 1


async def test_a_call_that_waited_for_people_is_compared_as_such() -> None:
    ruled = replace(DESK, grants={"refund": Grant(approval=Approval())})
    arrangement = await conversed(called(("refund", {})), DONE, agent=ruled)
    await arrangement.approve()
    await arrangement.run_to_rest()

    same, free = await against(arrangement, ruled), await against(arrangement, DESK)

    assert (of(same, "refund").approval, of(same, "refund").changed) == (1, 0)
    assert [(each.was, each.now) for each in of(free, "refund").changes] == [
        ("approval", "allowed")
    ]


async def test_calls_beyond_the_limit_of_an_answer_would_be_refused() -> None:
    arrangement = await conversed(called(("find", {}), ("find", {}), ("find", {})), DONE)

    find = of(await against(arrangement, replace(DESK, limits=Limits(calls_max=2))), "find")

    assert (find.allowed, find.refused, find.changed) == (2, 1, 1)


@pytest.mark.parametrize(("arguments", "refused"), [({"query": "hours"}, 0), ({}, 1)])
async def test_a_search_is_judged_as_the_tool_that_it_is(
    arguments: Arguments, refused: int
) -> None:
    agent = replace(DESK, collections=("handbook",))
    arrangement = await conversed(called(("search", arguments)), DONE, agent=agent)

    same, without = await against(arrangement, agent), await against(arrangement, DESK)

    assert (of(same, "search").refused, of(same, "search").changed) == (refused, 0)
    assert (of(without, "search").refused, of(without, "search").changed) == (1, 1 - refused)


async def test_an_answer_without_support_would_be_refused_or_handed_on() -> None:
    agent = replace(DESK, collections=("handbook",))
    arrangement = await conversed(
        called(("search", {"query": "open"})),
        Reply(text='It says: "The branch opens at 9."'),
        Reply(text="At ten, I think. Or so."),
        agent=agent,
        said=2,
    )

    refusing = await against(arrangement, replace(agent, answers=Answers(cite=True)))
    handing = await against(
        arrangement, replace(agent, answers=Answers(cite=True, otherwise="hand_off"))
    )
    cutting = await against(arrangement, replace(agent, answers=Answers(characters_max=18)))

    assert (refusing.answered.answers, refusing.answered.refused) == (2, 1)
    assert (handing.answered.handed_off, handing.answered.changed) == (1, 1)
    (change,) = refusing.answered.changes
    assert (change.was, change.now, change.examples[0].conversation) == (
        *("answer", "refusal"),
        "acme/c1",
    )
    assert (cutting.answered.shortened, cutting.answered.changed) == (2, 0)


async def test_turns_in_a_channel_where_it_does_not_answer_are_counted() -> None:
    arrangement = await conversed(DONE, DONE, said=2)

    answered = (await against(arrangement, replace(DESK, channels=("mail",)))).answered

    assert (answered.turns, answered.elsewhere) == (2, 2)


async def test_conversations_of_other_agents_count_only_where_there_is_no_other() -> None:
    arrangement = await conversed(called(("find", {})), DONE, called(("find", {})), DONE)
    await arrangement.start(replace(DESK, name="sales"), "c2")
    await arrangement.say("Hi", "c2")
    await arrangement.run_to_rest()

    named = await against(arrangement, DESK)
    every = await against(arrangement, DESK, every=True)
    other = await against(arrangement, replace(DESK, name="new"))

    assert (named.agents, named.conversations, of(named, "find").calls) == (("desk",), 1, 1)
    assert (every.agents, every.conversations, of(every, "find").calls) == (("desk", "sales"), 2, 2)
    assert other.agents == ("desk", "sales")


async def test_what_is_before_a_time_is_folded_and_not_counted() -> None:
    arrangement = await conversed(called(("find", {})), DONE, called(("find", {})), DONE, said=2)
    entries = await arrangement.log.read("acme", "c1")
    second = [entry for entry in entries if isinstance(entry.event, MessageReceived)][1]

    report = await backtest_log(arrangement.log, arrangement.agents, DESK, {}, since=second.at)

    assert (of(report, "find").calls, report.answered.answers, report.conversations) == (1, 1, 1)


async def test_a_call_that_nothing_was_decided_on_changes_nothing() -> None:
    arrangement = await conversed(called(("find", {})), DONE)
    entries = await arrangement.log.read("acme", "c1")
    thought = next(i for i, entry in enumerate(entries) if isinstance(entry.event, Reasoned))
    backtest = Backtest(replace(DESK, tools=()), {}, {})

    backtest.take(entries[: thought + 1])

    find = of(backtest.report(), "find")
    assert (find.calls, find.refused, find.changed) == (1, 1, 0)


async def test_a_tool_of_which_nobody_says_what_it_does_is_named_and_not_trusted() -> None:
    arrangement = await conversed(called(("find", {})), called(("refund", {})), DONE)

    backtest = Backtest(DESK, {}, {})
    backtest.take(await arrangement.log.read("acme", "c1"))

    report = backtest.report()
    assert report.unknown == ("find", "refund")
    assert of(report, "refund").approval == 1


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_the_version_of_a_recorded_log_changes_nothing_in_it(path: Path) -> None:
    archive = load(path)
    (agent, *_) = archive.agents.values()

    report = backtest_archive(archive, agent, {})

    assert report.conversations > 0
    assert sum(each.changed for each in report.calls) == report.answered.changed == 0
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report
