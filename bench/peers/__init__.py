"""The peers' side of the bench: other systems hold the conversation of `bench.conversation`.

Runs in a virtual environment of its own (the dependency group `peers`) and never imports stepfold.
"""
