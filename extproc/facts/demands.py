"""What a request demands of its answer, beyond its being there: shape, tools, log-probabilities, repeatability.

Read as tolerantly as can be: whether such a field is valid is the instance's business, and an odd one only means that
less can be verified.
"""

from __future__ import annotations

from typing import Final

from extproc.facts.json_body import JsonObject
from extproc.facts.request import Api

_STRUCTURED: Final = frozenset(("json_object", "json_schema"))
_STRUCTURED_OUTPUTS: Final = ("json", "json_object", "choice")
"""Fields of vLLM's `structured_outputs` that an answer can be held against; a regular expression or a grammar is left to vLLM."""


def declared_format(api: Api, body: JsonObject) -> object:
    """Return what stands where a request of an API declares the format of its answer; None when nothing does.

    `text.format` (responses), `output_config.format` or `output_format` (messages), else `response_format`.
    """
    if api is Api.RESPONSES:
        return _object(body, "text").get("format")
    if api is Api.MESSAGES:
        return _object(body, "output_config").get("format", body.get("output_format"))
    return body.get("response_format")


def demands_form(api: Api, body: JsonObject) -> bool:
    """Tell whether a request, of an API that answers in words, demands JSON, one of a few texts, or offers functions."""
    declared = declared_format(api, body)
    kind = declared.get("type") if isinstance(declared, dict) else None
    if isinstance(kind, str) and kind in _STRUCTURED:
        return True
    own = body.get("structured_outputs")
    if isinstance(own, dict) and any(own.get(key) for key in _STRUCTURED_OUTPUTS):
        return True
    # Before `tools` there were `functions`.
    return bool(body.get("functions"))


def demands_logprobs(body: JsonObject) -> bool:
    """Tell whether the answer will carry token log-probabilities: true (chat), or a count (completions)."""
    given = body.get("logprobs")
    return given is not None and given is not False


def repeats_itself(body: JsonObject) -> bool:
    """Tell whether the same model would answer the same again: greedy decoding, or a seed."""
    temperature = body.get("temperature")
    is_greedy = isinstance(temperature, int | float) and temperature == 0
    return is_greedy or body.get("seed") is not None


def _object(body: JsonObject, key: str) -> JsonObject:
    value = body.get(key)
    return value if isinstance(value, dict) else {}
