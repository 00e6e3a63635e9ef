"""An open page in Chromium says when it is not up to date, takes no connection unseen, and keeps
its shape whatever is in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect

from stepfold.cli.viewing import own_views
from stepfold.events.envelope import first
from stepfold.events.event import (
    ConversationStarted,
    MessageReceived,
    ReasonFailed,
    ReasonRequested,
    TurnAbandoned,
)
from stepfold.policy.agent import digest
from stepfold.settings import Settings
from stepfold.streams.memory import utc_now
from tests.gateway.dashboard_sample import AGENT, Told, sample
from tests.gateway.dashboard_stage import Stage, stage
from tests.gateway.screenshots import enter
from tests.gateway.widget_stage import CHROMIUM, chromium
from tests.waiting import eventually

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="there is no Chromium here"),
]

LIMIT_MS = 10_000
expect.set_options(timeout=LIMIT_MS)
TABS = 8
"""More than a browser's connections to one host."""
LONG = "x" * 400
UNSEEN = (
    "let unseen = true; Object.defineProperty(document, 'hidden', { get: () => unseen });"
    "window.show = () => { unseen = false; document.dispatchEvent(new Event('visibilitychange')); }"
)
CUT = "document.getElementById('live')._htmx.sse.reader.cancel()"
SIDEWAYS = "document.documentElement.scrollWidth - innerWidth"


def long_words() -> Told:
    steps = (
        ConversationStarted(LONG, digest(AGENT), contact=LONG, channel="widget"),
        MessageReceived(LONG, contact=LONG, message="m1"),
        ReasonRequested("r1", 1, LONG, (LONG,), heard=1),
        ReasonFailed("r1", 1, LONG, "timeout", LONG, provider=LONG),
        TurnAbandoned(1, "model", LONG),
    )
    begun = utc_now() - timedelta(minutes=2)
    return Told("acme", "y" * 60, begun, tuple((0.1, event) for event in steps))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("upkeep")
    async with stage(folder, [*sample(utc_now()), long_words()]) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def context(desk: Stage, browser: Browser) -> AsyncIterator[BrowserContext]:
    made = await browser.new_context(viewport={"width": 1280, "height": 900})
    page = await made.new_page()
    await enter(page, desk.url, await desk.key("", name="Ola"))
    await page.close()
    yield made
    await made.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(context: BrowserContext) -> AsyncIterator[Page]:
    made = await context.new_page()
    yield made
    await made.close()


async def begin(desk: Stage, conversation: str) -> None:
    event = ConversationStarted(AGENT.name, digest(AGENT))
    await desk.found.log.append([first("acme", conversation, event, by="test", key="1")], after=0)


async def connected(page: Page) -> None:
    async def reads() -> bool:
        return bool(await page.evaluate("!!document.getElementById('live')?._htmx?.sse?.reader"))

    await eventually(reads)


async def test_a_page_whose_connection_is_lost_says_so_until_it_is_back(
    desk: Stage, page: Page
) -> None:
    async with page.expect_response("**/changes?*"):
        await page.goto(f"{desk.url}/")
    note = page.locator("p.trouble")
    await expect(note).to_be_hidden()
    await connected(page)
    await page.route("**/changes?*", lambda route: route.abort())
    await page.evaluate(CUT)

    await expect(note).to_contain_text("Not up to date since")
    await expect(note).to_contain_text("the connection is lost")
    await page.unroute("**/changes?*")
    await expect(note).to_be_hidden()


async def test_a_page_to_which_nothing_new_comes_looks_again_after_a_minute(
    desk: Stage, page: Page
) -> None:
    await page.clock.install()
    async with page.expect_response("**/changes?*"):
        await page.goto(f"{desk.url}/")

    async with page.expect_response("**/?part=now") as asked:
        await page.clock.fast_forward(61_000)

    assert (await asked.value).status == 200


async def test_a_page_says_that_nobody_keeps_the_views_until_somebody_does(
    browser: Browser, tmp_path: Path
) -> None:
    async with stage(tmp_path, []) as made:
        page = await browser.new_page()
        await enter(page, made.url, await made.key(""))
        note = page.locator("p.trouble")
        await expect(note).to_be_hidden()
        made.views.cancel()
        await asyncio.gather(made.views, return_exceptions=True)

        # A question that was under way is waited for until it is too late.
        await expect(note).to_contain_text("nobody keeps the views", timeout=2 * LIMIT_MS)
        again = asyncio.create_task(
            own_views(made.found, Settings(folder=tmp_path), asyncio.Event())
        )
        await expect(note).to_be_hidden()
        await begin(made, "after-it-is-back")
        await expect(page.locator("#now")).to_contain_text("after-it-is-back")
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)
        await page.close()


async def test_a_page_whose_key_was_revoked_asks_to_sign_in(desk: Stage, browser: Browser) -> None:
    page = await browser.new_page()
    key = await desk.key("acme")
    await enter(page, desk.url, key)
    await connected(page)
    await desk.keys.revoke(key.split("_")[1])

    await page.wait_for_url("**/sign-in?*", timeout=LIMIT_MS)
    await page.close()


