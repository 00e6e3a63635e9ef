"""The table [auth] of a connection's file: every mistake with its line and the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepfold.tools.oauth_errors import AuthTableRefused
from stepfold.tools.oauth_table import SHARED, Auth, read_auth
from stepfold.tools.vault import Secret

CODE = """
[auth]
kind = "oauth2_code"
client_id = "us"
token_url = "https://login.example.com/token"
authorize_url = "https://login.example.com/authorize"
"""


def read(folder: Path, text: str, **environment: str) -> Auth | None:
    path = folder / "desk.toml"
    path.write_text(text)
    return read_auth(path, environment)


def told(folder: Path, text: str, **environment: str) -> list[str]:
    """What is wrong with a file, without its folder."""
    with pytest.raises(AuthTableRefused) as refused:
        read(folder, text, **environment)
    return [each.removeprefix(f"{folder}/") for each in refused.value.problems]


def test_a_public_client_needs_no_secret(tmp_path: Path) -> None:
    found = read(tmp_path, CODE)

    assert found is not None
    assert (found.connection, found.client_auth, found.client_secret) == ("desk", "none", None)
    assert found.holder("acme") == "acme"


def test_a_secret_comes_from_the_environment(tmp_path: Path) -> None:
    found = read(tmp_path, CODE + 'client_secret = "${env:DESK}"\n', DESK="so secret")

    assert found is not None
    assert found.client_secret == Secret("so secret")
    assert found.client_auth == "basic"
    assert "so secret" not in repr(found)


def test_a_client_of_its_own_shares_its_token(tmp_path: Path) -> None:
    text = CODE.replace("oauth2_code", "oauth2_client") + 'client_secret = "${env:DESK}"\n'
    found = read(tmp_path, text, DESK="s")

    assert found is not None
    assert found.holder("acme") == SHARED


@pytest.mark.parametrize("text", ["", 'url = "x"', '[auth]\nkind = "header"\nname = "X-Key"\n'])
def test_tables_of_another_kind_are_left_to_others(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) is None


def test_a_secret_in_the_file_is_refused_and_not_shown(tmp_path: Path) -> None:
    (problem,) = told(tmp_path, CODE + 'client_secret = "hunter2hunter2"\n')

    assert problem == (
        'desk.toml:7: [auth] a secret stands in no file: write client_secret = "${env:NAME}" and'
        " set NAME"
    )


def test_a_variable_that_is_not_set_is_named(tmp_path: Path) -> None:
    (problem,) = told(tmp_path, CODE + 'client_secret = "${env:DESK_SECRET}"\n')

    assert problem.startswith("desk.toml:7: [auth] client_secret: the variable DESK_SECRET is not")


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    problems = told(
        tmp_path,
        """
        [auth]
        kind = "oauth2_magic"
        client = "us"
        scopes = "all"
        shared = 3
        [auth.reach]
        port = 80
        """,
    )

    assert problems == [
        "desk.toml:2: [auth] there is no `client_id`",
        "desk.toml:3: [auth] kind: that is none (known: oauth2_code, oauth2_client)",
        "desk.toml:4: [auth] unknown key `client` (known: kind, client_id, client_secret,"
        " client_auth, issuer, authorize_url, token_url, revoke_url, redirect_url, scopes, shared,"
        " authorize_with, token_with, reach)",
        "desk.toml:5: [auth] scopes: Expected `array`, got `str`",
        "desk.toml:6: [auth] shared: Expected `bool`, got `int`",
        "desk.toml:8: [auth] unknown key `port` (known: schemes, ports, private, bytes_max,"
        " timeout_s, redirects_max)",
    ]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('token_url = "http://login.example.com/token"', "an address that begins with https://"),
        ('token_url = "https://user:pw@login.example.com/"', "an address that begins with https"),
        ('issuer = "https://login.example.com/?a=b"', "take out what stands behind its path"),
        ('client_auth = "basic"', "client_auth = 'basic' needs a secret"),
        ('scopes = ["a b"]', "'a b' is no scope: one word each"),
        ('authorize_with = { state = "x" }', "`state` is set by stepfold: take it out"),
        ('token_with = { client_secret = "x" }', "`client_secret` is set by stepfold"),
        ('client_id = "a:b"', "client_id: printable ASCII without a colon"),
        ('client_secret = "${env:ODD}"', "the secret in ${env:ODD} has characters that none may"),
    ],
)
def test_what_cannot_work_is_told_before_it_is_tried(tmp_path: Path, line: str, why: str) -> None:
    key = line.partition(" ")[0]
    text = "\n".join(each for each in CODE.splitlines() if not each.startswith(f"{key} "))

    (problem,) = told(tmp_path, f"{text}\n{line}\n", ODD="pass\nword€")

    assert why in problem
    assert "word€" not in problem


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        ("oauth2_code", ["there is no `authorize_url`", "there is no `token_url`"]),
        ("oauth2_client", ["oauth2_client needs client_secret", "there is no `token_url`"]),
    ],
)
def test_what_a_kind_needs_is_told(tmp_path: Path, kind: str, missing: list[str]) -> None:
    problems = told(tmp_path, f'[auth]\nkind = "{kind}"\nclient_id = "us"\n')

    assert len(problems) == 2
    assert all(why in problem for why, problem in zip(missing, problems, strict=True))


def test_an_issuer_is_enough(tmp_path: Path) -> None:
    text = '[auth]\nkind = "oauth2_code"\nclient_id = "us"\nissuer = "https://login.example.com"\n'

    assert read(tmp_path, text) is not None


@pytest.mark.parametrize("text", ["[auth", "\udcff"])
def test_a_file_that_is_no_toml_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "desk.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))

    with pytest.raises(AuthTableRefused, match=r"desk\.toml: "):
        read_auth(path, {})


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(AuthTableRefused, match=r"none\.toml: No such file"):
        read_auth(tmp_path / "none.toml", {})
