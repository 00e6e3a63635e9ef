"""What a page does with the stream of a conversation: it shows words, takes some back, and comes
back with the last id, at another gateway, when its connection breaks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import httpx2

from tests.gateway.house import LIMIT_S, Event, events

AWAY_S = 0.02


class Page:
    """`gateways` gives the addresses of those that are thought to live, `texts` what the model says
    to the question, once for each time that it is asked. `faults` are what no stream may show.
    """

    def __init__(
        self,
        conversation: str,
        key: str,
        gateways: Callable[[], list[str]],
        texts: Callable[[], list[str]],
    ) -> None:
        self.conversation = conversation
        self.shown: dict[str, str] = {}
        self.steps: list[int] = []
        self.answers: list[str] = []
        self.kinds: list[str] = []
        self.last = ""
        self.at = ""
        self.taken_back = 0
        self.connections = 0
        self.faults: list[str] = []
        self._gateways = gateways
        self._texts = texts
        self._headers = {"Authorization": f"Bearer {key}"}

    @property
    def text(self) -> str:
        """All that stands on the page."""
        return "".join(self.shown.values())

    @property
    def words(self) -> int:
        return len(self.text.split())

    async def ask(self, text: str, gateway: str) -> tuple[int, str]:
        """Where the message is in the log, and its id; sent again it is the same one."""
        body = {"conversation": self.conversation, "text": text}
        headers = {**self._headers, "Idempotency-Key": f"key.{text}"}
        async with httpx2.AsyncClient(timeout=LIMIT_S, verify=False) as client:
            said = await client.post(f"{gateway}/v1/conversations", json=body, headers=headers)
        assert said.is_success, said.text
        told = said.json()
        return told["position"], told["message"]

    async def follow(self, begin: str) -> None:
        """Until there is an answer and it is the contact's move."""
        self.at = begin
        while not (self.answers and self.kinds[-1] == "rest"):
            with suppress(httpx2.TransportError, httpx2.StreamError):
                await self._listen()
            others = [each for each in self._gateways() if each != self.at]
            self.at = others[0] if others else self.at
            await asyncio.sleep(AWAY_S)

    async def _listen(self) -> None:
        headers = {**self._headers, **({"Last-Event-ID": self.last} if self.last else {})}
        path = f"{self.at}/v1/conversations/{self.conversation}/events?until=rest"
        async with (
            httpx2.AsyncClient(timeout=LIMIT_S, verify=False) as client,
            client.stream("GET", path, headers=headers) as response,
        ):
            if response.status_code == 404:  # nothing was said yet
                return
            assert response.status_code == 200, await response.aread()
            self.connections += 1
            async for each in events(response):
                self._take(each)

    def _take(self, told: Event) -> None:
        if told.event == "comment":
            return
        self.last = told.id or self.last
        self.kinds.append(told.kind)
        match told.event:
            case "step":
                self._step(told)
            case "taken_back":
                self.taken_back += 1
                self.shown[told.data["call"]] = ""
            case "words":
                self._words(told)
            case _:
                pass

    def _words(self, told: Event) -> None:
        """What stands is at every moment the beginning of one text, and never of two mixed."""
        before = self.shown.get(told.data["call"], "")
        shown = self.shown[told.data["call"]] = before + told.data["text"]
        if told.data["offset"] != len(before):
            self.faults.append(f"{told} comes after {len(before)} characters")
        if not any(text.startswith(shown) for text in self._texts()):
            self.faults.append(f"{shown!r} is no beginning of what was said")

    def _step(self, told: Event) -> None:
        if self.steps and told.data["position"] <= self.steps[-1]:
            self.faults.append(f"{told} comes after step {self.steps[-1]}")
        self.steps.append(told.data["position"])
        if told.kind == "response.given":
            self.answers.append(told.data["event"]["text"])
