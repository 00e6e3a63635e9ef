"""Items of an answer to the events and the output of a response, as OpenAI's Responses have them.
Pure.

What is said before tools are called is a message of its own (`commentary`), the search of the
knowledge a `file_search_call`, and each other tool an `mcp_call`: it was run here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from stepfold.events.values import Usage
from stepfold.gateway.doors import Json
from stepfold.gateway.items import Called, Ended, Given, Item, Piece, Settled, Told
from stepfold.gateway.openai_shared import responses_annotations, responses_usage
from stepfold.gateway.placing import Placed
from stepfold.policy.agent import SEARCH

LABEL = "stepfold"


class Head(Struct, frozen=True):
    """What a response says of itself from the beginning; `created_at` in seconds."""

    id: str
    conversation: str
    model: str
    created_at: int
    previous: str | None = None
    store: bool = True
    background: bool = False
    instructions: str | None = None
    metadata: Mapping[str, str] = {}
    user: str | None = None


class Writing:
    """One response while it is made."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._number = -1
        self._part = ""
        self._text = ""
        self._open: Json | None = None
        self._calls: dict[str, int] = {}
        self.output: list[Json] = []
        self.status = "in_progress"
        self._more: Json = {}

    def response(self) -> Json:
        head = self._head
        return {
            "id": head.id,
            "object": "response",
            "created_at": head.created_at,
            "status": self.status,
            "background": head.background,
            "conversation": {"id": head.conversation},
            "error": None,
            "incomplete_details": None,
            "instructions": head.instructions,
            "max_output_tokens": None,
            "metadata": dict(head.metadata),
            "model": head.model,
            "output": list(self.output),
            "parallel_tool_calls": True,
            "previous_response_id": head.previous,
            "reasoning": {"effort": None, "summary": None},
            "store": head.store,
            "temperature": None,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": None,
            "truncation": "disabled",
            "usage": None,
            "user": head.user,
            **self._more,
        }

    def begin(self) -> list[Json]:
        return [
            self._event("response.created", response=self.response()),
            self._event("response.in_progress", response=self.response()),
        ]

    def take(self, item: Item) -> list[Json]:
        match item:
            case Piece(part=part, text=text):
                return self._say(part, text)
            case Told(text=text):
                return self._close(text, "commentary", ())
            case Called():
                return self._call(item)
            case Settled():
                return self._settle(item)
            case Given():
                return self._given(item)
            case Ended():
                return self._ended(item)
            case _:
                return []

    # -- messages -----------------------------------------------------------------------------

    def _say(self, part: str, text: str) -> list[Json]:
        told = [] if self._open is not None and self._part == part else self._begin(part)
        assert self._open is not None
        self._text += text
        delta = self._event(
            "response.output_text.delta", **self._place(), delta=text, logprobs=list[Json]()
        )
        return [*told, delta]

    def _begin(self, part: str) -> list[Json]:
        self._part, self._text = part, ""
        self._open = _message(self._message_id(), "in_progress", [])
        self.output.append(self._open)
        place = self._place()
        return [
            self._event(
                "response.output_item.added", output_index=place["output_index"], item=self._open
            ),
            self._event("response.content_part.added", **place, part=_text_part("", [])),
        ]

    def _close(self, text: str, phase: str, cites: tuple[Placed, ...]) -> list[Json]:
        """End the message that is open; there is one, because all its pieces were told."""
        if self._open is None:
            return []
        place, annotations = self._place(), responses_annotations(cites)
        part = _text_part(text, annotations)
        status = "completed" if phase else "incomplete"
        done = _message(self._open["id"], status, [part], phase)
        self.output[place["output_index"]] = done
        self._open = None
        added = [
            self._event(
                "response.output_text.annotation.added",
                **place,
                annotation=annotation,
                annotation_index=index,
            )
            for index, annotation in enumerate(annotations)
        ]
        return [
            *added,
            self._event("response.output_text.done", **place, text=text, logprobs=list[Json]()),
            self._event("response.content_part.done", **place, part=part),
            self._event("response.output_item.done", output_index=place["output_index"], item=done),
        ]

    def _message_id(self) -> str:
        return f"msg_{self._head.id.removeprefix('resp_')}.{self._part}"

    def _place(self) -> Json:
        assert self._open is not None
        index = self.output.index(self._open)
        return {"item_id": self._open["id"], "output_index": index, "content_index": 0}

    # -- tools --------------------------------------------------------------------------------

    def _call(self, called: Called) -> list[Json]:
        item = _call(called, self._head.id)
        self._calls[called.call] = len(self.output)
        self.output.append(item)
        index = self._calls[called.call]
        return [self._event("response.output_item.added", output_index=index, item=item)]

    def _settle(self, settled: Settled) -> list[Json]:
        index = self._calls[settled.call]
        item = _settled(self.output[index], settled)
        self.output[index] = item
        return [self._event("response.output_item.done", output_index=index, item=item)]

    # -- ends ---------------------------------------------------------------------------------

    def _given(self, given: Given) -> list[Json]:
        told = self._close(given.text, "final_answer", given.citations)
        cut = {"length": "max_output_tokens", "content_filter": "content_filter"}
        reason = cut.get(given.finish)
        self._end("incomplete" if reason else "completed", given.usage)
        if reason:
            self._more["incomplete_details"] = {"reason": reason}
        return [*told, self._event(f"response.{self.status}", response=self.response())]

    def _ended(self, ended: Ended) -> list[Json]:
        told = self._close(self._text, "", ())
        self._end("cancelled" if ended.kind == "cancelled" else "failed", ended.usage)
        self._more["error"] = {"code": "server_error", "message": f"no answer: {ended.why}"}
        return [*told, self._event("response.failed", response=self.response())]

    def _end(self, status: str, usage: Usage | None) -> None:
        self.status = status
        self._more["usage"] = responses_usage(usage)

    def _event(self, type: str, **fields: Any) -> Json:
        self._number += 1
        return {"type": type, "sequence_number": self._number, **fields}


def _message(id: str, status: str, content: list[Json], phase: str = "") -> Json:
    made: Json = {
        "id": id,
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": content,
    }
    return {**made, "phase": phase} if phase else made


def _text_part(text: str, annotations: list[Json]) -> Json:
    return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": []}


def _call(called: Called, response: str) -> Json:
    own = f"{response.removeprefix('resp_')}.{called.call}"
    if called.name == SEARCH:
        query = called.arguments.get("query")
        return {
            "id": f"fs_{own}",
            "type": "file_search_call",
            "status": "searching",
            "queries": [query] if query else [],
            "results": None,
        }
    return {
        "id": f"mcp_{own}",
        "type": "mcp_call",
        "status": "calling",
        "server_label": LABEL,
        "name": called.name,
        "arguments": msgspec.json.encode(called.arguments).decode(),
        "output": None,
        "error": None,
    }


def _settled(item: Json, settled: Settled) -> Json:
    status = "failed" if settled.why else "completed"
    if item["type"] == "file_search_call":
        found = None if settled.result is None else [_found(each) for each in settled.result]
        return {**item, "status": status, "results": found}
    output = settled.result
    if output is not None and not isinstance(output, str):
        output = msgspec.json.encode(output).decode()
    return {**item, "status": status, "output": output, "error": settled.why or None}


def _found(passage: Any) -> Json:
    return {
        "file_id": passage.digest,
        "filename": passage.document,
        "score": passage.score,
        "text": passage.text,
        "attributes": {"start": passage.start, "end": passage.end},
    }
