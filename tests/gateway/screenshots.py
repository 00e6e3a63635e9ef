"""The dashboard over sample data in Chromium, at the width of a desk and of a phone.

    python -m tests.gateway.screenshots [FOLDER]

FOLDER is docs/screenshots by default.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright

from tests.gateway.dashboard_stage import Stage, stage

CHROMIUM = Path("/usr/bin/chromium")
FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
WIDTHS = {1280: 900, 390: 844}
PAGES = {
    "overview": "/",
    "conversation": "/conversations/acme/fell-back",
    "cost": "/cost",
    "approvals": "/approvals",
}
OPENED = "details[id^=d-]"


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield browser
        finally:
            await browser.close()


async def enter(page: Page, url: str, key: str) -> None:
    await page.goto(f"{url}/sign-in")
    await page.fill("#key", key)
    await page.click("button[type=submit]")
    await page.wait_for_url(f"{url}/")


async def shoot(stage: Stage, browser: Browser, folder: Path) -> None:
    """All of them in the light, the overview in the dark too."""
    for scheme, width in ((scheme, width) for scheme in ("light", "dark") for width in WIDTHS):
        height = WIDTHS[width]
        context = await browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
        )
        page = await context.new_page()
        await enter(page, stage.url, await stage.key(""))
        for name, path in PAGES.items():
            if scheme == "dark" and name != "overview":
                continue
            await page.goto(stage.url + path)
            if name == "conversation":
                await page.locator(OPENED).nth(1).locator("> summary").click()
            await page.wait_for_load_state("load")
            await page.evaluate("document.fonts.ready")
            await page.evaluate("window.scrollTo(0, 0)")
            suffix = "" if scheme == "light" else f"-{scheme}"
            whole = height if name == "overview" and width > 1000 else None
            await page.screenshot(
                path=folder / f"{name}-{width}{suffix}.png", full_page=whole is None
            )
        await context.close()


async def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="stepfold-screenshots-") as data:
        async with stage(Path(data)) as made, chromium() as browser:
            await shoot(made, browser, folder)
    for path in sorted(folder.glob("*.png")):
        print(path.name, f"{path.stat().st_size:,} bytes")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
