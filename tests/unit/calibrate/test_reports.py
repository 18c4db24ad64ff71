from __future__ import annotations

from collections.abc import Callable

import pytest

from extproc.calibrate.outcome import TryRecord
from extproc.facts.request import RequestFacts
from extproc.router import Router
from tests.unit.routing import the_outcome


def broken_off(address: str) -> TryRecord:
    """A try whose answer began and never ended."""
    return TryRecord(decision_id="d", address=address, status=200, flags=("UC",), is_failure=True)


def suspects(router: Router, now: float) -> list[str]:
    """Instances that are the last resort by now."""
    snapshot = router.book.snapshot(now)
    return [a for a, is_suspect in zip(snapshot.table.addresses, snapshot.suspect, strict=True) if is_suspect]


@pytest.mark.parametrize("comes_first", ["try", "request"])
def test_an_instance_that_breaks_an_answer_off_is_suspect(
    router: Router, make_facts: Callable[..., RequestFacts], comes_first: str
) -> None:
    """In whichever order Envoy reports the try and the request, which has the status of the answer that began."""
    facts = make_facts()
    plan = router.route(facts, now=0.0, decision_id="d")
    address = plan.attempts[0].address
    outcome = the_outcome(plan, facts, flags=("UC",), usage=None)
    if comes_first == "request":
        router.record(outcome, 0.1)
    router.record_try(broken_off(address), 0.15)
    if comes_first == "try":
        router.record(outcome, 0.2)

    assert [address] == suspects(router, 0.3)
    assert address != router.route(facts, now=0.3, decision_id="e").attempts[0].address
    router.record_try(broken_off(address), 1.2)
    assert [address] == suspects(router, 3.1), "its failures follow each other"


def test_an_answer_that_began_stays_where_it_is(
    router: Router, make_facts: Callable[..., RequestFacts]
) -> None:
    """Envoy cannot retry it, so that no other instance is charged for it."""
    plan = router.route(make_facts(), now=0.0, decision_id="d")
    first, second = (attempt.address for attempt in plan.attempts[:2])
    router.record_try(broken_off(first), 0.1)

    assert (1, 0) == tuple(router.book.sequences_by_address()[a] for a in (first, second))
