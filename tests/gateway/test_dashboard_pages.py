"""Each page over a real log: it is whole, it says what is there, and nothing in it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio

from stepfold.events.event import (
    ConversationStarted,
    MessageReceived,
    Reasoned,
    ReasonRequested,
    ResponseGiven,
    ToolFailed,
    ToolRequested,
)
from stepfold.events.values import Text, ToolCall
from stepfold.gateway.dashboard.assets import SERVED
from stepfold.gateway.dashboard.page import CSP
from stepfold.policy.agent import digest
from stepfold.streams.memory import utc_now
from tests.gateway.dashboard_html import read
from tests.gateway.dashboard_sample import AGENT, Told, sample
from tests.gateway.dashboard_stage import Stage, stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVIL = """<script>alert(1)</script><img src=x onerror=alert(1)>'"&{{7*7}}</p>"""
FIRST_PAGE_BYTES_MAX = 150_000
PAGES = (
    "/",
    "/?part=now",
    "/?customer=acme",
    "/conversations",
    "/conversations?part=list",
    "/conversations?status=running&agent=help-desk",
    "/conversations?q=parcel",
    "/conversations?q=no+such+words",
    "/conversations/acme/waits-for-approval",
    "/conversations/acme/waits-for-approval?part=timeline",
    "/conversations/acme/waits-for-approval?part=facts",
    "/conversations/acme/unknown-outcome",
    "/conversations/acme/given-up",
    "/conversations/acme/fell-back",
    "/conversations/acme/being-answered",
    "/conversations/acme/hostile",
    "/approvals",
    "/approvals?part=waiting",
    "/tools",
    "/tools?status=unknown&period=today",
    "/unanswered",
    "/cost",
    "/cost?period=today",
    "/cost?period=all&customer=acme",
    "/performance",
    "/performance?period=month",
    "/agents",
    f"/agents/{digest(AGENT)}",
    "/sql",
    "/sql?sql=FROM+cost_by_model",
    "/sql?sql=SELECT+1+AS+one+WHERE+false",
)


def hostile() -> Told:
    """Whatever a stranger may write, in every place where a stranger writes."""
    call = ToolCall("r1.1", "find_order", {"number": EVIL, EVIL: EVIL})
    steps = (
        ConversationStarted(AGENT.name, digest(AGENT), contact=EVIL, channel="widget"),
        MessageReceived(EVIL, contact=EVIL, message="m1"),
        ReasonRequested("r1", 1, EVIL, (EVIL,), heard=1),
        Reasoned("r1", 1, EVIL, (Text(EVIL), call), provider=EVIL),
        ToolRequested("r1.1", 1, "find_order", call.arguments, contact=EVIL),
        ToolFailed("r1.1", 1, EVIL),
        ResponseGiven(1, EVIL, outcome="refusal", reason=EVIL),
    )
    begun = utc_now() - timedelta(minutes=2)
    return Told("acme", "hostile", begun, tuple((0.1, event) for event in steps))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("dashboard")
    async with stage(folder, [*sample(utc_now()), hostile()]) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operator(desk: Stage) -> httpx2.AsyncClient:
    return await desk.operator()


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_is_whole_and_nothing_in_it_runs_or_leads_outside(
    operator: httpx2.AsyncClient, path: str
) -> None:
    answer = await operator.get(path)

    assert answer.status_code == 200, answer.text
    assert answer.headers["content-security-policy"] == CSP
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    read(answer.text)


async def test_the_policy_lets_nothing_in_from_outside_and_nothing_inline() -> None:
    assert "default-src 'none'" in CSP
    assert "frame-ancestors 'none'" in CSP
    assert "unsafe" not in CSP
    assert "http" not in CSP
    assert "*" not in CSP


