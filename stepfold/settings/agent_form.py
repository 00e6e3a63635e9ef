"""The form of an agent's file, as pydantic reads it, and the JSON Schema of it.

What one value must be stands here; what values must be together, and what a constraint may say, is
in `agents.py` and `agent_constraints.py`.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from stepfold.policy.agent import Agent, Answers, Limits, SecondMessage
from stepfold.policy.grant import Approval
from stepfold.settings.languages import TAG

DIALECT = "https://json-schema.org/draft/2020-12/schema"
AS_LIST, AS_TABLE, YES_OR_NO = "<list>", "<table>", "<yes or no>"
"""What pydantic puts into the place of an error to say which form it tried."""
WRONG = "wrong"
"""The type of the errors whose message is ours."""

COUNT_MAX = 1_000_000_000
SECONDS_MAX = 366 * 86_400


def _amount(told: object) -> object:
    """US dollars as the file has them: 0.05 and "0.05" are the same."""
    if isinstance(told, bool) or not isinstance(told, int | float | str):
        raise PydanticCustomError(WRONG, "is no amount; write US dollars, such as 0.05")
    try:
        amount = Decimal(str(told))
    except InvalidOperation:
        amount = Decimal("nan")
    if not amount.is_finite() or amount <= 0:
        raise PydanticCustomError(WRONG, "is no amount above 0; write US dollars, such as 0.05")
    return amount


def _language(told: object) -> str:
    """A BCP 47 tag, spelled as it recommends: de, pt-BR, zh-Hant."""
    if not isinstance(told, str) or not TAG.fullmatch(told):
        raise PydanticCustomError(WRONG, "is no BCP 47 tag; write one such as de, en or pt-BR")
    language, *rest = told.lower().split("-")
    script, region = 4, 2
    spelled = {script: str.title, region: str.upper}
    return "-".join((language, *(spelled.get(len(part), str)(part) for part in rest)))


def _list_or_table(told: object) -> str:
    return AS_LIST if isinstance(told, list) else AS_TABLE


def _rule_or_table(told: object) -> str:
    return AS_TABLE if isinstance(told, dict) else YES_OR_NO


Text = Annotated[str, Field(min_length=1)]
Texts = list[Text]
Count = Annotated[int, Field(ge=1, le=COUNT_MAX)]
Seconds = Annotated[float, Field(gt=0, le=SECONDS_MAX, allow_inf_nan=False)]
Wait = Annotated[float, Field(ge=0, le=SECONDS_MAX, allow_inf_nan=False)]
Amount = Annotated[
    Decimal,
    PlainValidator(_amount),
    WithJsonSchema({"type": ["number", "string"], "exclusiveMinimum": 0}),
]
Language = Annotated[
    str,
    PlainValidator(_language),
    WithJsonSchema({"type": "string", "pattern": f"^{TAG.pattern}$"}),
]
Constraint = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "description": "A JSON Schema that the argument must fit, in which {customer},"
            " {contact} and {conversation} stand for those of the conversation; `equals` is short"
            " for `const`.",
            "properties": {"equals": {"description": "What the argument must be."}},
            "allOf": [{"$ref": DIALECT}],
        }
    ),
]
Constraints = dict[Text, Constraint]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ApprovalForm(_Form):
    """How many different people must agree, within which time, and when nobody has to."""

    people: Count = Field(Approval().people, description="How many different people must agree.")
    expires_s: Seconds = Field(Approval().expires_s, description="Within how many seconds.")
    unless: Constraints = Field(
        default={}, description="A call whose arguments fit all of these needs nobody."
    )


class ToolForm(_Form):
    """What the agent may do with one tool."""

    arguments: Constraints = Field(
        default={}, description="What single arguments must be. Each one named must be given."
    )
    approval: Annotated[
        Annotated[bool, Tag(YES_OR_NO)] | Annotated[ApprovalForm, Tag(AS_TABLE)],
        Discriminator(_rule_or_table),
    ] = Field(default=False, description="Must people agree to a call before it runs?")
    safe: bool = Field(
        default=False,
        description="It needs no approval, although a stranger's text was read before.",
    )


class LimitsForm(_Form):
    """Reaching one ends the turn, or refuses the call, with the reason on the log."""

    steps_max: Count = Field(Limits().steps_max, description="Asks of a model in a turn.")
    calls_max: Count = Field(Limits().calls_max, description="Calls in one answer.")
    attempts_max: Count = Field(Limits().attempts_max, description="Rounds through the models.")
    cost_usd_max: Amount | None = Field(None, description="US dollars a turn may spend.")
    turn_s: Seconds = Field(Limits().turn_s, description="Seconds of a turn.")
    call_s: Seconds = Field(Limits().call_s, description="Seconds of one call.")
    backoff_s: Wait = Field(
        Limits().backoff_s, description="Seconds before the second round; doubled with each."
    )
    backoff_s_max: Wait = Field(
        Limits().backoff_s_max, description="Seconds that are waited at most."
    )


class AnswersForm(_Form):
    """What an answer must be."""

    cite: bool = Field(False, description="Only with a quote from the knowledge that is in it.")
    otherwise: Literal["refuse", "hand_off"] = Field(
        "refuse", description="What becomes of an answer that may not be given."
    )
    refusal: Text = Field(Answers().refusal, description="What the contact is told instead.")
    handoff: Text = Field(Answers().handoff, description="What the contact is told instead.")
    characters_max: Count | None = Field(None, description="Of a longer answer the beginning.")
    languages: list[Language] = Field([], description="BCP 47; the first one by default.")


class AgentForm(_Form):
    """One version of an agent."""

    name: Text = Field(description="How people call it.")
    persona: str = Field("", description="Who it is, and how it speaks.")
    instructions: str = Field("", description="What it is told.")
    instructions_file: Text | None = Field(
        None, description="What it is told, in a file beside this one, such as desk.md."
    )
    models: Texts = Field(
        list(Agent("").models), description="Asked in order; an empty list follows the routes."
    )
    tools: Annotated[
        Annotated[Texts, Tag(AS_LIST)] | Annotated[dict[Text, ToolForm], Tag(AS_TABLE)],
        Discriminator(_list_or_table),
    ] = Field(default=[], description="What it may use: names, or a table for each.")
    collections: Texts = Field([], description="The knowledge it searches.")
    trusted: Texts = Field([], description="Those collections that are the company's own word.")
    passages_max: Count = Field(Agent("").passages_max, description="Passages of a search.")
    second_message: SecondMessage = Field(
        "wait", description="What a message does that comes while the agent works."
    )
    sandbox: Literal["", "monty", "process", "container"] = Field(
        "", description="Where it runs code; empty: it runs none."
    )
    channels: Texts = Field([], description="Where it answers; empty: anywhere.")
    limits: LimitsForm = LimitsForm.model_validate({})
    answers: AnswersForm = AnswersForm.model_validate({})


FORMS: dict[str, type[BaseModel]] = {"limits": LimitsForm, "answers": AnswersForm}


def keys(at: tuple[str | int, ...]) -> tuple[str, ...]:
    """The keys that the table at a place may have; none where it may have any."""
    match at:
        case ():
            form: type[BaseModel] = AgentForm
        case (str(name),) if name in FORMS:
            form = FORMS[name]
        case ("tools", str()):
            form = ToolForm
        case ("tools", str(), "approval"):
            form = ApprovalForm
        case _:
            return ()
    return tuple(form.model_fields)


def json_schema() -> dict[str, Any]:
    """Of the file, for editors and for whoever writes such files by program."""
    schema = AgentForm.model_json_schema()
    return {"$schema": DIALECT, **schema, "title": "An agent of stepfold"}
