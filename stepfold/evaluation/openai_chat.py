"""Recorded conversations in OpenAI chat form as logs, honestly marked as imported.

Messages, model answers and tool results are facts by "import"; what lies between them is what
`decide` itself decides, so that a replay finds no difference. What a recording cannot know is not
made up: finish, usage, cost and model are empty or "unknown" unless it says them. And where it
leaves something open, the log says so:

    a result is there           ToolStarted, ToolReturned: somebody answered the call; when it
                                began, and whether its text is a failure, is not known
    none, and it goes on        ToolUnknown
    an answer nobody asked for  a ReasonRequested by "import": a greeting, two answers in a row
    arguments that are no JSON  {"malformed_arguments": text}, finish "malformed_tool_call"
    it ends before an answer    TurnCancelled, "the recording ends here"

The model has heard all that stands before its answer (`second_message` "merge"). What no step can
hold (rewards, notes, ...) is named in `unused`. Anything else is a RecordRefused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from stepfold.evaluation.chat_record import (
    HELD,
    TIMES,
    Call,
    Function,
    Message,
    Record,
    parse,
    records,
)
from stepfold.events.envelope import Draft, first, follow, record
from stepfold.events.event import (
    ConversationStarted,
    Event,
    MessageReceived,
    Reasoned,
    ReasonRequested,
    ToolReturned,
    ToolStarted,
    ToolUnknown,
    TurnCancelled,
)
from stepfold.events.values import (
    Arguments,
    Finish,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from stepfold.events.wire import encode, subject
from stepfold.handlers.decide import BY as AGENT
from stepfold.handlers.decide import decide
from stepfold.handlers.states import Known, advance
from stepfold.policy.agent import Agent, Limits, digest, offered
from stepfold.projections.state import Conversation
from stepfold.streams.archive import Key
from stepfold.streams.log import Agents, LogConflict
from stepfold.streams.restore import ConversationDiffers, RestorableLog

BY = "import"
ORIGIN = "openai-chat"
NO_RESULT = "the recording holds no result of this call"
ENDS = "the recording ends here"
UNKNOWN = "unknown"
MALFORMED = "malformed_arguments"
WIDE = Limits(steps_max=10**9, calls_max=10**9, turn_s=1e9, call_s=1e9)
"""A recording is followed wherever it goes."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FINISH: Mapping[str, Finish] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


class Recording(Struct, frozen=True):
    """One conversation, ready to be appended. `times` has one for each draft, or none at all: then
    the time of the import is its time. `unused` names what no step holds.
    """

    where: str
    agent: Agent
    customer: str
    conversation: str
    drafts: tuple[Draft, ...]
    times: tuple[datetime, ...] = ()
    unused: tuple[str, ...] = ()


def conversations(
    path: Path, *, customer: str = "imported", template: str = "", agent: str = "imported"
) -> Iterator[Recording]:
    """The conversations of a file, in order; its form stands in `evaluation/chat_record.py`.

    `template` makes a conversation's id of the record's keys and `line`, as in "{task_id}-{trial}".
    The tools of the agent, which is called `agent`, are all that the file names.
    """
    tools = tuple(sorted({name for found in records(path) for name in found.tools()}))
    seen: dict[str, str] = {}
    for found in records(path):
        made = _recording(found, _agent(found, agent, tools), customer, template)
        if made.conversation in seen:
            found.refuse(
                f"conversation {made.conversation!r} stands at {seen[made.conversation]} already:"
                ' give a template that tells them apart, such as "{line}"'
            )
        seen[made.conversation] = found.where
        yield made


