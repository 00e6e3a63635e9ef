"""Every recorded exchange of the five APIs, its turn sent to each of them.

`python -m tests.providers.recorded` prints how many turns of each API were sent to each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial

from msgspec import Struct

from stepfold.events.transcript import Heard, Item, Result, Thought
from stepfold.policy.toolspec import ToolSpec
from stepfold.providers import (
    anthropic_messages,
    cohere_chat,
    google_generate,
    openai_chat,
    openai_responses,
)
from stepfold.providers.model import ModelError, Prompt, Reply
from stepfold.providers.wire import Dialect, Json
from tests.providers import anthropic_recordings as anthropic
from tests.providers import cohere_recordings as cohere
from tests.providers import google_recordings as google
from tests.providers import openai_recordings as openai
from tests.providers.logged import thought

COHERE_MODEL = "command-r7b-12-2024"
ONLY_BETA = ("mcp_tool_use", "mcp_tool_result", "advisor_tool_result")
"""Blocks of Anthropic's that its SDK knows in its beta types only."""
TOOL = ToolSpec("get_weather", "The weather.", google.WEATHER)
RESULT = "it is sunny"


Read = Callable[[], Reply]
Exchange = openai.Exchange | anthropic.Exchange | google.Exchange


class Turn(Struct, frozen=True):
    """`model` is who said it; `thought` is as the log gives it back."""

    name: str
    model: str
    thought: Thought


class Api(Struct, frozen=True):
    """`model` is one that said none of the recorded turns. `read` fails where the SDK's types would
    not have the body, and gives what they know of it.
    """

    name: str
    model: str
    request: Callable[[Prompt], Json]
    replies: Callable[[], Iterator[tuple[str, Read]]]
    read: Callable[[Json], Json]

    def ask(self, *items: Item, model: str = "") -> Json:
        """What would be sent, held against the SDK's types."""
        prompt = Prompt(
            instructions="Be brief.",
            tools=(TOOL,),
            transcript=items,
            call="r9",
            model=model or self.model,
        )
        body = self.request(prompt)
        assert self.read(body) == body
        return body


def after(*turns: Thought) -> tuple[Item, ...]:
    """A conversation in which somebody spoke before each turn, and every call has its result."""
    items: list[Item] = []
    for turn in turns:
        items += [Heard("And then?"), turn]
        items += [Result(call.call, call.name, RESULT) for call in turn.calls]
    return (*items, Heard("Thanks."))


@cache
def turns(api: str) -> tuple[Turn, ...]:
    """Those of answers that are turns; the others were refused."""
    told = []
    for number, (name, read) in enumerate(APIS[api].replies(), start=1):
        try:
            reply = read()
        except ModelError:
            continue
        told.append(Turn(name, reply.model, thought(reply, f"{api}-{number}")))
    return tuple(told)


def _openai(api: str) -> Iterator[tuple[str, Read]]:
    for each in openai.answers(api):
        yield each.name, partial(_said, openai.DIALECTS[api], each)


def _anthropic() -> Iterator[tuple[str, Read]]:
    for each in anthropic.exchanges():
        yield each.name, partial(_said, anthropic_messages, each)


def _google() -> Iterator[tuple[str, Read]]:
    for each in google.answers():
        yield each.name, partial(_said, google_generate, each)


def _cohere() -> Iterator[tuple[str, Read]]:
    for raw in cohere.answers("cohere_chat"):
        yield raw["id"], partial(cohere.named, raw, COHERE_MODEL)


def _said(speaks: Dialect, exchange: Exchange) -> Reply:
    return speaks.reply(exchange.raw)


def _as_anthropic_reads_it(body: Json) -> Json:
    blocks = [block for message in body["messages"] for block in message["content"]]
    beta = any(block["type"] in ONLY_BETA for block in blocks)
    return anthropic.as_the_sdk_reads_it(body, beta=beta)


APIS = {
    api.name: api
    for api in (
        Api(
            "openai_responses",
            "gpt-9",
            openai_responses.request,
            lambda: _openai("openai_responses"),
            lambda body: openai.as_the_sdk_reads_it("openai_responses", body),
        ),
        Api(
            "openai_chat",
            "gpt-9",
            openai_chat.request,
            lambda: _openai("openai_chat"),
            lambda body: openai.as_the_sdk_reads_it("openai_chat", body),
        ),
        Api(
            "anthropic",
            "claude-opus-9",
            anthropic_messages.request,
            _anthropic,
            _as_anthropic_reads_it,
        ),
        Api(
            "google",
            "gemini-9-pro",
            google_generate.request,
            _google,
            google.as_the_sdk_reads_it,
        ),
        Api(
            "cohere",
            "command-z-01-2030",
            cohere_chat.request,
            _cohere,
            cohere.as_the_sdk_reads_it,
        ),
    )
}


def main() -> None:
    print("from \\ to".ljust(18), *(name.rjust(17) for name in APIS))
    for source in APIS:
        sent = []
        for target in APIS.values():
            for turn in turns(source):
                target.ask(*after(turn.thought), model=turn.model if source == target.name else "")
            sent.append(str(len(turns(source))).rjust(17))
        print(source.ljust(18), *sent)
    print("turns", sum(len(turns(name)) for name in APIS), "requests", end=" ")
    print(sum(len(turns(name)) for name in APIS) * len(APIS))


if __name__ == "__main__":
    main()
