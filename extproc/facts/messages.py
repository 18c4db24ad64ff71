"""Bodies of `/v1/messages`, the Anthropic API that vLLM also serves."""

from __future__ import annotations

from extproc.facts.fields import (
    MAX_TOKENS,
    check_message,
    invalid_field,
    missing_field,
    read_int,
    read_messages_array,
)
from extproc.facts.json_body import JsonObject
from extproc.facts.prompt import Prompt, Reading


def read_messages(body: JsonObject) -> Reading:
    """Read a message request: `max_tokens` is required, and streams carry usage without being asked.

    Raises:
        BadRequestError: A field that routing needs is one that vLLM would refuse.
    """
    prompt = Prompt()
    messages = read_messages_array(body)
    prompt.messages = len(messages)
    for index, message in enumerate(messages):
        _add_blocks(prompt, check_message(message, index).get("content"), f"messages[{index}].content")
    if (system := body.get("system")) is not None:
        prompt.add_content(system, "system")
        prompt.messages += 1
    prompt.add_tools(body)
    limit = read_int(body, "max_tokens", minimum=1, maximum=MAX_TOKENS)
    if limit is None:
        raise missing_field("max_tokens", f"an integer from 1 to {MAX_TOKENS}")
    return Reading(prompt=prompt, max_output_tokens=limit, choices=1, wants_stream_usage=True)


def _add_blocks(prompt: Prompt, content: object, path: str) -> None:
    if content is None:
        raise missing_field(path, "a string or an array of content blocks")
    if not isinstance(content, list):
        prompt.add_content(content, path)
        return
    for index, block in enumerate(content):
        if type(block) is not dict:
            raise invalid_field(f"{path}[{index}]", "a content block (an object)", block)
        prompt.add_part(block, path, index)
        kind = block.get("type")
        if kind == "tool_use":
            prompt.add_string(block.get("name"))
            if block.get("input"):
                prompt.add_json(block["input"], f"{path}[{index}].input")
        elif kind == "tool_result":
            prompt.add_content(block.get("content"), f"{path}[{index}].content")
