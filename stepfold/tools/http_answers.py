"""What an HTTP answer means for a call. Pure.

4xx: nothing has happened. 2xx: the result. Whatever else an answer to a write says, nobody knows.
"""

from __future__ import annotations

import re
from typing import Any

import httpx2
import msgspec
from msgspec import Struct

from stepfold.tools.tool import ToolError
from stepfold.tools.unsure import Unsure

TOLD_CHARS_MAX = 300
CONFLICT = 409
PAGE = "text/html"
REPEATING = (307, 308)
BUSY = frozenset({429, 503})
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]+")
_NOTHING: tuple[Any, ...] = (None, "", [], {})


class Answer(Struct, frozen=True):
    """`host` is with its port where the URL names one. `broken` says why the body did not arrive
    whole; then `content` is empty.
    """

    host: str
    status: int
    headers: httpx2.Headers
    content: bytes = b""
    broken: str = ""

    @property
    def done(self) -> bool:
        return httpx2.codes.is_success(self.status)


def result(answer: Answer, place: str, *, reads: bool, keyed: bool = False) -> Any:
    """The result of a call. ToolError: nothing has happened. Unsure: nobody knows."""
    if not answer.done:
        raise _failure(answer, reads=reads, keyed=keyed)
    try:
        return at(_json(answer), place)
    except ValueError as error:
        if reads:
            raise ToolError(f"{answer.host}: {error}") from None
        what = f"{answer.host} says that it was done (HTTP {answer.status}), but {error}"
        raise Unsure(what) from None


def looked_up(answer: Answer, place: str, absent: tuple[int, ...]) -> Any:
    """What a lookup found; None: the call did not happen. ToolError: it cannot be told."""
    if answer.status in absent:
        return None
    if not answer.done:
        raise _failure(answer, reads=True, keyed=False)
    try:
        found = _json(answer)
        for word in place.split(".") if place else ():
            found = _step(found, word, None)
    except ValueError as error:
        raise ToolError(f"{answer.host}: {error}") from None
    return None if found in _NOTHING else found


def at(told: Any, place: str) -> Any:
    """What stands at `data.items.0`. ValueError where nothing does."""
    for word in place.split(".") if place else ():
        inner = _step(told, word, _NOTHING)
        if inner is _NOTHING:
            raise ValueError(f"its answer has nothing at {place!r}")
        told = inner
    return told


def _step(told: Any, word: str, otherwise: Any) -> Any:
    if isinstance(told, list):
        number = int(word) if word.isdecimal() else -1
        return told[number] if 0 <= number < len(told) else otherwise
    return told.get(word, otherwise) if isinstance(told, dict) else otherwise


def _failure(answer: Answer, *, reads: bool, keyed: bool) -> Exception:
    told = f"{answer.host} answers HTTP {answer.status}{_short(answer)}"
    refused = httpx2.codes.is_client_error(answer.status)
    if reads or (refused and not (keyed and answer.status == CONFLICT)):
        return ToolError(told)
    if answer.status in REPEATING:
        place = _host(answer.headers.get("location", ""))
        return ToolError(f"{told}: it wants the request at {place}; name that URL in the tool")
    return Unsure(f"{told}: whether it was done cannot be told")


def _host(place: str) -> str:
    try:
        return httpx2.URL(place).host or "another place"
    except httpx2.InvalidURL:
        return "a place that is no URL"


def _json(answer: Answer) -> Any:
    """JSON, or plain text as a text. ValueError where it is neither, or not whole."""
    if answer.broken:
        raise ValueError(f"its answer was cut: {answer.broken}")
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not answer.content:
        return {"status": answer.status}
    try:
        text = answer.content.decode("utf-8-sig")
        if kind == "text/plain":
            return text
        return msgspec.json.decode(text)
    except UnicodeDecodeError:
        raise ValueError("its answer is not UTF-8") from None
    except (msgspec.DecodeError, RecursionError):
        page = kind == PAGE
        what = "a web page" if page else f"{kind or 'of no kind'}{_short(answer)}"
        raise ValueError(f"its answer is not JSON but {what}") from None


def _short(answer: Answer) -> str:
    """The beginning of a body that people can read, on one line."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == PAGE:
        return ", a web page"
    if kind and not (kind.startswith("text/") or kind.endswith("json")):
        return ""
    line = " ".join(_UNPRINTABLE.sub(" ", answer.content.decode("utf-8", "replace")).split())
    if not line:
        return ""
    return f": {line if len(line) <= TOLD_CHARS_MAX else line[: TOLD_CHARS_MAX - 1] + '…'}"
