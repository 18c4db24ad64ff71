"""The load book: who has what in flight, dead-reckoned between scrapes and corrected by them.

Three sources are combined. A decision charges its instance at once, and a raced one its next instance when the race is
due: nobody reports that Envoy began one. Envoy's access log releases a request, or moves it when a try failed and Envoy
went on to the next instance. A scrape reports what the instance itself counts; the difference
to our own count (other replicas, other clients) is added, fading with the scrape's age, so that a stale scrape is
trusted less and never all or nothing.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np

from extproc.fleet.snapshot import Bools, FleetSnapshot, FleetTable, Floats
from extproc.fleet.topology import Fleet
from extproc.fleet.vllm_metrics import InstanceMetrics

FOREIGN_FADE_SECONDS = 3.0
"""Time constant with which the correction from a scrape fades: three scrape intervals."""

SUSPECT_FIRST_SECONDS = 1.0
SUSPECT_MOST_SECONDS = 30.0
"""An instance that failed is the last resort for this long, doubling with each failure in a row.

A failure belongs to the row when it comes before the instance has been trusted again for as long as it was suspect.
"""

USUAL_SECONDS = 30.0
"""Time constant of the mean of the sequences: long against one answer, short against the hours of a day's load."""

UNREACHABLE_SCRAPES = 2
"""Refused scrapes in a row after which an instance counts as unreachable, until one is not refused or a try is answered."""


def _suspect_seconds(failures: int) -> float:
    return min(SUSPECT_MOST_SECONDS, SUSPECT_FIRST_SECONDS * 2.0 ** min(failures - 1, 10))


@dataclass(slots=True)
class _InFlight:
    """A request: the hosts of its plan, how many of them were tried, and on which of these a try is under way."""

    addresses: tuple[str, ...]
    running: list[str]
    tried: int
    hedge_seconds: float | None
    request_id: str
    sequences: int
    prompt_tokens: int
    output_tokens: int
    expires_at: float

    def name_next(self, address: str) -> None:
        """Put an instance before those that are still to come, unless it is the next of them."""
        made, to_come = self.addresses[: self.tried], self.addresses[self.tried :]
        if not to_come or to_come[0] != address:
            self.addresses = (*made, address, *to_come)


