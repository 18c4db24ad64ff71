"""The compact header by which DECIDE tells the ATTEMPT filter of its plan, whichever replica serves it.

A version, then `key=value` fields, separated by `;`:

    1;overflow=10.0.0.1:8000,10.0.0.2:8000
    2;api=chat_completions;verify=1;start=1790000000000;try=10.0.0.1:8000|qwen|0.6|512|o;try=10.0.0.3:8000|llama|0.4||

Version 1 says only whose context-length rejection is retried. Version 2 has a `try` per attempt (address, model, chance,
output limit, flags; log odds and slope of the model where they are known) and what judging its answer takes. A reader skips fields that it does not know and treats a text
that it cannot read as the absence of a plan, so that replicas of two versions can serve one request.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from urllib.parse import quote, unquote

from extproc.decide.attempts import NO_PLAN, CarriedAttempt, CarriedPlan, CarriedSpec
from extproc.decide.first_correct import Objective
from extproc.decide.plan import Attempt, Plan, TokenBudget
from extproc.estimate.quality.coupling import Ability
from extproc.facts.request import Api, RequestFacts
from extproc.protocol import names

_OVERFLOW_ONLY = "1"
_WHOLE_PLAN = "2"
_OVERFLOW_FLAG = "o"
_PLAIN_CHARACTERS = "/:@+,~"
"""Besides letters, digits and `_.-`: what a model's name keeps, since it separates nothing in this header."""

_LONGEST_SPEC = 2048
_ABILITY_FIELDS = 2
_MOST_LOG_ODDS = 100.0
_MOST_SLOPE = 20.0
"""Far beyond what any fit says, so that no chance is exactly 0 or 1."""


def encode_attempt_plan(plan: Plan, facts: RequestFacts, spec: CarriedSpec | None) -> str:
    """Return the header's text; empty when the ATTEMPT filter has nothing to do for this plan.

    `spec` is what answers of a verified plan must meet; without it they are verified with the request's body at hand.
    """
    if plan.is_verified or _is_tailored(plan):
        return ";".join((_WHOLE_PLAN, *_fields(plan, facts, spec)))
    if plan.overflow_addresses:
        return f"{_OVERFLOW_ONLY};overflow={','.join(plan.overflow_addresses)}"
    return ""


def decode_attempt_plan(text: str) -> CarriedPlan:
    """Return the plan; `NO_PLAN` for a text that is empty, malformed or of another version."""
    version, _, rest = text.partition(";")
    fields = [(key, value) for key, _, value in (field.partition("=") for field in rest.split(";"))]
    try:
        if version == _OVERFLOW_ONLY:
            return _read_overflow(dict(fields).get("overflow", ""))
        if version == _WHOLE_PLAN:
            return _read_plan(dict(fields), [value for key, value in fields if key == "try"])
    except ValueError:
        return NO_PLAN
    return NO_PLAN


def _is_tailored(plan: Plan) -> bool:
    """Tell whether some attempt needs a body of its own; a plan in one plain cluster never does."""
    if plan.budget is None or plan.route_cluster != names.UNION_CLUSTER:
        return False
    model = plan.attempts[0].model
    return any(attempt.model != model or attempt.max_tokens is not None for attempt in plan.attempts)


def _fields(plan: Plan, facts: RequestFacts, spec: CarriedSpec | None) -> Iterator[str]:
    yield f"api={facts.api}"
    yield f"retries={plan.max_retries}"
    if plan.is_verified:
        yield "verify=1"
        # What a client demands can be larger than a header may be; the request's body is there instead.
        if spec is None or spec.needs_request or len(spec.text) > _LONGEST_SPEC:
            yield "body=1"
        else:
            yield f"spec={quote(spec.text, safe=_PLAIN_CHARACTERS)}"
    yield from _flags(facts)
    if plan.decided_unix_ms:
        yield f"start={plan.decided_unix_ms - round(plan.elapsed_seconds * 1000)}"
    yield f"deadline={plan.elapsed_seconds + plan.timeout_seconds:.3f}"
    if plan.ability is not None:
        yield f"ability={plan.ability[0]:.4g},{plan.ability[1]:.4g}"
    if plan.objective is not None:
        values = (
            plan.objective.worth_seconds,
            plan.objective.congestion_weight,
            plan.objective.seconds_per_usd,
        )
        yield f"objective={','.join(f'{value:.6g}' for value in values)}"
    if facts.choices > 1:
        yield f"choices={facts.choices}"
    yield from _token_fields(plan.budget)
    for attempt in plan.attempts:
        yield _write_try(attempt, attempt.address in plan.overflow_addresses)


