"""One scene on one stack, in a real browser: a contact in a shop's page, and an operator."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import BrowserContext, Locator, Page, expect

from tests.gateway.scene_stage import ASK_USD, PERSON, Line, Scene, scene
from tests.gateway.screenshots import enter
from tests.gateway.widget_stage import CHROMIUM, chromium

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="there is no Chromium here")

LIMIT_MS = 15_000
expect.set_options(timeout=LIMIT_MS)
QUESTION = "Order A-17 came broken. Please pay it back; and what does a year of Team cost?"
QUOTE = "a year of Team costs $390 instead of $468"
REFUND = {"order": "A-17", "amount": 39.0}
WORDS = (
    "I have ", "paid back ", "the $39 ", "for A-17. ", "As for ", "Team: ",
    f'"{QUOTE}". ', "Anything ", "else?",
)  # fmt: skip
LINES = (
    Line(("Let me ", "look."), {"search": {"query": "price of a year of Team"}}),
    Line((), {"refund": REFUND}),
    Line(WORDS),
)
SHOWN = "".join(WORDS).replace(f'{QUOTE}".', f'{QUOTE}".1')
"""As it is seen when it is whole: the number of the source stands behind its quote."""
HALF = 4
TELL_VIOLATIONS = """addEventListener("securitypolicyviolation", (told) =>
    console.error(`policy: ${told.violatedDirective} ${told.blockedURI}`))"""
LOADED = "performance.timeOrigin"
"""When the page was loaded: another number says that it was loaded again."""


class Watched:
    """A browser, and all that its console, its policies and the network had to complain about."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.wrong: list[str] = []
        context.set_default_timeout(LIMIT_MS)
        context.on("console", lambda told: self._note(told.type == "error", told.text))
        context.on("weberror", lambda told: self._note(True, str(told.error)))
        context.on("request", lambda asked: self._asked(asked.url))

    def _note(self, wrong: bool, text: str) -> None:
        if wrong:
            self.wrong.append(text)

    def _asked(self, address: str) -> None:
        url = urlsplit(address)
        self._note(url.scheme != "data" and url.hostname != "127.0.0.1", f"asked for {address}")

    async def page(self) -> Page:
        page = await self.context.new_page()
        await page.add_init_script(TELL_VIOLATIONS)
        return page


class Contact:
    def __init__(self, page: Page, told: Scene) -> None:
        self.page = page
        self.told = told
        self.turn = page.get_by_role("group", name="Assistant")

    async def ask(self) -> None:
        await self.page.goto(self.told.shop)
        await self.page.get_by_role("button", name="Chat with us").click()
        await self.page.get_by_label("Your message").fill(QUESTION)
        await self.page.keyboard.press("Enter")
        await expect(self.turn.get_by_text("Thinking…")).to_be_visible()

    async def hears(self, words: tuple[str, ...], *, since: int = 0) -> None:
        """Each of `words` is said, and seen before the next one is."""
        for upto in range(since, len(words)):
            self.told.speaker.go()
            await self.shows("".join(words[: upto + 1]))

    async def shows(self, text: str) -> None:
        """Exactly this, and nothing twice."""
        await expect(self.turn.locator("p")).to_have_text(text.rstrip())

    async def opens_the_source(self) -> None:
        await self.page.get_by_role("button", name="Source 1").first.click()
        quoted = self.page.get_by_role("dialog", name="plans and prices")
        await expect(quoted.locator("p")).to_have_text(QUOTE)

    async def steps(self, *texts: str) -> None:
        await expect(self.turn.get_by_role("listitem")).to_have_text(list(texts))


class Operator:
    """Two pages: the list of conversations, and one of them."""

    def __init__(self, list: Page, page: Page, told: Scene) -> None:
        self.list = list
        self.page = page
        self.told = told
        self.loaded = 0.0

    async def enters(self) -> None:
        await enter(self.list, self.told.dashboard, self.told.key)
        await self.list.goto(f"{self.told.dashboard}/conversations")
        await expect(self.list.get_by_text("No conversation here")).to_be_visible()
        self.loaded = await self.list.evaluate(LOADED)

    @property
    def row(self) -> Locator:
        return self.list.locator("#list .rows > li")

    async def finds(self) -> str:
        """The conversation that has appeared by itself; returns its name."""
        await expect(self.row).to_have_count(1)
        name = await self.row.locator("strong").inner_text()
        await self.page.goto(f"{self.told.dashboard}/conversations/acme/{name}")
        return name

    async def cost(self) -> Decimal:
        """All digits of what the page says that this conversation has cost."""
        shown = self.page.locator("#facts dd .num[title]")
        told = await shown.get_attribute("title")
        assert told is not None
        assert Decimal(told.removeprefix("$")).quantize(Decimal("0.01")) == Decimal(
            re.sub(r"[^\d.]", "", await shown.inner_text())
        )
        return Decimal(told.removeprefix("$"))

    async def costs(self, usd: Decimal) -> None:
        shown = self.page.locator("#facts dd .num[title]")
        await expect(shown).to_have_attribute("title", f"${usd.normalize():f}")


