"""The messages that show one screen: as many as it takes, each brought to its page, each kept by
its time stamp before anything else happens to it.
"""

from __future__ import annotations

from stepfold.channels.slack.finding import Found, Named
from stepfold.channels.slack.keeping import Kept, Shown
from stepfold.channels.slack.pages import pages
from stepfold.channels.slack.post import Post, Where
from stepfold.channels.slack.screen import Screen


class Posts:
    """`found` is what was on Slack before. Its last open stream is our next page, where it is
    nobody's by what is kept.
    """

    def __init__(self, where: Where, kept: Kept, found: Found, key: str) -> None:
        self._where = where
        self._kept = kept
        self._found = found
        self._key = key
        self._posts: list[Post] = []

    @property
    def ts(self) -> str:
        """Of the first one; empty where there is none."""
        return self._posts[0].ts if self._posts else ""

    @property
    def is_stream(self) -> bool:
        """Whether the last one is streamed."""
        return bool(self._posts) and self._posts[-1].is_stream

    async def bring(self, screen: Screen) -> None:
        """SlackError, LogUnavailable: bring it again."""
        shown = pages(screen)
        for number, page in enumerate(shown):
            if number == len(self._posts):
                self._posts.append(await self._next(page.key))
            await self._posts[number].bring(page)
        if screen.over:
            await self._take_over_all()
        await self._forget(len(shown))
        if screen.over:
            await self._keep(over=True)

    async def close(self) -> None:
        for post in self._posts:
            await post.close()

    async def _next(self, key: str) -> Post:
        """The next message: one that another process left, if there is one."""
        number = len(self._posts)
        left = (await self._kept.get(self._key)).pages
        named = self._found.named.get(key, Named(""))
        ts = left[number] if number < len(left) else named.ts
        if not ts:
            ts = await self._nameless()
        told = named.digest if named.ts == ts else ""
        post = Post(self._where, self._begun, ts=ts, told=told)
        if ts:
            await self._keep(post)
        return post

    async def _nameless(self) -> str:
        """The last stream of nobody's behind our pages: whoever began it could not keep it."""
        claimed = await self._kept.claimed()
        before = self._posts[-1].ts if self._posts else ""
        return max((ts for ts in self._found.open if ts > before and ts not in claimed), default="")

    async def _begun(self, ts: str) -> None:
        await self._keep()

    async def _keep(self, *more: Post, over: bool = False) -> None:
        """What is known of it, and what another process left of it beyond that."""
        ours = tuple(post.ts for post in (*self._posts, *more) if post.ts)
        left = () if over else (await self._kept.get(self._key)).pages[len(ours) :]
        await self._kept.keep(self._key, Shown((*ours, *left), over))

    async def _take_over_all(self) -> None:
        """Pages that another process left, and that nothing is said on any more, are ours too."""
        left = (await self._kept.get(self._key)).pages
        for ts in left[len(self._posts) :]:
            self._posts.append(Post(self._where, self._begun, ts=ts))

    async def _forget(self, many: int) -> None:
        """What was said on further pages was taken back."""
        if not self._posts[many:]:
            return
        for post in self._posts[many:]:
            await post.remove()
        del self._posts[many:]
        await self._kept.keep(self._key, Shown(tuple(post.ts for post in self._posts if post.ts)))
