"""One way to call a model, many times in a row: through stepfold, the bare SDK, or LiteLLM.

    python -m bench.provider_side --side stepfold|sdk|litellm --api chat|anthropic --url URL
                                  [--stream] [--calls N]

Prints one JSON object: wall and processor time of a call in microseconds, of the calls after a
hundred to warm up. Each side is asked the same twelve messages with three tools, and must hand over
the text and the two tool calls with decoded arguments, or it does not count.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from bench.canned import ARGUMENTS, TEXT

WARM_UP = 100
ROUNDS = 3
SYSTEM = "Answer from the knowledge, quote it, and say so when it holds no answer. " * 20
QUESTION = "When does the branch open, and does it close over lunch on a holiday? "
FOUND = "The branch opens at nine and closes at five, except on Sundays. " * 10
TOOLS = ("look_up", "cancel_order", "open_ticket")
MODELS = {"chat": "gpt-4.1", "anthropic": "claude-sonnet-4-5"}
OUTPUT_TOKENS = 1_000

Json = dict[str, Any]
Answer = tuple[str, list[Json]]
Ask = Callable[[], Awaitable[Answer]]


def schema() -> Json:
    query = {"type": "string", "description": "what to look for"}
    limit = {"type": "integer", "minimum": 1}
    return {
        "type": "object",
        "properties": {"query": query, "limit": limit},
        "required": ["query", "limit"],
        "additionalProperties": False,
    }


# -- the same conversation, in the form of each -------------------------------------------------


def chat_messages() -> Iterator[Json]:
    yield {"role": "system", "content": SYSTEM}
    for turn in range(ROUNDS):
        function = {"name": "look_up", "arguments": json.dumps(ARGUMENTS)}
        called = {"id": f"c{turn}", "type": "function", "function": function}
        yield {"role": "user", "content": QUESTION}
        yield {"role": "assistant", "content": None, "tool_calls": [called]}
        yield {"role": "tool", "tool_call_id": f"c{turn}", "content": FOUND}
        yield {"role": "assistant", "content": TEXT}
    yield {"role": "user", "content": QUESTION}


def anthropic_messages() -> Iterator[Json]:
    for turn in range(ROUNDS):
        called = {"type": "tool_use", "id": f"c{turn}", "name": "look_up", "input": ARGUMENTS}
        result = {"type": "tool_result", "tool_use_id": f"c{turn}", "content": FOUND}
        yield {"role": "user", "content": QUESTION}
        yield {"role": "assistant", "content": [called]}
        yield {"role": "user", "content": [result]}
        yield {"role": "assistant", "content": TEXT}
    yield {"role": "user", "content": QUESTION}


def chat_tools() -> list[Json]:
    told = {"description": "One of the tools", "parameters": schema(), "strict": True}
    return [{"type": "function", "function": {"name": name} | told} for name in TOOLS]


def anthropic_tools() -> list[Json]:
    return [
        {"name": name, "description": "One of the tools", "input_schema": schema()}
        for name in TOOLS
    ]


# -- stepfold -----------------------------------------------------------------------------------


def stepfold(api: str, url: str, stream: bool) -> Ask:
    from stepfold.events.transcript import Heard, Item, Result, Thought
    from stepfold.events.values import Options, Text, ToolCall
    from stepfold.policy.toolspec import ToolSpec
    from stepfold.providers.anthropic import Anthropic
    from stepfold.providers.model import Model, Prompt
    from stepfold.providers.openai import OpenAI

    def transcript() -> Iterator[Item]:
        for turn in range(ROUNDS):
            yield Heard(QUESTION)
            yield Thought((ToolCall(f"c{turn}", "look_up", ARGUMENTS),))
            yield Result(f"c{turn}", "look_up", FOUND)
            yield Thought((Text(TEXT),))
        yield Heard(QUESTION)

    model: Model = (
        OpenAI(api_key="k", base_url=f"{url}/v1", dialect="chat")
        if api == "chat"
        else Anthropic(api_key="k", base_url=url)
    )
    tools = tuple(ToolSpec(name, "One of the tools", schema()) for name in TOOLS)
    items = tuple(transcript())

    async def ask() -> Answer:
        heard: list[str] = []
        prompt = Prompt(
            instructions=SYSTEM,
            tools=tools,
            transcript=items,
            call="r1",
            model=MODELS[api],
            options=Options(output_tokens_max=OUTPUT_TOKENS),
            hear=(lambda delta: heard.append(delta.text)) if stream else None,
        )
        reply = await model.reply(prompt)
        calls = [part.arguments for part in reply.all_parts() if isinstance(part, ToolCall)]
        assert not stream or "".join(heard) == TEXT
        return reply.all_text(), calls

    return ask


# -- the bare SDKs ------------------------------------------------------------------------------


def sdk(api: str, url: str, stream: bool) -> Ask:
    return _openai(url, stream) if api == "chat" else _anthropic(url, stream)


def _openai(url: str, stream: bool) -> Ask:
    from openai import AsyncOpenAI

    client: Any = AsyncOpenAI(api_key="k", base_url=f"{url}/v1", max_retries=0)
    asked = {
        "model": MODELS["chat"],
        "messages": list(chat_messages()),
        "tools": chat_tools(),
        "max_completion_tokens": OUTPUT_TOKENS,
    }
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}

    async def ask() -> Answer:
        told = await client.chat.completions.create(**asked, **options)
        if stream:
            return await _chat_joined(told)
        return _chat_answer(told)

    return ask


def _chat_answer(told: Any) -> Answer:
    message = told.choices[0].message
    return message.content, [json.loads(call.function.arguments) for call in message.tool_calls]


async def _chat_joined(chunks: Any) -> Answer:
    words: list[str] = []
    called: dict[int, str] = {}
    async for chunk in chunks:
        for choice in chunk.choices:
            words.append(choice.delta.content or "")
            for call in choice.delta.tool_calls or ():
                called[call.index] = called.get(call.index, "") + call.function.arguments
    return "".join(words), [json.loads(told) for told in called.values()]


def _anthropic(url: str, stream: bool) -> Ask:
    from anthropic import AsyncAnthropic

    client: Any = AsyncAnthropic(api_key="k", base_url=url, max_retries=0)
    asked = {
        "model": MODELS["anthropic"],
        "system": SYSTEM,
        "messages": list(anthropic_messages()),
        "tools": anthropic_tools(),
        "max_tokens": OUTPUT_TOKENS,
    }

    async def ask() -> Answer:
        if not stream:
            told = await client.messages.create(**asked)
        else:
            async with client.messages.stream(**asked) as events:
                async for _ in events.text_stream:
                    pass
                told = await events.get_final_message()
        text = "".join(block.text for block in told.content if block.type == "text")
        return text, [block.input for block in told.content if block.type == "tool_use"]

    return ask


# -- LiteLLM ------------------------------------------------------------------------------------


def litellm(api: str, url: str, stream: bool) -> Ask:
    import litellm as library

    library.suppress_debug_info = True
    library.telemetry = False
    provider, base = ("openai", f"{url}/v1") if api == "chat" else ("anthropic", url)
    asked = {
        "model": f"{provider}/{MODELS[api]}",
        "api_base": base,
        "api_key": "k",
        "messages": list(chat_messages()),
        "tools": chat_tools(),
        "max_tokens": OUTPUT_TOKENS,
        "num_retries": 0,
    }
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}

    async def ask() -> Answer:
        told: Any = await library.acompletion(**asked, **options)
        return await _chat_joined(told) if stream else _chat_answer(told)

    return ask


SIDES: dict[str, Callable[[str, str, bool], Ask]] = {
    "stepfold": stepfold,
    "sdk": sdk,
    "litellm": litellm,
}


async def measure(ask: Ask, calls: int) -> dict[str, float]:
    for _ in range(WARM_UP):
        text, arguments = await ask()
        assert (text, arguments) == (TEXT, [ARGUMENTS, ARGUMENTS]), (text, arguments)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(calls):
        await ask()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall_us": wall / calls * 1e6, "cpu_us": cpu / calls * 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.provider_side", description=__doc__)
    parser.add_argument("--side", choices=SIDES, required=True)
    parser.add_argument("--api", choices=MODELS, required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--calls", type=int, default=500)
    asked = parser.parse_args()
    try:
        ask = SIDES[asked.side](asked.api, asked.url, asked.stream)
    except ImportError as error:
        sys.exit(f"{asked.side}: {error}")
    print(json.dumps(asyncio.run(measure(ask, asked.calls))))


if __name__ == "__main__":
    main()
