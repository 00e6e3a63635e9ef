"""The dashboard over sample data, and the widget in a shop's page, at the width of a desk and of a
phone.

    python -m tests.gateway.screenshots [FOLDER]

FOLDER is docs/screenshots by default.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct
from playwright.async_api import Browser, Page

from tests.gateway.dashboard_stage import Stage, stage
from tests.gateway.house import house
from tests.gateway.widget_stage import WORDS, chromium, shop_on

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDTHS = {1280: 900, 390: 844}
PAGES = {
    "overview": "/",
    "conversation": "/conversations/acme/fell-back",
    "cost": "/cost",
    "approvals": "/approvals",
}
SAID = (*WORDS[:-1], "if it is late.")
"""Without a sign that this machine has no font for."""
OPENED = "details[id^=d-]"


async def enter(page: Page, url: str, key: str) -> None:
    await page.goto(f"{url}/sign-in")
    await page.fill("#key", key)
    await page.click("button[type=submit]")
    await page.wait_for_url(f"{url}/")


class Look(Struct, frozen=True):
    """Light or dark, at a desk or on a phone."""

    scheme: Literal["light", "dark"]
    width: int

    @property
    def height(self) -> int:
        return WIDTHS[self.width]

    def file(self, folder: Path, name: str) -> Path:
        return folder / f"{name}-{self.width}{'-dark' if self.scheme == 'dark' else ''}.png"


def looks() -> Iterator[Look]:
    for scheme in SCHEMES:
        for width in WIDTHS:
            yield Look(scheme, width)


async def shoot_dashboard(stage: Stage, browser: Browser, folder: Path) -> None:
    """All of it in the light, the overview in the dark too."""
    for look in looks():
        context = await browser.new_context(
            viewport={"width": look.width, "height": look.height}, color_scheme=look.scheme
        )
        page = await context.new_page()
        await enter(page, stage.url, await stage.key(""))
        for name, path in PAGES.items():
            if look.scheme == "dark" and name != "overview":
                continue
            await page.goto(stage.url + path)
            if name == "conversation":
                await page.locator(OPENED).nth(1).locator("> summary").click()
            await page.wait_for_load_state("load")
            await page.evaluate("document.fonts.ready")
            await page.evaluate("window.scrollTo(0, 0)")
            whole = name != "overview" or look.width < 1_000
            await page.screenshot(path=look.file(folder, name), full_page=whole)
        await context.close()


async def shoot_widget(browser: Browser, folder: Path) -> None:
    """After an answer, and with the words that it quotes."""
    with tempfile.TemporaryDirectory(prefix="stepfold-screenshots-") as data:
        async with house(Path(data)) as home, shop_on(home, browser, words=SAID) as shop:
            for look in looks():
                page = await shop.visit(
                    width=look.width, height=look.height, color_scheme=look.scheme
                )
                await shop.open()
                await shop.ask()
                shop.model.go(1 + len(SAID))
                await page.get_by_role("button", name="Helpful", exact=True).wait_for()
                await page.screenshot(path=look.file(folder, "widget"))
                await page.get_by_role("button", name="Source 1").first.click()
                await page.screenshot(path=look.file(folder, "widget-source"))


async def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="stepfold-screenshots-") as data:
        async with stage(Path(data)) as made, chromium() as browser:
            await shoot_dashboard(made, browser, folder)
            await shoot_widget(browser, folder)
    for path in sorted(folder.glob("*.png")):
        print(path.name, f"{path.stat().st_size:,} bytes")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
