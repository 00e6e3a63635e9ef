"""What the two OpenAI protocols have in common: errors, bodies, usage, citations, models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from stepfold.events.values import Usage
from stepfold.gateway.doors import Answer, Asked, Json
from stepfold.gateway.placing import Placed, address, is_page
from stepfold.gateway.problems import body_of, more_headers
from stepfold.gateway.refusals import FrontRefused
from stepfold.gateway.sending import NO_RETRY, NoAnswer

CHANNEL = "openai"
TEXTS = ("text", "input_text", "output_text")
REFUSAL = "refusal"
_SERVER = 500
_KINDS: Mapping[int, tuple[str, str]] = {
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "insufficient_permissions"),
    409: ("invalid_request_error", "conflict"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
}
_CODES = {"No such agent": "model_not_found", "No answer": "no_answer"}
Body = TypeVar("Body", bound=BaseModel)


ERRORS: Mapping[int, Answer] = {
    400: Answer("Something in it is wrong; `error.param` says where."),
    401: Answer("No key was shown, or none that is good."),
    403: Answer("The key is not for this, or the agent not for this channel."),
    404: Answer("There is none of this name for this caller."),
    408: Answer("The body came too slowly."),
    409: Answer("Not as things stand now."),
    413: Answer("The body is too large."),
    415: Answer("The body is no JSON."),
    429: Answer("Too often, or too much money."),
    500: Answer("The gateway failed; its log knows the request's id."),
    502: Answer("The turn ended without an answer; to ask again is to ask anew."),
    503: Answer("The log is away, or this gateway ends: ask again."),
    504: Answer("There is no answer yet; the question is recorded: do not ask it again."),
}
"""In OpenAI's shape, not as problem details."""


class OpenAIRefused(FrontRefused):
    """A body that names something wrong: `param` is where."""

    def __init__(self, detail: str, param: str = "", code: str = "invalid_value") -> None:
        super().__init__(400, "Wrong body", detail)
        self.param = param
        self.code = code


def error_of(error: FrontRefused) -> Json:
    """The inside of `error`, as OpenAI has it."""
    kind, code = _KINDS.get(error.status, ("invalid_request_error", ""))
    if error.status >= _SERVER:
        kind, code = "server_error", "server_error"
    known = _CODES.get(error.title, code)
    param = None
    if isinstance(error, OpenAIRefused):
        known, param = error.code, error.param or None
    return {"message": error.detail, "type": kind, "param": param, "code": known or None}


def told(error: FrontRefused, request: Request) -> Response:
    status = 400 if error.status == 422 else error.status  # noqa: PLR2004
    headers = dict(more_headers(error))
    if isinstance(error, NoAnswer) or error.status == 409:  # noqa: PLR2004
        headers |= NO_RETRY
    return JSONResponse({"error": error_of(error)}, status, headers)


async def given(request: Request, shape: type[Body]) -> Body:
    """The body; OpenAIRefused names what is wrong in it."""
    try:
        return await body_of(request, shape)
    except FrontRefused as error:
        if error.status != 422:  # noqa: PLR2004
            raise
        raise OpenAIRefused(error.detail, error.detail.partition(":")[0]) from error


class Refused(msgspec.Struct, frozen=True):
    """A parameter that would change what is done, and is not done here; `harmless` values of it ask
    for nothing.
    """

    why: str
    harmless: tuple[Any, ...] = ()


TOOLS = Refused(
    "the agent has its own tools and runs them itself, so a client cannot bring any: leave it out,"
    " or give the agent the tool",
    ([], "auto", "none"),
)


def check_extra(body: BaseModel, refused: Mapping[str, Refused], ignored: frozenset[str]) -> None:
    """OpenAIRefused for a parameter that is not done, and for one that nobody knows."""
    for name, value in (body.model_extra or {}).items():
        rule = refused.get(name)
        if rule is None and name not in ignored:
            raise OpenAIRefused(f"Unknown parameter: {name!r}.", name, "unknown_parameter")
        if rule is not None and value is not None and not _harmless(value, rule):
            why = f"Unsupported parameter: {name!r}: {rule.why}."
            raise OpenAIRefused(why, name, "unsupported_parameter")


