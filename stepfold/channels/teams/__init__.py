"""Microsoft Teams: what comes in is verified and appended, what goes out is delivered once.

config.py    the file channels/teams.toml
trust.py     who signed a request; parse.py, what it says
app.py       the route; it appends and answers, nothing else
say.py       what a contact is shown of a turn; live.py streams it while it runs
deliver.py   the answer, approvals and greetings, from the log
"""

from stepfold.channels.teams.config import TeamsConfig, TeamsFileRefused, parse_teams, read_teams

__all__ = ["TeamsConfig", "TeamsFileRefused", "parse_teams", "read_teams"]
