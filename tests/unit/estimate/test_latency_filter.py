from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.estimate.latency_filter import (
    FACTOR_MOST,
    LARGEST_FACTOR,
    PARTS,
    InstanceFactor,
    LatencyLaw,
    Part,
    Target,
    level_of,
)

PRIOR = np.array([0.01, 1e-4, 1e-4, 1e-6, 1.0, 0.01, 0.001, 1e-4])


def units(**amounts: float) -> np.ndarray:
    """Units of the named parts."""
    found = np.zeros(PARTS)
    for name, amount in amounts.items():
        found[Part[name.upper()]] = amount
    return found


def teach(
    law: LatencyLaw, factor: InstanceFactor, amounts: np.ndarray, seconds: float, siblings: int = 1
) -> None:
    """Learn one decoding on an idle instance."""
    law.learn(amounts, seconds, Target.DECODE, factor, level=0, siblings=siblings)


def test_base_and_slope_are_told_apart() -> None:
    """From iterations over batches of several sizes W and H come out, though both priors are wrong by a factor."""
    rng = np.random.default_rng(0)
    law, factor = LatencyLaw(PRIOR), InstanceFactor()
    for _ in range(500):
        batch = float(rng.integers(1, 60))
        seconds = 100 * (0.02 + 0.0004 * batch) * rng.lognormal(0.0, 0.02)
        teach(law, factor, 100 * units(iteration_base=1, iteration_per_sequence=batch), seconds)

    assert law.seconds[Part.ITERATION_BASE] == pytest.approx(0.02, rel=0.05)
    assert law.seconds[Part.ITERATION_PER_SEQUENCE] == pytest.approx(0.0004, rel=0.15)


def test_an_outlier_moves_it_by_a_bounded_step() -> None:
    """A latency a million times as long counts as one of three deviations."""
    law, factor = LatencyLaw(PRIOR), InstanceFactor()
    for _ in range(100):
        teach(law, factor, units(iteration_base=100), 1.0)
    before = law.seconds[Part.ITERATION_BASE]

    teach(law, factor, units(iteration_base=100), 1e6)

    assert before < law.seconds[Part.ITERATION_BASE] < 1.2 * before


@given(
    st.lists(
        st.tuples(
            st.lists(st.floats(0, 1e6), min_size=PARTS, max_size=PARTS).filter(
                lambda amounts: sum(amounts) > 1e-3
            ),
            st.floats(1e-9, 1e9),
            st.sampled_from(Target),
            st.integers(0, 2),
        ),
        max_size=30,
    )
)
@settings(max_examples=50, deadline=None)
def test_whatever_is_observed_it_stays_within_its_bounds(
    lessons: list[tuple[list[float], float, Target, int]],
) -> None:
    """No stream of outcomes pushes a figure beyond its factor of the prior, below zero, or out of the numbers."""
    law, factor = LatencyLaw(PRIOR), InstanceFactor()
    for amounts, seconds, target, level in lessons:
        law.learn(np.array(amounts), seconds, target, factor, level=level, siblings=4)

    ratio = law.seconds / PRIOR
    assert (ratio <= LARGEST_FACTOR * (1 + 1e-9)).all()
    assert (ratio >= (1 - 1e-9) / LARGEST_FACTOR).all()
    assert abs(factor.log) <= FACTOR_MOST


def test_an_engine_that_changes_is_relearned_quickly() -> None:
    """After a thousand observations of one speed, fifty of another one suffice."""
    rng = np.random.default_rng(0)
    law, factor = LatencyLaw(PRIOR), InstanceFactor()
    for number in range(1050):
        speed = 0.01 if number < 1000 else 0.02
        teach(law, factor, units(iteration_base=100), 100 * speed * rng.lognormal(0.0, 0.05))

    assert law.seconds[Part.ITERATION_BASE] == pytest.approx(0.02, rel=0.1)


def test_one_of_several_instances_gets_a_factor() -> None:
    """What one instance takes longer than its siblings is its own, not the cluster's."""
    rng = np.random.default_rng(0)
    law, factors = LatencyLaw(PRIOR), [InstanceFactor() for _ in range(4)]
    for number in range(800):
        slow = 1.5 if number % 4 == 0 else 1.0
        seconds = slow * rng.lognormal(0.0, 0.05)
        teach(law, factors[number % 4], units(iteration_base=100), seconds, siblings=4)

    ratio = math.exp(factors[0].log - factors[1].log)
    assert ratio == pytest.approx(1.5, rel=0.1)


def test_a_lone_instance_is_its_cluster() -> None:
    """Without siblings everything is learned by the law."""
    law, factor = LatencyLaw(PRIOR), InstanceFactor()
    for _ in range(200):
        teach(law, factor, units(iteration_base=100), 1.5)

    assert 0.0 == factor.log
    assert law.seconds[Part.ITERATION_BASE] == pytest.approx(0.015, rel=0.02)


def test_another_prior_keeps_what_was_learned() -> None:
    """When the operator corrects the fleet file, learned seconds stay and are not multiplied once more."""
    law, factor = LatencyLaw(PRIOR), InstanceFactor()
    for _ in range(200):
        teach(law, factor, units(iteration_base=100), 2.0)
    learned = law.seconds[Part.ITERATION_BASE]

    law.rebase(2.0 * PRIOR)

    assert law.seconds[Part.ITERATION_BASE] == pytest.approx(learned)


def test_levels_rise_with_the_share_of_load() -> None:
    """An instance alone is at the lowest level, one that is mostly load at the highest."""
    assert [0, 1, 2] == [level_of(1.0, predicted) for predicted in (1.0, 2.0, 4.0)]


def test_state_survives_json() -> None:
    """A restored law has the figures of the original and learns on alike."""
    law, factor = LatencyLaw(PRIOR), InstanceFactor()
    for seconds in (1.0, 2.0, 1.5):
        teach(law, factor, units(iteration_base=100, iteration_per_sequence=300), seconds)

    copy = LatencyLaw.restored(json.loads(json.dumps(law.state())), "law")
    for each in (law, copy):
        teach(each, InstanceFactor(), units(iteration_base=100), 1.0)

    assert copy.samples == law.samples
    assert copy.seconds == pytest.approx(law.seconds, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prior_seconds", [0.0] * PARTS),
        ("prior_seconds", [1.0]),
        ("covariance", [0.0] * 36),
        ("covariance", [100.0] * 36),
        ("log", ["x"] * PARTS),
        ("noise", None),
        ("samples", -1),
    ],
)
def test_a_malformed_state_is_refused(name: str, value: object) -> None:
    """The text names the field."""
    state = {**LatencyLaw(PRIOR).state(), name: value}

    with pytest.raises(ValueError, match=f"law.{name}"):
        LatencyLaw.restored(state, "law")


@pytest.mark.parametrize("state", [[0.0], [0.0, -1.0], [0.0, 2.0], "x"])
def test_a_malformed_factor_is_refused(state: object) -> None:
    """The text names the place."""
    with pytest.raises(ValueError, match="here"):
        InstanceFactor.restored(state, "here")