async def test_the_overview_says_what_needs_a_person_and_the_numbers(
    operator: httpx2.AsyncClient,
) -> None:
    text = " ".join(read((await operator.get("/")).text).text.split())

    assert "1 approval waits · 1 tool outcome is unknown · 1 turn was given up in 24 h" in text
    assert "1 budget is nearly used up" in text
    for word in (
        "Running 2",
        "Cost today $",
        "unpriced",
        "Time to answer",
        "Behind 0 steps",
        "Budgets 82%",
    ):
        assert word in text, word


async def test_a_stranger_may_write_what_he_likes_and_it_stays_text(
    operator: httpx2.AsyncClient,
) -> None:
    for path in (
        "/conversations/acme/hostile",
        "/conversations",
        "/unanswered",
        "/tools",
        "/cost",
        "/performance",
        "/",
    ):
        page = await operator.get(path)

        assert "<script>alert" not in page.text
        assert "<img" not in page.text
        found = read(page.text)
        assert "alert(1)" in found.text, path
        assert "{{7*7}}" in found.text, path


async def test_what_is_asked_for_in_the_address_stays_text_too(
    operator: httpx2.AsyncClient,
) -> None:
    for path in ("/conversations", "/sql", "/cost", "/tools", "/agents"):
        for name in ("q", "status", "agent", "customer", "sql", "name", "tool", "period", "before"):
            page = await operator.get(path, params={name: EVIL})

            assert page.status_code in (200, 422), (path, name, page.text)
            assert "<script>alert" not in page.text, (path, name)
            assert "<img" not in page.text, (path, name)
            read(page.text)


async def test_a_conversation_tells_who_what_how_long_how_much_and_why(
    operator: httpx2.AsyncClient,
) -> None:
    page = read((await operator.get("/conversations/acme/fell-back")).text)
    text = " ".join(page.text.split())

    assert "claude-sonnet-5 ✕ failed" in text
    assert "rate_limit: 429" in text
    assert "Route converse, place 2: the next after a rate limit, attempt 2" in text
    assert "not claude-sonnet-5: it failed: rate_limit" in text
    assert "find_order called" in text
    assert "there is no order '?'" in text
    assert [
        told["id"] for tag, told in page.seen if tag == "li" and "said" in told.get("class", "")
    ]
    marked = (await operator.get("/conversations/acme/fell-back")).text
    assert "<mark>A refund takes three working days.</mark>" in marked


async def test_a_tool_that_was_called_and_not_offered_is_told_as_refused(
    operator: httpx2.AsyncClient,
) -> None:
    page = read((await operator.get("/conversations/acme/unknown-outcome")).text)
    text = " ".join(page.text.split())

    assert "close_account refused: tool 'close_account' is not allowed" in text
    assert "was not offered" in text
    assert "send_mail ▲ unknown" in text
    assert "Ines agreed: he is on file" in text


async def test_the_raw_step_is_what_lies_in_the_log(operator: httpx2.AsyncClient) -> None:
    page = await operator.get("/conversations/acme/given-up")
    position = next(
        told["id"].removeprefix("r-")
        for tag, told in read(page.text).seen
        if told.get("id", "").startswith("r-")
    )

    whole = await operator.get(f"/conversations/acme/given-up/steps/{position}")
    part = await operator.get(f"/conversations/acme/given-up/steps/{position}?part=raw")
    other = await operator.get("/conversations/acme/given-up/steps/1")

    assert whole.json()["position"] == int(position)
    assert whole.json()["event"]["type"] == "reason.requested/1"
    assert whole.json()["event"]["model"] in read(part.text).text
    assert other.status_code == 404


async def test_the_list_is_narrowed_by_each_condition_and_all_together(
    operator: httpx2.AsyncClient,
) -> None:
    async def names(**conditions: str) -> set[str]:
        told = {"export": "conversations", "form": "json", **conditions}
        rows = (await operator.get("/conversations", params=told)).json()
        return {row["conversation"] for row in rows}

    assert len(await names()) == 91
    assert await names(status="running") == {"waits-for-approval", "being-answered"}
    assert await names(status="waiting") == {"waits-for-approval"}
    assert await names(status="failed") == {"given-up"}
    assert await names(q="ZIPPERS") == {"not-in-the-handbook"}
    assert await names(q="given-") == {"given-up"}
    assert await names(q="zippers", status="failed") == set()
    assert await names(agent="nobody") == set()
    assert "given-up" in await names(version=digest(AGENT))
    assert all(name[-5] == "-" for name in await names(customer="globex"))


