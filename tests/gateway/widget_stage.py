"""A shop's page with the widget on it, in a real browser. The gateway is another site."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from html import escape
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, ConsoleMessage, Locator, Page, async_playwright, expect
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stepfold.events.values import Delta
from stepfold.gateway import widget
from stepfold.gateway.principal import CHAT
from stepfold.gateway.serving import Made
from stepfold.gateway.table import DOORS
from stepfold.policy.agent import Agent, Limits
from stepfold.policy.toolspec import ToolSpec
from stepfold.providers.model import Call, Prompt, Reply
from stepfold.tools.tool import FunctionTool
from tests.gateway.house import House, Slow

CHROMIUM = Path(os.environ.get("STEPFOLD_CHROMIUM", "/usr/bin/chromium"))
LIMIT_MS = 15_000
QUESTION = "What does a year of Team cost, and where is my order?"
SECOND = "Paying for a year in advance saves two months"
QUOTE = "a year of Team costs $390 instead of $468"
WORDS = (
    "Your order ",
    "has **shipped**. ",
    "If you pay in advance, ",
    f'"{QUOTE}". ',
    f'And: "{SECOND}". ',
    "Tell us ",
    "at https://ledgerly.example/help ",
    "if it is late 📦.",
)
ANSWER = "".join(WORDS)
SHOWN = ANSWER.replace("**", "").replace(f'{QUOTE}".', f'{QUOTE}".1')
SHOWN = SHOWN.replace(f'{SECOND}".', f'{SECOND}".2')
"""As it is seen when it is whole: the number of a source stands behind its quote."""
CLERK = Agent(
    name="clerk",
    models=("guide",),
    tools=("order_status",),
    collections=("default",),
    limits=Limits(backoff_s=0.01, backoff_s_max=0.01),
)
CSS = ":root { color-scheme: light dark; } body { margin: 3rem; font: 18px/1.6 sans-serif; }"
ALL = DOORS if widget.DOORS[0] in DOORS else (*DOORS, *widget.DOORS)

needs_chromium = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no {CHROMIUM}")


async def _status(arguments: dict[str, Any], call: str) -> Any:
    return {"order": 17, "status": "shipped"}


ORDER = FunctionTool(ToolSpec("order_status", "Looks an order up.", effect="read"), _status)


class Guide(Slow):
    """Asks its two tools when it is told to go, then says word after word."""

    def __init__(self, *words: str) -> None:
        super().__init__(*words)
        self._looked = False

    async def reply(self, prompt: Prompt, /) -> Reply:
        self._looked = not self._looked
        if not self._looked:
            return await super().reply(prompt)
        self.asked.set()
        await self._may.acquire()
        if prompt.hear is not None:
            prompt.hear(Delta("text", "Let me look."))
        calls = (Call("search", {"query": "price of Team"}), Call("order_status", {}))
        return Reply("Let me look.", calls=calls)


class Shop:
    """`faults` are what the console complains about: what a policy forbids, too. With a `tag`, the
    attributes of the script stand for the element. The first tokens are `expired`.
    """

    def __init__(self, home: House, model: Guide, browser: Browser) -> None:
        self.home = home
        self.model = model
        self.browser = browser
        self.faults: list[str] = []
        self.attributes: dict[str, str] = {}
        self.html = self.tag = ""
        self.vouched = 0
        self.expired = 0
        self.url = ""
        self.key = ""
        self.page: Page

    @property
    def gateway(self) -> str:
        return self.home.url

    @property
    def policy(self) -> str:
        return (
            f"default-src 'none'; script-src {self.gateway}; connect-src {self.gateway} 'self';"
            " style-src 'self'; require-trusted-types-for 'script'; base-uri 'none'"
        )

    async def serve(self, request: Request) -> Response:
        if request.url.path == "/shop.css":
            return Response(CSS, media_type="text/css")
        named = "".join(f' {key}="{escape(text)}"' for key, text in self.attributes.items())
        chat = f'<stepfold-chat token="{await self.token()}"{named}></stepfold-chat>'
        chat = "" if self.tag else chat
        body = (
            f'<!doctype html><html lang="en"{self.html}><head><title>A shop</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<link rel="stylesheet" href="/shop.css">'
            f'<script src="{self.gateway}/widget.js"{self.tag} defer></script>'
            f"</head><body><main><h1>A shop</h1><p>With things to buy.</p></main>{chat}"
            "</body></html>"
        )
        headers = {"Content-Security-Policy": self.policy}
        return Response(body, headers=headers, media_type="text/html")

    async def vouch(self, request: Request) -> Response:
        """What a page's own server does: it has the key, the page gets a token."""
        self.vouched += 1
        token = await self.token() if self.vouched > self.expired else "sfv_expired"
        return Response(json.dumps({"token": token}), media_type="application/json")

    async def token(self) -> str:
        client = await self.home.client(self.key)
        answer = await client.post("/v1/visitors", json={"contact": "ada"})
        return str(answer.json()["token"])

    async def visit(self, *, width: int = 1280, height: int = 800, **options: Any) -> Page:
        context = await self.browser.new_context(
            viewport={"width": width, "height": height}, **options
        )
        self.page = page = await context.new_page()
        page.set_default_timeout(LIMIT_MS)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        await page.goto(f"{self.url}/shop")
        return page

    def _heard(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self.faults.append(said.text)

    # -- what a contact does ----------------------------------------------------------------------

    async def open(self) -> None:
        await self.page.get_by_role("button", name="Chat with us").click()

    async def ask(self, text: str = QUESTION) -> None:
        field = self.page.get_by_label("Your message")
        await field.fill(text)
        await field.press("Enter")

    @property
    def answer(self) -> Locator:
        """The text of the last answer."""
        return self.page.get_by_role("group", name="Assistant").last.locator("p")

    async def shows(self, text: str) -> None:
        """Exactly this, and nothing twice."""
        await expect(self.answer).to_have_text(text, timeout=LIMIT_MS)

    async def say(self, upto: int, *, since: int = 0) -> None:
        """The model says words up to the `upto`th; each is seen before the next one comes."""
        for number in range(since, upto):
            self.model.go()
            if number + 1 < len(WORDS):
                shown = "".join(WORDS[: number + 1]).replace("**", "")
                await self.shows(shown.rstrip())
        if upto == len(WORDS):
            await self.shows(SHOWN)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        await browser.close()


@asynccontextmanager
async def shop_on(
    home: House, browser: Browser, agent: Agent = CLERK, words: Sequence[str] = WORDS
) -> AsyncIterator[Shop]:
    model = Guide(*words)
    await home.work(agent, models={"guide": model}, tools=[ORDER])
    shop = Shop(home, model, browser)
    home.url = await home.open_gateway(Made(doors=ALL))
    routes = (
        *(Route(path, shop.serve) for path in ("/shop", "/shop.css")),
        Route("/vouch", shop.vouch, methods=["POST"]),
    )
    shop.url = await home.open_gateway(Made(mounts=lambda *_: routes))
    shop.key = await home.key(scopes=(CHAT,), origins=(shop.url,))
    try:
        yield shop
    finally:
        for context in browser.contexts:
            await context.close()
