"""Where a plan stands at one of its tries: which attempt is made, which ones were, and where Envoy's list of hosts leads."""

from __future__ import annotations

from dataclasses import dataclass, replace

from extproc.decide.attempts import NO_PLAN, CarriedAttempt, CarriedPlan, Following
from extproc.protocol.naming import Naming


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One try of a plan.

    Attributes:
        plan: What travelled with the request.
        attempt: The plan's attempt that the try makes, perhaps on another instance.
        position: Its index.
        host: Index in the list of the host that makes it, or would have without a name.
        number: Upstream tries of the request so far, this one included; at least 1.
        hosts_used: Hosts of the plan's list that Envoy has used up.
        made: Indexes of the attempts that were made, in order; this one is the last.
        rejected: Those of them whose answers were found wrong before this try.
        is_again: True when the attempt was made before, and failed.
        was_named: True when some try of the request was named.
    """

    plan: CarriedPlan
    attempt: CarriedAttempt
    position: int
    host: int
    number: int
    hosts_used: int
    made: tuple[int, ...]
    rejected: tuple[int, ...] = ()
    is_again: bool = False
    was_named: bool = False

    @property
    def is_last(self) -> bool:
        """True when the plan holds no further attempt, or Envoy may not make one."""
        return not self.plan.remaining(self.made) or self.number > self.plan.max_retries

    @property
    def rejected_with_this(self) -> tuple[int, ...]:
        """Indexes of the attempts whose answers were found wrong when this try's is."""
        return (*(one for one in self.rejected if one != self.position), self.position)

    def stand_in(self) -> Following | None:
        """Return what follows if this try fails, where Envoy's list of hosts leads to an attempt that is over."""
        if self.is_last or not self._is_over(self.hosts_used):
            return None
        return self._after_failure(self.position, self.attempt.address, self.made, is_again=self.is_again)

    def roomier(self) -> Following | None:
        """Return the attempt that a rejected length leads to; None when it travels without those that follow."""
        host = self.host + 1
        if not self.plan.is_marked or host >= len(self.plan.attempts) or self._is_over(host):
            return None
        position = self.plan.attempt_at(host)
        return Following(attempt=_at_host(self.plan.attempts[position], self.plan, host), position=position)

    def naming(self, following: Following) -> Naming | None:
        """Say how Envoy is sent to the attempt that follows; None when its list of hosts leads there by itself.

        Once a try was named all that follow are: which attempts are over can no longer be told from the host.
        """
        attempt, position = following.attempt, following.position
        planned = self.plan.attempts[position]
        if not self.was_named and self._leads_to(following) and planned.max_tokens == attempt.max_tokens:
            return None
        stand_in = self._after_failure(
            position, attempt.address, (*self.made, position), is_again=position in self.made
        )
        return Naming(
            address=attempt.address,
            position=position,
            number=self.number + 1,
            hosts_used=self.hosts_used,
            made=self.made,
            chance=attempt.chance,
            max_tokens=attempt.max_tokens,
            stand_in="" if stand_in is None or self._leads_to(stand_in) else stand_in.attempt.address,
        )

    def _leads_to(self, following: Following) -> bool:
        """True when the next host of Envoy's list is where an attempt is made."""
        hosts = self.plan.attempts
        return self.hosts_used < len(hosts) and hosts[self.hosts_used].address == following.attempt.address

    def _is_over(self, host: int) -> bool:
        """True when a host of the list makes an attempt that is over once this try has failed.

        Another instance of this try's model is not: nobody there gave an answer.
        """
        if host >= len(self.plan.attempts):
            return False
        position = self.plan.attempt_at(host)
        if position == self.position:
            return self.plan.attempts[host].address == self.attempt.address
        return position in self.made

    def _after_failure(
        self, position: int, address: str, made: tuple[int, ...], *, is_again: bool
    ) -> Following | None:
        """Return what follows if the attempt at `position`, made at `address`, gives no answer.

        The host that was planned for it, when it is made elsewhere; else the first attempt that is left; None when none is.
        """
        if is_again or self.plan.attempts[position].address == address:
            remaining = self.plan.remaining(made)
            if not remaining:
                return None
            position = remaining[0]
        return Following(attempt=self.plan.attempt_after(position, self.rejected), position=position)


NOWHERE = Place(
    plan=NO_PLAN, attempt=CarriedAttempt(address=""), position=0, host=0, number=1, hosts_used=0, made=()
)
"""A try that nothing is asked of."""


def find_place(
    plan: CarriedPlan, *, address: str, number: int | None, naming: Naming, rejected: tuple[int, ...]
) -> Place | None:
    """Find which of a plan's attempts is made at `address`; None when none is.

    Args:
        plan: What travelled with the request.
        address: Where this try is made.
        number: Upstream tries of the request so far, this one included; None when Envoy does not say.
        naming: The instance that was named last.
        rejected: Indexes of the attempts whose answers were found wrong.
    """
    count = len(plan.attempts)
    rejected = tuple(one for one in rejected if one < count)
    listed = plan.position_of(address)
    if naming.number == number and naming.address == address and naming.position < count:
        position = host = naming.position
        hosts_used = naming.hosts_used
        attempt = replace(
            plan.attempts[position], address=address, chance=naming.chance, max_tokens=naming.max_tokens
        )
    elif listed is None:
        return None
    else:
        host, position = listed, plan.attempt_at(listed)
        attempt = plan.attempt_after(position, rejected)
        # Envoy was sent past its list of hosts, because the named instance could not be reached.
        is_stand_in = naming.stand_in == address and naming.number + 1 == number
        hosts_used = naming.hosts_used if is_stand_in else host + 1
    was_named = naming.number > 0
    before = _made_before(plan, number, naming) if was_named else plan.before(host)
    return Place(
        plan=plan,
        attempt=attempt if listed is None else _at_host(attempt, plan, listed),
        position=position,
        host=host,
        number=host + 1 if number is None else number,
        hosts_used=hosts_used,
        made=(*(one for one in before if one != position and one < count), position),
        rejected=rejected,
        is_again=position in before,
        was_named=was_named,
    )


def _at_host(attempt: CarriedAttempt, plan: CarriedPlan, host: int) -> CarriedAttempt:
    """Return an attempt as it is made at a host of the list, which may have more room than the planned one."""
    planned = plan.attempts[host]
    if (planned.address, planned.retries_overflow) == (attempt.address, attempt.retries_overflow):
        return attempt
    return replace(attempt, address=planned.address, retries_overflow=planned.retries_overflow)


def _made_before(plan: CarriedPlan, number: int | None, naming: Naming) -> tuple[int, ...]:
    """Return the attempts that were made before this try, once a try was named.

    One whose named instance could not be reached was made if it had been planned there; else its planned host is left.
    """
    is_over = number is not None and naming.number < number and naming.position < len(plan.attempts)
    if is_over and plan.attempts[naming.position].address == naming.address:
        return (*naming.made, naming.position)
    return naming.made
