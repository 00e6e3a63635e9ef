"""The dashboard in Chromium: it keeps up with the log, answers to keys, and keeps nobody out."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, Route, expect

from stepfold.events.envelope import Entry, first
from stepfold.events.event import ApprovalGranted, Event, Reasoned, ReasonRequested, ResponseGiven
from stepfold.events.values import Delta, Text, Usage
from stepfold.streams.memory import utc_now
from stepfold.streams.tokens import Tokens
from tests.gateway.axe import axe_source, faults
from tests.gateway.dashboard_sample import sample, waiting
from tests.gateway.dashboard_stage import Stage, stage
from tests.gateway.screenshots import enter
from tests.gateway.widget_stage import CHROMIUM, chromium

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="there is no Chromium here"),
]

SLOW = bool(os.environ.get("STEPFOLD_SLOW"))
LIMIT_MS = 10_000
expect.set_options(timeout=LIMIT_MS)
ALIVE_MS = 1_000
OPENED = "performance.getEntriesByType('navigation')"
PATHS = (
    "/",
    "/conversations",
    "/conversations/acme/unknown-outcome",
    "/conversations/acme/fell-back",
    "/approvals",
    "/tools",
    "/unanswered",
    "/cost",
    "/performance",
    "/agents",
    "/sql?sql=FROM+cost_by_model",
    "/conversations/acme/nobody",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    now = utc_now()
    told = [*sample(now), waiting("acme", "to-grant", now - timedelta(minutes=1))]
    async with stage(tmp_path_factory.mktemp("dashboard"), told) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as made:
        yield made


@pytest.fixture(scope="module")
def axe(pytestconfig: pytest.Config) -> str:
    assert pytestconfig.cache is not None
    source = axe_source(pytestconfig.cache.mkdir("axe"))
    if source is None:
        pytest.skip("axe-core cannot be had: there is no npm, or no network")
    return source


class Seen:
    """A page, and everything that its console and the network said of it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.wrong: list[str] = []
        page.set_default_timeout(LIMIT_MS)
        page.on("console", lambda told: self._hear(told.type, told.text))
        page.on("pageerror", lambda error: self._hear("error", str(error)))
        page.on("request", lambda asked: self._asked(asked.url))

    def _hear(self, type: str, text: str) -> None:
        if type in ("error", "warning") and "404" not in text:
            self.wrong.append(f"{type}: {text}")

    def _asked(self, address: str) -> None:
        if not address.startswith(self.url) and not address.startswith("data:"):
            self.wrong.append(f"asked for {address}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def signed_in(desk: Stage, browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    page = await context.new_page()
    await enter(page, desk.url, await desk.key("", name="Ola"))
    await page.close()
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def seen(desk: Stage, signed_in: BrowserContext) -> AsyncIterator[Seen]:
    made = Seen(await signed_in.new_page(), desk.url)
    yield made
    await made.page.close()
    assert made.wrong == []


async def append(desk: Stage, conversation: str, event: Event) -> Entry:
    tail = await desk.found.log.tail("acme", conversation)
    draft = first("acme", conversation, event, by="test", key=f"{tail.position}")
    (entry,) = await desk.found.log.append([draft], after=tail.position)
    return entry


@pytest.mark.parametrize(
    ("width", "scheme"),
    [(1280, "light"), (390, "dark"), *([(1280, "dark"), (390, "light")] if SLOW else [])],
)
async def test_no_page_keeps_anybody_out_or_says_anything_wrong(
    desk: Stage, seen: Seen, axe: str, width: int, scheme: str
) -> None:
    page = seen.page
    await page.set_viewport_size({"width": width, "height": 844})
    await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    for path in PATHS if SLOW or width > 1_000 else PATHS[:3]:
        await page.goto(desk.url + path)
        await page.evaluate(
            "document.querySelectorAll('details[id^=d-]').forEach(d => d.open = true)"
        )
        assert await faults(page, axe) == [], path
        sideways = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert sideways <= 0, f"{path} is {sideways} px wider than {width}"


async def test_sign_in_keeps_nobody_out(desk: Stage, browser: Browser, axe: str) -> None:
    page = await browser.new_page()
    await page.goto(f"{desk.url}/sign-in")
    await page.fill("#key", "wrong")
    await page.click("button")

    assert await faults(page, axe) == []
    await page.close()


async def test_a_page_that_keeps_people_out_would_be_told(browser: Browser, axe: str) -> None:
    page = await browser.new_page()
    await page.set_content("<button></button><p style='color:#999;background:#aaa'>faint</p>")

    told = await faults(page, axe)

    assert "button-name" in "".join(told)
    assert "color-contrast" in "".join(told)
    await page.close()


@pytest.mark.skipif(not SLOW, reason="it depends on how busy the machine is")
async def test_the_first_page_is_there_within_a_second(desk: Stage, seen: Seen) -> None:
    took, sizes = [], []
    for _ in range(3):  # others may have the processors for a moment
        await seen.page.goto(f"{desk.url}/")
        took.append(await seen.page.evaluate(f"{OPENED}[0].domContentLoadedEventEnd"))
        sizes.append(
            await seen.page.evaluate(
                "performance.getEntriesByType('resource').filter(e => !e.name.includes('changes'))"
                f".concat({OPENED}).reduce((sum, each) => sum + each.decodedBodySize, 0)"
            )
        )

    assert min(took) < ALIVE_MS
    assert 20_000 < max(sizes) < 150_000


async def test_an_operator_follows_a_conversation_and_sees_its_cost_move(
    desk: Stage, seen: Seen
) -> None:
    page, name = seen.page, "being-answered"
    tokens = Tokens(desk.found.client)
    async with tokens.serving():
        async with page.expect_response("**/live?*"):
            await page.goto(f"{desk.url}/conversations/acme/{name}")
        facts = page.locator("#facts")
        before = await facts.inner_text()
        await page.locator("details[id^=d-] > summary").first.click()
        asked = await append(desk, name, ReasonRequested("r9", 1, "claude-sonnet-5"))
        await expect(page.locator(f"#s{asked.position}")).to_contain_text("claude-sonnet-5")

        speaking = tokens.speak(asked, "r9", 1)
        for word in ("We search for ", "<b>parcels</b> "):
            speaking.hear(Delta("text", word))
        await expect(page.locator("#said")).to_have_text("We search for <b>parcels</b> ")
        speaking.end()
        answer = Text("We search for it.")
        await append(
            desk, name,
            Reasoned("r9", 1, "claude-sonnet-5", (answer,), usage=Usage(9, 3), cost_usd=Decimal(7)),
        )  # fmt: skip
        await append(desk, name, ResponseGiven(1, answer.text))

        await expect(page.locator(".said.agent .text")).to_have_text("We search for it.")
        await expect(page.locator("#said")).to_be_empty()
        await expect(facts).to_contain_text("$7.0")
        assert "$7.0" not in before
        await expect(page.locator("details[id^=d-]").first).to_have_attribute("open", "")


async def test_a_page_is_live_however_late_its_scripts_come(desk: Stage, seen: Seen) -> None:
    page = seen.page

    async def delay(route: Route) -> None:
        """Until all of the page is read, and what was to be done then is done."""
        await page.wait_for_function("document.readyState !== 'loading' && window.htmx")
        await page.evaluate("new Promise((done) => setTimeout(done))")
        await route.continue_()

    await page.route("**/hx-sse.min.js*", delay)
    async with page.expect_response("**/live?*"):
        await page.goto(f"{desk.url}/conversations/acme/fell-back")
    asked = await append(desk, "fell-back", ReasonRequested("r7", 1, "late-model"))

    await expect(page.locator(f"#s{asked.position}")).to_contain_text("late-model")


async def test_a_page_that_was_turned_away_at_first_is_live_later(desk: Stage, seen: Seen) -> None:
    page = seen.page
    await page.route("**/live?*", lambda route: route.abort(), times=1)
    async with page.expect_response("**/live?*"):
        await page.goto(f"{desk.url}/conversations/acme/fell-back")
    asked = await append(desk, "fell-back", ReasonRequested("r6", 1, "another-model"))

    await expect(page.locator(f"#s{asked.position}")).to_contain_text("another-model")
    assert all("ERR_FAILED" in each or "htmx:error" in each for each in seen.wrong)
    seen.wrong.clear()


async def test_the_overview_keeps_up(desk: Stage, seen: Seen) -> None:
    page = seen.page
    await page.goto(f"{desk.url}/")
    cost = page.locator(".tile.wide .big").first
    before = await cost.inner_text()
    await append(
        desk, "fell-back",
        Reasoned("r8", 1, "m", (Text(""),), usage=Usage(1, 1), cost_usd=Decimal(1_000)),
    )  # fmt: skip

    await expect(cost).to_contain_text("$1,0")
    assert "$1,0" not in before


async def test_an_operator_agrees_to_exactly_what_is_shown(desk: Stage, seen: Seen) -> None:
    page = seen.page
    await page.goto(f"{desk.url}/approvals")
    form = page.locator("article", has_text="to-grant")
    await expect(form.locator(".arguments")).to_contain_text("89.9")
    await form.locator("input[name=comment]").fill("she is right")
    await form.locator("button.yes").click()

    await expect(page.locator(".done")).to_contain_text("Granted")
    await expect(page.locator("article", has_text="to-grant")).to_have_count(0)
    told = await desk.found.log.read("acme", "to-grant")
    granted = told[-1].event
    assert isinstance(granted, ApprovalGranted)
    assert (granted.person, granted.comment) == ("Ola", "she is right")


async def test_keys_move_search_open_and_help(desk: Stage, seen: Seen) -> None:
    page = seen.page
    await page.goto(f"{desk.url}/conversations")
    names = await page.locator("#list [data-row] strong").all_inner_texts()

    await page.keyboard.press("j")
    await page.keyboard.press("j")
    await page.keyboard.press("k")
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await expect(page.locator("h1")).to_have_text(names[1])
    await page.keyboard.press("g")
    await page.keyboard.press("2")
    await expect(page.locator("h1")).to_have_text("Conversations")
    await page.keyboard.press("/")
    await page.keyboard.type("zippers?")
    await page.keyboard.press("Enter")
    await expect(page.locator("#list strong")).to_have_text(["not-in-the-handbook"])
    await page.keyboard.press("?")
    await expect(page.locator("#keys")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator("#keys")).to_be_hidden()


async def test_what_costs_is_drawn_as_the_table_says(desk: Stage, seen: Seen) -> None:
    await seen.page.goto(f"{desk.url}/cost")

    await expect(seen.page.locator(".plot canvas")).to_be_visible()
    drawn = await seen.page.evaluate(
        "(() => { const c = document.querySelector('.plot canvas');"
        " return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v); })()"
    )
    assert drawn


async def test_a_raw_step_is_shown_when_it_is_opened_and_stays(desk: Stage, seen: Seen) -> None:
    page = seen.page
    await page.goto(f"{desk.url}/conversations/acme/given-up")
    await page.locator("details[id^=d-] > summary").first.click()
    await page.locator("details[id^=r-] > summary").first.click()

    await expect(page.locator(".raw pre").first).to_contain_text('"type": "reason.requested/1"')
    await append(desk, "given-up", ReasonRequested("r9", 2, "another-model", heard=1))
    await expect(page.locator("#timeline")).to_contain_text("another-model")
    await expect(page.locator(".raw pre").first).to_be_visible()


async def test_a_link_on_another_site_leads_to_the_page_and_not_to_sign_in(
    desk: Stage, seen: Seen
) -> None:
    other = desk.url.replace("127.0.0.1", "localhost")
    away = await seen.page.context.new_page()
    await away.goto(f"{other}/sign-in")
    await away.evaluate(f"location.href = '{desk.url}/cost?period=week'")

    await expect(away.locator("h1")).to_have_text("Cost")
    assert away.url.endswith("/cost?period=week")
    await away.close()
