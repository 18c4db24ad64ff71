"""The decision as dynamic metadata: written by DECIDE, carried by Envoy, read back out of the access log.

One readable field per fact. Reading is tolerant: a replica of another version, or a filter that writes into the same
namespace, costs the record at most, never the stream.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from google.protobuf.struct_pb2 import Value

from extproc.calibrate.outcome import DecisionRecord, Usage
from extproc.decide.plan import Plan
from extproc.facts.fields import MAX_TOKENS
from extproc.facts.request import Api, RequestFacts
from extproc.facts.text import Category, TextProfile

DECISION_ID = "decision_id"
API = "api"
MODEL = "model"
POOL = "pool"
CLUSTER = "cluster"
PROMPT_TOKENS = "prompt_tokens"
PROMPT_TOKENS_UPPER = "prompt_tokens_upper"
OUTPUT_TOKENS = "output_tokens"
OUTPUT_IS_GIVEN = "output_is_given"
TEXT = "text"
PROMPT_TOKEN_IDS = "prompt_token_ids"  # noqa: S105 - tokens of a language model
MESSAGES = "messages"
IMAGES = "images"
CHOICES = "choices"
REASON = "reason"
CANDIDATES = "candidates"
WISH = "wish"

USAGE_PROMPT_TOKENS = "prompt_tokens"
USAGE_COMPLETION_TOKENS = "completion_tokens"

_COUNT = re.compile(r"[1-9][0-9]{0,17}")
_CATEGORIES = {category.value: category for category in Category}
_APIS = {api.value: api for api in Api}


def write_decision(fields: Mapping[str, Value], plan: Plan, facts: RequestFacts) -> None:
    """Write the decision into the fields of the namespace's struct, which makes an entry where it is asked for."""
    is_passed_through = plan.budget is None
    fields[DECISION_ID].string_value = plan.decision_id
    fields[API].string_value = facts.api
    fields[MODEL].string_value = "" if is_passed_through else plan.attempts[0].model
    fields[POOL].string_value = plan.pool
    fields[CLUSTER].string_value = plan.route_cluster
    fields[REASON].string_value = plan.reason
    fields[CANDIDATES].number_value = plan.candidates
    if plan.wish:
        fields[WISH].string_value = plan.wish
    if plan.budget is None:
        return
    # The budget is that of the model with the largest need; what is held against usage is the chosen one's.
    own = plan.budget.by_model.get(plan.attempts[0].model)
    fields[PROMPT_TOKENS].number_value = own.tokens if own else plan.budget.prompt_tokens
    fields[PROMPT_TOKENS_UPPER].number_value = own.upper if own else plan.budget.prompt_tokens_upper
    fields[OUTPUT_TOKENS].number_value = plan.budget.output_tokens
    fields[OUTPUT_IS_GIVEN].bool_value = plan.budget.output_is_given
    # The tokens that an instance reports say nothing of the body's text when it has read more than that.
    fields[TEXT].string_value = "" if facts.has_unseen_text else encode_text(facts.text)
    fields[PROMPT_TOKEN_IDS].number_value = facts.prompt_token_ids
    fields[MESSAGES].number_value = facts.messages
    fields[IMAGES].number_value = facts.images
    fields[CHOICES].number_value = facts.choices


def read_decision(fields: Mapping[str, Value]) -> DecisionRecord | None:
    """Return the decision; None when the fields hold no decision id or no known API."""
    decision_id = _text(fields, DECISION_ID)
    api = _APIS.get(_text(fields, API))
    if not decision_id or api is None:
        return None
    output_is_given = fields.get(OUTPUT_IS_GIVEN)
    choices = _count(fields, CHOICES)
    return DecisionRecord(
        decision_id=decision_id,
        api=api,
        model=_text(fields, MODEL),
        planned_model=_text(fields, MODEL),
        pool=_text(fields, POOL),
        cluster=_text(fields, CLUSTER),
        prompt_tokens=_count(fields, PROMPT_TOKENS),
        prompt_tokens_upper=_count(fields, PROMPT_TOKENS_UPPER),
        output_tokens=_count(fields, OUTPUT_TOKENS),
        output_is_given=output_is_given is not None and output_is_given.bool_value,
        text=decode_text(_text(fields, TEXT)),
        prompt_token_ids=_count(fields, PROMPT_TOKEN_IDS) or 0,
        messages=_count(fields, MESSAGES) or 0,
        images=_count(fields, IMAGES) or 0,
        choices=1 if choices is None else choices,
    )


def read_usage(fields: Mapping[str, Value]) -> Usage | None:
    """Return the token counts that the instance reported; None when it reported neither."""
    prompt_tokens = _count(fields, USAGE_PROMPT_TOKENS)
    completion_tokens = _count(fields, USAGE_COMPLETION_TOKENS)
    if prompt_tokens is None and completion_tokens is None:
        return None
    return Usage(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)


def encode_text(text: TextProfile) -> str:
    """Return `category:bytes,category:bytes`; empty for no text."""
    return ",".join([f"{category}:{size}" for category, size in text.bytes_by_category])


def decode_text(encoded: str) -> TextProfile:
    """Return the profile; entries that are malformed or name a category of another version are left out."""
    pairs = []
    for entry in encoded.split(","):
        name, _, size = entry.partition(":")
        category = _CATEGORIES.get(name)
        if category is not None and _COUNT.fullmatch(size):
            pairs.append((category, int(size)))
    return TextProfile(tuple(pairs))


def _text(fields: Mapping[str, Value], key: str) -> str:
    value = fields.get(key)
    return value.string_value if value is not None else ""


def _count(fields: Mapping[str, Value], key: str) -> int | None:
    """Return a count given as a number or as its text; None when absent, negative, above `MAX_TOKENS` or no number."""
    value = fields.get(key)
    if value is None:
        return None
    if value.HasField("number_value"):
        number = value.number_value
    else:
        try:
            number = float(value.string_value)
        except ValueError:
            return None
    # NaN fails every comparison.
    return int(number) if 0 <= number <= MAX_TOKENS else None
