"""An answer of each API that has of everything that one can hold: thoughts, texts, what they cite,
calls, tools that the provider ran, and what all of it cost.
"""

from __future__ import annotations

from stepfold.providers.wire import Json

_CALL: Json = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "look", "arguments": '{"at":"sea"}'},
}
_CITED: Json = {"type": "url_citation", "url": "https://a.example", "title": "A", "start_index": 0}

ANSWERS: dict[str, Json] = {
    "anthropic": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5-5",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
            {
                "type": "server_tool_use",
                "id": "srv_1",
                "name": "web_search",
                "input": {"query": "sea"},
            },
            {
                "type": "web_search_tool_result",
                "tool_use_id": "srv_1",
                "content": [{"type": "web_search_result", "url": "https://a.example"}],
            },
            {
                "type": "text",
                "text": "It is.",
                "citations": [{"cited_text": "It is.", "url": "https://a.example"}],
            },
            {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "sea"}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 5,
            "output_tokens": 9,
            "cache_read_input_tokens": 2,
            "cache_creation": {"ephemeral_1h_input_tokens": 1},
            "server_tool_use": {"web_search_requests": 1},
            "service_tier": "standard",
        },
    },
    "cohere": {
        "id": "co_1",
        "message": {
            "role": "assistant",
            "tool_plan": "Look.",
            "content": [
                {"type": "thinking", "thinking": "Hm."},
                {"type": "text", "text": "It is."},
            ],
            "tool_calls": [_CALL],
            "citations": [
                {
                    "text": "It",
                    "type": "TEXT_CONTENT",
                    "content_index": 1,
                    "sources": [{"id": "d1", "document": {"document": "d", "text": "It is."}}],
                }
            ],
        },
        "finish_reason": "TOOL_CALL",
        "usage": {
            "billed_units": {"input_tokens": 5.0},
            "tokens": {"input_tokens": 5.0, "output_tokens": 9.0},
            "cached_tokens": 2.0,
        },
    },
    "google": {
        "candidates": [
            {
                "content": {
                    "role": "model",
                    "parts": [
                        {"text": "Hm.", "thought": True},
                        {"executableCode": {"id": "c1", "language": "PYTHON", "code": "1"}},
                        {"codeExecutionResult": {"id": "c1", "outcome": "OUTCOME_OK"}},
                        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                        {"text": "It is."},
                        {
                            "functionCall": {"name": "look", "args": {"at": "sea"}},
                            "thoughtSignature": "c2ln",
                        },
                    ],
                },
                "finishReason": "STOP",
                "groundingMetadata": {
                    "webSearchQueries": ["sea"],
                    "groundingChunks": [{"web": {"uri": "https://a.example", "title": "A"}}],
                    "groundingSupports": [
                        {"segment": {"text": "It is."}, "groundingChunkIndices": [0]}
                    ],
                },
                "citationMetadata": {"citations": [{"startIndex": 0, "endIndex": 2, "uri": "a"}]},
                "urlContextMetadata": {"urlMetadata": [{"retrievedUrl": "https://a.example"}]},
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 12,
            "candidatesTokenCount": 5,
            "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 3}],
            "serviceTier": "standard",
        },
        "modelVersion": "gemini-2.5-flash-001",
        "responseId": "g1",
    },
    "openai_chat": {
        "id": "chatcmpl_1",
        "model": "gpt-5",
        "service_tier": "flex",
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls",
                "message": {
                    "role": "assistant",
                    "content": "It is.",
                    "reasoning_content": "Hm.",
                    "refusal": "No.",
                    "annotations": [{"type": "url_citation", "url_citation": _CITED}],
                    "tool_calls": [_CALL],
                },
            }
        ],
        "usage": {
            "prompt_tokens": 12,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 2},
        },
    },
    "openai_responses": {
        "id": "resp_1",
        "model": "gpt-5",
        "status": "completed",
        "service_tier": "flex",
        "output": [
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "Hm."}],
                "encrypted_content": "c2VjcmV0",
            },
            {
                "type": "web_search_call",
                "id": "ws_1",
                "status": "completed",
                "action": {"type": "search", "query": "sea"},
            },
            {
                "type": "code_interpreter_call",
                "id": "ci_1",
                "container_id": "cntr_1",
                "code": "1",
                "outputs": [{"type": "logs", "logs": "1"}],
            },
            {"type": "image_generation_call", "id": "ig_1", "result": "AAAA"},
            {
                "type": "mcp_call",
                "id": "mcp_1",
                "server_label": "s",
                "name": "n",
                "arguments": "{}",
                "output": "1",
            },
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "It is.", "annotations": [_CITED]}],
            },
            {
                "type": "function_call",
                "id": "fc_1",
                "call_id": "call_1",
                "name": "look",
                "arguments": '{"at":"sea"}',
            },
        ],
        "usage": {
            "input_tokens": 12,
            "output_tokens": 5,
            "input_tokens_details": {"cached_tokens": 2},
        },
        "tool_usage": {"web_search": {"num_requests": 1}},
    },
}
