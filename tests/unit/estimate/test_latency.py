from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.estimate.latency import LatencyEstimator
from extproc.estimate.latency_parts import FIRST_ITERATIONS, OVERHEAD_SECONDS
from extproc.estimate.latency_upper import output_log_spread
from extproc.fleet.load import LoadBook
from extproc.fleet.snapshot import FleetSnapshot
from extproc.fleet.topology import Cluster, Fleet, Instance, Pool, Price, Speed
from tests.unit.estimate.latency_cases import H, R, W, loaded, predict, teach


def test_an_idle_instance_takes_prefill_and_iterations(
    estimator: LatencyEstimator, snapshot: FleetSnapshot
) -> None:
    """Before anything was learned the fleet file's speeds are the law."""
    found = predict(estimator, snapshot)

    ttft = OVERHEAD_SECONDS + 0.1 + FIRST_ITERATIONS * (W + H)
    assert found.ttft_seconds[0] == pytest.approx(ttft)
    assert found.total_seconds[0] == pytest.approx(ttft + 10 * (W + H))


def test_backlog_and_company_take_time(estimator: LatencyEstimator, snapshot: FleetSnapshot) -> None:
    """Prompts ahead are prefilled first, and sequences beside lengthen every iteration."""
    busy = loaded(snapshot, sequences=[0.0, 2.0, 0.0, 0.0], prefill_backlog_tokens=[0.0, 0.0, 500.0, 0.0])

    found = predict(estimator, busy)

    assert found.ttft_seconds[2] - found.ttft_seconds[0] == pytest.approx(0.5)
    assert found.iteration_seconds[1] >= W + 3 * H


def test_a_full_instance_makes_wait(estimator: LatencyEstimator, snapshot: FleetSnapshot) -> None:
    """Each sequence before us waits for half a mean answer shared by the running ones."""
    full = loaded(snapshot, sequences=[3.0, 5.0, 7.0, 0.0], mean_output_tokens=[100.0, 100.0, 100.0, 0.0])

    found = predict(estimator, full)

    assert 0.0 == found.waiting_seconds[0]
    assert found.waiting_seconds[2] == pytest.approx(2 * found.waiting_seconds[1])
    assert found.ttft_seconds[2] - found.ttft_seconds[1] == pytest.approx(
        found.waiting_seconds[2] - found.waiting_seconds[1]
    )


def test_short_memory_makes_wait(estimator: LatencyEstimator, snapshot: FleetSnapshot) -> None:
    """Where the KV cache cannot hold the request, at least one sequence must end first."""
    short = loaded(snapshot, sequences=[2.0, 2.0, 2.0, 2.0], kv_free_tokens=[50.0, 1e9, 1e9, 1e9])

    found = predict(estimator, short)

    assert found.waiting_seconds[0] > 0.0 == found.waiting_seconds[1]


def test_an_idle_instance_without_arrivals_charges_nothing_for_others(
    estimator: LatencyEstimator, snapshot: FleetSnapshot
) -> None:
    """Nobody is beside and nobody is expected: the own time is the whole price."""
    found = predict(estimator, loaded(snapshot, sequences=[0.0, 2.0, 0.0, 0.0]))

    assert found.caused_seconds[0] == pytest.approx(0.0)
    assert found.caused_seconds[1] == pytest.approx(2 * 0.1)


def test_what_is_usually_there_makes_an_attempt_dear(
    estimator: LatencyEstimator, snapshot: FleetSnapshot
) -> None:
    """At the same present load, an instance that is usually busy charges more for others; its own time is the same."""
    load = [1.0, 1.0, 1.0, 1.0]
    found = predict(estimator, loaded(snapshot, sequences=load, usual_sequences=[0.0, 2.0, 4.0, 0.0]))

    assert found.total_seconds[:2] == pytest.approx(found.total_seconds[1])
    assert (found.total_seconds + found.caused_seconds)[1] == pytest.approx(
        (found.total_seconds + found.caused_seconds)[0] * (1 + 2 * 0.003 / (W + 0.003))
    )
    assert found.caused_seconds[0] < found.caused_seconds[1]


def test_a_prompt_far_longer_than_its_answer_costs_each_of_those_usually_there_itself(
    estimator: LatencyEstimator, snapshot: FleetSnapshot
) -> None:
    """Its time is lost once to each of them, and no more."""
    busy = loaded(snapshot, usual_sequences=[3.0, 3.0, 3.0, 3.0])
    for _ in range(200):
        teach(
            estimator,
            busy,
            prompt_tokens=8_000,
            completion_tokens=2,
            ttft_seconds=8.0,
            e2e_seconds=8.02,
        )

    found = predict(estimator, busy, prompt_tokens=8_000, output_tokens=2)

    assert found.caused_seconds[0] == pytest.approx(3.0 * found.total_seconds[0], rel=0.02)
    assert (found.caused_seconds <= 3.0 * found.total_seconds).all()


def test_preempted_instances_decode_slower(estimator: LatencyEstimator, snapshot: FleetSnapshot) -> None:
    """A share of preempted sequences lengthens decoding by that share."""
    found = predict(estimator, loaded(snapshot, preemption_share=[0.0, 0.5, 0.0, 0.0]))

    assert found.iteration_seconds[1] == pytest.approx(1.5 * found.iteration_seconds[0])


