"""A post that is held while its turn is streamed. Whoever is held to be dead has no more to say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from msgspec.structs import replace

from stepfold.channels.teams.places import Places, Post
from stepfold.channels.teams.say import Stream


class Held:
    def __init__(
        self,
        places: Places,
        key: tuple[str, str],
        name: str,
        post: Post,
        clock: Callable[[], datetime],
    ) -> None:
        self._places, self._key, self._name = places, key, name
        self._post: Post | None = post
        self._clock = clock

    async def keep(self, stream: Stream, *, open: bool = True) -> None:
        """Say that it is held still, and how far the stream is."""
        if self._post is None:
            return
        held = replace(
            self._post, at=self._clock(), activity=stream.id, text=stream.text, open=open
        )
        await self._write(held)

    async def let_go(self, stream: Stream) -> None:
        """Whoever has the answer may have the post."""
        if self._post is None:
            return
        if not stream.id:
            await self.forget()
            return
        free = replace(self._post, at=self._clock(), activity=stream.id, text=stream.text)
        await self._write(replace(free, held=False))

    async def finish(self) -> None:
        """Nothing is to be added any more."""
        if self._post is not None:
            await self._write(replace(self._post, held=False, open=False, done=True))
            self._post = None

    async def forget(self) -> None:
        if self._post is not None:
            await self._places.forget(self._key, self._name)
            self._post = None

    async def _write(self, post: Post) -> None:
        """Unless it was taken over: who is held to be dead has no more to say."""

        def mine(there: Post | None) -> Post:
            return post if there is None or there.by == post.by else there

        written = await self._places.change(self._key, self._name, mine)
        self._post = post if written.by == post.by else None
