"""What an MCP tool answered, as the JSON that our tools return. Pure."""

from __future__ import annotations

from typing import Any, assert_never

from mcp_types import (
    AudioContent,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

BASE64_CHARS, BASE64_BYTES = 4, 3
ERROR_CHARS_MAX = 2_000


def told(result: CallToolResult) -> Any:
    """The structured content where there is some, else the texts, one after the other. What a model
    cannot be shown as text is named, and left out.
    """
    if result.structured_content is not None:
        return result.structured_content
    return text(result)


def text(result: CallToolResult) -> str:
    return "\n".join(_part(each) for each in result.content)


def complaint(result: CallToolResult) -> str:
    """What a result that is an error says."""
    said = text(result) or "it says nothing"
    return said if len(said) <= ERROR_CHARS_MAX else said[:ERROR_CHARS_MAX] + "…"


def _part(content: ContentBlock) -> str:
    match content:
        case TextContent():
            return content.text
        case ImageContent() | AudioContent():
            return _left_out(content.type, content.mime_type, content.data)
        case ResourceLink():
            return f"[{content.name}: {content.uri}]"
        case EmbeddedResource(resource=resource):
            if isinstance(resource, TextResourceContents):
                return resource.text
            return _left_out(str(resource.uri), resource.mime_type, resource.blob)
        case _:
            assert_never(content)


def _left_out(what: str, media: str | None, base64: str) -> str:
    size = len(base64.rstrip("=")) * BASE64_BYTES // BASE64_CHARS
    return f"[left out: {what}, {media or 'of no known kind'}, {size:,} bytes]"