class LoadBook:
    """What every instance has to do, as far as it can be known from here.

    Time is a number of seconds on any monotonic clock, given by the caller.
    """

    def __init__(self, fleet: Fleet) -> None:
        self.table = FleetTable.of(fleet)
        self.expired = 0
        self._in_flight: dict[str, _InFlight] = {}
        self._by_request: dict[str, set[str]] = {}
        self._races: list[tuple[float, str, int]] = []
        self._assignments = 0
        self._allocate(len(self.table))

    def _allocate(self, rows: int) -> None:
        self._sequences = np.zeros(rows)
        self._usual = np.zeros(rows)
        self._sequence_seconds = np.zeros(rows)
        self._usual_at = 0.0
        self._counted_at = np.zeros(rows)
        self._output_tokens = np.zeros(rows)
        self._backlog = np.zeros(rows)
        self._backlog_at = 0.0
        self._foreign = np.zeros(rows)
        self._scraped_at = np.full(rows, -np.inf)
        self._kv_capacity = np.full(rows, np.inf)
        self._kv_used = np.zeros(rows)
        self._preemptions = np.full(rows, np.nan)
        self._preemption_share = np.zeros(rows)
        self._refused = np.zeros(rows, dtype=np.int64)
        self._failures = np.zeros(rows, dtype=np.int64)
        self._suspect_until = np.full(rows, -np.inf)
        self._last_assigned = np.zeros(rows, dtype=np.int64)

    # -- decisions -----------------------------------------------------------------------------------------------

    def charge(
        self,
        decision_id: str,
        *,
        addresses: tuple[str, ...],
        request_id: str,
        sequences: int,
        prompt_tokens: int,
        output_tokens: int,
        now: float,
        expires_at: float,
        hedge_seconds: float | None = None,
    ) -> None:
        """Enter a decision: the request is in flight on the first of `addresses`, the hosts of its plan in order.

        It stays there until it is advanced or released, or at the latest until `expires_at`. A try that has been under way
        for `hedge_seconds` is raced by the plan's next one; None when tries are not raced.
        """
        entry = _InFlight(
            addresses,
            [],
            0,
            hedge_seconds,
            request_id,
            sequences,
            prompt_tokens,
            output_tokens,
            expires_at,
        )
        self._in_flight[decision_id] = entry
        if request_id:
            self._by_request.setdefault(request_id, set()).add(decision_id)
        self._drain_backlog(now)
        self._begin_try(decision_id, entry, now)

    def advance(
        self, decision_id: str, failed_address: str, next_address: str | None = None, *, now: float
    ) -> bool:
        """Charge the plan's next instance after a try ended; False when the entry is elsewhere, gone or at its end.

        The next one may have been charged before, in a race; then the end of the try is all that is noted. An instance
        that is named by `next_address` comes before the rest of the plan's.
        """
        entry = self._in_flight.get(decision_id)
        if entry is None or failed_address not in entry.running:
            return False
        if next_address is not None:
            entry.name_next(next_address)
        # Envoy goes on after the try that it began last: an earlier one was followed when the race began.
        is_followed = entry.addresses[entry.tried - 1] != failed_address
        if not is_followed and entry.tried == len(entry.addresses):
            return False
        self._end_try(entry, failed_address, now)
        if not is_followed:
            self._drain_backlog(now)
            self._begin_try(decision_id, entry, now)
        return True

    def release(self, decision_id: str, request_id: str = "", *, now: float) -> bool:
        """End a request by its decision, or every decision of its request id when the decision is not known."""
        if decision_id:
            return self._remove(decision_id, now)
        removed = [self._remove(found, now) for found in tuple(self._by_request.get(request_id, ()))]
        return any(removed)

    def expire(self, now: float) -> int:
        """Release what should have ended by `now`; the number of entries is also added to `expired`."""
        overdue = [key for key, entry in self._in_flight.items() if entry.expires_at <= now]
        for decision_id in overdue:
            self._remove(decision_id, now)
        self.expired += len(overdue)
        return len(overdue)

    @property
    def in_flight(self) -> int:
        """Number of requests in flight."""
        return len(self._in_flight)

    def sequences_by_address(self) -> dict[str, int]:
        """Our own sequences in flight, by instance, without what scrapes add."""
        return {a: int(n) for a, n in zip(self.table.addresses, self._sequences, strict=True)}

    def sequence_seconds_on(self, address: str, now: float) -> float | None:
        """Integral of an instance's sequences up to `now`; None for an address that is not in the fleet."""
        row = self.table.row_by_address.get(address)
        if row is None:
            return None
        self._count(row, now)
        return float(self._sequence_seconds[row])

    def _remove(self, decision_id: str, now: float) -> bool:
        entry = self._in_flight.pop(decision_id, None)
        if entry is None:
            return False
        siblings = self._by_request.get(entry.request_id)
        if siblings is not None:
            siblings.discard(decision_id)
            if not siblings:
                del self._by_request[entry.request_id]
        for address in tuple(entry.running):
            self._end_try(entry, address, now)
        return True

    def _begin_try(self, decision_id: str, entry: _InFlight, at: float) -> None:
        """Charge the plan's next instance, which exists, prompt included; a race against it is due when it takes too long."""
        address = entry.addresses[entry.tried]
        entry.running.append(address)
        entry.tried += 1
        row = self.table.row_by_address.get(address)
        if row is not None:
            self._count(row, at)
        self._add(entry, address, 1)
        if row is not None:
            self._backlog[row] += entry.prompt_tokens
            self._assignments += 1
            self._last_assigned[row] = self._assignments
        if entry.hedge_seconds is not None and entry.tried < len(entry.addresses):
            heapq.heappush(self._races, (at + entry.hedge_seconds, decision_id, entry.tried))

    def _end_try(self, entry: _InFlight, address: str, at: float) -> None:
        entry.running.remove(address)
        row = self.table.row_by_address.get(address)
        if row is not None:
            self._count(row, at)
        self._add(entry, address, -1)

    def _count(self, row: int, now: float) -> None:
        """Add up an instance's sequences until now, before their number changes."""
        elapsed = now - self._counted_at[row]
        if elapsed > 0.0:
            fade = math.exp(min(0.0, self._scraped_at[row] - now) / FOREIGN_FADE_SECONDS)
            sequences = max(0.0, self._sequences[row] + self._foreign[row] * fade)
            self._sequence_seconds[row] += elapsed * sequences
            self._counted_at[row] = now

    def _begin_races(self, now: float) -> None:
        """Charge who is racing by now."""
        while self._races and self._races[0][0] <= now:
            due, decision_id, tried = heapq.heappop(self._races)
            entry = self._in_flight.get(decision_id)
            if entry is not None and entry.tried == tried:
                self._begin_try(decision_id, entry, due)

    def _add(self, entry: _InFlight, address: str, sign: int) -> None:
        row = self.table.row_by_address.get(address)
        if row is not None:
            self._sequences[row] += sign * entry.sequences
            self._output_tokens[row] += sign * entry.sequences * entry.output_tokens

    def _drain_backlog(self, now: float) -> None:
        elapsed = max(0.0, now - self._backlog_at)
        self._backlog_at = max(self._backlog_at, now)
        if elapsed:
            np.maximum(self._backlog - elapsed * self.table.prefill_tokens_per_second, 0.0, out=self._backlog)

    # -- observations --------------------------------------------------------------------------------------------

    def observe(self, address: str, metrics: InstanceMetrics, now: float) -> None:
        """Correct the book by a scrape that was answered at `now`."""
        self._begin_races(now)
        row = self.table.row_by_address.get(address)
        if row is None:
            return
        self._count(row, now)
        self._foreign[row] = metrics.running + metrics.waiting - self._sequences[row]
        self._scraped_at[row] = now
        self._refused[row] = 0
        self._kv_capacity[row] = metrics.kv_capacity_tokens or np.inf
        self._kv_used[row] = metrics.kv_usage * (metrics.kv_capacity_tokens or 0)
        before = self._preemptions[row]
        preempted = metrics.preemptions_total - before if metrics.preemptions_total >= before else 0.0
        self._preemption_share[row] = min(1.0, preempted / max(1.0, metrics.running))
        self._preemptions[row] = metrics.preemptions_total

    def observe_refused(self, address: str) -> None:
        """Note that nobody listens at `address`: the scrape's connection was refused or reset."""
        row = self.table.row_by_address.get(address)
        if row is not None:
            self._refused[row] += 1

    def observe_unread(self, address: str) -> None:
        """Note a scrape that gave no figures, yet was not refused: whether anybody can be served there, tries will tell."""
        row = self.table.row_by_address.get(address)
        if row is not None:
            self._refused[row] = 0

    def observe_failure(self, address: str, now: float) -> None:
        """Note a failed try; the instance is the last resort for a while, doubling with each failure in a row."""
        row = self.table.row_by_address.get(address)
        if row is None:
            return
        if now - self._suspect_until[row] > _suspect_seconds(int(self._failures[row])):
            self._failures[row] = 0
        self._failures[row] += 1
        self._suspect_until[row] = now + _suspect_seconds(int(self._failures[row]))

    def observe_success(self, address: str) -> None:
        """Note an answered try: the instance is no longer suspect."""
        row = self.table.row_by_address.get(address)
        if row is not None:
            self._failures[row] = 0
            self._refused[row] = 0
            self._suspect_until[row] = -np.inf

    def suspects(self, now: float) -> frozenset[str]:
        """Addresses of the instances that are the last resort at `now`."""
        return frozenset(self.table.addresses[row] for row in np.flatnonzero(self._suspect(now)).tolist())

    def _suspect(self, now: float) -> Bools:
        suspect: Bools = (self._suspect_until > now) | (self._refused >= UNREACHABLE_SCRAPES)
        return suspect

    def scrape_age_seconds(self, now: float) -> dict[str, float]:
        """Age of the last scrape by instance; infinite where there was none."""
        return {a: float(now - t) for a, t in zip(self.table.addresses, self._scraped_at, strict=True)}

    # -- reading -------------------------------------------------------------------------------------------------

    def snapshot(self, now: float) -> FleetSnapshot:
        """The fleet's load at `now`; later changes to the book do not show in it."""
        self._begin_races(now)
        self._drain_backlog(now)
        fade = np.exp(np.minimum(0.0, self._scraped_at - now) / FOREIGN_FADE_SECONDS)
        sequences = np.maximum(0.0, self._sequences + self._foreign * fade)
        self._average(sequences, now)
        return FleetSnapshot(
            table=self.table,
            sequences=sequences,
            sequence_seconds=self._sequence_seconds.copy(),
            usual_sequences=self._usual.copy(),
            mean_output_tokens=self._output_tokens / np.maximum(1.0, self._sequences),
            prefill_backlog_tokens=self._backlog.copy(),
            kv_free_tokens=self._kv_capacity - self._kv_used * fade,
            preemption_share=self._preemption_share * fade,
            usable=self.table.in_service,
            suspect=self._suspect(now),
            last_assigned=self._last_assigned.copy(),
        )

    def _average(self, sequences: Floats, now: float) -> None:
        """Add up the sequences until now, and move the mean towards what is there since the last look."""
        self._sequence_seconds += np.maximum(0.0, now - self._counted_at) * sequences
        np.maximum(self._counted_at, now, out=self._counted_at)
        elapsed = max(0.0, now - self._usual_at)
        self._usual_at = max(self._usual_at, now)
        if elapsed:
            self._usual += -math.expm1(-elapsed / USUAL_SECONDS) * (sequences - self._usual)

    # -- reconfiguration -----------------------------------------------------------------------------------------

    def replace_fleet(self, fleet: Fleet) -> None:
        """Take over a new fleet; instances that stay keep their load and history, requests stay in flight."""
        old, table = self.table, FleetTable.of(fleet)
        kept = [
            (row, old.row_by_address[address])
            for address, row in table.row_by_address.items()
            if address in old.row_by_address
        ]
        to_rows = np.array([new for new, _ in kept], dtype=np.int64)
        from_rows = np.array([before for _, before in kept], dtype=np.int64)
        arrays = {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        backlog_at, usual_at = self._backlog_at, self._usual_at
        self.table = table
        self._allocate(len(table))
        self._counted_at[:] = usual_at
        for name, before in arrays.items():
            getattr(self, name)[to_rows] = before[from_rows]
        self._backlog_at, self._usual_at = backlog_at, usual_at
        self._recount()

    def _recount(self) -> None:
        """Charge what is in flight to the rows of the current table: an instance may have come back."""
        self._sequences[:] = 0.0
        self._output_tokens[:] = 0.0
        for entry in self._in_flight.values():
            for address in entry.running:
                self._add(entry, address, 1)
