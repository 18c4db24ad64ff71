"""An explanation as plain records: what `--json` prints, and what the tables are drawn from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate.

    Attributes:
        expected: Mean or median.
        low: Lower end; None when only the upper one is estimated.
        high: Upper end.
    """

    expected: float
    low: float | None
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One term of a score, in the score's unit."""

    name: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateView:
    """One model on one instance.

    Attributes:
        address: `ip:port`.
        model: Its model.
        pool: Its pool.
        sequences: Sequences running or waiting.
        is_suspect: True when it failed lately.
        chance: P(correct); `low` and `high` for a question harder, and easier, than nine in ten.
        verdicts: Judged answers that the chance rests on, beside its prior.
        output_tokens: What the forecast reckons with, 5 % and 95 % of one answer, within the client's limit.
        ttft_seconds: Time to the first token, and its 95 % upper bound.
        total_seconds: Time to the last token, and its 95 % upper bound.
        caused_seconds: Delay caused to others.
        usd: Price at the expected output, and at its 5 % and 95 %.
        terms: The score's terms, empty when the policy has none.
        score: Their sum, or the key that is sorted by; None when the policy looks at nothing.
        place: Position in the plan, from 1; None when it is not part of it.
    """

    address: str
    model: str
    pool: str
    sequences: float
    is_suspect: bool
    chance: Interval
    verdicts: int
    output_tokens: Interval
    ttft_seconds: Interval
    total_seconds: Interval
    caused_seconds: float
    usd: Interval
    terms: tuple[Term, ...]
    score: float | None
    place: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """Instances that were not weighed, and why."""

    addresses: tuple[str, ...]
    model: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptView:
    """One attempt of the plan.

    Attributes:
        address: `ip:port`.
        model: Its model.
        when: When it is made.
        chance: P(correct) given that all earlier attempts failed; None when nobody estimated it.
        reached: Chance that it is made for a wrong answer before it; None when it only stands in.
        is_worth_it: True when it adds to the plan's worth at the present load; None when that was not weighed.
        latency_seconds: Predicted, with its 95 % upper bound; None when nobody estimated it.
        usd: Predicted price; None when nobody estimated it.
        max_tokens: Output tokens at which the answer is cut, and the next attempt follows; None to let it end.
    """

    address: str
    model: str
    when: str
    max_tokens: int | None
    chance: float | None
    reached: float | None
    is_worth_it: bool | None
    latency_seconds: Interval | None
    usd: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanView:
    """The plan.

    Attributes:
        attempts: In order.
        max_retries: Retries that Envoy may make.
        timeout_seconds: For the whole.
        per_try_timeout_seconds: For one try; None without a bound.
        hedges: True when a try beyond its bound is raced instead of given up.
        cluster: Envoy cluster that the route takes.
        is_verified: True when each answer is verified before the client gets it.
        reason: The router's own words.
        wish: What became of the client's wish; empty when it had none.
        chance: P(some attempt is correct); None when unknown.
        expected_seconds: Expected time until the last attempt that is made ended; None when unknown.
        expected_usd: Expected price, retries included; None when unknown.
    """

    attempts: tuple[AttemptView, ...]
    max_retries: int
    timeout_seconds: float
    per_try_timeout_seconds: float | None
    hedges: bool
    cluster: str
    is_verified: bool
    reason: str
    wish: str
    chance: float | None
    expected_seconds: float | None
    expected_usd: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that could be otherwise, and what the plan would be then.

    Attributes:
        what: What would be otherwise.
        plan: The plan then, in a line; empty when it stays as it is.
    """

    what: str
    plan: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a request goes where it goes.

    Attributes:
        about: A word on the request.
        request: Its facts, a line each.
        policy: Name of the policy.
        rule: What the policy prefers, in a line.
        score: Name of the score and which end of it is better; empty when the policy has none.
        pool: Which pool, and why, in a line.
        candidates: Who was weighed, best first.
        left_out: Candidates beyond those listed.
        exclusions: Who was not weighed.
        plan: None when the request is refused.
        refusal: Status, reason and message of the refusal; empty otherwise.
        changes: What would change it.
        knowledge: What the estimates rest on, in a line.
    """

    about: str
    request: tuple[str, ...]
    policy: str
    rule: str
    score: str
    pool: str
    candidates: tuple[CandidateView, ...]
    left_out: int
    exclusions: tuple[Exclusion, ...]
    plan: PlanView | None
    refusal: str
    changes: tuple[Change, ...]
    knowledge: str
