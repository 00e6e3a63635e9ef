"""How a tool says that it does not know whether it did what was asked.

Unsure    the effect may or may not have happened; the call ends as unknown, and is not repeated
"""

from __future__ import annotations


class Unsure(Exception):
    """The effect may or may not have happened; the message is for the model and the operator."""