def _harmless(value: object, rule: Refused) -> bool:
    """In JSON `true` is not 1."""
    return any(
        value == each and isinstance(value, bool) == isinstance(each, bool)
        for each in rule.harmless
    )


def told_extra(
    refused: Mapping[str, Refused], ignored: frozenset[str]
) -> Callable[[dict[str, Any]], None]:
    """The schema of a body as `check_extra` has it."""

    def tell(schema: dict[str, Any]) -> None:
        known = schema["properties"]
        for name, rule in refused.items():
            meaning = f"Not done here: {rule.why}."
            known[name] = {"enum": [None, *rule.harmless], "description": meaning}
        for name in sorted(ignored):
            known[name] = {"description": "Ignored."}
        schema["additionalProperties"] = False

    return tell


class GivenPart(BaseModel):
    """Of a message. What is no text is refused."""

    model_config = ConfigDict(extra="allow")

    type: Annotated[str, Field(json_schema_extra={"enum": [*TEXTS, REFUSAL]})]
    text: str | None = None
    refusal: str | None = None


def text_of(content: str | Sequence[GivenPart] | None, param: str) -> str:
    """Of a message; OpenAIRefused for a part that is no text."""
    if content is None or isinstance(content, str):
        return content or ""
    texts = []
    for part in content:
        text = _text(part)
        if text is None:
            why = f"a part of type {part.type!r} cannot be sent here: only text can"
            raise OpenAIRefused(why, param, "unsupported_content")
        texts.append(text)
    return "\n\n".join(texts)


def _text(part: GivenPart) -> str | None:
    if part.type in TEXTS:
        return part.text or ""
    return part.refusal or "" if part.type == REFUSAL else None


# -- usage and citations ----------------------------------------------------------------------


def chat_usage(usage: Usage | None) -> Json | None:
    if usage is None:
        return None
    read, said = usage.input or 0, usage.output or 0
    return {
        "prompt_tokens": read,
        "completion_tokens": said,
        "total_tokens": read + said,
        "prompt_tokens_details": {"cached_tokens": usage.cached or 0},
        "completion_tokens_details": {"reasoning_tokens": usage.thinking or 0},
    }


def responses_usage(usage: Usage | None) -> Json | None:
    if usage is None:
        return None
    read, said = usage.input or 0, usage.output or 0
    details = {
        "cached_tokens": usage.cached or 0,
        "cache_write_tokens": usage.cache_write or 0,
    }
    return {
        "input_tokens": read,
        "input_tokens_details": details,
        "output_tokens": said,
        "output_tokens_details": {"reasoning_tokens": usage.thinking or 0},
        "total_tokens": read + said,
    }


def url_citation(cite: Placed) -> Json:
    """For a document that is no page the address is a name; `stepfold` says the quote itself."""
    return {
        "start_index": cite.start,
        "end_index": cite.end,
        "title": cite.title,
        "url": address(cite.citation),
        "stepfold": msgspec.to_builtins(cite.citation),
    }


def chat_annotations(cites: Iterable[Placed]) -> list[Json]:
    """In Chat Completions there is one kind only."""
    return [{"type": "url_citation", "url_citation": url_citation(each)} for each in cites]


def responses_annotations(cites: Iterable[Placed]) -> list[Json]:
    """Pages by their address, other documents as files; both say where in the answer."""
    return [
        {"type": "url_citation", **url_citation(each)}
        if is_page(each.citation.document)
        else {
            "type": "file_citation",
            "file_id": each.citation.digest,
            "filename": each.citation.document,
            "index": each.start,
            "start_index": each.start,
            "end_index": each.end,
            "stepfold": msgspec.to_builtins(each.citation),
        }
        for each in cites
    ]


# -- models -----------------------------------------------------------------------------------


def model(name: str) -> Json:
    """An agent, as a model is described; when it was made is not known."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "stepfold"}


async def models(asked: Asked) -> Response:
    agents = await asked.front.agents()
    return JSONResponse({"object": "list", "data": [model(agent.name) for agent in agents]})


async def one_model(asked: Asked) -> Response:
    name = asked.named("model")
    known = [agent.name for agent in await asked.front.agents()]
    if name not in known:
        why = f"there is no agent {name!r} (known: {', '.join(known)})"
        raise FrontRefused(404, "No such agent", why)
    return JSONResponse(model(name))