async def test_many_tabs_that_nobody_sees_all_load_and_connect_when_they_are_seen(
    desk: Stage, context: BrowserContext
) -> None:
    asked: list[str] = []
    tabs = [await context.new_page() for _ in range(TABS)]
    for tab in tabs:
        tab.on("request", lambda request: asked.append(request.url))
        await tab.add_init_script(UNSEEN)
    for tab in tabs:
        await tab.goto(f"{desk.url}/conversations", timeout=LIMIT_MS)

    assert not [each for each in asked if "/changes" in each]
    async with tabs[0].expect_response("**/changes?*"):
        await tabs[0].evaluate("show()")
    await begin(desk, "while-it-is-seen")
    await expect(tabs[0].locator("#list")).to_contain_text("while-it-is-seen")
    for tab in tabs:
        await tab.close()


async def test_the_row_where_the_keys_are_is_still_marked_when_the_list_has_changed(
    desk: Stage, page: Page
) -> None:
    async with page.expect_response("**/changes?*"):
        await page.goto(f"{desk.url}/conversations")
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    marked = await page.locator("#list .here strong").inner_text()
    await begin(desk, "one-more")
    await expect(page.locator("#list")).to_contain_text("one-more")

    await expect(page.locator("#list .here strong")).to_have_text(marked)


async def test_a_table_is_sorted_by_the_column_that_is_pressed(desk: Stage, page: Page) -> None:
    await page.goto(f"{desk.url}/cost")
    table = page.locator("#t-cost_by_model")
    calls = table.locator("td[data-c=calls]")
    before = await calls.all_inner_texts()

    await table.get_by_role("button", name="Calls").click()
    down = [int(each) for each in await calls.all_inner_texts()]
    await table.get_by_role("button", name="Calls").click()
    up = [int(each) for each in await calls.all_inner_texts()]
    await table.get_by_role("button", name="Model").click()
    names = await table.locator("td[data-c=model]").all_inner_texts()

    assert len(before) > 3
    assert down == sorted(down, reverse=True)
    assert up == sorted(up)
    assert names == sorted(names)
    await expect(table.locator("th[aria-sort]")).to_have_text("Model")


async def test_a_time_is_told_in_the_readers_zone_when_it_is_pointed_at(
    desk: Stage, browser: Browser
) -> None:
    context = await browser.new_context(timezone_id="Asia/Tokyo", locale="en-GB")
    page = await context.new_page()
    await enter(page, desk.url, await desk.key(""))
    time = page.locator("#now time").last
    utc = await time.get_attribute("title") or ""

    await time.hover()

    local = await time.get_attribute("title") or ""
    assert local.startswith(utc)
    assert local.endswith(" here")
    assert (int(utc[11:13]) + 9) % 24 == int(local.split(", ")[-1][:2])
    await context.close()


async def test_each_line_of_a_picture_has_its_own_colour(desk: Stage, page: Page) -> None:
    columns = ", ".join(f"i * {n} AS n{n}" for n in range(1, 6))
    sql = f"SELECT 'place ' || i AS place, {columns} FROM range(4) t(i)"
    await page.goto(f"{desk.url}/sql?sql={sql.replace(' ', '+')}")

    await expect(page.locator(".plot canvas")).to_be_visible()
    colours = await page.evaluate(
        "[...document.querySelectorAll('.u-legend .u-marker')]"
        ".map((each) => getComputedStyle(each).borderTopColor)"
    )
    assert len(colours) == 5
    assert len(set(colours)) == 5


async def test_without_scripts_there_is_no_empty_picture(desk: Stage, browser: Browser) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await enter(page, desk.url, await desk.key(""))
    await page.goto(f"{desk.url}/cost")

    await expect(page.locator("figure.plot")).to_have_count(1)
    await expect(page.locator("figure.plot")).to_be_hidden()
    await context.close()


@pytest.mark.parametrize("width", [390, 1280])
async def test_no_long_word_pushes_a_page_sideways(desk: Stage, page: Page, width: int) -> None:
    await page.set_viewport_size({"width": width, "height": 844})
    for path in ("/", "/conversations", f"/conversations/acme/{'y' * 60}", "/performance",
                 "/cost", "/agents", "/unanswered"):  # fmt: skip
        await page.goto(desk.url + path)

        assert await page.evaluate(SIDEWAYS) <= 0, path


async def test_a_note_is_wide_enough_to_read_on_a_phone(desk: Stage, page: Page) -> None:
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.goto(f"{desk.url}/conversations/acme/given-up")

    note = page.locator("li.note", has_text="gave up")
    boxes = [await note.locator(each).bounding_box() for each in ("p", ".when")]

    assert all(box is not None and box["width"] > 100 for box in boxes), boxes
