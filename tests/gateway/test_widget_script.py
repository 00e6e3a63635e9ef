"""The widget as it ships: small, made from its source, and safe under any policy."""

from __future__ import annotations

import gzip
import hashlib
import re
from importlib.resources import files

import httpx2
import pytest

from stepfold.gateway import widget
from stepfold.gateway.conversations import QUESTION
from stepfold.gateway.serving import Made
from stepfold.gateway.table import DOORS
from tests.gateway.house import ALL, House
from tests.gateway.widget_stage import ALL as EVERY

ASSETS = files("stepfold.gateway") / "assets"
BYTES_MAX = 5 * 1024


def test_it_is_under_5_kb_packed() -> None:
    assert len(gzip.compress((ASSETS / "widget.js").read_bytes())) < BYTES_MAX


def test_it_was_made_from_the_source_that_stands_beside_it() -> None:
    source = (ASSETS / "widget.src.js").read_bytes()

    (version,) = re.findall(r"stepfold ([0-9a-f]{12}) ", (ASSETS / "widget.js").read_text())

    assert version == hashlib.sha256(source).hexdigest()[:12], "run widget.build.mjs"


def test_it_writes_no_html_evaluates_nothing_and_puts_no_token_into_an_address() -> None:
    source = (ASSETS / "widget.src.js").read_text()

    assert not re.findall(r"innerHTML|insertAdjacent|document\.write|\beval\b|new Function", source)
    assert not re.findall(r"setAttribute\(\"(style|on\w+)|[?&]token=", source)


def test_every_kind_of_step_that_a_contact_is_told_of_a_tool_has_words() -> None:
    source = (ASSETS / "widget.src.js").read_text()

    for kind in ("requested", "returned", "failed", "refused", "unknown"):
        assert f'"tool.{kind}": ' in source


def test_the_page_to_try_it_on_proposes_what_the_sample_answers() -> None:
    assert f"Try “{QUESTION}”" in (ASSETS / "demo.html").read_text()


async def test_any_page_may_load_it_and_keeps_it_a_while(home: House) -> None:
    url = await home.open_gateway(Made(doors=EVERY))

    async with httpx2.AsyncClient(base_url=url) as client:
        got = await client.get("/widget.js", headers={"Origin": "https://shop.example"})
        again = await client.get("/widget.js", headers={"If-None-Match": got.headers["etag"]})

    assert got.text == (ASSETS / "widget.js").read_text()
    assert got.headers["content-encoding"] == "gzip"
    assert got.headers["content-type"].startswith("text/javascript")
    assert got.headers["cross-origin-resource-policy"] == "cross-origin"
    assert got.headers["access-control-allow-origin"] == "*"
    assert (again.status_code, again.content) == (304, b"")


async def test_the_demo_vouches_for_its_own_page_only_and_while_its_key_is_good(
    home: House,
) -> None:
    key, _ = await home.keys.create("acme", tuple(ALL))
    url = await home.open_gateway(Made(doors=(*DOORS, *widget.demo_doors(key.id))))

    async with httpx2.AsyncClient(base_url=url) as client:
        page = await client.get("/demo")
        token = (await client.post("/demo/token", headers={"Origin": url})).json()["token"]
        strange = await client.post("/demo/token", headers={"Origin": "https://evil.example"})
        client.headers["Authorization"] = f"Bearer {token}"
        begun = await client.post("/v1/conversations", json={"text": "Hi"})

    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert begun.status_code == 201
    assert strange.status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "192.0.2.7", "localhost.evil", ""]
)
async def test_the_demo_is_for_this_machine_whatever_name_others_give_it(
    home: House, host: str
) -> None:
    key, _ = await home.keys.create("acme", tuple(ALL))
    url = await home.open_gateway(Made(doors=(*DOORS, *widget.demo_doors(key.id))))
    headers = {"Host": host, "Origin": f"http://{host}"}

    async with httpx2.AsyncClient(base_url=url) as client:
        answers = [
            await client.request(*each.split(), headers=headers)
            for each in ("GET /demo", "GET /demo/page.css", "POST /demo/token")
        ]
        here = [
            await client.post("/demo/token", headers={"Host": each})
            for each in ("localhost:1", "127.0.0.1", "[::1]:8000", "LOCALHOST")
        ]

    assert [answer.status_code for answer in answers] == [403] * 3
    assert [answer.status_code for answer in here] == [201] * 4
