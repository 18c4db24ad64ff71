"""What of a plan travels with its request, and where a plan stands between two of its attempts."""

from __future__ import annotations

from dataclasses import dataclass

from extproc.decide.first_correct import Objective
from extproc.facts.request import Api


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedAttempt:
    """One attempt as it travels in the request.

    Attributes:
        address: Instance, `ip:port`.
        model: Name under which the instance serves the model; empty when the body's is right wherever it goes.
        chance: P(correct) given that all earlier attempts failed, in [0, 1]; None when nobody estimated it.
        max_tokens: Output tokens at which the answer is cut, and the next attempt follows; None to leave the body's
            limit.
        retries_overflow: True when a context-length rejection by this instance is retried on the next attempt.
    """

    address: str
    model: str = ""
    chance: float | None = None
    max_tokens: int | None = None
    retries_overflow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedSpec:
    """What an answer must meet, as it travels in the request.

    Attributes:
        text: For the verifier of whichever replica serves the attempt.
        needs_request: True when verification takes the request's body besides.
    """

    text: str
    needs_request: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedPlan:
    """What travels of a plan, so that any replica can serve its attempts.

    Attributes:
        attempts: In the order in which Envoy tries them; empty when nothing is asked of its tries.
        max_retries: Retries that Envoy may make, at least 0.
        is_verified: True when each answer is verified before the client gets it.
        needs_request: True when an answer cannot be verified without the body of the request.
        spec: What an answer must meet, as a text for the verifier; empty when unknown.
        is_marked: True when the answer tells the client who gave it: the static headers of the route cannot,
            because models differ, or because there is a verdict.
        api: API of the request.
        has_session: True when the client judges for itself and asks again.
        started_unix_ms: Milliseconds since the epoch from which TTCA counts; 0 when unknown.
        deadline_seconds: Time from there after which an answer is of no use; None when unknown.
        ability: Mean and standard deviation of the latent factor behind the chances; None when nobody estimated it.
        objective: What is weighed in place of the operator's objective; None for that one.
        prompt_tokens: Expected prompt tokens; None when unknown.
        output_tokens: Output tokens provided for; None when unknown.
        is_bound: True when no attempt may be made elsewhere than planned, because the gateway allows a subset alone.
    """

    attempts: tuple[CarriedAttempt, ...] = ()
    max_retries: int = 0
    is_verified: bool = False
    needs_request: bool = False
    spec: str = ""
    is_marked: bool = False
    api: Api = Api.OTHER
    has_session: bool = False
    started_unix_ms: int = 0
    deadline_seconds: float | None = None
    ability: tuple[float, float] | None = None
    objective: Objective | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    is_bound: bool = False

    def position_of(self, address: str) -> int | None:
        """Return the index of the attempt at `address`; None when the plan does not hold it."""
        for position, attempt in enumerate(self.attempts):
            if attempt.address == address:
                return position
        return None


NO_PLAN = CarriedPlan()
"""Every answer is passed on as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptContext:
    """A plan after a rejected answer, when another attempt is possible and has to be worth it.

    Attributes:
        decision_id: The plan's id.
        plan: The plan.
        position: Index of the attempt that was rejected; the next one exists.
        number: Upstream tries made so far, this one included.
        reason: Why the answer was rejected.
        elapsed_seconds: Since TTCA began to count.
    """

    decision_id: str
    plan: CarriedPlan
    position: int
    number: int
    reason: str
    elapsed_seconds: float

    @property
    def failed(self) -> tuple[CarriedAttempt, ...]:
        """Attempts that were made."""
        return self.plan.attempts[: self.position + 1]

    @property
    def next_attempt(self) -> CarriedAttempt:
        """The attempt that would follow."""
        return self.plan.attempts[self.position + 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """What follows a rejected answer.

    Attributes:
        attempt: The attempt that follows, perhaps on another instance than planned; None when the plan stops.
        reason: Why, in a word or two.
    """

    attempt: CarriedAttempt | None
    reason: str

    @property
    def goes_on(self) -> bool:
        """True when another attempt follows."""
        return self.attempt is not None
