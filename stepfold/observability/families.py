"""The metrics that there are: their names, and what their numbers are told apart by.

Labels are words of ours; models, providers, tools, customers and reasons up to a limit, what comes
beyond it is `other`. A conversation is never a label.
"""

from __future__ import annotations

from stepfold.observability.numbers import Family

MODELS_MAX = TOOLS_MAX = REASONS_MAX = LANES_MAX = 64
CUSTOMERS_MAX = 50
"""How many values a label may have."""

STEPS = Family("stepfold_steps", "counter", "Steps recorded.", ("kind",))
TURNS = Family(
    "stepfold_turn_seconds",
    "histogram",
    "From the first message that a turn hears to its end.",
    ("outcome", "customer"),
)
MODELS = Family(
    "stepfold_model_seconds",
    "histogram",
    "A call of a model, as its worker measured it.",
    ("provider", "model", "outcome"),
)
FIRST = Family(
    "stepfold_first_token_seconds",
    "histogram",
    "From the beginning of a call of a model to its first words, where they were streamed.",
    ("provider", "model"),
)
TOOLS = Family(
    "stepfold_tool_seconds",
    "histogram",
    "A run of a tool, or a search, as its worker measured it.",
    ("tool", "outcome"),
)
TOKENS = Family(
    "stepfold_tokens",
    "counter",
    "Tokens of paid calls; cached ones are among the input.",
    ("provider", "model", "direction", "customer"),
)
COST = Family(
    "stepfold_cost_usd",
    "counter",
    "US dollars of paid calls, as far as their prices are known.",
    ("provider", "model", "customer"),
)
UNPRICED = Family(
    "stepfold_unpriced_calls",
    "counter",
    "Calls that were, or may have been, paid for at a price that is not known.",
    ("provider", "model"),
)
ERRORS = Family(
    "stepfold_errors", "counter", "Steps that say that something failed.", ("kind", "reason")
)
WAITING = Family(
    "stepfold_lane_waiting", "gauge", "Steps that a lane has handed to nobody yet.", ("lane",)
)
IN_HAND = Family(
    "stepfold_lane_in_hand", "gauge", "Steps that a lane has handed out, not done yet.", ("lane",)
)
FAMILIES = (
    *(STEPS, TURNS, MODELS, FIRST, TOOLS),
    *(TOKENS, COST, UNPRICED, ERRORS, WAITING, IN_HAND),
)
