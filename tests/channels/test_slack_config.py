"""channels/slack.toml: every mistake at once, each with its line; no secret anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepfold.channels.slack.config import SlackFileRefused, parse_slack, read_slack

RIGHT = """\
signing_secret = "${env:SIGNING}"

[teams.T0ACME]
customer = "acme"
bot_token = "${env:TOKEN}"
approvals_channel = "C0APPROVE"
approvers = ["U0BOB"]
"""
ENVIRONMENT = {"SIGNING": "the signing secret", "TOKEN": "xoxb-secret"}


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(SlackFileRefused) as refused:
        parse_slack(text, "slack.toml", ENVIRONMENT)
    return refused.value.problems


def test_a_workspace_is_a_customers(tmp_path: Path) -> None:
    (tmp_path / "slack.toml").write_text(RIGHT)

    config = read_slack(tmp_path / "slack.toml", ENVIRONMENT)

    team = config.teams["T0ACME"]
    assert config.customers == ("acme",)
    assert team.approvers == {"U0BOB"}
    assert team.bot_token.reveal() == "xoxb-secret"
    assert config.api == "https://slack.com/api/"


def test_no_secret_is_shown() -> None:
    shown = repr(parse_slack(RIGHT, "slack.toml", ENVIRONMENT))

    assert "xoxb" not in shown
    assert "the signing secret" not in shown


def test_every_mistake_is_told_with_its_line() -> None:
    found = problems("""\
signing_secret = "0123456789abcdef"
color = "red"
file_bytes_max = 1

[teams.acme]
customer = "a.b"
bot_token = "${env:NOWHERE}"
approvals_channel = "#approvals"

[teams.T0BETA]
bot_token = "x${env:TOKEN}"
approvers = ["bob"]
guests = ["Partner"]
""")

    assert [each.split(": ")[:2] for each in found] == [
        ["slack.toml:1", "signing_secret"],
        ["slack.toml:2", "color"],
        ["slack.toml:3", "file_bytes_max"],
        ["slack.toml:5", "teams.acme"],
        ["slack.toml:6", "teams.acme.customer"],
        ["slack.toml:7", "teams.acme.bot_token"],
        ["slack.toml:8", "teams.acme.approvals_channel"],
        ["slack.toml:8", "teams.acme.approvals_channel"],
        ["slack.toml:10", "teams.T0BETA.customer"],
        ["slack.toml:11", "teams.T0BETA.bot_token"],
        ["slack.toml:12", "teams.T0BETA.approvers"],
        ["slack.toml:12", "teams.T0BETA.approvers"],
        ["slack.toml:13", "teams.T0BETA.guests"],
    ]
    assert "0123456789abcdef" not in "\n".join(found)
    assert "export NOWHERE" in found[5]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "slack.toml:1: signing_secret: it is missing"),
        ('signing_secret = "${env:SIGNING}"\n[teams]\n', "slack.toml:2: teams: "),
        ("signing_secret = ", "slack.toml:1: "),
        (f'api = "http://evil.example/api/"\n{RIGHT}', "slack.toml:1: api: "),
        (f"teams = 3\n{RIGHT.split('[', maxsplit=1)[0]}", "slack.toml:1: teams: "),
        ("x" * 200_001, "slack.toml: a file of more than"),
    ],
)
def test_a_file_that_means_nothing_is_refused(text: str, told: str) -> None:
    assert any(each.startswith(told) for each in problems(text)), problems(text)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SlackFileRefused, match=r"slack\.toml: No such file"):
        read_slack(tmp_path / "slack.toml", {})
    (tmp_path / "slack.toml").write_bytes(b"\xff")
    with pytest.raises(SlackFileRefused, match="UTF-8"):
        read_slack(tmp_path / "slack.toml", {})