async def write(recording: Recording, log: RestorableLog, agents: Agents) -> int:
    """Append what is not there yet; how many steps. A second time it is 0."""
    await agents.put(recording.agent)
    key = recording.customer, recording.conversation
    there = await log.read(*key) if (await log.tail(*key)).position else []
    for draft, entry in zip(recording.drafts, there, strict=False):
        if draft.id != entry.id:
            raise ConversationDiffers(
                f"{recording.where}: conversation {'/'.join(key)} is already in the log, with other"
                " steps: give another customer or template"
            )
    after = there[-1].position if there else 0
    drafts = recording.drafts[len(there) :]
    if recording.times:
        await _write_at(log, drafts, recording.times[len(there) :], after)
    elif drafts:
        await log.append(drafts, after=after)
    return len(drafts)


async def _write_at(
    log: RestorableLog, drafts: Sequence[Draft], times: Sequence[datetime], after: int
) -> None:
    for draft, at in zip(drafts, times, strict=True):
        payload = encode(draft, at=at, after=after)
        position = await log.append_raw(subject(draft), payload, id=draft.id, after=after)
        if position is None:
            where = f"{draft.customer}/{draft.conversation}"
            raise LogConflict(f"somebody else appends to {where}: import it again")
        after = position


def _recording(found: Record, agent: Agent, customer: str, template: str) -> Recording:
    conversation, used = found.name(template)
    times = found.times()
    play = _Play(found, agent, (customer, conversation), times)
    play.run()
    return Recording(
        where=found.where,
        agent=agent,
        customer=customer,
        conversation=conversation,
        drafts=tuple(play.drafts),
        times=tuple(play.times) if times else (),
        unused=found.unused(used | {f"messages.{key}" for key in TIMES if times}),
    )


def _agent(found: Record, name: str, tools: tuple[str, ...]) -> Agent:
    return Agent(
        name=name,
        instructions="\n\n".join(map(found.text, range(1, found.opening + 1))),
        models=(found.model or UNKNOWN,),
        tools=tools,
        second_message="merge",
        limits=WIDE,
    )


