"""Slack: threads are conversations, answers are streamed, approvals are buttons.

config.py     channels/slack.toml
parse.py      a request of Slack, as what happened                     (pure)
say.py        a conversation's happenings, as what to show             (pure)
blocks.py     what is shown, within Slack's limits                     (pure)
api.py        the only file that knows how Slack is called
pages.py      a screen on as many messages as it takes                 (pure)
post.py       one message on Slack, brought to what it is to show; posts.py, those of one screen
keeping.py    which messages are ours; finding.py, those that nobody could keep
deliver.py    who tells which part of a conversation, and once
part.py       a part while it is told; elsewhere.py, what of it is told in other channels
app.py        the routes
hearing.py    what contacts say, into the log; files.py, what they attach
"""
