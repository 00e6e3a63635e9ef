"""The pages say what is so: their examples run, their words exist, their numbers are the code's."""

import contextlib
import io
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest

from stepfold.app import EVERYTHING
from stepfold.events.structs import KINDS
from stepfold.handlers.table import LANES
from stepfold.policy.agent import Limits, SecondMessage
from stepfold.settings.hosted import KEYS
from stepfold.streams.config import STREAMS, Durability

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "stepfold"
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = [README, *sorted(DOCS.rglob("*.md"))]
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))
KIND = {tag.partition("/")[0] for tag in KINDS}
NOUNS = {kind.partition(".")[0] for kind in KIND}
WORDS = {
    *("agent", "archive", "ask", "blob", "call", "cause", "citation", "contact", "conversation"),
    *("customer", "dead letter", "decision", "desk", "digest", "draft", "entry", "fact", "fence"),
    *("fold", "lane", "outcome", "passage", "position", "recording", "request", "shell", "state"),
    *("step", "timer", "turn", "view"),
}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def table(page: Path, heading: str) -> dict[str, list[str]]:
    """The rows under a table's head, by the name in their first cell."""
    rows = page.read_text().split(heading, 1)[1].split("\n\n", 1)[0].splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if "`" in row]
    return {re.findall(r"`(.*?)`", first)[0]: rest for first, *rest in cells if "`" in first}


# -- examples ------------------------------------------------------------------


@pytest.mark.parametrize("page", [README, DOCS / "direct-path.md", DOCS / "hooks.md"], ids=name)
def test_the_examples_of_a_page_run_and_print_what_it_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = []

    for source in blocks(page, "python"):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(source, name(page), "exec"), {"__name__": "__main__"})
        said.append(output.getvalue())

    assert said
    assert [each for each in said if each] == blocks(page, "text")


def test_the_readme_shows_what_the_demo_prints(tmp_path: Path) -> None:
    (shown,) = blocks(README, "console")
    command, _, output = shown.partition("\n")
    (question,) = re.findall(r'--ask "(.*)"', command)

    demo = subprocess.run(
        [sys.executable, "-m", "stepfold", "demo", "--ask", question],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert demo.returncode == 0, demo.stderr
    assert lasting(demo.stdout) == lasting(output)


def lasting(text: str) -> list[str]:
    """The lines without what is another in each run: times, names made by chance, widths."""
    text = re.sub(r"\d+(\.\d+)? m?s\b", "0 ms", text)
    text = re.sub(r"\b(q\d+)-[0-9a-f]{6}\b", r"\1", text)
    return [" ".join(line.split()) for line in text.strip().splitlines()]


# -- words ---------------------------------------------------------------------


def test_every_word_stands_once() -> None:
    words = re.findall(r"^### (.+)$", (DOCS / "words.md").read_text(), re.MULTILINE)

    assert sorted(WORDS - set(words)) == []
    assert len(words) == len(set(words))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_kind_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"`([a-z]+\.[a-z]+)(?:/\d+)?`", page.read_text()))

    assert {kind for kind in named if kind.partition(".")[0] in NOUNS} <= KIND


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    inside = re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`", text)
    outside = re.findall(r"(?<![\w/.])((?:docs|stepfold|tests|bench)/[\w/.-]*[\w/])", text)
    links = re.findall(r"\]\((?!https:)([^)#]+)\)", text)

    missing = [
        *(path for path in inside if not any((at / path).exists() for at in (ROOT, PACKAGE))),
        *(path for path in outside if not (ROOT / path).exists()),
        *(path for path in links if not (page.parent / path).exists()),
    ]

    assert missing == []


# -- decisions -----------------------------------------------------------------


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(path.name[:4]) for path in DECISIONS]

    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("page", DECISIONS, ids=name)
def test_a_decision_says_problem_choice_cost_and_when_it_is_wrong(page: Path) -> None:
    text = page.read_text()

    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)

    assert text.startswith(f"# {page.name[:4]} ")
    assert headings == ["Problem", "Choice", "What it costs", "When it is wrong"]
    assert len(text.splitlines()) <= 60


# -- operations ----------------------------------------------------------------


def test_the_limits_of_an_agent_are_those_of_the_code() -> None:
    said = table(DOCS / "operations.md", "| limit | default | bounds |")

    defaults = {field: getattr(Limits(), field) for field in Limits.__struct_fields__}

    assert {limit: cells[0] for limit, cells in said.items()} == {
        limit: "none" if value is None else f"{value:g}" for limit, value in defaults.items()
    }


@pytest.mark.parametrize("page", ["operations.md", "providers.md"])
def test_the_limits_of_the_system_are_those_of_the_code(page: str) -> None:
    said = table(DOCS / page, "| limit | value | where | what happens there |")

    assert said
    for limit, (value, where, _) in said.items():
        module = import_module(f"stepfold.{where.strip('`')}")
        assert float(value) == getattr(module, limit), limit


def test_the_providers_and_their_keys_are_those_of_the_code() -> None:
    said = table(DOCS / "providers.md", "| provider | speaks | key | also read | library |")

    assert {name: set(re.findall(r"`(\w+)`", cells[1])) for name, cells in said.items()} == {
        name: set(keys) for name, keys in KEYS.items()
    }


def test_roles_streams_rules_and_durabilities_are_those_of_the_code() -> None:
    page = DOCS / "operations.md"

    assert set(table(page, "| role | does |")) == set(EVERYTHING)
    assert set(table(page, "| stream | subjects | holds |")) == {
        *(stream.name for stream in STREAMS),
        "blobs",
    }
    assert list(table(page, "| rule | the running turn |")) == list(get_args(SecondMessage))
    assert list(table(page, "| setting | default of |")) == list(get_args(Durability))


def test_the_page_on_hooks_names_every_lane() -> None:
    assert set(LANES) <= set(re.findall(r"`(\w+)`", (DOCS / "hooks.md").read_text()))
