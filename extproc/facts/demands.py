"""What a request demands of its answer, beyond its being there: shape, tools, log-probabilities, repeatability.

Read as tolerantly as can be: whether such a field is valid is the instance's business, and an odd one only means that
less can be verified.
"""

from __future__ import annotations

from typing import Final

from extproc.facts.json_body import JsonObject

_STRUCTURED: Final = frozenset(("json_object", "json_schema"))


def demands_structure(body: JsonObject) -> bool:
    """Tell whether `response_format` (chat, completions) or `text.format` (responses) demands JSON."""
    text = body.get("text")
    given = body.get("response_format") or (text.get("format") if isinstance(text, dict) else None)
    if not isinstance(given, dict):
        return False
    kind = given.get("type")
    return isinstance(kind, str) and kind in _STRUCTURED


def demands_logprobs(body: JsonObject) -> bool:
    """Tell whether the answer will carry token log-probabilities: true (chat), or a count (completions)."""
    given = body.get("logprobs")
    return given is not None and given is not False


def repeats_itself(body: JsonObject) -> bool:
    """Tell whether the same model would answer the same again: greedy decoding, or a seed."""
    temperature = body.get("temperature")
    is_greedy = isinstance(temperature, int | float) and temperature == 0
    return is_greedy or body.get("seed") is not None