class _Play:
    """One recording, played from message to message into steps."""

    def __init__(self, found: Record, agent: Agent, key: Key, times: Sequence[datetime]) -> None:
        self.drafts: list[Draft] = []
        self.times: list[datetime] = []
        self._found = found
        self._agent = agent
        self._key = key
        self._content = _content(found, agent)
        self._at = times[0] if times else _EPOCH
        self._said_at = times
        self._known = Known()

    @property
    def _state(self) -> Conversation:
        return self._known.state

    def run(self) -> None:
        agent, opening = self._agent, self._found.opening
        self._fact(ConversationStarted(agent.name, digest(agent), channel="import", origin=ORIGIN))
        for number, message in enumerate(self._found.messages[opening:], start=opening + 1):
            if message.role == "assistant":
                self._ask()
            if self._said_at:
                self._at = self._said_at[number - opening - 1]
            self._take(number, message)
        self._decide()
        if self._state.turn is not None:
            self._fact(TurnCancelled(self._state.turn.number, ENDS))

    def _take(self, number: int, message: Message) -> None:
        match message.role:
            case "user":
                self._fact(MessageReceived(self._found.text(number), contact=message.name or ""))
            case "assistant":
                self._answer(number, message)
            case "tool" | "function":
                self._result(number, message)
            case "system" | "developer":
                why = "instructions in the middle: move it to the front, or make it a user message"
                self._found.refuse(why, message=number)
            case other:
                known = ", ".join(sorted(HELD))
                why = f"unknown role {other!r} (known: {known}): rename or remove it"
                self._found.refuse(why, message=number)

    def _ask(self) -> None:
        """Bring the log to where the model is asked; by ourselves where the agent would not."""
        self._decide()
        turn = self._state.turn
        if turn is not None and turn.waiting:
            for call in self._open():
                self._fact(ToolUnknown(call.call, turn.number, NO_RESULT))
            self._decide()
        if self._state.turn is None:
            self._fact(
                ReasonRequested(
                    call=f"r{self._state.asked + 1}",
                    turn=self._state.turns + 1,
                    model=self._agent.models[0],
                    tools=offered(self._agent),
                )
            )

    def _answer(self, number: int, message: Message) -> None:
        turn = self._state.turn
        assert turn is not None
        assert turn.thinking
        calls = [_call(turn.thinking, n, call) for n, call in enumerate(message.calls, start=1)]
        malformed = any(MALFORMED in call.arguments for call in calls)
        word = message.finish_reason or ""
        self._fact(
            Reasoned(
                call=turn.thinking,
                turn=turn.number,
                model=message.model or self._agent.models[0],
                parts=(*_parts(self._found, number), *calls),
                finish="malformed_tool_call" if malformed else _FINISH.get(word, "unknown"),
                finish_word=word,
                usage=self._found.usage(number),
                cost_usd=message.cost_usd,
            )
        )
        self._decide()

    def _result(self, number: int, message: Message) -> None:
        call = self._match(number, message)
        turn = self._state.turn
        assert turn is not None
        result = None if message.content is None else self._found.text(number)
        self._fact(ToolStarted(call.call, turn.number))
        self._fact(ToolReturned(call.call, turn.number, result))

    def _match(self, number: int, message: Message) -> ToolCall:
        """The call that a result answers: the first open one of its id; without an id, of all.
        Providers repeat their ids within a conversation, so only the running turn counts.
        """
        name, said, waiting = message.tool_call_id, message.name, self._open()
        call = next((call for call in waiting if not name or call.provider_call == name), None)
        if call is None:
            known = ", ".join(call.provider_call or call.name for call in waiting) or "none"
            why = (
                f"a result without its call: id {name!r} (waiting: {known});"
                " correct its tool_call_id, add the call, or remove the result"
            )
            self._found.refuse(why, message=number)
        if said and said != call.name:
            why = f"a result of {said!r} for a call of {call.name!r}: correct its name or id"
            self._found.refuse(why, message=number)
        return call

    def _open(self) -> list[ToolCall]:
        turn = self._state.turn
        return [call for call in turn.wanted if call.call not in turn.settled] if turn else []

    def _fact(self, event: Event) -> None:
        place = f"{self._content}/{len(self.drafts)}"
        self._append(first(*self._key, event, by=BY, key=place))

    def _decide(self) -> None:
        while events := decide(self._agent, self._state):
            assert self._known.cause is not None
            self._append(follow(self._known.cause, AGENT, events[:1])[0])

    def _append(self, draft: Draft) -> None:
        after = len(self.drafts)
        entry = record(draft, position=after + 1, at=self._at, after=after)
        self._known = advance(self._known, (entry,))
        self.drafts.append(draft)
        self.times.append(self._at)


def _content(found: Record, agent: Agent) -> str:
    """What the ids of its steps derive from: the same record for the same agent."""
    form = msgspec.json.encode((digest(agent), found.form), order="sorted")
    return hashlib.sha256(form).hexdigest()


def _parts(found: Record, number: int) -> Iterator[Part]:
    """What an answer says, without its calls."""
    message = found.messages[number - 1]
    if message.reasoning_content:
        yield Thinking(message.reasoning_content)
    for part in message.content if isinstance(message.content, list) else ():
        if part.type == "refusal" and part.refusal is not None:
            yield Refusal(part.refusal)
        else:
            yield Text(found.only_text(number, part))
    if isinstance(message.content, str) and message.content:
        yield Text(message.content)
    if message.refusal:
        yield Refusal(message.refusal)


def _call(ask: str, number: int, call: Call) -> ToolCall:
    function = call.function
    return ToolCall(f"{ask}.{number}", function.name, _arguments(function), call.id or "")


def _arguments(function: Function) -> Arguments:
    """The arguments as an object. Providers also write "" or "null" where there are none."""
    if isinstance(function.arguments, dict):
        return function.arguments
    text = function.arguments or ""
    value, _ = parse(text.encode())
    if isinstance(value, dict):
        return value
    return {} if text.strip() in ("", "null") else {MALFORMED: text}
