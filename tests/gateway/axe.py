"""axe-core, from npm: it runs in a page and says what keeps people out."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from playwright.async_api import Page

PACKAGE, VERSION = "axe-core", "4.14.1"
GRAVE = ("serious", "critical")
LIMIT_S = 60


def axe_source(cache: Path) -> str | None:
    """The script, kept in `cache`; None where there is no npm or it has no network."""
    kept = cache / f"{PACKAGE}-{VERSION}.min.js"
    if kept.is_file():
        return kept.read_text()
    npm = shutil.which("npm")
    if npm is None:
        return None
    cache.mkdir(parents=True, exist_ok=True)
    packed = subprocess.run(
        [npm, "pack", "--silent", f"{PACKAGE}@{VERSION}"],
        cwd=cache,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if packed.returncode != 0:
        return None
    with tarfile.open(cache / packed.stdout.strip().splitlines()[-1]) as package:
        script = package.extractfile("package/axe.min.js")
        assert script is not None
        kept.write_bytes(script.read())
    return kept.read_text()


async def faults(page: Page, source: str) -> list[str]:
    """What is serious or worse, each with the elements that have it."""
    await page.evaluate(source)
    found: dict[str, Any] = await page.evaluate("axe.run()")
    return [
        f"{each['impact']}: {each['id']}: {node['target']} {node['failureSummary']}"
        for each in found["violations"]
        if each["impact"] in GRAVE
        for node in each["nodes"]
    ]
