"""The file channels/teams.toml."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from microsoft_teams.api.auth.cloud_environment import from_name

from stepfold.channels.teams import TeamsConfig, TeamsFileRefused, parse_teams, read_teams
from stepfold.channels.teams.config import CLOUDS, TEXTS
from stepfold.channels.teams.form import TeamsForm, TextsForm
from tests.channels.teams_fake import ADA, APP_ID, BOB, SECRET, TENANT

GOOD = f"""
app_id = "{APP_ID}"
secret = "${{env:TEAMS_SECRET}}"
[customers]
"{TENANT.upper()}" = "acme"
"""
ENVIRONMENT = {"TEAMS_SECRET": SECRET}


def parsed(text: str) -> TeamsConfig:
    return parse_teams(text, "teams.toml", ENVIRONMENT)


def problems(text: str, environment: dict[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(TeamsFileRefused) as refused:
        parse_teams(text, "teams.toml", ENVIRONMENT if environment is None else environment)
    return refused.value.problems


def test_three_keys_are_enough() -> None:
    config = parsed(GOOD)

    assert config.customers == {TENANT: "acme"}
    assert config.texts == TEXTS
    assert config.token_url == (
        "https://login.microsoftonline.com/botframework.com/oauth2/v2.0/token"
    )
    assert config.issuer == "https://api.botframework.com"
    assert not config.may_approve("acme", ADA)


def test_the_whole_of_it() -> None:
    config = parsed(
        GOOD.replace("[customers]", f'tenant = "{TENANT}"\ncloud = "usgov"\n[customers]')
        + f'[approvers]\nacme = ["{BOB}"]\n[approvals]\nacme = "19:x@thread.tacv2"\n'
        + '[texts]\ngreeting = "Moin"\n[reach]\nprivate = ["10.0.0.0/8"]\n'
    )

    assert config.may_approve("acme", BOB)
    assert not config.may_approve("other", BOB)
    assert config.approvals == {"acme": "19:x@thread.tacv2"}
    assert (config.texts.greeting, config.texts.thinking) == ("Moin", TEXTS.thinking)
    assert config.token_url.startswith(f"https://login.microsoftonline.us/{TENANT}/")
    assert config.scope == "https://api.botframework.us/.default"
    assert config.reach.private == ("10.0.0.0/8",)


@pytest.mark.parametrize("name", CLOUDS)
def test_the_clouds_are_those_of_the_sdk(name: str) -> None:
    ours, theirs = CLOUDS[name], from_name(name)

    assert ours.login == theirs.login_endpoint
    assert ours.openid == theirs.openid_metadata_url
    assert ours.issuer == theirs.token_issuer
    assert f"{ours.issuer}/.default" == theirs.bot_scope


def test_a_secret_shows_itself_nowhere() -> None:
    assert SECRET not in repr(parsed(GOOD))


def test_every_mistake_is_told_at_once_with_its_line() -> None:
    text = """app_id = "x"
secret = "abc"
tenant = "y"
cloud = "moon"
what = 1
openid_url = "http://127.0.0.1/keys"
[customers]
"z" = "ac.me"
[approvers]
acme = ["Ada"]
[texts]
greetng = "Hi"
[reach]
private = ["everything"]
"""
    told = problems(text)

    assert [line.split(": ")[0] for line in told] == [
        f"teams.toml:{line}" for line in (1, 2, 3, 4, 5, 8, 8, 10, 12, 14)
    ]
    assert any("known: app_id" in line for line in told)
    assert any("${env:NAME}" in line for line in told)


def test_what_is_wrong_together_is_told_too() -> None:
    text = GOOD + f'[approvers]\nacne = ["{BOB}"]\n[approvals]\nacme = "19:x"\nother = "19:y"\n'

    told = problems(text.replace("[customers]", 'openid_url = "http://127.0.0.1/k"\n[customers]'))

    assert [line.partition(" ")[2] for line in told if "known: acme" in line] == [
        "approvers.acne: no tenant is of this customer (known: acme)",
        "approvals.other: no tenant is of this customer (known: acme)",
    ]
    assert sum("nobody may decide there" in line for line in told) == 2
    assert any("openid_url" in line for line in told)


@pytest.mark.parametrize("text", ["", "[customers]", 'secret = "${env:X}"', "app_id = 7"])
def test_what_is_missing_is_said(text: str) -> None:
    assert all("missing" in line or ":" in line for line in problems(text))
    assert any("missing" in line or "no tenant" in line for line in problems(text))


def test_a_variable_that_is_not_set_is_named() -> None:
    (told,) = problems(GOOD, {})

    assert told.startswith("teams.toml:3: secret: the variable TEAMS_SECRET is not set")


def test_the_page_shows_a_file_that_works_and_a_manifest_of_the_same_bot() -> None:
    page = (Path(__file__).parents[2] / "docs" / "teams.md").read_text()
    (written,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (manifest,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)

    config, told = parsed(written), json.loads(manifest)

    assert config.may_approve("acme", BOB)
    assert [bot["botId"] for bot in told["bots"]] == [config.app_id]
    assert all(f"`{key}`" in page for key in (*TeamsForm.model_fields, *TextsForm.model_fields))


def test_what_is_no_toml_or_no_file(tmp_path: Path) -> None:
    assert problems("a = [")[0].startswith("teams.toml:1: ")
    assert problems("#" * 200_001) == ("teams.toml: a file of more than 200,000 characters",)
    with pytest.raises(TeamsFileRefused, match="No such file"):
        read_teams(tmp_path / "teams.toml", {})
    (tmp_path / "teams.toml").write_bytes(b"\xff")
    with pytest.raises(TeamsFileRefused, match="UTF-8"):
        read_teams(tmp_path / "teams.toml", {})
    (tmp_path / "teams.toml").write_text(GOOD)
    assert read_teams(tmp_path / "teams.toml", ENVIRONMENT) == parsed(GOOD)
