"""Frames cut out of what was read, however it was cut on its way."""

from __future__ import annotations

import random
from typing import Any

import pytest

from stepfold.streams.jetstream.parser import TappingParser

TAPPED, OTHER = 7, 8


class Client:
    """What nats-py's parser calls."""

    def __init__(self) -> None:
        self.seen: list[tuple[object, ...]] = []

    async def _process_msg(self, *message: object) -> None:
        self.seen.append(message)

    async def _process_ping(self) -> None:
        self.seen.append(("ping",))


class Kept:
    def __init__(self) -> None:
        self.taken: list[tuple[bytes, ...]] = []
        self.statuses: list[tuple[bytes, ...]] = []

    def take(self, *message: bytes) -> None:
        self.taken.append(message)

    async def told(self, *status: bytes) -> None:
        self.statuses.append(status)


def frame(sid: int, payload: bytes, *, reply: bytes = b"r.1", headers: bytes = b"") -> bytes:
    address = b" ".join(filter(None, (b"steps.a.c1", str(sid).encode(), reply)))
    if not headers:
        return b"MSG %b %d\r\n%b\r\n" % (address, len(payload), payload)
    sizes = (len(headers), len(headers) + len(payload))
    return b"HMSG %b %d %d\r\n%b%b\r\n" % (address, *sizes, headers, payload)


HEADERS = b"NATS/1.0\r\nA: b\r\n\r\n"
STATUS = b"NATS/1.0 100 Idle Heartbeat\r\n\r\n"
WIRE = b"".join(
    (
        frame(TAPPED, b"one"),
        frame(TAPPED, b"MSG x 7 3\r\ntwo", headers=HEADERS),
        b"PING\r\n",
        frame(OTHER, b"theirs"),
        frame(TAPPED, b"", headers=STATUS),
        frame(OTHER, b"theirs too", headers=HEADERS, reply=b""),
        frame(TAPPED, b"", reply=b""),
        frame(TAPPED, b"x" * 5_000),
    )
)


async def parsed(pieces: list[bytes]) -> tuple[Client, Kept]:
    client, tap = Client(), Kept()
    parser = TappingParser(client, {TAPPED: tap})
    for piece in pieces:
        await parser.parse(piece)
    return client, tap


def cut(seed: int) -> list[bytes]:
    places = sorted(random.Random(seed).sample(range(len(WIRE)), k=1 + seed % 40))
    return [WIRE[a:b] for a, b in zip([0, *places], [*places, len(WIRE)], strict=True)]


@pytest.mark.parametrize("pieces", [[WIRE], [bytes([b]) for b in WIRE], *map(cut, range(40))])
async def test_tapped_frames_go_to_their_tap_and_all_others_to_nats(pieces: list[bytes]) -> None:
    client, tap = await parsed(pieces)

    assert [message[2] for message in tap.taken] == [
        b"one", b"MSG x 7 3\r\ntwo", b"", b"x" * 5_000,
    ]  # fmt: skip
    assert tap.taken[1] == (b"steps.a.c1", b"r.1", b"MSG x 7 3\r\ntwo", HEADERS)
    assert tap.taken[2][1] == b""
    assert tap.statuses == [(b"r.1", STATUS)]
    assert client.seen == [
        ("ping",),
        (OTHER, b"steps.a.c1", b"r.1", b"theirs", None),
        (OTHER, b"steps.a.c1", b"", b"theirs too", HEADERS),
    ]


async def test_without_a_tap_everything_is_nats() -> None:
    client: Any = Client()
    parser = TappingParser(client, {})

    await parser.parse(WIRE[:20])
    await parser.parse(WIRE[20:])

    assert len(client.seen) == 8


async def test_a_tap_that_comes_and_goes_loses_nothing() -> None:
    client, tap = Client(), Kept()
    taps: dict[int, Kept] = {}
    parser = TappingParser(client, taps)

    for index, each in enumerate(bytes([b]) for b in WIRE):
        if index == 12:
            taps[TAPPED] = tap
        if index == 90:
            taps.clear()
        await parser.parse(each)

    assert len(client.seen) + len(tap.taken) + len(tap.statuses) == 8
