"""The request's body for one attempt: its model and its output limit.

Each try starts again from the body that DECIDE made.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import orjson

from extproc.decide.attempts import CarriedAttempt, CarriedPlan
from extproc.decide.plan import Plan
from extproc.facts.completions import DEFAULT_MAX_TOKENS
from extproc.facts.json_body import read_object
from extproc.facts.request import Api
from extproc.protocol import names
from extproc.protocol.members import with_member, with_member_added

_LIMITS: Final[Mapping[Api, tuple[str, ...]]] = MappingProxyType(
    {
        Api.CHAT_COMPLETIONS: ("max_tokens", "max_completion_tokens"),
        Api.COMPLETIONS: ("max_tokens",),
        Api.RESPONSES: ("max_output_tokens",),
        Api.MESSAGES: ("max_tokens",),
    }
)
"""Fields that limit the output, by API; the first is added where a body has none."""


def body_for_all(body: bytes, plan: Plan, api: Api) -> bytes | None:
    """Return the body that DECIDE hands to Envoy; None when the client's serves every attempt.

    It names the model of the first attempt. On a plain cluster, whose instances have one limit, it has that limit; in the
    union cluster the ATTEMPT filter gives each try its own.

    Raises:
        ValueError: The body has no top-level `model` to replace.
    """
    limit = None if plan.route_cluster == names.UNION_CLUSTER else plan.attempts[0].max_tokens
    if plan.model is None and limit is None:
        return None
    if plan.model is not None:
        body = with_model(body, plan.model)
    return body if limit is None else with_output_limit(body, api, limit)


def body_for_try(body: bytes, plan: CarriedPlan, attempt: CarriedAttempt) -> bytes:
    """Return the body for one try, made from DECIDE's.

    Raises:
        ValueError: The body has no top-level `model` to replace.
    """
    if attempt.model != plan.attempts[0].model:
        body = with_model(body, attempt.model)
    return body if attempt.max_tokens is None else with_output_limit(body, plan.api, attempt.max_tokens)


def is_tailored(plan: CarriedPlan, attempt: CarriedAttempt) -> bool:
    """Tell whether the attempt needs a body other than DECIDE's."""
    return attempt.max_tokens is not None or attempt.model != plan.attempts[0].model


def with_model(body: bytes, model: str) -> bytes:
    """Return the body with another model; see `with_member` for what it must be.

    Raises:
        ValueError: The body has no top-level `model`.
    """
    return with_member(body, "model", orjson.dumps(model))


def with_output_limit(body: bytes, api: Api, limit: int) -> bytes:
    """Return the body with its output limited to `limit` tokens: a smaller limit of the client's stays."""
    fields = _LIMITS.get(api)
    if fields is None:
        return body
    document = read_object(body)
    value = b"%d" % limit
    given = [name for name in fields if document.get(name) is not None]
    if not given:
        default = DEFAULT_MAX_TOKENS if api is Api.COMPLETIONS and fields[0] not in document else limit + 1
        return with_member_added(body, fields[0], value) if limit < default else body
    for name in given:
        if _exceeds(document[name], limit):
            body = with_member(body, name, value)
    return body


def _exceeds(given: object, limit: int) -> bool:
    """Compare as vLLM reads the field: `"4096"` and 4096.0 are integers to it; what is no number it refuses."""
    if not isinstance(given, int | float | str):
        return False
    try:
        return float(given) > limit
    except (ValueError, OverflowError):
        return False
