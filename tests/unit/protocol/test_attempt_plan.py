from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.decide.attempts import NO_PLAN, CarriedAttempt, CarriedPlan, CarriedSpec
from extproc.decide.first_correct import Objective
from extproc.decide.plan import Attempt, Plan
from extproc.estimate.quality.coupling import Ability
from extproc.facts.request import Api, RequestFacts
from extproc.protocol import names
from extproc.protocol.attempt_plan import decode_attempt_plan, encode_attempt_plan

FACTS = RequestFacts(api=Api.CHAT_COMPLETIONS, session="s", deadline_seconds=2.5, is_deterministic=True)

Make = Callable[..., Plan]


def attempt(address: str, model: str, **fields: float | None) -> Attempt:
    """One attempt of a cluster of its own."""
    values = {"chance": None, "max_tokens": None, **fields}
    limit = values["max_tokens"]
    return Attempt(
        address=address,
        cluster=model,
        model=model,
        work_seconds=1.0,
        chance=values["chance"],
        max_tokens=None if limit is None else int(limit),
    )


@pytest.fixture
def verified(make_plan: Make) -> Plan:
    """A verified plan over two models."""
    return make_plan(
        attempts=(
            replace(attempt("10.0.0.1:8000", "qwen", chance=0.61234), ability=Ability(-0.61234, 1.23456)),
            attempt("[::1]:8001", "org/model|x;y=z é", chance=0.4, max_tokens=512),
        ),
        route_cluster=names.UNION_CLUSTER,
        is_verified=True,
        overflow_addresses=("10.0.0.1:8000",),
        ability=(-0.25, 1.5),
        objective=Objective(worth_seconds=480.0, congestion_weight=1.0, seconds_per_usd=19907.05),
        timeout_seconds=2.5,
        decided_unix_ms=1_790_000_001_373,
        elapsed_seconds=1.25,
    )


def test_a_plan_survives_the_header(verified: Plan) -> None:
    """What DECIDE writes, ATTEMPT reads, whatever a model is called; what the session took before counts from its start."""
    text = encode_attempt_plan(verified, FACTS, CarriedSpec(text="1;api=x", needs_request=False))

    assert text.isascii()
    assert text.isprintable()
    assert CarriedPlan(
        attempts=(
            CarriedAttempt(
                address="10.0.0.1:8000",
                model="qwen",
                chance=0.6123,
                retries_overflow=True,
                ability=Ability(-0.6123, 1.235),
            ),
            CarriedAttempt(address="[::1]:8001", model="org/model|x;y=z é", chance=0.4, max_tokens=512),
        ),
        max_retries=1,
        is_verified=True,
        spec="1;api=x",
        is_marked=True,
        api=Api.CHAT_COMPLETIONS,
        has_session=True,
        started_unix_ms=1_790_000_000_123,
        deadline_seconds=3.75,
        is_deterministic=True,
        ability=(-0.25, 1.5),
        objective=Objective(worth_seconds=480.0, congestion_weight=1.0, seconds_per_usd=19907.0),
        prompt_tokens=100,
        output_limit_tokens=500,
    ) == decode_attempt_plan(text)


def test_what_is_provided_for_is_no_limit(verified: Plan) -> None:
    """Only the client's own word bounds how long a next attempt's answer may get."""
    assert verified.budget is not None
    unlimited = replace(verified, budget=replace(verified.budget, output_is_given=False))

    carried = decode_attempt_plan(encode_attempt_plan(unlimited, FACTS, None))
    assert (100, None) == (carried.prompt_tokens, carried.output_limit_tokens)


def test_a_subset_binds_a_plan_to_its_instances(verified: Plan) -> None:
    """Where the gateway allows some endpoints alone, a next attempt is made nowhere else."""
    bound = replace(FACTS, subset=frozenset({"10.0.0.1:8000"}))

    assert decode_attempt_plan(encode_attempt_plan(verified, bound, None)).is_bound
    assert not decode_attempt_plan(encode_attempt_plan(verified, FACTS, None)).is_bound


