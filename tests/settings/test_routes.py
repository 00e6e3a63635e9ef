"""`routes.toml`: what can be written, and every mistake with its line and the way out."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from stepfold.events.values import Options
from stepfold.routing import (
    Candidate,
    Conditions,
    Route,
    Server,
    decode_routes,
    digest,
    encode_routes,
)
from stepfold.settings import RoutesRefused, parse_routes, read_routes

GOOD = """\
[converse]
ask = [
    { model = "openai/gpt-5-mini", when = { hours = "22-6", languages = ["de"] } },
    "anthropic/claude-sonnet-4-5",
]
shadow = ["google/gemini-2.5-pro"]
attempts_max = 2

[converse.customer.acme]
ask = [{ model = "ours/small", when = { budget_left_min_usd = 1.5 } }, { task = "converse" }]

[converse.customer.acme.agent.help-desk]
ask = ["openai/gpt-5"]

[[describe_image.ask]]
model = "openai/gpt-5"
with = { effort = "low" }

[providers.ours]
base_url = "https://models.example.com/v1"
key_env = "OURS_KEY"

[models."ours/small"]
vision = true
context = 32_000
"""


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(RoutesRefused) as refused:
        parse_routes(text, "routes.toml")
    return refused.value.problems


def asking(candidate: str, task: str = "converse") -> str:
    return f"[{task}]\nask = [{candidate}]\n"


# -- what can be written ------------------------------------------------------------------------


def test_a_file_becomes_a_table_of_routes() -> None:
    table = parse_routes(GOOD, "routes.toml")

    night = Conditions(languages=("de",), hours=(22, 6))
    assert table.routes[0] == Route(
        "converse",
        (Candidate("openai/gpt-5-mini", when=night), Candidate("anthropic/claude-sonnet-4-5")),
        (Candidate("google/gemini-2.5-pro"),),
        attempts_max=2,
    )
    assert [route.name for route in table.routes] == [
        "converse",
        "converse for customer acme",
        "converse for agent help-desk and customer acme",
        "describe_image",
    ]
    assert table.routes[3].candidates[0].options == Options(effort="low")


def test_a_narrower_route_may_lead_on_to_the_wider_one_and_keeps_its_limits() -> None:
    narrow = parse_routes(GOOD, "routes.toml").routes[1]

    assert narrow.candidates[0].when.budget_left_min_usd == Decimal("1.5")
    assert narrow.candidates[1] == Candidate(task="converse")
    assert narrow.attempts_max == 2


def test_a_server_of_ones_own_is_named_with_what_its_models_can() -> None:
    table = parse_routes(GOOD, "routes.toml")

    assert table.providers == {
        "ours": Server("openai-chat", "https://models.example.com/v1", "OURS_KEY")
    }
    assert (table.models["ours/small"].vision, table.models["ours/small"].context) == (True, 32_000)


def test_what_every_candidate_can_do_goes_into_the_table() -> None:
    table = parse_routes(GOOD, "routes.toml")

    assert set(table.models) == {
        "anthropic/claude-sonnet-4-5",
        "google/gemini-2.5-pro",
        "openai/gpt-5",
        "openai/gpt-5-mini",
        "ours/small",
    }
    assert table.models["google/gemini-2.5-pro"].context > 1_000_000


def test_a_table_survives_being_kept() -> None:
    table = parse_routes(GOOD, "routes.toml")

    assert decode_routes(encode_routes(table)) == table


def test_how_many_calls_at_once_is_said_of_a_server_and_of_a_provider_that_ships() -> None:
    server = '[providers.ours]\nbase_url = "http://localhost/v1"\nat_once = 2\n'
    shipped = "[providers.openai]\nat_once = 8\n[providers.vertex]\nat_once = 1\n"

    table = parse_routes(asking('"openai/gpt-5"') + server + shipped, "r")

    assert table.providers == {
        "ours": Server("openai-chat", "http://localhost/v1", at_once=2),
        "openai": Server("shipped", "", at_once=8),
        "vertex": Server("shipped", "", at_once=1),
    }
    assert decode_routes(encode_routes(table)) == table


def test_a_table_that_says_nothing_of_calls_at_once_keeps_its_digest() -> None:
    server = '[providers.ours]\nbase_url = "http://a/v1"\nkey_env = "K"\n'

    table = parse_routes(asking('"extractive"') + server, "r")

    assert digest(table) == (
        "sha256:156c07b5b004692f92dccd2115c319550f3b7abf78423487080c68de18855797"
    )


def test_languages_are_tags() -> None:
    tags = ("de", "pt-BR", "zh-Hant", "es-419", "de-CH-1996", "DE")
    written = ", ".join(f'"{tag}"' for tag in tags)

    table = parse_routes(
        asking(f'{{ model = "extractive", when = {{ languages = [{written}] }} }}'), ""
    )

    assert table.routes[0].candidates[0].when.languages == tags


def test_an_agent_may_be_called_anything() -> None:
    text = asking('"extractive"') + '[converse.agent."Help desk, 2nd"]\nask = ["extractive"]\n'

    assert parse_routes(text, "r").routes[1].agent == "Help desk, 2nd"


def test_embeddings_and_ranks_have_routes_too() -> None:
    table = parse_routes(asking('"hashing"', "embed") + asking('"overlap"', "rerank"), "r")

    assert [route.task for route in table.routes] == ["embed", "rerank"]


# -- what is refused ----------------------------------------------------------------------------

REFUSED = {
    "an unknown model": (
        asking('"openai/gpt-55"'),
        2,
        "model 'openai/gpt-55' is not known: did you mean 'openai/gpt-5.5'?",
    ),
    "an unknown provider": (
        asking('"ollama/llama"'),
        2,
        "provider 'ollama' is not known (known: openai, anthropic, google, cohere, vertex)",
    ),
    "a provider that is misspelt": (
        asking('"opnai/gpt-5"'),
        2,
        "did you mean 'openai/gpt-5'?",
    ),
    "a shipped model that is misspelt": (
        asking('"extractiv"'),
        2,
        "did you mean 'extractive'?",
    ),
    "a task that no candidate can do": (
        asking('"extractive"', "classify"),
        2,
        "classify needs structured, and none of its candidates has that (extractive): add a model",
    ),
    "an image without a model that sees": (
        asking('"openai/gpt-3.5-turbo"', "describe_image"),
        2,
        "describe_image needs structured and vision, and none of its candidates",
    ),
    "candidates that are asked only when the need is absent": (
        asking('{ model = "openai/gpt-5", when = { not_needs = ["structured"] } }', "classify"),
        2,
        "classify needs structured, and none of its candidates has that (openai/gpt-5)",
    ),
    "a condition that its model cannot meet": (
        asking('{ model = "openai/gpt-3.5-turbo", when = { needs = ["vision"] } }'),
        2,
        "is asked only when vision is needed, and has none: take another model there",
    ),
    "a model that answers where one should embed": (
        asking('"openai/gpt-5"', "embed"),
        2,
        "embed: openai/gpt-5 answers in text: take a model that embeds",
    ),
    "a model that embeds where one should answer": (
        asking('"hashing"'),
        2,
        "converse: hashing embeds: take a model that answers",
    ),
    "a circle of two tasks": (
        asking('{ task = "b" }', "a") + asking('{ task = "a" }', "b"),
        2,
        "a circle of tasks: a → b → a: name a model in one of them",
    ),
    "a circle through a shadow": (
        asking('"openai/gpt-5"', "a") + 'shadow = [{ task = "b" }]\n' + asking('{task="a"}', "b"),
        3,
        "a circle of tasks: a → b → a",
    ),
    "a route that leads to itself": (
        asking('{ task = "converse" }'),
        2,
        "a circle of tasks: converse → converse",
    ),
    "a narrow route without a wider one": (
        '[converse.customer.acme]\nask = [{ task = "converse" }]\n',
        2,
        "a circle of tasks: converse → converse",
    ),
    "an unknown task": (
        asking('{ task = "fast" }'),
        2,
        "converse: no task 'fast' (known: converse)",
    ),
    "a candidate that is never reached": (
        asking('"openai/gpt-5", "openai/gpt-5"'),
        2,
        "openai/gpt-5 stands above already, in line 2: take one out, or say when each is meant",
    ),
    "a route without candidates": (
        '[converse]\nshadow = ["openai/gpt-5"]\n',
        1,
        'converse: there is no `ask`: list a model, ask = ["…"]',
    ),
    "an empty list": (
        "[converse]\nask = []\n",
        2,
        "converse: `ask` is empty: list a model",
    ),
    "a list that is none": (
        '[converse]\nask = "openai/gpt-5"\n',
        2,
        "converse.ask is a list",
    ),
    "a candidate that is neither model nor task": (
        asking('{ when = { hours = "8-9" } }'),
        2,
        "converse.ask 1: a candidate is model =",
    ),
    "options of a task": (
        asking('{ task = "b", with = { effort = "low" } }', "a") + asking('"openai/gpt-5"', "b"),
        2,
        "a.ask 1: `with` is for a model",
    ),
    "hours that are none": (
        asking('{ model = "openai/gpt-5", when = { hours = "8" } }'),
        2,
        'converse.ask 1.when.hours = "8" are no hours: write from-to in UTC, such as "8-18"',
    ),
    "hours that never come": (
        asking('{ model = "openai/gpt-5", when = { hours = "8-25" } }'),
        2,
        'hours = "8-25" are no hours',
    ),
    "a key that is misspelt": (
        asking('{ model = "openai/gpt-5", when = { hour = "8-9" } }'),
        2,
        "unknown key `hour` (did you mean `hours`? known: customers,",
    ),
    "a need that nobody knows": (
        asking('{ model = "openai/gpt-5", when = { needs = ["taste"] } }'),
        2,
        'needs = ["taste"]: known: tools, vision, structured',
    ),
    "a need that is no need": (
        asking('{ model = "openai/gpt-5", when = { needs = ["tools"], not_needs = ["tools"] } }'),
        2,
        "tools is needed and not needed: take one out",
    ),
    "a number that is too small": (
        asking('"openai/gpt-5"') + "attempts_max = 0\n",
        3,
        "converse: attempts_max = 0: Expected `int` >= 1",
    ),
    "a table that is none": (
        "attempts = 1\n" + asking('"openai/gpt-5"'),
        1,
        "attempts is a table: [attempts], one key a line",
    ),
    "a task with a name of its own meaning": (
        asking('"openai/gpt-5"', "agent"),
        1,
        "task 'agent': that word is taken",
    ),
    "a task with a name that is none": (
        asking('"openai/gpt-5"', '"My task"'),
        1,
        "task 'My task': a name has small letters, digits",
    ),
    "a server with the name of a provider": (
        '[providers.openai]\nbase_url = "http://localhost/v1"\n',
        1,
        "provider 'openai' ships with stepfold: take another name",
    ),
    "a server without an address": (
        '[providers.ours]\nkey_env = "OURS"\n',
        1,
        "provider 'ours' has no base_url: an address such as https://",
    ),
    "a provider that ships with more than how many calls at once": (
        '[providers.openai]\nbase_url = "http://localhost/v1"\nat_once = 3\n',
        1,
        "take another name for a server of your own, or say at_once alone",
    ),
    "a provider that ships and nothing of it": (
        "[providers.openai]\n",
        1,
        "provider 'openai' ships with stepfold: ",
    ),
    "no calls at once": (
        "[providers.cohere]\nat_once = 0\n",
        2,
        "providers.cohere: at_once = 0: Expected `int` >= 1",
    ),
    "a kind that only providers that ship have": (
        '[providers.ours]\nbase_url = "http://localhost/v1"\nkind = "shipped"\n',
        3,
        'kind = "shipped": known: openai-chat',
    ),
    "a table that is misspelt, with another one in it": (
        asking('"openai/gpt-5"') + '\n[embed]\nask = ["hashing"]\n\n'
        '[converse.customers.foo]\nask = ["openai/gpt-5"]\n',
        7,
        "converse: unknown key `customers` (did you mean `customer`? known: ",
    ),
    "a language that is no tag": (
        asking('{ model = "openai/gpt-5", when = { languages = ["de", "german"] } }'),
        2,
        'languages: "german" is no BCP 47 tag: write one such as de, en or pt-BR',
    ),
    "a customer that nobody can be called": (
        asking('"openai/gpt-5"') + '[converse.customer."a b"]\nask = ["extractive"]\n',
        3,
        "customer 'a b' would be misread by NATS: use letters, digits",
    ),
    "a customer without a name": (
        asking('"openai/gpt-5"') + '[converse.customer.""]\nask = ["extractive"]\n',
        3,
        "customer is empty: give it at least one character",
    ),
    "an agent without a name": (
        asking('"openai/gpt-5"') + '[converse.agent.""]\nask = ["extractive"]\n',
        3,
        "agent is empty: give it at least one character",
    ),
    "a condition that no customer meets": (
        asking('{ model = "openai/gpt-5", when = { customers = ["acme", "b.c"] } }'),
        2,
        "customer 'b.c' would be misread by NATS",
    ),
    "a server with a name that is none": (
        '[providers."a b"]\nbase_url = "http://localhost/v1"\n',
        1,
        "provider 'a b': a name has small letters",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_with_its_line_and_the_way_out(what: str) -> None:
    text, line, why = REFUSED[what]

    told = problems(text)

    assert any(each.startswith(f"routes.toml:{line}: ") and why in each for each in told), told


def test_a_key_that_stands_where_its_name_should_is_not_shown() -> None:
    text = '[providers.ours]\nbase_url = "http://localhost/v1"\nkey_env = "sk-secret"\n'

    (told,) = problems(text)

    assert told.startswith("routes.toml:3: providers.ours: key_env is the name of a variable")
    assert "sk-secret" not in told


def test_all_mistakes_are_told_at_once_in_the_order_of_their_lines() -> None:
    told = problems(asking('"opnai/gpt-5", "openai/gpt-55"') + "atempts_max = 1\n")

    assert [each.split(":")[1] for each in told] == ["2", "2", "3"]


def test_a_circle_is_told_once() -> None:
    circle = (
        asking('{ task = "b" }', "a") + asking('{ task = "c" }', "b") + asking('{task="a"}', "c")
    )

    assert problems(circle) == (
        "routes.toml:2: a circle of tasks: a → b → c → a: name a model in one of them",
    )


def test_a_mistake_in_a_list_over_many_lines_has_the_line_of_its_entry() -> None:
    (told,) = problems('[converse]\nask = [\n    "openai/gpt-5",\n    "openai/gpt-55",\n]\n')

    assert told.startswith("routes.toml:4: ")


def test_a_mistake_in_tables_of_candidates_has_the_line_of_its_own() -> None:
    first = '[[converse.ask]]\nmodel = "openai/gpt-5"\n'

    (told,) = problems(first + '\n# later\n[[converse.ask]]\nmodel = "openai/gpt-55"\n')

    assert told.startswith(("routes.toml:5: ", "routes.toml:6: "))


def test_toml_that_is_none_is_told_with_its_line() -> None:
    (told,) = problems("[converse]\nask = [ oops\n")

    assert told.startswith("routes.toml:2: Invalid value")


def test_toml_that_ends_too_early_is_told() -> None:
    (told,) = problems("[converse]\nask = [")

    assert told.startswith("routes.toml: ")


@pytest.mark.parametrize("text", ["", "# nothing yet\n", '[models."a/b"]\n'])
def test_a_file_without_a_route_is_refused(text: str) -> None:
    assert problems(text) == (
        "routes.toml: there is no route in it: write one, such as [converse] and"
        ' ask = ["provider/model"]',
    )


def test_a_number_without_an_end_is_told() -> None:
    (told,) = problems(f"[converse]\nattempts_max = {'1' * 5_000}\n")

    assert told.startswith("routes.toml: ")


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file or directory"), (b"\xff", "save it as UTF-8")]
)
def test_a_file_that_cannot_be_read_is_told(
    tmp_path: Path, content: bytes | None, why: str
) -> None:
    path = tmp_path / "routes.toml"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(RoutesRefused, match=why):
        read_routes(path)


def test_a_file_that_means_something_is_read(tmp_path: Path) -> None:
    path = tmp_path / "routes.toml"
    path.write_text(GOOD)

    assert read_routes(path) == parse_routes(GOOD, str(path))


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "routes.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())

    assert read_routes(path) == parse_routes(GOOD, "")