async def test_tables_are_taken_home_as_files(operator: httpx2.AsyncClient) -> None:
    csv = await operator.get("/cost?export=cost_by_model&form=csv")
    parquet = await operator.get("/performance?export=model_times&form=parquet")
    lines = await operator.get("/conversations/acme/given-up/export?form=jsonl")
    wrong = await operator.get("/cost?export=turns&form=csv")

    assert csv.text.splitlines()[0].startswith('"provider","model","calls"')
    assert 'filename="cost_by_model.csv"' in csv.headers["content-disposition"]
    assert parquet.content[:4] == b"PAR1"
    assert [line[:6] for line in lines.text.splitlines()] == ['{"id":'] * 9
    assert wrong.status_code == 404


async def test_a_question_in_sql_is_answered_refused_and_kept(desk: Stage) -> None:
    client = await desk.operator("Ola")
    sql = "SELECT state, count(*) AS conversations FROM conversations GROUP BY state ORDER BY state"
    page = await client.get("/sql", params={"sql": sql})
    wrong = await client.get("/sql", params={"sql": "DROP TABLE x"})
    token = read(page.text).seen
    shown = next(told["value"] for tag, told in token if told.get("name") == "token")
    form = {"token": shown, "name": "By state", "sql": sql}

    kept = await client.post("/sql/views", data=form | {"decision": "keep"})
    listed = read((await client.get("/sql")).text).text
    gone = await client.post("/sql/views", data=form | {"decision": "forget"})
    after = read((await client.get("/sql")).text).text

    assert "at rest" in read(page.text).text
    assert wrong.status_code == 422
    assert "DROP is not allowed" in read(wrong.text).text
    assert (kept.status_code, gone.status_code) == (303, 303)
    assert "By state" in listed
    assert "Ola" in listed
    assert "By state" not in after


async def test_the_first_page_and_all_that_it_loads_is_small(operator: httpx2.AsyncClient) -> None:
    page = await operator.get("/")
    loads = [
        told.get("src") or told["href"]
        for tag, told in read(page.text).seen
        if tag in ("script", "link")
    ]
    sizes = [len(page.content)]
    for address in loads:
        answer = await operator.get(
            str(operator.base_url.copy_with(path="/")).rstrip("/") + address
        )
        assert answer.status_code == 200, address
        assert "immutable" in answer.headers["cache-control"]
        sizes.append(len(answer.content))

    assert len(loads) >= 5
    assert sum(sizes) < FIRST_PAGE_BYTES_MAX


async def test_no_template_and_no_asset_names_another_host() -> None:
    package = Path(__file__).parents[2] / "stepfold" / "gateway"
    files = [
        *(package / "dashboard" / "templates").glob("*.html"),
        *(package / "assets" / name for name in SERVED),
    ]
    allowed = ("http://www.w3.org/2000/svg", "https://github.com/leeoniya/uPlot")

    for path in files:
        text = path.read_text()
        for address in allowed:
            text = text.replace(address, "")
        for sign in ("http://", "https://", 'src="//', 'href="//', "url(//"):
            assert sign not in text, f"{path.name}: {sign}"


async def test_the_licences_of_what_is_shipped_are_shipped_too() -> None:
    assets = Path(__file__).parents[2] / "stepfold" / "gateway" / "assets"

    assert "Zero-Clause BSD" in (assets / "htmx.LICENSE.txt").read_text()
    assert "MIT License" in (assets / "uplot.LICENSE.txt").read_text()