async def test_a_contact_asks_an_operator_approves_and_both_see_it_happen(tmp_path: Path) -> None:
    async with scene(tmp_path, LINES) as told, chromium() as browser:
        shops = Watched(await browser.new_context(viewport={"width": 390, "height": 844}))
        desk = Watched(await browser.new_context(viewport={"width": 1280, "height": 900}))
        contact = Contact(await shops.page(), told)
        operator = Operator(await desk.page(), await desk.page(), told)
        await operator.enters()

        await contact.ask()
        name = await operator.finds()
        await a_call_waits_for_people(contact, operator)
        before = await operator.cost()
        assert before == await told.spent(name, calls=2)
        assert told.refunds() == []

        await operator.page.get_by_role("button", name=f"Grant as {PERSON}").click()
        await contact.steps("Let me look.", "Searched", "Used refund", "Thinking…")
        assert told.refunds() == [REFUND]
        await contact.hears(WORDS[:HALF])
        await expect(operator.page.locator("#said")).to_have_text("".join(WORDS[:HALF]))

        await who_loads_the_page_again_loses_nothing(contact)
        await contact.opens_the_source()

        await the_operator_has_seen_it_all(operator)
        after = await operator.cost()
        assert after == await told.spent(name, calls=3)
        assert after - before == ASK_USD
        assert told.refunds() == [REFUND]
        assert (shops.wrong, desk.wrong) == ([], [])


async def a_call_waits_for_people(contact: Contact, operator: Operator) -> None:
    """It appears in both pages of the operator, and neither is loaded again."""
    page = operator.page
    loaded = await page.evaluate(LOADED)
    await expect(page.locator(".said.contact .text")).to_have_text(QUESTION)
    await contact.hears(LINES[0].words[:1])
    contact.told.speaker.go()
    await contact.steps("Let me look.", "Searched", "Waiting for approval of refund")

    await expect(operator.row).to_contain_text("waits for people")
    await expect(page.locator("#facts")).to_contain_text("waits for people")
    await expect(page.locator("form.decision")).to_have_count(1)
    await expect(page.get_by_role("button", name=f"Grant as {PERSON}")).to_be_visible()
    await expect(page.locator(".move.tool .arguments dd")).to_have_text(["A-17", "39.0"])
    await operator.costs(2 * ASK_USD)
    assert await page.evaluate(LOADED) == loaded


async def who_loads_the_page_again_loses_nothing(contact: Contact) -> None:
    """Once at rest between two words, once while a word is said that nobody hears."""
    await contact.page.reload()
    await contact.shows("".join(WORDS[:HALF]))
    await contact.hears(WORDS[: HALF + 2], since=HALF)
    await contact.page.goto("about:blank")
    contact.told.speaker.go()
    await contact.page.goto(contact.told.shop)
    await contact.shows("".join(WORDS[: HALF + 3]))

    contact.told.speaker.go(len(WORDS) - HALF - 3)
    await contact.shows(SHOWN)
    await contact.steps("Let me look.", "Searched", "Used refund")
    await expect(contact.page.get_by_role("group", name="You")).to_have_text([QUESTION])


async def the_operator_has_seen_it_all(operator: Operator) -> None:
    page = operator.page
    await expect(page.locator(".said.agent .text")).to_have_text("".join(WORDS))
    await expect(page.locator(".citations q")).to_have_text(QUOTE)
    await operator.costs(3 * ASK_USD)
    await expect(operator.row).to_contain_text("at rest")
    await expect(operator.row).to_contain_text(f"${3 * ASK_USD:.2f}")
    assert await operator.list.evaluate(LOADED) == operator.loaded, "the list was loaded again"