@pytest.mark.parametrize("ability", ["nan|1", "1e9|1", "0.5|-1", "0.5|inf", "0.5|99", "0.5|x"])
def test_an_impossible_ability_makes_no_plan(ability: str) -> None:
    """As every other figure that cannot be read."""
    assert decode_attempt_plan(f"2;verify=1;try=a:1|m|0.5|||{ability}") is NO_PLAN


@pytest.mark.parametrize(
    "spec",
    [None, CarriedSpec(text="x", needs_request=True), CarriedSpec(text="x" * 5000, needs_request=False)],
)
def test_what_no_header_can_carry_is_read_from_the_request(verified: Plan, spec: CarriedSpec | None) -> None:
    """Without a spec, with one that says so, and with one that is too long."""
    plan = decode_attempt_plan(encode_attempt_plan(verified, FACTS, spec))

    assert plan.needs_request
    assert plan.spec == ""


def test_the_deadline_is_the_time_of_the_request_without_one(verified: Plan) -> None:
    """Beyond it Envoy gives up by itself."""
    plan, facts = replace(verified, timeout_seconds=30.0), replace(FACTS, deadline_seconds=None)

    assert 31.25 == decode_attempt_plan(encode_attempt_plan(plan, facts, None)).deadline_seconds


def test_an_overflow_alone_takes_the_short_form(make_plan: Make) -> None:
    """Version 1 names the instances whose rejection is retried."""
    text = encode_attempt_plan(make_plan(overflow_addresses=("10.0.0.1:8000", "[::1]:8001")), FACTS, None)

    assert "1;overflow=10.0.0.1:8000,[::1]:8001" == text
    plan = decode_attempt_plan(text)
    assert [("10.0.0.1:8000", True), ("[::1]:8001", True)] == [
        (entry.address, entry.retries_overflow) for entry in plan.attempts
    ]
    assert not plan.is_marked


@pytest.mark.parametrize(
    ("changes", "is_carried"),
    [
        ({}, False),
        ({"route_cluster": names.UNION_CLUSTER}, False),
        ({"route_cluster": names.UNION_CLUSTER, "budget": None, "attempts": (attempt("a:1", "x"), attempt("b:1", "y"))}, False),
        ({"route_cluster": names.UNION_CLUSTER, "attempts": (attempt("a:1", "x"), attempt("b:1", "y"))}, True),
        ({"route_cluster": names.UNION_CLUSTER, "attempts": (attempt("a:1", "x", max_tokens=5),)}, True),
        ({"attempts": (attempt("a:1", "x", max_tokens=5),)}, False),
    ],
)  # fmt: skip
def test_a_plan_travels_only_when_it_must(
    make_plan: Make, changes: dict[str, object], is_carried: bool
) -> None:
    """For verdicts, overflows, several models and limits; requests that pass through have bodies of their own."""
    assert is_carried is bool(encode_attempt_plan(make_plan(**changes), FACTS, None))


@pytest.mark.parametrize(
    "text",
    [
        "", "1", "3;try=a:1|m|||", "overflow=10.0.0.1:8000", "1;x", "1;overflow=", "2", "2;verify=1",
        "2;try=a:1|m", "2;try=|m|||", "2;try=a:1|m|x||", "2;try=a:1|m|nan||", "2;try=a:1|m||1.5|",
        "2;try=a:1|m|||;ability=1", "2;try=a:1|m|||;api=telnet", "2;try=a:1|m|||;start=now",
    ],
)  # fmt: skip
def test_what_cannot_be_read_means_no_plan(text: str) -> None:
    """Empty, malformed and foreign texts ask nothing."""
    assert NO_PLAN == decode_attempt_plan(text)


def test_unknown_fields_are_skipped() -> None:
    """A later replica may say more without being misread by an earlier one."""
    assert "a:1" == decode_attempt_plan("1;verify=schema;overflow=a:1").attempts[0].address
    plan = decode_attempt_plan("2;colour=red;try=a:1|m|||o|more")
    assert (CarriedAttempt(address="a:1", model="m", retries_overflow=True),) == plan.attempts


@given(st.text() | st.text("12;=,|.apitryverifyox:0", max_size=60))
def test_no_text_is_an_error(text: str) -> None:
    """Any text gives a plan, and nothing raises."""
    assert isinstance(decode_attempt_plan(text), CarriedPlan)
