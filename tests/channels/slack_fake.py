"""A Slack of our own over loopback: it checks every request, keeps what it was asked to show, and
fails as it is told.
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from msgspec import Struct

from tests.connections.loopback import Answer, Asked, answering

TOKEN = "xoxb-acme"
BOT, BOT_ID = "U0BOT", "B0BOT"

# what a method takes; the required ones are marked with *
METHODS: Mapping[str, str] = {
    "auth.test": "",
    "assistant.threads.setStatus": "*channel_id *thread_ts *status",
    "chat.startStream": "*channel *thread_ts chunks markdown_text recipient_team_id"
    " recipient_user_id task_display_mode",
    "chat.appendStream": "*channel *ts chunks markdown_text",
    "chat.stopStream": "*channel *ts chunks markdown_text blocks metadata",
    "chat.postMessage": "*channel *text blocks thread_ts metadata unfurl_links unfurl_media"
    " client_msg_id",
    "chat.update": "*channel *ts *text blocks metadata",
    "chat.delete": "*channel *ts",
    "chat.postEphemeral": "*channel *user *text thread_ts",
    "conversations.replies": "*channel *ts oldest latest include_all_metadata limit cursor",
    "conversations.history": "*channel oldest latest include_all_metadata limit cursor",
    "files.info": "*file",
}
CHUNKS = {"markdown_text": {"type", "text"}, "task_update": {"type", "id", "title", "status"}}
MESSAGE_CHARS_MAX = 13_000
"""Of a whole message; Slack refuses from about 13,200 on (slackapi/bolt-js#2509)."""
STATUSES = {"pending", "in_progress", "complete", "error"}
BLOCKS = {"section", "context", "actions", "markdown"}


class Fault(Struct, frozen=True):
    """`error`: an answer that is not ok; `status`: of HTTP; `done`: it was done all the same."""

    error: str = ""
    status: int | None = 200
    retry_after: str = ""
    done: bool = False


LIMITED = Fault("ratelimited", 429, "0.05")
AWAY = Fault(status=None)
AWAY_BUT_DONE = Fault(status=None, done=True)


class Refusal(Exception):
    """Slack's word for what is wrong with a request."""


class FakeSlack:
    """`messages` is what is on Slack, in order; `wrong` what was wrong with requests."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.whispers: list[dict[str, Any]] = []
        self.wrong: list[str] = []
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.files: dict[str, tuple[str, bytes]] = {}
        self.gates: dict[str, threading.Event] = {}
        self.api = ""
        self._ids: dict[str, str] = {}
        self._gone: set[str] = set()
        self._lock = threading.Lock()
        self._clock = int(time.time())

    # -- what a test looks at ---------------------------------------------------------------------

    def shown(self, channel: str) -> list[dict[str, Any]]:
        with self._lock:
            return [dict(each) for each in self.messages if each["channel"] == channel]

    def asked(self, method: str) -> list[dict[str, Any]]:
        with self._lock:
            return [fields for name, fields in self.calls if name == method]

    def say(self, channel: str, user: str, text: str, thread_ts: str = "") -> str:
        """A person writes; gives the time stamp."""
        with self._lock:
            return str(self._new(channel, text, user=user, thread_ts=thread_ts)["ts"])

    def fail(self, method: str, *faults: Fault) -> None:
        with self._lock:
            self.faults[method].extend(faults)

    def remove(self, ts: str) -> None:
        """Somebody deletes a message."""
        with self._lock:
            self.messages = [each for each in self.messages if each["ts"] != ts]
            self._gone.add(self._ids.pop(ts, ""))

    def expire_streams(self) -> None:
        with self._lock:
            for message in self.messages:
                message["streaming"] = False

    # -- what it answers --------------------------------------------------------------------------

    def behave(self, asked: Asked) -> Answer:
        path = urlsplit(asked.target).path
        if path.startswith("/files/"):
            return self._file(asked, path.removeprefix("/files/"))
        method, fields = path.removeprefix("/api/"), _fields(asked)
        with self._lock:
            self.calls.append((method, fields))
            fault = self.faults[method].pop(0) if self.faults[method] else None
            try:
                if asked.headers.get("authorization") != f"Bearer {TOKEN}":
                    raise Refusal("invalid_auth")
                if fault is None or fault.done:
                    result = self._do(method, fields)
            except Refusal as refusal:
                return Answer(200, {"ok": False, "error": str(refusal)})
        if fault is not None:
            headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
            return Answer(fault.status, {"ok": False, "error": fault.error}, headers)
        return Answer(200, {"ok": True, **result})

    def _file(self, asked: Asked, name: str) -> Answer:
        gate = self.gates.get(name)
        if gate is not None:
            gate.wait(10)
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return Answer(200, b"<html>sign in</html>", {"Content-Type": "text/html"})
        media, data = self.files[name]
        return Answer(200, data, {"Content-Type": media})

    def _do(  # noqa: PLR0911  (one answer a method)
        self, method: str, fields: dict[str, Any]
    ) -> dict[str, Any]:
        self._check(method, fields)
        match method:
            case "auth.test":
                return {"user_id": BOT, "bot_id": BOT_ID}
            case "chat.startStream":
                return self._start(fields)
            case "chat.appendStream" | "chat.stopStream":
                return self._go_on(fields, over=method == "chat.stopStream")
            case "chat.postMessage":
                self._check_repeat(fields)
                kept = {key: fields.get(key) for key in ("blocks", "metadata")}
                message = self._new(
                    fields["channel"], fields["text"], thread_ts=fields.get("thread_ts", ""), **kept
                )
                if fields.get("client_msg_id"):
                    self._ids[message["ts"]] = fields["client_msg_id"]
                return {"ts": message["ts"], "channel": message["channel"]}
            case "chat.update":
                return self._update(fields)
            case "chat.delete":
                self.messages.remove(self._found(fields))
                self._gone.add(self._ids.pop(fields["ts"], ""))
                return {}
            case "chat.postEphemeral":
                self.whispers.append(fields)
                return {}
            case "conversations.replies" | "conversations.history":
                return self._listed(fields)
            case "files.info":
                name = fields["file"]
                url = f"{self.api.removesuffix('api/')}files/{name}"
                return {"file": {"id": name, "url_private": url, "mimetype": self.files[name][0]}}
            case _:
                return {}

    # -- messages ---------------------------------------------------------------------------------

    def _new(self, channel: str, text: str, **more: Any) -> dict[str, Any]:
        self._clock += 1
        ts = f"{self._clock}.000100"
        message = {"channel": channel, "ts": ts, "user": BOT, "text": text, "tasks": {}, **more}
        self.messages.append(message)
        return message

    def _check_repeat(self, fields: dict[str, Any]) -> None:
        """A message that is there is never posted again; one that is gone, not under its id."""
        id = fields.get("client_msg_id")
        self._need(id not in self._ids.values(), "a message posted twice")
        if id in self._gone:
            raise Refusal("duplicate_message_not_found")

    def _start(self, fields: dict[str, Any]) -> dict[str, Any]:
        recipients = {"recipient_team_id", "recipient_user_id"} <= fields.keys()
        self._need(recipients or fields["channel"].startswith("D"), "a stream without recipient")
        mode = fields.get("task_display_mode")
        self._need(mode in ("timeline", "plan"), f"task_display_mode {mode}")
        message = self._new(fields["channel"], "", thread_ts=fields["thread_ts"], streaming=True)
        self._append(message, fields)
        return {"ts": message["ts"], "channel": message["channel"]}

    def _go_on(self, fields: dict[str, Any], *, over: bool) -> dict[str, Any]:
        message = self._found(fields)
        if not message.get("streaming"):
            raise Refusal("message_not_in_streaming_state")
        self._append(message, fields)
        if over:
            message.update(streaming=False, blocks=fields.get("blocks"))
            message["metadata"] = fields.get("metadata")
        return {"ts": message["ts"]}

    def _append(self, message: dict[str, Any], fields: dict[str, Any]) -> None:
        for chunk in fields.get("chunks", ()):
            if chunk["type"] == "markdown_text":
                message["text"] += chunk["text"]
            else:
                message["tasks"][chunk["id"]] = (chunk["title"], chunk["status"])
        shown = len(message["text"]) + _chars(fields.get("blocks") or ())
        if shown > MESSAGE_CHARS_MAX:
            raise Refusal("msg_blocks_too_long")

    def _update(self, fields: dict[str, Any]) -> dict[str, Any]:
        message = self._found(fields)
        if message.get("streaming"):
            raise Refusal("streaming_state_conflict")
        message.update(text=fields["text"], blocks=fields.get("blocks"), tasks={})
        message["metadata"] = fields.get("metadata", message.get("metadata"))
        return {"ts": message["ts"]}

    def _found(self, fields: dict[str, Any]) -> dict[str, Any]:
        for message in self.messages:
            if (message["channel"], message["ts"]) == (fields["channel"], fields["ts"]):
                if message["user"] != BOT:
                    raise Refusal("cant_update_message")
                return message
        raise Refusal("message_not_found")

    def _listed(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Two at a time, so that whoever asks has to turn the page."""
        root = fields.get("ts")
        found = [
            {key: value for key, value in each.items() if value and key != "channel"}
            for each in self.messages
            if each["channel"] == fields["channel"]
            and (root is None or root in (each["ts"], each.get("thread_ts")))
            and float(fields.get("oldest", 0)) <= float(each["ts"])
            and float(each["ts"]) <= float(fields.get("latest", "inf"))
        ]
        begin = int(fields.get("cursor", 0))
        more = {"next_cursor": str(begin + 2)} if len(found) > begin + 2 else {}
        return {"messages": found[begin : begin + 2], "response_metadata": more}

    # -- checks -----------------------------------------------------------------------------------

    def _need(self, right: object, what: str) -> None:
        if not right:
            self.wrong.append(what)
            raise Refusal("invalid_arguments")

    def _check(self, method: str, fields: dict[str, Any]) -> None:
        self._need(method in METHODS, f"no such method: {method}")
        known = METHODS[method].split()
        for each in known:
            name = each.removeprefix("*")
            self._need(fields.get(name) or each == name, f"{method} without {name}")
        strange = fields.keys() - {each.removeprefix("*") for each in known}
        self._need(not strange, f"{method} with {strange}")
        for chunk in fields.get("chunks", ()):
            self._check_chunk(chunk)
        self._need(fields.get("chunks", 1), f"{method} with no chunk")
        self._check_blocks(fields.get("blocks") or ())
        self._need(len(fields.get("text", "")) <= 4_000, "a text that is too long")
        self._need("<!" not in json.dumps(fields), "a call to a whole channel")
        metadata = fields.get("metadata") or {}
        self._need(metadata.keys() in (set(), {"event_type", "event_payload"}), "strange metadata")

    def _check_chunk(self, chunk: dict[str, Any]) -> None:
        needed = CHUNKS.get(chunk.get("type", ""))
        self._need(needed is not None and needed <= chunk.keys(), f"a chunk {chunk}")
        if chunk["type"] == "markdown_text":
            self._need(0 < len(chunk["text"]) <= 12_000, "a chunk that is too long or empty")
            self._need("<" not in chunk["text"], f"not escaped: {chunk['text']}")
        else:
            self._need(chunk["status"] in STATUSES, f"a status {chunk['status']}")
            for key in ("title", "details", "output"):
                self._need(len(chunk.get(key, "")) <= 256, f"a {key} that is too long")

    def _check_blocks(self, blocks: Any) -> None:
        self._need(len(blocks) <= 50, f"{len(blocks)} blocks")
        self._need(_chars(blocks) <= MESSAGE_CHARS_MAX, "msg_blocks_too_long")
        markdown = sum(len(each["text"]) for each in blocks if each["type"] == "markdown")
        self._need(markdown <= 12_000, "too much Markdown")
        for block in blocks:
            self._need(block["type"] in BLOCKS, f"a block {block['type']}")
            if block["type"] == "section":
                self._need(0 < len(block["text"]["text"]) <= 3_000, "a section that is too long")
            elif block["type"] == "markdown":
                self._need("<" not in block["text"], "not escaped")
            elif block["type"] == "context":
                texts = [len(each["text"]) for each in block["elements"]]
                self._need(len(texts) <= 10 and 0 < max(texts) <= 3_000, "a context too long")
            else:
                self._check_buttons(block["elements"])

    def _check_buttons(self, buttons: Any) -> None:
        self._need(len({each["action_id"] for each in buttons}) == len(buttons), "one action twice")
        for button in buttons:
            self._need(len(button["value"]) <= 2_000, "a value that is too long")
            self._need(len(button["text"]["text"]) <= 75, "a button that is too long")


def _chars(blocks: Any) -> int:
    """What all blocks say together."""
    texts = [each.get("text", "") for each in blocks]
    texts += [part.get("text", "") for each in blocks for part in each.get("elements", ())]
    return sum(len(text if isinstance(text, str) else text["text"]) for text in texts)


def _fields(asked: Asked) -> dict[str, Any]:
    if "json" in asked.headers.get("content-type", ""):
        found: dict[str, Any] = json.loads(asked.body)
        return found
    told = {**parse_qs(asked.body.decode()), **parse_qs(urlsplit(asked.target).query)}
    return {name: values[0] for name, values in told.items()}


@contextmanager
def slack() -> Iterator[FakeSlack]:
    """Running; in the end nothing that it was asked may have been wrong."""
    fake = FakeSlack()
    with answering(fake.behave) as loopback:
        fake.api = f"{loopback.url}/api/"
        yield fake
    assert fake.wrong == []
