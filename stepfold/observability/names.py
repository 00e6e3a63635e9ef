"""Names of attributes, all of them: the only file that spells one.

The GenAI names are the old ones, which Phoenix and Langfuse read (`gen_ai.system`). No key under
`gen_ai.usage.` but the two here: Langfuse adds whatever it finds there to its total.
"""

from __future__ import annotations

from typing import Final

# -- OpenTelemetry ------------------------------------------------------------------------------

SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
ERROR_TYPE: Final = "error.type"
SESSION: Final = "session.id"
USER: Final = "user.id"

# -- GenAI --------------------------------------------------------------------------------------

OPERATION: Final = "gen_ai.operation.name"
SYSTEM: Final = "gen_ai.system"
CONVERSATION: Final = "gen_ai.conversation.id"
AGENT_NAME: Final = "gen_ai.agent.name"
AGENT_ID: Final = "gen_ai.agent.id"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_ID: Final = "gen_ai.response.id"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_CALL: Final = "gen_ai.tool.call.id"

CHAT: Final = "chat"
EMBEDDINGS: Final = "embeddings"
EXECUTE_TOOL: Final = "execute_tool"
INVOKE_AGENT: Final = "invoke_agent"
RETRIEVAL: Final = "retrieval"

# -- OpenInference: Phoenix ---------------------------------------------------------------------

KIND: Final = "openinference.span.kind"
INPUT: Final = "input.value"
INPUT_TYPE: Final = "input.mime_type"
OUTPUT: Final = "output.value"
OUTPUT_TYPE: Final = "output.mime_type"
JSON_TYPE: Final = "application/json"
LLM_MODEL: Final = "llm.model_name"
LLM_PROVIDER: Final = "llm.provider"
LLM_PARAMETERS: Final = "llm.invocation_parameters"
LLM_INPUT: Final = "llm.input_messages"
LLM_OUTPUT: Final = "llm.output_messages"
LLM_COST: Final = "llm.cost.total"
TOKENS_IN: Final = "llm.token_count.prompt"
TOKENS_OUT: Final = "llm.token_count.completion"
TOKENS: Final = "llm.token_count.total"
TOKENS_CACHED: Final = "llm.token_count.prompt_details.cache_read"
TOKENS_CACHE_WRITE: Final = "llm.token_count.prompt_details.cache_write"
TOKENS_THINKING: Final = "llm.token_count.completion_details.reasoning"
OI_TOOL_NAME: Final = "tool.name"
OI_TOOL_PARAMETERS: Final = "tool.parameters"
DOCUMENTS: Final = "retrieval.documents"
EMBEDDING_MODEL: Final = "embedding.model_name"
RERANKER_MODEL: Final = "reranker.model_name"

# -- Langfuse -----------------------------------------------------------------------------------

LANGFUSE_NAME: Final = "langfuse.trace.name"
LANGFUSE_INPUT: Final = "langfuse.trace.input"
LANGFUSE_OUTPUT: Final = "langfuse.trace.output"
LANGFUSE_RELEASE: Final = "langfuse.release"
LANGFUSE_USAGE: Final = "langfuse.observation.usage_details"
LANGFUSE_COST: Final = "langfuse.observation.cost_details"
LANGFUSE_FIRST: Final = "langfuse.observation.completion_start_time"

# -- ours ---------------------------------------------------------------------------------------

CUSTOMER: Final = "stepfold.customer"
TURN: Final = "stepfold.turn"
CALL: Final = "stepfold.call"
ATTEMPT: Final = "stepfold.attempt"
TASK: Final = "stepfold.task"
OUTCOME: Final = "stepfold.outcome"
REASON: Final = "stepfold.reason"
SHADOW: Final = "stepfold.shadow"
ROUTE: Final = "stepfold.route"
CHOICE: Final = "stepfold.choice"
UNPRICED: Final = "stepfold.unpriced"
"""The call was paid for, or may have been, and the price is not known: it is not free."""


def message(prefix: str, number: int, field: str) -> str:
    return f"{prefix}.{number}.message.{field}"


def tool_call(prefix: str, number: int, call: int, field: str) -> str:
    return f"{prefix}.{number}.message.tool_calls.{call}.tool_call.{field}"


def document(number: int, field: str) -> str:
    return f"{DOCUMENTS}.{number}.document.{field}"
