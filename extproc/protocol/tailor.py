"""The request's body for one attempt: its model, its output limit, and always the same length.

Envoy keeps one header map for all tries of a request, so a content length that one try sets is what the next one gets,
while each try starts again from the body that DECIDE made. DECIDE therefore pads that body with spaces to the length of
the plan's longest, and every try's body has it.
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
from extproc.protocol.members import fitted, with_member, with_member_added

_LIMITS: Final[Mapping[Api, tuple[str, ...]]] = MappingProxyType(
    {
        Api.CHAT_COMPLETIONS: ("max_tokens", "max_completion_tokens"),
        Api.COMPLETIONS: ("max_tokens",),
        Api.RESPONSES: ("max_output_tokens",),
        Api.MESSAGES: ("max_tokens",),
    }
)
"""Fields that limit the output, by API; the first is added where a body has none."""

_LONGEST_LIMIT_MEMBER: Final = len(',"max_output_tokens":2147483647')


def body_for_all(body: bytes, plan: Plan, api: Api) -> bytes | None:
    """Return the body that DECIDE hands to Envoy; None when the client's serves every attempt.

    It names the model of the first attempt. Where the ATTEMPT filter will make a body for each try it is padded to
    the longest of them; on a plain cluster, whose instances have one limit, it has that limit.

    Raises:
        ValueError: The body has no top-level `model` to replace.
    """
    is_union = plan.route_cluster == names.UNION_CLUSTER
    limit = None if is_union else plan.attempts[0].max_tokens
    growth = _growth(plan) if is_union and plan.budget is not None else 0
    if plan.model is None and limit is None and not growth:
        return None
    if plan.model is not None:
        body = with_model(body, plan.model)
    if limit is not None:
        body = with_output_limit(body, api, limit)
    return fitted(body, len(body) + growth) if growth else body


def body_for_try(body: bytes, plan: CarriedPlan, attempt: CarriedAttempt) -> bytes:
    """Return the body for one try, made from DECIDE's; of the same length unless padding cannot help.

    Raises:
        ValueError: The body has no top-level `model` to replace.
    """
    tailored = body
    if attempt.model != plan.attempts[0].model:
        tailored = with_model(tailored, attempt.model)
    if attempt.max_tokens is not None:
        tailored = with_output_limit(tailored, plan.api, attempt.max_tokens)
    return fitted(tailored, len(body))


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


def _growth(plan: Plan) -> int:
    """Bytes by which the longest body of the plan may exceed the first attempt's."""
    first, *others = plan.attempts
    size = len(orjson.dumps(first.model))
    growth = max((len(orjson.dumps(attempt.model)) - size for attempt in others), default=0)
    has_limits = any(attempt.max_tokens is not None for attempt in plan.attempts)
    return max(growth, 0) + (_LONGEST_LIMIT_MEMBER if has_limits else 0)
