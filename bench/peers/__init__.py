"""The peers' side of the bench: other systems hold the conversation of `bench.conversation`.

Runs in a virtual environment of its own (`bench/requirements-peers.in`) and never imports stepfold.
"""