def _flags(facts: RequestFacts) -> Iterator[str]:
    if facts.session:
        yield "session=1"
    if facts.subset is not None:
        yield "bound=1"
    if facts.is_deterministic:
        yield "same=1"


def _token_fields(budget: TokenBudget | None) -> Iterator[str]:
    if budget is not None:
        yield f"prompt={budget.prompt_tokens}"
        # What is merely provided for limits no answer.
        if budget.output_is_given:
            yield f"limit={budget.output_tokens}"


def _write_try(attempt: Attempt, retries_overflow: bool) -> str:
    chance = "" if attempt.chance is None else f"{attempt.chance:.4g}"
    limit = "" if attempt.max_tokens is None else str(attempt.max_tokens)
    flags = _OVERFLOW_FLAG if retries_overflow else ""
    fields = [attempt.address, quote(attempt.model, safe=_PLAIN_CHARACTERS), chance, limit, flags]
    if attempt.ability is not None:
        fields += [f"{attempt.ability.log_odds:.4g}", f"{attempt.ability.slope:.4g}"]
    return f"try={'|'.join(fields)}"


def _read_overflow(addresses: str) -> CarriedPlan:
    attempts = tuple(
        CarriedAttempt(address=address.strip(), retries_overflow=True)
        for address in addresses.split(",")
        if address.strip()
    )
    # Their last one has a successor too: the plan's last attempt is never on this list.
    return CarriedPlan(attempts=attempts, max_retries=len(attempts)) if attempts else NO_PLAN


def _read_plan(fields: dict[str, str], tries: list[str]) -> CarriedPlan:
    """Build the plan.

    Raises:
        ValueError: A field is malformed, or there is no attempt.
    """
    attempts = tuple(map(_read_try, tries))
    if not attempts:
        raise ValueError("no attempt")
    prompt_tokens, limit = fields.get("prompt"), fields.get("limit")
    deadline = fields.get("deadline")
    return CarriedPlan(
        attempts=attempts,
        max_retries=int(fields.get("retries", len(attempts) - 1)),
        is_verified=fields.get("verify") == "1",
        needs_request=fields.get("body") == "1",
        spec=unquote(fields.get("spec", "")),
        is_marked=True,
        api=Api(fields.get("api", Api.OTHER)),
        has_session=fields.get("session") == "1",
        started_unix_ms=int(fields.get("start", 0)),
        deadline_seconds=_read_number(deadline) if deadline else None,
        ability=_read_pair(fields.get("ability")),
        objective=_read_objective(fields.get("objective")),
        prompt_tokens=int(prompt_tokens) if prompt_tokens else None,
        output_limit_tokens=int(limit) if limit else None,
        choices=max(1, int(fields.get("choices", 1))),
        is_deterministic=fields.get("same") == "1",
        is_bound=fields.get("bound") == "1",
    )


def _read_try(text: str) -> CarriedAttempt:
    address, model, chance, limit, flags, *more = text.split("|")
    if not address:
        raise ValueError("an attempt without an address")
    return CarriedAttempt(
        address=address,
        model=unquote(model),
        chance=_read_number(chance) if chance else None,
        max_tokens=int(limit) if limit else None,
        retries_overflow=_OVERFLOW_FLAG in flags,
        ability=_read_ability(more[0], more[1]) if len(more) >= _ABILITY_FIELDS else None,
    )


def _read_ability(log_odds: str, slope: str) -> Ability:
    found = Ability(_read_number(log_odds), _read_number(slope))
    if abs(found.log_odds) > _MOST_LOG_ODDS or not 0.0 <= found.slope <= _MOST_SLOPE:
        raise ValueError("not the log odds and the slope of a model")
    return found


def _read_pair(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    first, second = text.split(",")
    return _read_number(first), _read_number(second)


def _read_objective(text: str | None) -> Objective | None:
    if text is None:
        return None
    worth, congestion, per_usd = map(_read_number, text.split(","))
    return Objective(worth_seconds=worth, congestion_weight=congestion, seconds_per_usd=per_usd)


def _read_number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number
