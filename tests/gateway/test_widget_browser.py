"""The widget in a real browser, on a page of another site with a strict policy."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec.structs import replace
from playwright.async_api import Browser, Route, expect

from stepfold.gateway import rating, widget
from stepfold.gateway.serving import Made
from stepfold.policy.agent import Answers
from tests.gateway.house import LIMIT_S, House, house
from tests.gateway.widget_stage import (
    ALL,
    CLERK,
    QUESTION,
    QUOTE,
    SHOWN,
    WORDS,
    Shop,
    chromium,
    needs_chromium,
    shop_on,
)
from tests.waiting import eventually

pytestmark = [needs_chromium, pytest.mark.asyncio(loop_scope="module")]
AXE = Path(os.environ.get("STEPFOLD_AXE", "axe.min.js"))
NARROW = {"width": 390, "height": 844}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def shop(home: House, browser: Browser) -> AsyncIterator[Shop]:
    async with shop_on(home, browser) as made:
        yield made


async def kinds(shop: Shop) -> list[str]:
    """Of all that was said, by whom."""
    client = await shop.home.client()
    (one,) = (await client.get("/v1/conversations")).json()["conversations"]
    said = await client.get(f"/v1/conversations/{one['conversation']}/messages")
    return [each["role"] for each in said.json()["messages"]]


async def test_a_contact_asks_sees_steps_and_words_and_opens_a_citation(shop: Shop) -> None:
    page = await shop.visit()
    await shop.open()
    await shop.ask()
    answer = page.get_by_role("group", name="Assistant")
    await expect(answer.get_by_text("Thinking…")).to_be_visible()

    shop.model.go()
    steps = ["Let me look.", "Searched", "Used order status", "Thinking…"]
    await expect(answer.get_by_role("listitem")).to_have_text(steps)
    await shop.say(len(WORDS))
    await expect(answer.get_by_role("listitem")).to_have_text(steps[:-1])
    source = answer.get_by_role("button", name="Source 1 plans and prices").first
    await source.click()

    quote = page.get_by_role("dialog", name="plans and prices")
    await expect(quote).to_contain_text(QUOTE)
    await page.keyboard.press("Escape")
    await expect(quote).to_be_hidden()
    await expect(source).to_be_focused()
    assert shop.faults == []


async def test_who_loads_the_page_again_in_the_middle_loses_nothing(shop: Shop) -> None:
    page = await shop.visit()
    await shop.open()
    await shop.ask()
    shop.model.go()
    await shop.say(2)

    await page.reload()
    await shop.shows("".join(WORDS[:2]).replace("**", "").rstrip())
    await shop.say(3, since=2)
    await page.goto("about:blank")
    shop.model.go(2)
    await page.goto(f"{shop.url}/shop")
    await shop.say(len(WORDS), since=5)

    await expect(page.get_by_role("group", name="You")).to_have_text([QUESTION])
    await page.reload()
    await shop.shows(SHOWN)
    assert await kinds(shop) == ["contact", "agent"]
    assert shop.faults == []


async def test_a_stream_that_breaks_off_goes_on_where_it_was(shop: Shop) -> None:
    await shop.visit()
    await shop.open()
    await shop.ask()
    shop.model.go()
    await shop.say(2)

    closing = shop.home.gateways[shop.gateway].closing
    closing.set()
    await eventually(lambda: shop.home.gateways[shop.gateway].guard.limits.streams == 0, LIMIT_S)
    closing.clear()
    await eventually(lambda: shop.home.gateways[shop.gateway].guard.limits.streams == 1, LIMIT_S)

    await shop.say(len(WORDS), since=2)


async def test_a_message_that_did_not_get_through_is_sent_again_and_is_one(shop: Shop) -> None:
    page = await shop.visit()
    await shop.open()
    keys: list[str] = []

    async def lose(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        await (route.abort() if len(keys) == 1 else route.continue_())

    await page.route("**/messages", lose)
    await shop.ask()
    await page.get_by_role("button", name="Try again").click()
    shop.model.go()
    await shop.say(len(WORDS))

    assert len(set(keys)) == 1
    assert await kinds(shop) == ["contact", "agent"]


@pytest.mark.parametrize("lost", ["**/conversations", "**/messages"])
async def test_an_acknowledgement_that_was_lost_makes_nothing_twice(shop: Shop, lost: str) -> None:
    page = await shop.visit()
    await shop.open()

    async def lose(route: Route) -> None:
        await route.fetch()
        await route.abort()

    await page.route(lost, lose, times=1)
    await shop.ask()
    if lost == "**/conversations":  # of the other the stream tells that it has arrived
        await page.get_by_role("button", name="Try again").click()
    shop.model.go()
    await shop.say(len(WORDS))

    await expect(page.get_by_role("button", name="Try again")).to_be_hidden()
    assert await kinds(shop) == ["contact", "agent"]


async def test_an_answer_is_stopped(shop: Shop) -> None:
    page = await shop.visit()
    await shop.open()
    await shop.ask()
    shop.model.go()
    await shop.say(1)

    await page.get_by_role("button", name="Stop").click()

    answer = page.get_by_role("group", name="Assistant")
    await expect(answer.get_by_text("Stopped.")).to_be_visible()
    await expect(page.get_by_role("button", name="Stop")).to_be_hidden()


async def test_a_keyboard_is_enough(shop: Shop) -> None:
    page = await shop.visit()
    launcher = page.get_by_role("button", name="Chat with us")
    field = page.get_by_label("Your message")

    await page.keyboard.press("Tab")
    await expect(launcher).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(field).to_be_focused()
    await page.keyboard.type("One")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("two")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("group", name="You").locator("p")).to_have_text("One\ntwo")
    await expect(field).to_be_focused()
    for name in ("log", "Close", "New conversation"):
        await page.keyboard.press("Shift+Tab")
        role = page.get_by_role("log") if name == "log" else page.get_by_role("button", name=name)
        await expect(role).to_be_focused()
    await page.keyboard.press("Escape")

    await expect(launcher).to_be_focused()
    await expect(page.get_by_role("log")).to_be_hidden()


async def test_a_screen_reader_hears_whole_sentences_each_once(shop: Shop) -> None:
    page = await shop.visit()
    await page.evaluate(
        """() => {
            const { shadowRoot } = document.querySelector("stepfold-chat")
            window.heard = []
            new MutationObserver((changes) => {
                for (const change of changes)
                    for (const node of change.addedNodes) heard.push(node.textContent)
            }).observe(shadowRoot.querySelector(".spoken"), { childList: true })
        }"""
    )
    await shop.open()
    await shop.ask()
    shop.model.go()
    await shop.say(len(WORDS))

    heard = await page.evaluate("heard")
    live = page.locator("[aria-live=polite]")

    assert "".join(each for each in heard if "…" not in each) == "".join(WORDS)
    assert "Searching…" in heard
    assert len(heard) < len(WORDS) + 3
    await expect(live).to_have_count(1)
    await expect(page.get_by_role("log")).to_have_attribute("aria-live", "off")


async def test_a_page_that_reads_from_right_to_left(shop: Shop) -> None:
    shop.html = ' dir="rtl"'
    shop.attributes = {"strings": '{"label": "رسالتك", "open": "تحدث معنا", "you": "أنت"}'}
    page = await shop.visit(**NARROW)
    launcher = await page.get_by_role("button", name="تحدث معنا").bounding_box()
    await page.get_by_role("button", name="تحدث معنا").click()
    await page.get_by_label("رسالتك").fill("كم تكلفة الخطة؟")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Thinking…")).to_be_visible()
    said = page.get_by_role("group", name="أنت")
    box = await said.bounding_box()

    assert launcher is not None
    assert launcher["x"] < 30
    assert box is not None
    assert box["x"] < 30
    direction = await said.locator("p").evaluate("(each) => getComputedStyle(each).direction")
    assert direction == "rtl"


async def test_a_telephone_is_filled_and_nothing_stands_over_its_edge(shop: Shop) -> None:
    page = await shop.visit(**NARROW)
    await shop.open()
    await shop.ask("Word " * 40 + "x" * 200)
    panel = page.get_by_role("region", name="Chat")

    assert await panel.bounding_box() == {"x": 0, "y": 0, **NARROW}
    wide = await page.get_by_role("log").evaluate("(each) => each.scrollWidth - each.clientWidth")
    assert wide == 0


async def test_one_tag_is_enough_and_a_token_that_has_expired_is_asked_for_anew(
    shop: Shop,
) -> None:
    shop.tag = ' data-token-url="/vouch"'
    shop.expired = 1
    await shop.visit()
    await shop.open()
    await shop.ask()
    shop.model.go()
    await shop.say(len(WORDS))

    assert shop.vouched == 2


async def test_who_begins_anew_leaves_nothing_behind(shop: Shop) -> None:
    page = await shop.visit()
    await shop.open()
    await shop.ask()
    await expect(page.get_by_text("Thinking…")).to_be_visible()

    await page.get_by_role("button", name="New conversation").click()
    await page.reload()

    await expect(page.get_by_text("How can we help?")).to_be_visible()
    await expect(page.get_by_role("group")).to_have_count(0)


@pytest.mark.skipif(not rating.DOORS, reason="the log knows no event for it yet")
async def test_an_answer_is_rated(shop: Shop) -> None:
    page = await shop.visit()
    await shop.open()
    await shop.ask()
    shop.model.go()
    await shop.say(len(WORDS))

    good = page.get_by_role("button", name="Helpful", exact=True)
    async with page.expect_response("**/feedback") as answered:
        await good.click()

    assert (await answered.value).status == 201
    await expect(good).to_have_attribute("aria-pressed", "true")
    await expect(good).to_be_focused()


@pytest.mark.skipif(not AXE.exists(), reason="STEPFOLD_AXE names no axe.min.js (npm pack axe-core)")
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_no_fault(shop: Shop, scheme: str) -> None:
    page = await shop.visit(color_scheme=scheme, bypass_csp=True)
    await shop.open()
    await shop.ask()
    shop.model.go()
    await shop.say(len(WORDS))
    await page.add_script_tag(path=str(AXE))

    before = await page.evaluate("axe.run()")
    await page.get_by_role("button", name="Source 1").first.click()
    after = await page.evaluate("axe.run()")

    found = [*before["violations"], *after["violations"]]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []


async def test_where_no_answer_can_be_given_a_person_takes_over(
    home: House, browser: Browser
) -> None:
    strict = replace(CLERK, answers=Answers(cite=True, otherwise="hand_off", handoff="Ada writes."))
    async with shop_on(home, browser, strict, ["Ten, ", "I guess."]) as shop:
        page = await shop.visit()
        await shop.open()
        await shop.ask()
        shop.model.go(3)

        await shop.shows("Ada writes.")
        await expect(page.get_by_text("Handed over to a person").first).to_be_visible()
        await expect(page.get_by_text("I guess")).to_have_count(0)


async def test_the_demo_holds_under_its_policy(home: House, browser: Browser) -> None:
    key, _ = await home.keys.create("acme", ("chat",))
    async with shop_on(home, browser) as shop:
        url = await home.open_gateway(Made(doors=(*ALL, *widget.demo_doors(key.id))))
        page = await shop.visit()
        await page.goto(f"{url}/demo")
        await shop.open()
        await shop.ask()
        shop.model.go()
        await shop.say(len(WORDS))

        assert shop.faults == []


async def test_who_is_signed_out_is_told_and_asked_about_no_more(shop: Shop) -> None:
    shop.tag = ' data-token-url="/vouch"'
    shop.expired = 100
    page = await shop.visit()
    await shop.open()
    await shop.ask()

    await expect(page.get_by_text("Signed out.")).to_be_visible()
    assert shop.vouched == 2
