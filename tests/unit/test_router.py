from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from extproc.calibrate.outcome import TryRecord, Usage
from extproc.errors import ModelNotFoundError
from extproc.facts.request import Api, RequestFacts
from extproc.facts.text import Category, TextProfile
from extproc.fleet.topology import Cluster, Fleet
from extproc.fleet.vllm_metrics import InstanceMetrics
from extproc.router import EXPIRY_GRACE_SECONDS, Router
from tests.unit.routing import POLICY, PROVISION, the_outcome


def test_a_request_is_charged_until_its_outcome(
    router: Router, make_facts: Callable[..., RequestFacts]
) -> None:
    """Two requests go to different instances, and their outcomes clear the book."""
    facts = make_facts(max_output_tokens=50)
    first = router.route(facts, now=0.0, decision_id="d1")
    second = router.route(facts, now=0.0, decision_id="d2")

    assert first.attempts[0].address != second.attempts[0].address
    assert router.book.in_flight == 2
    router.record(the_outcome(first, facts), 1.0)
    router.record(the_outcome(second, facts), 1.0)
    assert router.book.in_flight == 0
    assert set(router.book.sequences_by_address().values()) == {0}


def test_stages_are_told_in_order(router: Router, make_facts: Callable[..., RequestFacts]) -> None:
    """A listener hears the end of each stage once."""
    stages: list[str] = []
    router.route(make_facts(), now=0.0, decision_id="d", on_stage=stages.append)

    assert ["eligible", "estimate", "assign"] == stages


def test_a_refused_request_is_not_charged(router: Router, make_facts: Callable[..., RequestFacts]) -> None:
    """An error leaves the book as it was."""
    with pytest.raises(ModelNotFoundError):
        router.route(make_facts(model="nobody"), now=0.0, decision_id="d")

    assert router.book.in_flight == 0


def test_an_abandoned_plan_is_taken_back(router: Router, make_facts: Callable[..., RequestFacts]) -> None:
    """A plan that Envoy never heard of is not work for anybody."""
    router.abandon(router.route(make_facts(), now=0.0, decision_id="d"), 0.1)

    assert router.book.in_flight == 0


def test_a_failed_try_moves_the_charge_and_makes_suspect(
    router: Router, make_facts: Callable[..., RequestFacts]
) -> None:
    """The next instance of the plan is charged, and new requests avoid the one that failed."""
    facts = make_facts()
    plan = router.route(facts, now=0.0, decision_id="d")
    failed, following = (attempt.address for attempt in plan.attempts[:2])
    router.record_try(TryRecord(decision_id="d", address=failed, status=503, flags=(), is_failure=True), 0.1)

    assert (0, 1) == tuple(router.book.sequences_by_address()[a] for a in (failed, following))
    assert router.route(facts, now=0.2, decision_id="e").attempts[0].address == following


def test_a_good_try_moves_nothing(router: Router, make_facts: Callable[..., RequestFacts]) -> None:
    """Only failures pass a charge on."""
    plan = router.route(make_facts(), now=0.0, decision_id="d")
    first = plan.attempts[0].address
    router.record_try(TryRecord(decision_id="d", address=first, status=200, flags=(), is_failure=False), 0.1)

    assert router.book.sequences_by_address()[first] == 1


def test_an_overflow_moves_the_charge_without_suspicion(
    router: Router, make_facts: Callable[..., RequestFacts]
) -> None:
    """A context-length rejection that the plan provides for is nobody's failure; the roomier instance is charged."""
    text = TextProfile(((next(iter(Category)), 25_000),))
    plan = router.route(make_facts(text=text, max_output_tokens=50), now=0.0, decision_id="d")
    short, long = (attempt.address for attempt in plan.attempts[:2])
    rejected = TryRecord(decision_id="d", address=short, status=400, flags=(), is_failure=False)

    assert (short,) == plan.overflow_addresses
    router.record_overflow("d", short, None, 0.1)
    router.record_try(rejected, 0.1)
    assert (0, 1) == tuple(router.book.sequences_by_address()[a] for a in (short, long))
    assert not router.book.snapshot(0.1).suspect.any()
    router.record_overflow("d", short, None, 0.1)
    assert router.book.sequences_by_address()[long] == 1


