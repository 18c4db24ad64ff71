"""What of a plan travels with its request, and where a plan stands between two of its attempts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from extproc.decide.first_correct import Objective
from extproc.estimate.latency_records import LoadAtDecision
from extproc.estimate.quality.coupling import Ability, table_of, weights_after
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
        ability: What the chances of all orders follow from; None when nobody estimated it.
    """

    address: str
    model: str = ""
    chance: float | None = None
    max_tokens: int | None = None
    retries_overflow: bool = False
    ability: Ability | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedSpec:
    """What an answer must meet, as it travels in the request.

    Attributes:
        text: For the verifier of whichever replica serves the attempt.
        needs_request: True when verification takes the request's body besides.
    """

    text: str
    needs_request: bool


class Weighed(Protocol):
    """An attempt of a plan, wherever the plan is."""

    @property
    def model(self) -> str:
        """Name under which the instance serves the model."""

    @property
    def chance(self) -> float | None:
        """P(correct) given that all earlier attempts failed; None when nobody estimated it."""


def attempt_at(attempts: Sequence[Weighed], host: int) -> int:
    """Return the index of the attempt that a plan's host makes: its own, or the one whose instance it stands in for.

    A host without a chance stands in for an earlier one of its model that has one. Where no chances were looked at, each
    host makes an attempt of its own.
    """
    planned = attempts[host]
    if planned.chance is not None:
        return host
    for position, attempt in enumerate(attempts[:host]):
        if attempt.chance is not None and attempt.model == planned.model:
            return position
    return host


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedPlan:
    """What travels of a plan, so that any replica can serve its attempts.

    Attributes:
        attempts: In the order in which Envoy tries them; empty when nothing is asked of its tries. Those without a chance whose
            model an earlier one has are no attempts of their own: they stand in for its instance (`attempt_at`).
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
        output_limit_tokens: The client's own limit of output tokens; None when it named none.
        choices: Answers asked for at once, at least 1.
        is_deterministic: True when a model would give the same answer again.
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
    output_limit_tokens: int | None = None
    choices: int = 1
    is_deterministic: bool = False
    is_bound: bool = False

    @property
    def tells_chances(self) -> bool:
        """True when the plan was made by looking at chances."""
        return any(attempt.chance is not None for attempt in self.attempts)

    def position_of(self, address: str) -> int | None:
        """Return the index of the host at `address`; None when the plan does not hold it."""
        for position, attempt in enumerate(self.attempts):
            if attempt.address == address:
                return position
        return None

    def attempt_at(self, host: int) -> int:
        """Return the index of the attempt that a host of the list makes: its own, or the one that it stands in for."""
        return attempt_at(self.attempts, host)

    def before(self, host: int) -> tuple[int, ...]:
        """Return the indexes of the attempts that are made at the hosts before one, each once, in order."""
        return tuple(dict.fromkeys(map(self.attempt_at, range(host))))

    def remaining(self, made: Collection[int]) -> tuple[int, ...]:
        """Return the indexes of the attempts that are not among `made`, ascending."""
        return tuple(position for position in self.before(len(self.attempts)) if position not in made)

    def ability_at(self, position: int) -> Ability | None:
        """Return the ability of an attempt's model, as any attempt of that model tells it; None when none does."""
        model = self.attempts[position].model
        same = (attempt.ability for attempt in self.attempts if attempt.model == model)
        return next((ability for ability in same if ability is not None), None)

    def attempt_after(self, position: int, rejected: Collection[int]) -> CarriedAttempt:
        """Return an attempt with its chance once the answers of just these others were rejected.

        The plan's own chance holds after rejections of all attempts before it. One that gave no answer says nothing of
        the others; the chance is None where the abilities that it would follow from are not known.
        """
        attempt = self.attempts[position]
        if attempt.chance is None or set(rejected) == set(self.before(position)):
            return attempt
        known = [self.ability_at(one) for one in (*rejected, position)]
        abilities = [one for one in known if one is not None]
        if len(abilities) < len(known):
            return replace(attempt, chance=None)
        table = table_of(abilities)
        chance = float(table[-1] @ weights_after(table, range(len(rejected))))
        return replace(attempt, chance=chance)


NO_PLAN = CarriedPlan()
"""Every answer is passed on as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptContext:
    """A plan after a rejected answer, when another attempt is possible and has to be worth it.

    Attributes:
        decision_id: The plan's id.
        plan: The plan.
        made: Indexes of the attempts that were made, in order; the last one is that whose answer was rejected.
        rejected: Those of them whose answers were found wrong. Others gave no answer, or had no room for the prompt.
        number: Upstream tries made so far, this one included.
        reason: Why the answer was rejected.
        elapsed_seconds: Since TTCA began to count.
    """

    decision_id: str
    plan: CarriedPlan
    made: tuple[int, ...]
    rejected: tuple[int, ...]
    number: int
    reason: str
    elapsed_seconds: float

    @property
    def failed(self) -> tuple[CarriedAttempt, ...]:
        """Attempts whose answers were found wrong."""
        return tuple(self.plan.attempts[position] for position in self.rejected)

    @property
    def unanswered(self) -> tuple[int, ...]:
        """Indexes of the attempts that were made and gave no answer to judge; each can be made again elsewhere.

        Not of those that may have had no room for the prompt: elsewhere there is no more.
        """
        return tuple(
            position
            for position in self.made
            if position not in self.rejected and not self.plan.attempts[position].retries_overflow
        )

    @property
    def remaining(self) -> tuple[int, ...]:
        """Indexes of the attempts that were not made, as planned; at least one."""
        return self.plan.remaining(self.made)

    @property
    def next_attempt(self) -> CarriedAttempt:
        """The attempt that would follow as planned."""
        return self.plan.attempts[self.remaining[0]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """The attempt that follows a rejected answer.

    Attributes:
        attempt: As it is made: perhaps on another instance, and with another chance and limit, than planned.
        position: Index of the plan's attempt.
    """

    attempt: CarriedAttempt
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """What is done about a rejected answer.

    Attributes:
        following: The attempt that follows; None when the plan stops.
        reason: Why, in a word or two.
        load: The load that the attempt would meet; None when it stops, or when nobody looked.
    """

    following: Following | None
    reason: str
    load: LoadAtDecision | None = None

    @classmethod
    def as_planned(cls, context: AttemptContext, reason: str) -> Continuation:
        """Go on with the plan's next attempt, where it was planned."""
        return cls(
            following=Following(attempt=context.next_attempt, position=context.remaining[0]), reason=reason
        )

    @property
    def goes_on(self) -> bool:
        """True when another attempt follows."""
        return self.following is not None
