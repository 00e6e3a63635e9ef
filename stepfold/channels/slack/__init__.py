"""Slack: threads are conversations, answers are streamed, approvals are buttons.

config.py     channels/slack.toml
parse.py      a request of Slack, as what happened                     (pure)
say.py        a conversation's happenings, as what to show             (pure)
blocks.py     what is shown, within Slack's limits                     (pure)
api.py        the only file that knows how Slack is called
posts.py      one message on Slack, brought to what it is to show
deliver.py    who tells which part of a conversation, and once
app.py        the routes
"""
