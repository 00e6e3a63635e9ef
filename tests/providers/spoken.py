"""The five dialects as a server speaks them: the same short answer, whole or as a stream, and the
same troubles in each one's own form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from stepfold.providers.anthropic import Anthropic
from stepfold.providers.cohere import Cohere
from stepfold.providers.google import Google, Key
from stepfold.providers.model import Model
from stepfold.providers.openai import OpenAI
from stepfold.providers.wire import Json
from tests.providers import (
    anthropic_recordings,
    cohere_recordings,
    google_recordings,
    openai_recordings,
)
from tests.providers.raw_server import Answer, json

SAID = "Hello there, friend."


class Spoken(Struct, frozen=True):
    """`name` is the provider's model in routes. `make` takes an address and a deadline in seconds;
    `whole` and `pieces` the answer's text; `refusal` is a whole answer, None where the API knows no
    such thing.
    """

    name: str
    make: Callable[[str, float], Model]
    whole: Callable[[str], Json]
    written: Callable[[Json], list[str]]
    broken: str
    overflow: Answer
    no_money: Answer
    refusal: Json | None
    empty: Json

    @property
    def provider(self) -> str:
        return self.name.partition("/")[0]

    def pieces(self, text: str = SAID) -> list[str]:
        return self.written(self.whole(text))

    def told_after(self, text: str = SAID) -> int:
        """How many pieces of a stream have told something, and not yet all of it."""
        return len(self.pieces(text)) // 2


def _framed(event: str, data: str) -> str:
    return (f"event: {event}\n" if event else "") + f"data: {data}\n\n"


# -- OpenAI -------------------------------------------------------------------------------------


def responses(text: str) -> Json:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return _responses([_message(content)])


def _message(content: list[Json]) -> Json:
    return {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": content,
    }


def _responses(output: list[Json]) -> Json:
    return {
        "id": "resp_1",
        "model": "gpt-5-2025-08-07",
        "status": "completed",
        "output": output,
        "usage": {"input_tokens": 12, "output_tokens": 5},
    }


def chat(text: str) -> Json:
    return _chat({"role": "assistant", "content": text})


def _chat(message: Json) -> Json:
    return {
        "id": "chatcmpl_1",
        "model": "gpt-5-2025-08-07",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 5},
    }


def _openai_error(code: str, message: str, status: int) -> Answer:
    error = {"code": code, "message": message, "type": "invalid_request_error", "param": None}
    return json({"error": error}, status=status)


LONG = "This model's maximum context length is 8192 tokens."
OPENAI = {
    "overflow": _openai_error("context_length_exceeded", LONG, 400),
    "no_money": _openai_error("insufficient_quota", "You exceeded your current quota.", 429),
}

RESPONSES = Spoken(
    name="openai/gpt-5",
    make=lambda url, timeout_s: OpenAI(api_key="k", base_url=url, timeout_s=timeout_s),
    whole=responses,
    written=lambda raw: [
        _framed(*event) for event in openai_recordings.in_pieces("openai_responses", raw)
    ],
    broken=_framed("error", '{"type": "error", "code": "server_error", "message": "oh"}'),
    refusal=_responses([_message([{"type": "refusal", "refusal": "I will not."}])]),
    empty=_responses([]),
    **OPENAI,
)
CHAT = Spoken(
    name="ours/gpt-5",
    make=lambda url, timeout_s: OpenAI(
        api_key="k", base_url=url, name="ours", dialect="chat", timeout_s=timeout_s
    ),
    whole=chat,
    written=lambda raw: [
        _framed(*event) for event in openai_recordings.in_pieces("openai_chat", raw)
    ],
    broken=_framed("", '{"error": {"code": "server_error", "message": "oh"}}'),
    refusal=_chat({"role": "assistant", "content": None, "refusal": "I will not."}),
    empty=_chat({"role": "assistant", "content": None}),
    **OPENAI,
)

# -- Anthropic ----------------------------------------------------------------------------------


def anthropic(text: str, stop_reason: str = "end_turn") -> Json:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": [{"type": "text", "text": text}] if text else [],
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 12, "output_tokens": 5},
    }


def _anthropic_error(word: str, message: str, status: int) -> Answer:
    return json({"type": "error", "error": {"type": word, "message": message}}, status=status)


ANTHROPIC = Spoken(
    name="anthropic/claude-sonnet-4-5",
    make=lambda url, timeout_s: Anthropic(api_key="k", base_url=url, timeout_s=timeout_s),
    whole=anthropic,
    written=lambda raw: [_framed(*event) for event in anthropic_recordings.in_pieces(raw)],
    broken=_framed(
        "error", '{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}'
    ),
    overflow=_anthropic_error("invalid_request_error", "prompt is too long: 9 tokens > 8", 400),
    no_money=_anthropic_error("invalid_request_error", "Your credit balance is too low", 400),
    refusal=anthropic("I will not.", "refusal"),
    empty=anthropic(""),
)

# -- Google -------------------------------------------------------------------------------------


def google(text: str, finish: str = "STOP") -> Json:
    content = {"role": "model", "parts": [{"text": text}] if text else []}
    return {
        "candidates": [{"content": content, "finishReason": finish}],
        "usageMetadata": {
            "promptTokenCount": 12,
            "candidatesTokenCount": 5,
            "totalTokenCount": 17,
        },
        "modelVersion": "gemini-2.5-flash",
        "responseId": "g1",
    }


def _google_error(code: int, message: str, status: str) -> Answer:
    return json({"error": {"code": code, "message": message, "status": status}}, status=code)


GOOGLE = Spoken(
    name="google/gemini-2.5-flash",
    make=lambda url, timeout_s: Google(Key("k"), base_url=url, timeout_s=timeout_s),
    whole=google,
    written=lambda raw: [_framed(*event) for event in google_recordings.in_pieces(raw)],
    broken=_framed("", '{"error": {"code": 503, "message": "oh", "status": "UNAVAILABLE"}}'),
    overflow=_google_error(
        400,
        "The input token count (9) exceeds the maximum number of tokens allowed (8).",
        "INVALID_ARGUMENT",
    ),
    no_money=_google_error(402, "Payment required.", "FAILED_PRECONDITION"),
    refusal=google("", "SAFETY"),
    empty=google(""),
)

# -- Cohere -------------------------------------------------------------------------------------


def cohere(text: str, finish: str = "COMPLETE") -> Json:
    content = [{"type": "text", "text": text}] if text else []
    return {
        "id": "answer_1",
        "message": {"role": "assistant", "content": content},
        "finish_reason": finish,
        "usage": {
            "billed_units": {"input_tokens": 12.0, "output_tokens": 5.0},
            "tokens": {"input_tokens": 200.0, "output_tokens": 9.0},
        },
    }


COHERE = Spoken(
    name="cohere/command-a-03-2025",
    make=lambda url, timeout_s: Cohere(api_key="k", base_url=url, timeout_s=timeout_s),
    whole=cohere,
    written=lambda raw: [_framed(*event) for event in cohere_recordings.in_pieces(raw)],
    broken=_framed(
        "message-end", '{"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "oh"}}'
    ),
    overflow=json({"message": "too many tokens: the maximum context is 8"}, status=400),
    no_money=json({"message": "billing: add a payment method"}, status=402),
    refusal=None,
    empty=cohere(""),
)

SPOKEN: Mapping[str, Spoken] = {
    "responses": RESPONSES,
    "chat": CHAT,
    "anthropic": ANTHROPIC,
    "google": GOOGLE,
    "cohere": COHERE,
}
