"""`stepfold key`: made, listed, revoked."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from stepfold.app import opened
from stepfold.cli import exits
from stepfold.settings import Settings
from tests.cli.commands import records, run
from tests.gateway.house import with_keys


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("keys")

    async def prepare() -> None:
        async with opened(Settings(folder=made)) as found:
            await with_keys(found)

    asyncio.run(prepare())
    return made


def test_a_key_is_shown_once_and_listed_without_what_opens_anything(folder: Path) -> None:
    words = ("--customer", "acme", "--scope", "read", "--scope", "chat", "--name", "crm", "--json")
    (made,) = records(run("key", "create", *words, data=folder))

    (keys,) = records(run("key", "list", "--json", data=folder))
    said = run("key", "list", data=folder).stdout

    (listed,) = [each for each in keys if each["id"] == made["id"]]
    assert made["key"].startswith(f"sfk_{made['id']}_")
    assert (listed["scopes"], listed["name"], listed["state"]) == (["chat", "read"], "crm", "good")
    assert not {"key", "salt", "hash"} & set(listed)
    assert made["key"].rpartition("_")[2] not in said


def test_a_revoked_key_says_so(folder: Path) -> None:
    shown = run("key", "create", "--customer", "acme", data=folder).stdout.split()[0]

    revoked = run("key", "revoke", shown, data=folder)
    again = records(run("key", "revoke", shown.split("_")[1], "--json", data=folder))

    assert revoked.exit_code == 0
    assert again[0]["state"].startswith("revoked")


def test_a_key_expires_when_it_is_told_to(folder: Path) -> None:
    words = ("key", "create", "--customer", "acme", "--json", "--days")

    (now,), (later,) = (records(run(*words, days, data=folder)) for days in ("0.000000001", "7"))

    assert now["state"].startswith("expired")
    assert later["state"].startswith("good until")


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        ((), exits.USAGE, "say whose it is"),
        (("--customer", "a.b"), exits.REFUSED, "misread by NATS"),
        (("--customer", "acme", "--scope", "all"), exits.REFUSED, "known: chat, read"),
        (("--customer", "acme", "--operator"), exits.REFUSED, "of no customer"),
        (("--customer", "acme", "--origin", "shop.example"), exits.REFUSED, "is no origin"),
    ],
)
def test_a_key_that_cannot_be_is_refused(
    folder: Path, words: tuple[str, ...], code: int, why: str
) -> None:
    ended = run("key", "create", *words, data=folder)

    assert ended.exit_code == code
    assert why in " ".join(ended.stderr.split())


def test_a_key_that_is_not_there_cannot_be_revoked(folder: Path) -> None:
    for name in ("000000000000", "x", "sfk_x"):
        ended = run("key", "revoke", name, data=folder)

        assert ended.exit_code == exits.REFUSED
        assert "`stepfold key list`" in ended.stderr
