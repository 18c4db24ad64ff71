"""Bodies of `/v1/completions`."""

from __future__ import annotations

from typing import Final

from extproc.facts.fields import MAX_CHOICES, MAX_TOKENS, read_flag, read_int, read_stream_usage
from extproc.facts.json_body import JsonObject
from extproc.facts.prompt import Prompt, Reading

DEFAULT_MAX_TOKENS: Final = 16
"""Output tokens of a completion that states no limit: the API's default, which vLLM follows."""


def read_completions(body: JsonObject) -> Reading:
    """Read a completion, which may hold several prompts; each of them gets `n` choices.

    A `max_tokens` of null is no limit to some versions of vLLM and the default to others: it is read as no limit.

    Raises:
        BadRequestError: A field that routing needs is one that vLLM would refuse.
    """
    prompt = Prompt()
    text = body.get("prompt")
    sequences = 1
    if text is not None or body.get("prompt_embeds") is None:
        sequences = prompt.add_sequences(text, "prompt")
    # Zero tokens are allowed for scoring a prompt: `echo` returns it with its log-probabilities.
    lowest = 0 if read_flag(body, "echo") else 1
    limit = read_int(body, "max_tokens", minimum=lowest, maximum=MAX_TOKENS)
    return Reading(
        prompt=prompt,
        max_output_tokens=limit if "max_tokens" in body else DEFAULT_MAX_TOKENS,
        choices=sequences * (read_int(body, "n", minimum=1, maximum=MAX_CHOICES) or 1),
        wants_stream_usage=read_stream_usage(body),
    )