def test_a_rejection_that_is_no_overflow_moves_nothing(
    router: Router, make_facts: Callable[..., RequestFacts]
) -> None:
    """A 400 for another reason goes to the client, also from an instance whose overflow the plan provides for."""
    text = TextProfile(((next(iter(Category)), 25_000),))
    plan = router.route(make_facts(text=text, max_output_tokens=50), now=0.0, decision_id="d")
    short, long = (attempt.address for attempt in plan.attempts[:2])

    assert (short,) == plan.overflow_addresses
    router.record_try(TryRecord(decision_id="d", address=short, status=400, flags=(), is_failure=False), 0.1)
    assert (1, 0) == tuple(router.book.sequences_by_address()[a] for a in (short, long))


def test_an_answer_clears_suspicion_of_who_served(
    router: Router, make_facts: Callable[..., RequestFacts]
) -> None:
    """The instance that really served is credited, whichever was planned first."""
    facts = make_facts()
    plan = router.route(facts, now=0.0, decision_id="d")
    served = plan.attempts[1].address
    router.book.observe_failure(served, 0.0)
    router.record(the_outcome(plan, facts, served_address=served, attempts=2), 0.5)

    snapshot = router.book.snapshot(0.5)
    assert not snapshot.suspect[snapshot.table.row_by_address[served]]


def test_what_is_never_reported_expires(router: Router, make_facts: Callable[..., RequestFacts]) -> None:
    """A request cannot stay in the book longer than its timeout and a grace."""
    plan = router.route(make_facts(), now=10.0, decision_id="d")

    assert router.book.expire(10.0 + plan.timeout_seconds + EXPIRY_GRACE_SECONDS - 0.1) == 0
    assert router.book.expire(10.0 + plan.timeout_seconds + EXPIRY_GRACE_SECONDS) == 1


def test_a_request_that_is_passed_through_occupies_no_sequence(
    router: Router, make_facts: Callable[..., RequestFacts]
) -> None:
    """Nobody knows what it costs; it is in the book but weighs nothing."""
    plan = router.route(make_facts(api=Api.OTHER, model=None), now=0.0, decision_id="d")

    assert plan.budget is None
    assert router.book.in_flight == 1
    assert set(router.book.sequences_by_address().values()) == {0}


def test_scrapes_steer_the_choice(router: Router, make_facts: Callable[..., RequestFacts]) -> None:
    """An instance that others keep busy is avoided."""
    busy, idle = router.book.table.addresses[:2]
    metrics = InstanceMetrics(
        running=3, waiting=0, kv_usage=0.1, preemptions_total=0, kv_capacity_tokens=None
    )
    router.observe(busy, metrics, 0.0)

    firsts = {router.route(make_facts(), now=0.0, decision_id=f"d{i}").attempts[0].address for i in range(2)}
    assert firsts == {idle}


def test_outcomes_sharpen_the_estimate(router: Router, make_facts: Callable[..., RequestFacts]) -> None:
    """After reports of twice the expected tokens, the budget of the same prompt has grown."""
    facts = make_facts(max_output_tokens=50)
    before = router.route(facts, now=0.0, decision_id="d0").budget
    assert before is not None
    for number in range(1, 60):
        plan = router.route(facts, now=0.0, decision_id=f"d{number}")
        usage = Usage(prompt_tokens=2 * before.prompt_tokens, completion_tokens=20)
        router.record(the_outcome(plan, facts, usage=usage), 0.1)
    after = router.route(facts, now=0.0, decision_id="last").budget

    assert after is not None
    assert after.prompt_tokens == pytest.approx(2 * before.prompt_tokens, rel=0.1)


def test_a_new_fleet_is_used_at_once(
    router: Router,
    make_fleet: Callable[..., Fleet],
    make_cluster: Callable[..., Cluster],
    make_facts: Callable[..., RequestFacts],
) -> None:
    """Requests go to the new instances, and those in flight on old ones end without trouble."""
    facts = make_facts()
    plan = router.route(facts, now=0.0, decision_id="d")
    router.replace(
        make_fleet(make_cluster("b", model="b")), replace(POLICY, max_attempts=1), output_provision=PROVISION
    )

    fresh = router.route(facts, now=1.0, decision_id="e")
    assert ("b", 1) == (fresh.attempts[0].model, len(fresh.attempts))
    router.record(the_outcome(plan, facts), 1.0)
    assert router.book.in_flight == 1
