"""Gemini's generateContent, of the Gemini API and of Vertex. Pure.

A turn goes back to the family that made it with its parts as they were, signatures in their places.
Any other turn is rebuilt; its first call then carries the signature that tells Gemini not to look
for one. The body ends with the contents, so that a conversation's next request begins as this one.
Calls in parallel and caching have no switch here: Gemini does both by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from stepfold.events.transcript import Heard, Result, Thought
from stepfold.events.values import Options, ToolCall
from stepfold.policy.toolspec import ToolSpec
from stepfold.providers.call_ids import CallIds
from stepfold.providers.google_answer import answered, finish, nothing, usage_of
from stepfold.providers.google_effort import takes_both, thinking
from stepfold.providers.google_parts import file, filled, read, rebuilt
from stepfold.providers.google_sources import with_sources
from stepfold.providers.google_stream import Assembly
from stepfold.providers.model import Prompt, Reply
from stepfold.providers.schemas import inlined
from stepfold.providers.wire import Json, kept, replayable

__all__ = ["API", "Assembly", "reply", "request"]

API = "google.generate"
EMPTY, BEGIN = "(empty)", "(the conversation begins)"
"""Stand where Gemini wants a message with parts and there are none."""
_AT_WILL = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


# -- to the wire --------------------------------------------------------------


def request(prompt: Prompt, *, stream: bool = False) -> Json:
    """The body; the model and the stream are in the URL."""
    told: Json = {}
    if prompt.instructions.strip():
        told["systemInstruction"] = {"parts": [{"text": prompt.instructions}]}
    if prompt.tools:
        told["tools"] = [{"functionDeclarations": [_declared(tool) for tool in prompt.tools]}]
        if choice := _choice(prompt.options):
            told["toolConfig"] = {"functionCallingConfig": choice}
    if config := _config(prompt):
        told["generationConfig"] = config
    told["contents"] = _contents(prompt)
    return told


def _declared(spec: ToolSpec) -> Json:
    told: Json = {"name": spec.name}
    if spec.description:
        told["description"] = spec.description
    if spec.parameters.get("properties"):  # a function without arguments has no schema
        told["parametersJsonSchema"] = {"type": "object", **inlined(spec.parameters)}
    return told


def _choice(options: Options) -> Json:
    told = options.tool_choice
    if not told:
        return {}
    if told in _AT_WILL:
        return {"mode": _AT_WILL[told]}
    return {"mode": "ANY", "allowedFunctionNames": [told]}


def _config(prompt: Prompt) -> Json:
    options = prompt.options
    told: Json = {}
    if options.output_tokens_max is not None:
        told["maxOutputTokens"] = options.output_tokens_max
    if options.temperature is not None:
        told["temperature"] = options.temperature
    if thoughts := thinking(prompt.model, options.effort):
        told["thinkingConfig"] = thoughts
    if prompt.schema is not None and (takes_both(prompt.model) or not prompt.tools):
        told["responseMimeType"] = "application/json"
        told["responseJsonSchema"] = inlined(prompt.schema)
    return told


# -- contents -----------------------------------------------------------------


def _contents(prompt: Prompt) -> list[Json]:
    """The results of a turn stand together, directly after it; nothing else stands with them."""
    contents: list[Json] = []
    ids = CallIds()
    nameless: set[str] = set()
    for item in prompt.items:
        match item:
            case Heard():
                contents.append(_user(list(_heard(item, prompt)) or [{"text": EMPTY}]))
            case Thought():
                turn = filled(_turn(item, prompt.model, ids, nameless), prompt.blobs)
                _say(contents, turn)
            case Result():
                _answer(contents, _result(item, ids, nameless))
    if not contents or contents[0]["role"] != "user":
        contents.insert(0, _user([{"text": BEGIN}]))
    return contents


def _user(parts: list[Json]) -> Json:
    return {"role": "user", "parts": parts}


def _say(contents: list[Json], parts: list[Json]) -> None:
    """A turn that follows a turn joins it: a call may not stand behind words of the model."""
    if parts and contents and contents[-1]["role"] == "model":
        contents[-1]["parts"] += parts
    elif parts:
        contents.append({"role": "model", "parts": parts})


def _answer(contents: list[Json], part: Json) -> None:
    if contents and "functionResponse" in contents[-1]["parts"][-1]:
        contents[-1]["parts"].append(part)
    else:
        contents.append(_user([part]))


def _turn(thought: Thought, model: str, ids: CallIds, nameless: set[str]) -> list[Json]:
    """`nameless` are the calls that Gemini gave no id: their results have none either."""
    turn = replayable(thought, API, model)
    if not isinstance(turn, list):
        return rebuilt(thought.parts, ids)
    for call in thought.calls:
        ids.keep(call)
        if not call.provider_call:
            nameless.add(call.call)
    return turn


def _result(result: Result, ids: CallIds, nameless: set[str]) -> Json:
    told: Json = {} if result.call in nameless else {"id": ids.of(result.call)}
    told["name"] = result.name
    if result.status == "ok":
        told["response"] = {"output": _output(result)}
    else:
        told["response"] = {"error": f"{result.status}: {result.text}".rstrip(": ")}
    return {"functionResponse": told}


def _output(result: Result) -> str | list[Json]:
    """Its text, or its passages with what a citation needs of them."""
    if not result.passages:
        return result.text
    return [
        {"document": each.document, "title": each.title, "text": each.text}
        for each in result.passages
    ]


def _heard(heard: Heard, prompt: Prompt) -> Iterator[Json]:
    for ref in heard.files:
        yield file(ref, prompt.blobs.get(ref.blob))
    if heard.text.strip():
        yield {"text": heard.text}


# -- from the wire ------------------------------------------------------------


def reply(raw: Json) -> Reply:
    answer = answered(raw)
    if not answer.candidates:
        raise nothing(answer, raw)
    candidate, as_it_came = answer.candidates[0], raw["candidates"][0]
    content = as_it_came.get("content") or {}
    turn = read(candidate.content.parts if candidate.content else (), content.get("parts") or ())
    calls = any(isinstance(part, ToolCall) for part in turn.parts)
    return Reply(
        parts=with_sources(turn.parts, candidate, as_it_came),
        finish=finish(candidate.finish_reason, calls=calls),
        finish_word=candidate.finish_reason,
        usage=usage_of(raw),
        model=answer.model_version,
        response=answer.response_id,
        tier=answer.tier,
        state=kept(API, answer.model_version, turn.wire, rebuilt(turn.parts, CallIds())),
        blobs=turn.blobs,
    )
