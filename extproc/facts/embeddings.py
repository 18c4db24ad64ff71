"""Bodies of `/v1/embeddings`."""

from __future__ import annotations

from extproc.facts.chat import add_messages
from extproc.facts.json_body import JsonObject
from extproc.facts.prompt import Prompt, Reading


def read_embeddings(body: JsonObject) -> Reading:
    """Read an embedding request: `input`, or `messages` as vLLM also takes for multimodal models.

    Raises:
        BadRequestError: A field that routing needs is one that vLLM would refuse.
    """
    prompt = Prompt()
    sequences = 1
    if body.get("input") is None and body.get("messages") is not None:
        add_messages(prompt, body)
    else:
        sequences = prompt.add_sequences(body.get("input"), "input")
    return Reading(prompt=prompt, max_output_tokens=0, choices=sequences, wants_stream_usage=False)
