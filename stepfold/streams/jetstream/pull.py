"""A standing pull on a durable consumer: messages are handled as they come, as many as there is
room for.

nats-py's own `fetch` asks anew for every batch and gives up what comes at the edge of its time-out:
two workers on one consumer then wait seconds, or `ack_wait`, for messages that nobody has. Here a
request always stands, is topped up before it is used up, and is made anew when it has run out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from stepfold.streams.jetstream.message import Pulse, acknowledge, give_back, place

EXPIRES_S = 10.0
WATCH_S = 0.5
GRACE_S = 20.0
"""How long a stopping process finishes what it has in hand before it gives it back."""

Handle = Callable[[Msg], Awaitable[float | None]]
"""None = acknowledge the message, else deliver it again in so many seconds."""
log = logging.getLogger("stepfold.pull")


class Pull:
    """Hands the messages of one consumer to `handle`, at most `at_once` of them at a time."""

    def __init__(
        self,
        client: Client,
        stream: str,
        durable: str,
        handle: Handle,
        *,
        at_once: int,
        pulse_s: float,
    ) -> None:
        self._client = client
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._name = durable
        self._handle = handle
        self._at_once = at_once
        self._pulse_s = pulse_s
        self._inbox = client.new_inbox()
        self._asked = 0
        self._asked_at = 0.0
        self._connections = 0
        self._calm_at = 0.0
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._asking: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._subscription: Subscription | None = None
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._subscription = await self._client.subscribe(
            self._inbox, cb=self._on_message, pending_msgs_limit=-1, pending_bytes_limit=-1
        )
        self._connections = self._client.stats["reconnects"]
        await self._ask()
        self._watching = asyncio.create_task(self._watch())

    async def stop(self, grace_s: float = GRACE_S) -> None:
        """Ask for nothing more, finish what runs within `grace_s`, give the rest back."""
        self._closing = True
        if self._watching is not None:
            self._watching.cancel()
        if self._subscription is not None and self._client.is_connected:
            await self._subscription.drain()  # type: ignore[no-untyped-call]
        if self._tasks:
            _, running = await asyncio.wait(self._tasks, timeout=grace_s)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _on_message(self, message: Msg) -> None:
        if message.headers and "Status" in message.headers and not message.reply:
            self._told(message.headers)
            return
        self._asked = max(0, self._asked - 1)
        if self._closing:
            await give_back(message, 0)
            return
        if self._may_be_in_hand(message):
            await give_back(message, 1.5 * self._pulse_s)
            return
        task = self._loop.create_task(self._run(message))
        self._tasks.add(task)
        task.add_done_callback(self._done)
        if self._asked <= self._at_once // 4:
            await self._ask()

    def _may_be_in_hand(self, message: Msg) -> bool:
        """A server that was away longer than `ack_wait` at once delivers again what others work on.
        For a while it is left to them: their next sign of life keeps it from being delivered.
        """
        self._notice()
        return self._loop.time() < self._calm_at and place(message)[2] > 1

    def _notice(self) -> None:
        """Requests die with their connection."""
        connections = self._client.stats["reconnects"]
        if connections != self._connections:
            self._connections = connections
            self._calm_at = self._loop.time() + 3 * self._pulse_s
            self._asked = 0

    def _told(self, headers: dict[str, str]) -> None:
        """The server ended a request; what it still owed of it is not to be waited for.

        Where nobody answers (the server starts, the consumer is gone) the next look asks again.
        """
        owed = int(headers.get("Nats-Pending-Messages", self._asked))
        self._asked = max(0, self._asked - owed)
        if headers["Status"] == "408":
            self._ask_soon()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._asked == 0:
            self._ask_soon()

    def _ask_soon(self) -> None:
        if not self._closing:
            asking = self._loop.create_task(self._ask())
            self._asking.add(asking)  # the loop itself holds tasks only weakly
            asking.add_done_callback(self._asking.discard)

    async def _ask(self) -> None:
        """Top the standing request up to the room that there is."""
        self._notice()
        room = self._at_once - len(self._tasks) - self._asked
        if room <= 0 or self._closing or not self._client.is_connected:
            return
        self._asked += room
        self._asked_at = self._loop.time()
        request = {"batch": room, "expires": int(EXPIRES_S * 1e9)}
        body = msgspec.json.encode(request)
        try:
            await self._client.publish(self._subject, body, reply=self._inbox)
        except nats.errors.Error as error:
            self._asked = max(0, self._asked - room)  # nobody owes it: the watch asks again
            log.warning("lane %s cannot ask for messages: %s", self._name, error)

    async def _watch(self) -> None:
        """Requests may be lost: then ask anew."""
        while True:
            await asyncio.sleep(WATCH_S)
            if self._loop.time() - self._asked_at > EXPIRES_S + 2 * WATCH_S:
                self._asked = 0
            try:
                await self._ask()
            except Exception as error:  # noqa: BLE001  (whatever it is, the next round asks again)
                log.warning("lane %s cannot ask for messages: %s", self._name, error)

    async def _run(self, message: Msg) -> None:
        pulse = Pulse(message, self._pulse_s)
        try:
            delay_s = await self._handle(message)
        except asyncio.CancelledError:
            await give_back(message, 0)
            raise
        except Exception:
            log.exception("lane %s: %s could not be handled", self._name, message.subject)
            delay_s = self._pulse_s
        finally:
            pulse.stop()
        await (acknowledge(message) if delay_s is None else give_back(message, delay_s))
