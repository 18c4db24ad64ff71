"""What the simulated gateway is told to do with one request, and what came of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from extproc.decide.attempts import CarriedAttempt, attempt_at
from extproc.decide.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """The part of a plan that a gateway carries out.

    Attributes:
        decision_id: Joins what is reported with the decision.
        addresses: Instances in the order of the tries, at least `1 + max_retries`.
        max_retries: Tries beyond the first.
        timeout_seconds: For the whole; infinite without a bound.
        per_try_timeout_seconds: For one try; None when only the whole is bounded.
        hedges: True when a try that exceeds its timeout is raced by the next one instead of being given up.
        is_verified: True when a wrong answer is followed by the next try.
        overflow_addresses: Instances whose context-length rejection is followed by the next try.
        max_tokens: Output tokens at which the answer of each address is cut, None for no limit; empty for none.
        attempts: Index of the attempt that is made at each address, its own or the one that it stands in for; empty for
            its own.
    """

    decision_id: str
    addresses: tuple[str, ...]
    max_retries: int = 0
    timeout_seconds: float = math.inf
    per_try_timeout_seconds: float | None = None
    hedges: bool = False
    is_verified: bool = False
    overflow_addresses: tuple[str, ...] = ()
    max_tokens: tuple[int | None, ...] = ()
    attempts: tuple[int, ...] = ()

    @classmethod
    def of(cls, plan: Plan) -> Course:
        """Read a plan as Envoy does."""
        attempts = tuple(attempt_at(plan.attempts, host) for host in range(len(plan.attempts)))
        return cls(
            decision_id=plan.decision_id,
            addresses=tuple(attempt.address for attempt in plan.attempts),
            max_retries=plan.max_retries,
            timeout_seconds=plan.timeout_seconds,
            per_try_timeout_seconds=plan.per_try_timeout_seconds,
            hedges=plan.hedges,
            is_verified=plan.is_verified,
            overflow_addresses=plan.overflow_addresses,
            max_tokens=tuple(plan.attempts[position].max_tokens for position in attempts),
            attempts=attempts,
        )

    def attempt_at(self, host: int) -> int:
        """Index of the attempt that is made at a host."""
        return self.attempts[host] if self.attempts else host

    def limit(self, position: int) -> int | None:
        """Output tokens at which the answer of the attempt at `position` is cut; None for no limit."""
        return self.max_tokens[position] if self.max_tokens else None


@dataclass(slots=True, kw_only=True)
class Try:
    """One upstream try.

    Attributes:
        address: Instance.
        model: Model that it serves.
        attempt: The plan's attempt that it makes, as that was named when an answer was rejected; None as planned.
        position: Its index in the plan.
        started_seconds: When it was sent.
        ended_seconds: When it ended; None while it is under way.
        status: 200; 400 too long; 503 queue full; 0 when it was given up.
        output_tokens: Tokens generated, also of an answer that nobody waited for.
        is_correct: None when there was no answer; False for one that was cut.
        was_cut: True when a limit ended the answer.
    """

    address: str
    model: str
    position: int
    started_seconds: float
    attempt: CarriedAttempt | None = None
    ended_seconds: float | None = None
    status: int = 0
    output_tokens: int = 0
    is_correct: bool | None = None
    was_cut: bool = False


@dataclass(slots=True, kw_only=True)
class Report:
    """What came of a course.

    Attributes:
        course: As it was told.
        prompt_tokens: Tokens of the question's prompt.
        tries: In the order in which they were sent.
        delivered: The try whose answer the client got; None when it got an error.
        status: HTTP status that the client got.
        started_seconds: When the request came.
        ended_seconds: When its client got the last byte.
    """

    course: Course
    prompt_tokens: int
    started_seconds: float
    tries: list[Try] = field(default_factory=list)
    delivered: Try | None = None
    status: int = 0
    ended_seconds: float = 0.0
