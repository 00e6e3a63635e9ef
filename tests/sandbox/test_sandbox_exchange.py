"""A reply is read by type and within limits; anything else is none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepfold.sandbox.exchange import NotAReply, reply, reply_bytes_max, request
from stepfold.sandbox.sandbox import Code, Limits

LIMITS = Limits(output_bytes=1_000, files_max=2, files_bytes=100)


def test_a_request_is_a_line_and_the_bytes_of_the_files() -> None:
    code = Code("1", {"a.bin": b"\n\x00", "b": b""}, LIMITS)

    line, _, content = request(code, rlimits={"NPROC": 9}).partition(b"\n")

    told = json.loads(line)
    assert told["files"] == [["a.bin", 2], ["b", 0]]
    assert told["rlimits"]["NPROC"] == 9
    assert told["rlimits"]["AS"] == LIMITS.memory_bytes
    assert content == b"\n\x00"


def test_a_reply_has_its_files() -> None:
    received = b'{"outcome": "ok", "result": [1], "files": [["a", 2], ["in/b", 1]]}\nxyz'

    read = reply(received, LIMITS)

    assert (read.outcome, read.result) == ("ok", [1])
    assert read.files == {"a": b"xy", "in/b": b"z"}


@pytest.mark.parametrize(
    "received",
    [
        b"",
        b'{"outcome": "ok"}',
        b'{"outcome": "ok"}\nmore',
        b'{"outcome": "time"}\n',
        b'{"outcome": "refused"}\n',
        b'{"outcome": "ok", "files": [["../a", 0]]}\n',
        b'{"outcome": "ok", "files": [["/a", 0]]}\n',
        b'{"outcome": "ok", "files": [["a\\u0000", 0]]}\n',
        b'{"outcome": "ok", "files": [["a", -1], ["b", 1]]}\n',
        b'{"outcome": "ok", "files": [["a", 0], ["b", 0], ["c", 0]]}\n',
        b'{"outcome": "ok", "files": [["a", 1e99]]}\n',
        b'{"outcome": "ok", "reason": "' + b"x" * 2_000 + b'"}\n',
        b'{"outcome": "ok", "result": "' + b"x" * 2_000 + b'"}\n',
        b'{"outcome": "ok", "result": ' + b"[" * 90_000 + b"\n",
        b'{"outcome": "ok", "result": ' + b"[" * 500 + b"]" * 500 + b"}\n",
        b'{"outcome": "ok", "result": ' + b"9" * 50_000 + b"}\n",
        b"\x80\x04N.\n",
        b"[]\n",
        b"null\n",
    ],
)
def test_anything_else_is_no_reply(received: bytes) -> None:
    with pytest.raises(NotAReply):
        reply(received, LIMITS)


@given(st.binary(max_size=400))
def test_no_bytes_do_more_than_be_no_reply(received: bytes) -> None:
    with pytest.raises(NotAReply):
        reply(b"{" + received, LIMITS)


def test_a_true_reply_fits_into_what_is_read() -> None:
    files = [["é" * 200, 50], ["ü" * 200, 50]]
    line = {"outcome": "ok", "reason": "é" * 1_000, "result": "x" * 900, "files": files}

    received = json.dumps(line).encode() + b"\n" + b"x" * 100

    assert len(received) <= reply_bytes_max(LIMITS)
    assert reply(received, LIMITS).outcome == "ok"
