"""Where conversations are in Teams, and what was posted there: what the log does not say.

Only the verified webhook writes where a conversation is: the bot's token goes there, and what a
customer appends to the log must not be able to send it elsewhere. A post is claimed before it is
made, so that two who deliver the same step do not both make it; its receipt is kept before the log
is told, so that one who dies in between is not followed by another who posts again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from stepfold.events.names import token
from stepfold.streams.log import LogConflict, LogUnavailable
from stepfold.tools.vault import Store

RACES_MAX = 100
POSTS_MAX = 50
"""How many posts of a conversation are remembered; of older ones only the log knows."""
NOTED_S = 60.0
"""How exactly it is known when a contact was last heard."""
UNDER = "teams"


class Where(Struct, frozen=True):
    """The address of a conversation: `conversation` is Teams' own id of it, `bot` the bot's there.
    `personal`: a chat with one person, where answers may be streamed.
    """

    service_url: str
    conversation: str
    personal: bool
    bot: str


class Post(Struct, frozen=True, omit_defaults=True):
    """What `by` posts: claimed, or last seen at work, `at`. `activity` is its id once there is one,
    `more` those of further parts. `open`: a stream that has no end yet, in which `text` is said so
    far; `held`: somebody still adds to it. `done`: nothing is missing any more.
    """

    by: str
    at: datetime
    activity: str = ""
    more: tuple[str, ...] = ()
    open: bool = False
    text: str = ""
    held: bool = False
    done: bool = False


class Place(Struct, frozen=True, omit_defaults=True):
    """A chat with one person has one conversation after the other: the first place knows of which
    `number` it is, when its contact was last heard in it, and who asked for it.
    """

    where: Where
    posts: Mapping[str, Post] = {}
    number: int = 1
    heard_at: datetime | None = None
    asked_by: str = ""


class Spoken(Struct, frozen=True):
    """A contact said something, by the id of its activity; `anew`: a new conversation is wanted."""

    id: str
    at: datetime
    anew: bool = False


class Places:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, customer: str, conversation: str) -> Place | None:
        """None for a conversation that is not in Teams."""
        raw, _ = await self._store.get(_name(customer, conversation))
        return msgspec.json.decode(raw, type=Place) if raw else None

    async def settle(self, customer: str, conversation: str, where: Where) -> None:
        """From now on this conversation is there. Written only when that is new."""
        name = _name(customer, conversation)
        for _ in range(RACES_MAX):
            raw, revision = await self._store.get(name)
            known = msgspec.json.decode(raw, type=Place) if raw else Place(where)
            if raw and known.where == where:
                return
            if await self._put(name, replace(known, where=where), revision):
                return
        raise _busy(name)

    async def hear(self, key: tuple[str, str], said: Spoken, rest_s: float) -> str:
        """The name of the conversation that is had now in the chat whose first one is `key`."""
        name = _name(*key)
        for _ in range(RACES_MAX):
            raw, revision = await self._store.get(name)
            known = msgspec.json.decode(raw, type=Place)
            heard = _noted(known, said, rest_s)
            if heard == known or await self._put(name, heard, revision):
                return key[1] if heard.number == 1 else f"{key[1]}-{heard.number}"
        raise _busy(name)

    async def claim(self, key: tuple[str, str], name: str, post: Post, stale_s: float) -> Post:
        """The post of this name: `post` itself, when nobody makes it, or nothing was posted and
        whoever claimed it has shown no sign of life for `stale_s` seconds; else what is there.
        """

        def take(there: Post | None) -> Post:
            if there is None:
                return post
            dead = (post.at - there.at).total_seconds() > stale_s
            return post if dead and not there.activity and not there.done else there

        return await self.change(key, name, take)

    async def change(
        self, key: tuple[str, str], name: str, made: Callable[[Post | None], Post]
    ) -> Post:
        """The post of this name after `made`, which is told what is there."""
        where = _name(*key)
        for _ in range(RACES_MAX):
            raw, revision = await self._store.get(where)
            if not raw:
                raise LookupError(f"conversation {'/'.join(key)} is not in Teams")
            place = msgspec.json.decode(raw, type=Place)
            before = place.posts.get(name)
            after = made(before)
            if after == before:
                return after
            kept = {each: post for each, post in place.posts.items() if each != name}
            posts = dict([*kept.items(), (name, after)][-POSTS_MAX:])
            if await self._put(where, replace(place, posts=posts), revision):
                return after
        raise _busy(where)

    async def forget(self, key: tuple[str, str], name: str) -> None:
        """As if nobody had claimed it."""
        where = _name(*key)
        for _ in range(RACES_MAX):
            raw, revision = await self._store.get(where)
            if not raw:
                return
            place = msgspec.json.decode(raw, type=Place)
            posts = {each: post for each, post in place.posts.items() if each != name}
            fewer = replace(place, posts=posts)
            if fewer == place or await self._put(where, fewer, revision):
                return
        raise _busy(where)

    async def _put(self, name: str, place: Place, revision: int) -> bool:
        try:
            await self._store.put(name, msgspec.json.encode(place), after=revision)
        except LogConflict:
            return False
        return True


def _noted(place: Place, said: Spoken, rest_s: float) -> Place:
    """A new conversation after a rest, or when it is wanted; the same wish twice is one."""
    if said.anew:
        if said.id == place.asked_by:
            return place
        return replace(place, number=place.number + 1, heard_at=said.at, asked_by=said.id)
    if not rest_s:
        return place
    quiet_s = (said.at - place.heard_at).total_seconds() if place.heard_at else 0.0
    if place.heard_at and quiet_s < NOTED_S:
        return place
    number = place.number + (quiet_s > rest_s)
    return replace(place, number=number, heard_at=said.at)


def _name(customer: str, conversation: str) -> str:
    return f"{UNDER}.{token('customer', customer)}.{token('conversation', conversation)}"


def _busy(name: str) -> LogUnavailable:
    return LogUnavailable(f"{name} is changed all the time: try again")
