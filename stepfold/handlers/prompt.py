"""What a model is shown when a `ReasonRequested` is answered, and what its reply becomes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from stepfold.events.event import Reasoned, ReasonRequested
from stepfold.events.transcript import Heard, Item, Result
from stepfold.events.values import Part, Passage, ToolCall
from stepfold.handlers.answering import told_rules
from stepfold.handlers.citing import cited
from stepfold.policy.agent import Agent
from stepfold.policy.toolspec import OWN, ToolSpec
from stepfold.projections.state import Conversation
from stepfold.providers.model import AS_IT_IS, Prompt, Reply

LEFT_OUT = "The beginning of this conversation is left out here, because it is too long."
CUT = " [... cut]"


def prompt(
    agent: Agent,
    state: Conversation,
    request: ReasonRequested,
    specs: Mapping[str, ToolSpec] = {},
) -> Prompt:
    """Only the tools of the request are offered, whatever the agent's configuration says today."""
    transcript = state.transcript[: request.upto] if request.shadow else state.transcript
    kept = fitting(transcript, request.compact) if request.compact else transcript
    instructions = _instructions(agent)
    if len(kept) < len(transcript):
        instructions = f"{instructions}\n\n{LEFT_OUT}".strip()
    return Prompt(
        instructions=instructions,
        tools=tuple(_spec(name, specs) for name in request.tools),
        transcript=kept,
        call=request.call,
        options=request.options or AS_IT_IS,
    )


def _instructions(agent: Agent) -> str:
    rules = told_rules(agent.answers) if agent.answers else ""
    return "\n\n".join(part for part in (agent.persona, agent.instructions, rules) if part)


def _spec(name: str, specs: Mapping[str, ToolSpec]) -> ToolSpec:
    return specs.get(name) or OWN.get(name) or ToolSpec(name)


def fitting(transcript: tuple[Item, ...], characters: int) -> tuple[Item, ...]:
    """The end of a transcript that has about so many characters, from a contact's message on. When
    the latest message and what came after it are more, the results in it are cut.
    """
    begin, seen = len(transcript), 0
    for index in range(len(transcript) - 1, -1, -1):
        seen += _characters(transcript[index])
        if seen > characters and begin < len(transcript):
            break
        if isinstance(transcript[index], Heard):
            begin = index
    kept = transcript[begin:] if begin < len(transcript) else transcript
    results = sum(isinstance(item, Result) for item in kept)
    if sum(map(_characters, kept)) <= characters or not results:
        return kept
    spoken = sum(_characters(item) for item in kept if not isinstance(item, Result))
    room = max(0, characters - spoken) // results
    return tuple(_cut(item, room) if isinstance(item, Result) else item for item in kept)


def _characters(item: Item) -> int:
    return len(item.text) if isinstance(item, Heard) else item.characters


def _cut(result: Result, room: int) -> Result:
    if result.characters <= room:
        return result
    passages: list[Passage] = []
    left = room
    for passage in result.passages:
        left -= len(passage.text)
        if left < 0 and passages:
            break
        passages.append(passage)
    text = result.text[:room] + CUT if len(result.text) > room else result.text
    return replace(result, text=text, passages=tuple(passages))


def reasoned(
    request: ReasonRequested,
    reply: Reply,
    *,
    elapsed_ms: float,
    passages: Sequence[Passage] = (),
) -> Reasoned:
    """The reply as an event. Calls get our own names: providers repeat theirs; citations get their
    places in what was retrieved.
    """
    parts: list[Part] = []
    number = 0
    for part in cited(reply.all_parts(), passages):
        if isinstance(part, ToolCall):
            number += 1
            parts.append(replace(part, call=f"{request.call}.{number}"))
        else:
            parts.append(part)
    return Reasoned(
        call=request.call,
        turn=request.turn,
        model=reply.model or request.model,
        parts=tuple(parts),
        finish=reply.finish or ("tool_calls" if number else "stop"),
        finish_word=reply.finish_word,
        provider=reply.provider,
        response=reply.response,
        usage=reply.usage,
        cost_usd=reply.cost_usd,
        elapsed_ms=elapsed_ms,
        attempt=request.attempt,
        tier=reply.tier,
        state=reply.state,
        price=reply.price,
    )
