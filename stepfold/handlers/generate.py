"""The direct path. One `GenerationRequested` in, JSON that fits its schema or a failure out.

What a model promises is not believed: every answer is held against the schema here, and nobody is
asked for what could not be held against one.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from stepfold.events.envelope import Entry
from stepfold.events.event import (
    Event,
    Generated,
    GenerationFailed,
    GenerationRequested,
    Request,
)
from stepfold.events.transcript import Heard, Thought
from stepfold.events.values import Text
from stepfold.handlers.asking import Asker, Failed, Spoken
from stepfold.handlers.jobs import MALFORMED
from stepfold.policy.agent import Agent
from stepfold.policy.schema import broken, mismatch
from stepfold.projections.state import Conversation
from stepfold.providers.model import AS_IT_IS, Prompt
from stepfold.providers.schemas import unnull

SCHEMA = "schema"
"""The reason of a failure that no model is to blame for."""
OUTPUT_CHARS_MAX = 16_000
"""What of an answer that does not fit is shown to its model again."""
_FENCED = re.compile(r"\s*```(?:json)?\s*\n(.*?)\n\s*```\s*", re.DOTALL)


class Generate:
    by = "generate"

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def run(self, entry: Entry, state: Conversation, agent: Agent) -> Event:
        request = entry.event
        assert isinstance(request, GenerationRequested)
        if why := broken(request.schema):
            return self.failed(request, SCHEMA, why, retryable=False)
        told = await self._asker.ask(
            entry, request.model, prompt(request), turn=0, attempt=request.attempt
        )
        return _failed(request, told) if isinstance(told, Failed) else _outcome(request, told)

    def forbid(self, entry: Entry, state: Conversation, agent: Agent) -> Event | None:
        return None

    def failed(self, request: Request, reason: str, detail: str, *, retryable: bool) -> Event:
        assert isinstance(request, GenerationRequested)
        return GenerationFailed(
            call=request.call,
            reason=reason,
            model=request.model,
            detail=detail,
            attempt=request.attempt,
            retryable=retryable,
        )


def prompt(request: GenerationRequested) -> Prompt:
    """The task and its input; after an answer that did not fit, that and what was wrong with it."""
    text = request.input if isinstance(request.input, str) else _json(request.input)
    told = request.instructions or f"Task: {request.task}."
    heard = Heard(text, request.files)
    repair = request.repair
    mended = (Thought((Text(repair.output or "(nothing)"),)), _mend(repair.why)) if repair else ()
    return Prompt(
        instructions=f"{told}\n\nAnswer with JSON only, fitting this schema:\n"
        + _json(request.schema),
        tools=(),
        transcript=(heard, *mended),
        call=request.call,
        options=request.options or AS_IT_IS,
        schema=request.schema,
    )


def _mend(why: str) -> Heard:
    return Heard(f"That does not fit the schema: {why}\nAnswer again, with the whole JSON only.")


def _outcome(request: GenerationRequested, told: Spoken) -> Event:
    reply = told.reply
    text = reply.all_text()
    output, why = _read(text, request.schema)
    if why is None:
        return Generated(
            call=request.call,
            output=output,
            model=reply.model or request.model,
            usage=reply.usage,
            cost_usd=reply.cost_usd,
            elapsed_ms=told.elapsed_ms,
            attempt=request.attempt,
            provider=reply.provider,
            response=reply.response,
            tier=reply.tier,
            price=reply.price,
        )
    return GenerationFailed(
        call=request.call,
        reason=MALFORMED,
        model=reply.model or request.model,
        detail=why if reply.finish in (None, "stop") else f"{why} (finish: {reply.finish})",
        usage=reply.usage,
        cost_usd=reply.cost_usd,
        elapsed_ms=told.elapsed_ms,
        attempt=request.attempt,
        retryable=True,
        output=text[:OUTPUT_CHARS_MAX],
        provider=reply.provider,
        response=reply.response,
        price=reply.price,
    )


def _read(text: str, schema: dict[str, Any]) -> tuple[Any, str | None]:
    """(the JSON in `text`, why it does not fit); models like to fence what they were asked for."""
    fenced = _FENCED.fullmatch(text)
    try:
        output = unnull(msgspec.json.decode(fenced[1] if fenced else text), schema)
        return output, mismatch(output, schema)
    except msgspec.DecodeError as error:
        return None, f"not JSON: {error}" if text.strip() else "the answer is empty"
    except RecursionError:
        return None, "it is nested too deeply"


def _failed(request: GenerationRequested, told: Failed) -> GenerationFailed:
    error = told.error
    return GenerationFailed(
        call=request.call,
        reason=error.reason,
        model=request.model,
        detail=str(error),
        usage=error.usage,
        cost_usd=told.cost_usd,
        elapsed_ms=told.elapsed_ms,
        attempt=request.attempt,
        retryable=error.retryable,
        delay_s=error.delay_s,
        provider=told.provider,
        body=error.body,
        price=told.price,
    )


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
