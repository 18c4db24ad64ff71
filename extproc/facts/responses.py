"""Bodies of `/v1/responses`."""

from __future__ import annotations

from extproc.facts.fields import MAX_TOKENS, invalid_field, missing_field, read_int
from extproc.facts.json_body import JsonObject
from extproc.facts.prompt import Prompt, Reading


def read_responses(body: JsonObject) -> Reading:
    """Read a response request; what `previous_response_id` stands for is not in the body, so it is not counted.

    Its streams carry usage without being asked.

    Raises:
        BadRequestError: A field that routing needs is one that vLLM would refuse.
    """
    prompt = Prompt()
    instructions = body.get("instructions")
    if instructions is not None:
        if type(instructions) is not str:
            raise invalid_field("instructions", "a string", instructions)
        prompt.parts.append(instructions)
        prompt.messages = 1
    _add_input(prompt, body.get("input"))
    prompt.add_tools(body)
    return Reading(
        prompt=prompt,
        max_output_tokens=read_int(body, "max_output_tokens", minimum=1, maximum=MAX_TOKENS),
        choices=1,
        wants_stream_usage=True,
        has_unseen_text=_refers_elsewhere(body),
    )


def _refers_elsewhere(body: JsonObject) -> bool:
    """Tell whether the model reads what the instance keeps, beside what the body holds."""
    items = body.get("input")
    return body.get("previous_response_id") is not None or (
        isinstance(items, list) and any(item.get("type") == "item_reference" for item in items)
    )


def _add_input(prompt: Prompt, items: object) -> None:
    if items is None:
        raise missing_field("input", "a string or an array of items")
    if type(items) is str:
        prompt.parts.append(items)
        prompt.messages += 1
        return
    if not isinstance(items, list):
        raise invalid_field("input", "a string or an array of items", items)
    prompt.messages += len(items)
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise invalid_field(f"input[{index}]", "an item (an object)", item)
        # Messages and reasoning have content, calls have arguments, their results have output.
        for key in ("content", "output", "summary"):
            prompt.add_content(item.get(key), f"input[{index}].{key}")
        for key in ("name", "arguments"):
            prompt.add_string(item.get(key))