def test_tokens_may_differ_by_row(estimator: LatencyEstimator, snapshot: FleetSnapshot) -> None:
    """Models differ in tokenizer and in the length of their answers."""
    found = predict(
        estimator,
        snapshot,
        prompt_tokens=np.array([100.0, 200.0, 100.0, 100.0]),
        output_tokens=np.array([11.0, 11.0, 21.0, 11.0]),
    )

    assert found.ttft_seconds[1] - found.ttft_seconds[0] == pytest.approx(0.1)
    assert found.total_seconds[2] - found.total_seconds[0] == pytest.approx(10 * (W + H))


def test_upper_figures_hold_for_their_share(estimator: LatencyEstimator, snapshot: FleetSnapshot) -> None:
    """Of a thousand noisy outcomes, each predicted before it is learned, 95 % lie below the upper total."""
    rng = np.random.default_rng(0)
    is_within = []
    for noise in rng.lognormal(0.0, 0.2, 1500):
        upper = predict(estimator, snapshot, output_tokens=101, quantile=0.95).total_upper_seconds[0]
        is_within.append(4.4 * noise <= upper)
        teach(estimator, snapshot, ttft_seconds=0.4 * noise, e2e_seconds=4.4 * noise)

    assert np.mean(is_within[500:]) == pytest.approx(0.95, abs=0.02)


def test_an_unknown_length_widens_the_total_only(
    estimator: LatencyEstimator, snapshot: FleetSnapshot
) -> None:
    """The spread of the length is added to the total's; the first token does not depend on it."""
    given_length = predict(estimator, snapshot, output_tokens=200)
    unknown = predict(estimator, snapshot, output_tokens=200, output_log_spread=0.8)

    assert given_length.ttft_upper_seconds.tolist() == unknown.ttft_upper_seconds.tolist()
    assert (unknown.total_upper_seconds > 1.5 * given_length.total_upper_seconds).all()


@given(st.floats(0.51, 0.99), st.floats(0.51, 0.99))
@settings(max_examples=30, deadline=None)
def test_upper_figures_rise_with_the_quantile(first: float, second: float) -> None:
    """A larger share is never served by a smaller figure."""
    speed = Speed(iteration_base_seconds=W, iteration_per_sequence_seconds=H, prefill_tokens_per_second=R)
    book = LoadBook(_fleet(speed))
    estimator = LatencyEstimator(book.table)
    low, high = sorted((first, second))

    uppers = [
        estimator.predict(
            book.snapshot(0.0), np.array([0]), prompt_tokens=10, output_tokens=10, sequences=1, quantile=share
        ).total_upper_seconds[0]
        for share in (low, high)
    ]

    assert uppers[0] <= uppers[1]


@pytest.mark.parametrize("quantile", [0.0, 1.0, -1.0, math.nan])
def test_an_impossible_quantile_is_refused(
    estimator: LatencyEstimator, snapshot: FleetSnapshot, quantile: float
) -> None:
    """The error names what was expected."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        predict(estimator, snapshot, quantile=quantile)


def test_many_quantiles_are_answered(estimator: LatencyEstimator, snapshot: FleetSnapshot) -> None:
    """More quantiles than are kept ready are still right, and in order."""
    shares = np.linspace(0.5, 0.99, 30)
    uppers = [predict(estimator, snapshot, quantile=float(s)).ttft_upper_seconds[0] for s in shares]

    assert sorted(uppers) == uppers


def test_figures_stay_finite_on_any_load(snapshot: FleetSnapshot) -> None:
    """No load, however absurd, makes a latency negative, infinite or undefined."""
    estimator = LatencyEstimator(snapshot.table)
    for present in (0.0, 1.0, 3.999, 4.0, 1e6):
        busy = loaded(
            snapshot,
            sequences=[present] * 4,
            prefill_backlog_tokens=[present * 1000] * 4,
            mean_output_tokens=[0.0, 1e6, 1.0, 0.0],
        )
        for output in (0, 1, 100_000):
            for sequences in (0, 1, 64):
                found = predict(estimator, busy, output_tokens=output, sequences=sequences)
                for values in (found.ttft_seconds, found.total_upper_seconds, found.caused_seconds):
                    assert np.isfinite(values).all()
                    assert (values >= 0.0).all()


def test_the_spread_of_a_length_comes_from_two_quantiles() -> None:
    """A log-normal length with median 100 and 95 % quantile 272 has a spread of 0.61; equal quantiles have none."""
    assert output_log_spread(100.0, 271.8, 0.95) == pytest.approx(1.0 / 1.645, rel=1e-3)
    assert 0.0 == output_log_spread(100.0, 100.0, 0.95)


def _fleet(speed: Speed) -> Fleet:
    cluster = Cluster(
        name="c",
        model="m",
        pool="p",
        max_model_len=8192,
        max_num_seqs=4,
        price=Price(input_usd_per_mtok=0.0, output_usd_per_mtok=0.0),
        speed=speed,
        instances=(Instance(address="10.0.0.1:1"),),
    )
    return Fleet(clusters=(cluster,), pools=(Pool(name="p", threshold_tokens=None, spill_at=1.0),))
