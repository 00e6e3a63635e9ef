"""Lists are narrowed by an address, tables lead to what they count, files are harmless."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx2
import pytest
import pytest_asyncio

from stepfold.events.event import (
    ConversationStarted,
    Event,
    FeedbackGiven,
    Generated,
    GenerationRequested,
    MessageReceived,
    ReasonRequested,
    ResponseGiven,
    ToolRequested,
    ToolReturned,
)
from stepfold.events.values import FileRef
from stepfold.gateway.dashboard.conversation import ITEMS_SHOWN
from stepfold.policy.agent import digest
from stepfold.streams.memory import utc_now
from tests.gateway.dashboard_html import Read, read
from tests.gateway.dashboard_sample import AGENT, Told, sample
from tests.gateway.dashboard_stage import stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORMULA = "=cmd|calc!A1"
BEGUN = ConversationStarted(AGENT.name, digest(AGENT), contact=FORMULA, channel="widget")
CALLS = 150


def said(text: str, *more: Event) -> tuple[Event, ...]:
    return (
        BEGUN,
        MessageReceived(text, message="m1"),
        ReasonRequested("r1", 1, "m", heard=1),
        *more,
    )


ANSWERED = ResponseGiven(1, 'We say "hello", café.')
TOLD: dict[str, tuple[Event, ...]] = {
    "rated-bad": said("-5 degrees", ANSWERED, FeedbackGiven(1, "bad", "it is wrong")),
    "rated-good-at-last": said(
        "the channel", ANSWERED, FeedbackGiven(1, "bad"), FeedbackGiven(1, "good")
    ),
    "with-a-photo": (
        BEGUN,
        MessageReceived("", message="m1", files=(FileRef("image/png", "b", name="leak.png"),)),
    ),
    "job": (
        GenerationRequested(
            "g1", "extract", {"letter": "Dear all"}, {}, "gpt-6-mini", instructions="Find the name."
        ),
        Generated("g1", {"name": "all"}, "gpt-6-mini", provider="openai"),
    ),
    "many-calls": said(
        "go", *(
            event
            for n in range(CALLS)
            for event in (
                ToolRequested(f"r1.{n}", 1, "find_order", {"n": n}), ToolReturned(f"r1.{n}", 1, n),
            )
        ),
    ),
}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx2.AsyncClient]:
    now = utc_now()
    mine = [
        Told("acme", name, now - timedelta(minutes=9), tuple((0.01, event) for event in events))
        for name, events in TOLD.items()
    ]
    async with stage(tmp_path_factory.mktemp("filters"), [*sample(now), *mine]) as made:
        yield await made.operator()


async def names(client: httpx2.AsyncClient, **conditions: str) -> set[str]:
    told = {"export": "conversations", "form": "json", **conditions}
    return {row["conversation"] for row in (await client.get("/conversations", params=told)).json()}


async def page(client: httpx2.AsyncClient, path: str) -> Read:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return read(answer.text)


def text(of: Read) -> str:
    return " ".join(of.text.split())


def addresses(of: Read) -> list[str]:
    return [told.get("href", "") for _, told in of.seen]


async def test_conversations_are_found_by_their_rating_the_last_word_counts(
    operator: httpx2.AsyncClient,
) -> None:
    assert await names(operator, status="rated bad") == {"rated-bad"}


async def test_conversations_are_found_by_what_lacks_a_price_by_model_task_and_time(
    operator: httpx2.AsyncClient,
) -> None:
    lately = await names(operator, period="today") | await names(operator, period="day")

    assert "job" in await names(operator, status="unpriced")
    assert "rated-bad" not in await names(operator, status="unpriced")
    assert await names(operator, task="extract") == {"job"}
    assert "job" not in await names(operator, task="converse")
    assert {"job", "fell-back"} <= await names(operator, model="gpt-6-mini")
    assert await names(operator, model="no-such-model") == set()
    assert "given-up" in await names(operator, model="claude-sonnet-5")
    assert "rated-bad" in lately < await names(operator)


async def test_text_is_looked_for_in_what_was_said_and_not_in_what_it_is_kept_as(
    operator: httpx2.AsyncClient,
) -> None:
    assert await names(operator, q="channel") == {"rated-good-at-last"}
    assert {"rated-bad", "rated-good-at-last"} == await names(operator, q='say "hello", CAFÉ')
    assert "with-a-photo" in await names(operator, q=FORMULA)


async def test_a_list_says_what_it_is_narrowed_to_and_how_to_widen_it(
    operator: httpx2.AsyncClient,
) -> None:
    told = await page(operator, "/conversations?model=gpt-6-mini&period=week")

    assert "Only model gpt-6-mini · any model" in text(told)
    assert "/dashboard/conversations?period=week" in addresses(told)
    assert ("input", "gpt-6-mini") in [(tag, each.get("value")) for tag, each in told.seen]


async def test_tables_lead_to_what_they_count(operator: httpx2.AsyncClient) -> None:
    cost = addresses(await page(operator, "/cost?period=week"))
    tools = addresses(await page(operator, "/tools?period=week"))
    performance = addresses(await page(operator, "/performance?period=week"))

    assert "/dashboard/conversations?period=week&model=gpt-6-mini" in cost
    assert "/dashboard/conversations?period=week&agent=help-desk" in cost
    assert "/dashboard/conversations?period=week&task=extract" in cost
    assert "/dashboard/conversations?status=unpriced&period=week" in cost
    assert "/dashboard/tools?period=week&tool=find_order" in tools
    assert "/dashboard/tools?period=week&tool=send_mail&status=unknown#h-calls" in tools
    assert "/dashboard/tools?status=failed&period=week" in performance
    assert "/dashboard/conversations?status=failed&period=week" in performance


async def test_what_an_operator_is_led_to_in_sql_is_answered(operator: httpx2.AsyncClient) -> None:
    for path in ("/cost?period=week", "/performance?period=week"):
        links = [each for each in addresses(await page(operator, path)) if "/sql?sql=" in each]

        assert links, path
        for each in links:
            assert " row" in text(await page(operator, each.removeprefix("/dashboard")))


async def test_unanswered_questions_and_approvals_are_narrowed_too(
    operator: httpx2.AsyncClient,
) -> None:
    passed_on = (
        await operator.get("/unanswered?outcome=hand_off&export=unanswered&form=json")
    ).json()
    nobody = await page(operator, "/unanswered?agent=nobody")
    refund = await page(operator, "/approvals?tool=refund")
    mail = await page(operator, "/approvals?tool=send_mail&status=granted")
    denied = await page(operator, "/approvals?tool=send_mail&status=denied")

    assert {row["outcome"] for row in passed_on} == {"hand_off"}
    assert "No answer fits what you ask for." in text(nobody)
    assert "89.9" in text(refund)
    assert "Nothing of send_mail waits for anybody." in text(mail)
    assert "unknown-outcome" in text(mail)
    assert "Nothing was decided yet." in text(denied)


@pytest.mark.parametrize(
    "path",
    [
        "/agents?export=agents", "/tools?export=tool_calls", "/unanswered?export=unanswered",
        "/tools?export=tools", "/conversations?export=conversations",
    ],
)  # fmt: skip
async def test_every_list_is_to_be_had_as_parquet_and_says_so(
    operator: httpx2.AsyncClient, path: str
) -> None:
    whole = await page(operator, path.partition("?")[0])
    export = path.partition("export=")[2]

    assert any(f"export={export}&form=parquet" in each for each in addresses(whole))
    assert (await operator.get(f"{path}&form=parquet")).content[:4] == b"PAR1"


async def test_no_file_of_ours_computes_in_a_spreadsheet(operator: httpx2.AsyncClient) -> None:
    listed = (await operator.get("/conversations?export=conversations&q=degrees")).text
    asked = {"sql": f"SELECT '{FORMULA}' AS a, -1 AS b", "export": "query"}
    answered = (await operator.get("/sql", params=asked)).text
    home = (await operator.get("/sql", params={**asked, "form": "json"})).json()

    assert f'"\'{FORMULA}"' in listed
    assert answered.splitlines()[1] == f'"\'{FORMULA}","-1"'
    assert home == [{"a": FORMULA, "b": -1}]


async def test_a_timeline_tells_of_ratings_files_and_what_a_job_was_made_from(
    operator: httpx2.AsyncClient,
) -> None:
    rated = text(await page(operator, "/conversations/acme/rated-bad"))
    photo = text(await page(operator, "/conversations/acme/with-a-photo"))
    job = text(await page(operator, "/conversations/acme/job"))
    search = text(await page(operator, "/conversations/acme/fell-back"))

    assert "rated bad: it is wrong" in rated
    assert "leak.png image/png" in photo
    assert "Find the name." in job
    assert "letter Dear all" in job
    assert "In handbook, at most 5 passages" in search


async def test_only_what_went_wrong_is_shown_where_that_is_asked_for(
    operator: httpx2.AsyncClient,
) -> None:
    told = await page(operator, "/conversations/acme/fell-back?only=failures")
    none = await page(operator, "/conversations/acme/rated-good-at-last?only=failures")

    assert "only what went wrong (2)" in text(told)
    assert "rate_limit: 429" in text(told)
    assert "there is no order '?'" in text(told)
    assert "How long does a refund take?" not in text(told)
    assert any("part=timeline" in each.get("hx-get", "") and "only=failures" in each["hx-get"]
               for _, each in told.seen)  # fmt: skip
    assert "rated bad" in text(none)


async def test_of_a_turn_with_very_many_steps_the_latest_are_shown(
    operator: httpx2.AsyncClient,
) -> None:
    some = await page(operator, "/conversations/acme/many-calls")
    whole = await page(operator, "/conversations/acme/many-calls?all=1")

    assert sum(told.get("class", "").startswith("move") for _, told in some.seen) == ITEMS_SHOWN
    assert f"Show {CALLS + 3 - ITEMS_SHOWN} earlier lines" in text(some)
    assert sum(told.get("class", "").startswith("move") for _, told in whole.seen) == CALLS + 1


@pytest.mark.parametrize("position", ["99999999999999999999999", "-1", "x", "0"])
async def test_a_step_that_cannot_be_is_not_there(
    operator: httpx2.AsyncClient, position: str
) -> None:
    answer = await operator.get(f"/conversations/acme/given-up/steps/{position}")

    assert answer.status_code == 404


async def test_a_long_value_is_not_in_the_page_of_sql(operator: httpx2.AsyncClient) -> None:
    for sql in ("SELECT repeat('z', 5000000)", "SELECT repeat('z', 500000), i FROM range(9) t(i)"):
        answer = await operator.get("/sql", params={"sql": sql})

        assert answer.status_code == 200
        assert len(answer.text) < 20_000


async def test_a_name_that_is_taken_is_replaced_only_by_who_says_so(
    operator: httpx2.AsyncClient,
) -> None:
    shown = await page(operator, "/sql?sql=SELECT+1")
    token = next(each["value"] for _, each in shown.seen if each.get("name") == "token")
    form = {"token": token, "name": "Mine"}

    async def post(sql: str, decision: str) -> int:
        told = form | {"sql": sql, "decision": decision}
        return (await operator.post("/sql/views", data=told)).status_code

    assert await post("SELECT 1", "keep") == 303
    assert await post("SELECT 1", "keep") == 303
    assert await post("SELECT 2", "keep") == 409
    assert "Replace the one" in text(await page(operator, "/sql?sql=SELECT+2&name=Mine"))
    assert await post("SELECT 2", "replace") == 303
    assert "sql=SELECT+2" in " ".join(addresses(await page(operator, "/sql")))
