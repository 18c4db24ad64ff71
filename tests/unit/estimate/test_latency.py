from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.estimate.latency import LatencyEstimator
from extproc.estimate.latency_parts import FIRST_ITERATIONS, OVERHEAD_SECONDS
from extproc.estimate.latency_records import LatencyPrediction
from extproc.estimate.latency_upper import output_log_spread
from extproc.fleet.load import LoadBook
from extproc.fleet.snapshot import FleetSnapshot
from extproc.fleet.topology import Cluster, Fleet, Instance, Pool, Price, Speed

ROWS = np.arange(4)
W, H, R = 0.01, 0.001, 1000.0


@pytest.fixture
def snapshot(make_fleet: Any) -> FleetSnapshot:
    """Four idle instances in two clusters: W = 10 ms, H = 1 ms, 1000 prompt tokens per second, 4 slots."""
    fleet: Fleet = make_fleet()
    return LoadBook(fleet).snapshot(0.0)


@pytest.fixture
def estimator(snapshot: FleetSnapshot) -> LatencyEstimator:
    """Nothing learned yet."""
    return LatencyEstimator(snapshot.table)


def loaded(snapshot: FleetSnapshot, **arrays: list[float]) -> FleetSnapshot:
    """The snapshot with some arrays replaced."""
    changes: dict[str, Any] = {name: np.array(value) for name, value in arrays.items()}
    return replace(snapshot, **changes)


def predict(estimator: LatencyEstimator, snapshot: FleetSnapshot, **changes: Any) -> LatencyPrediction:
    """Predict 100 prompt and 11 output tokens on every row."""
    asked: dict[str, Any] = {"prompt_tokens": 100, "output_tokens": 11, "sequences": 1, **changes}
    return estimator.predict(snapshot, ROWS, **asked)


def teach(
    estimator: LatencyEstimator, snapshot: FleetSnapshot, *, row: int = 0, times: int = 1, **changes: Any
) -> bool:
    """Learn from requests of 100 prompt and 101 output tokens that took 0.4 s and 4.4 s."""
    learned = False
    for _ in range(times):
        load = predict(estimator, snapshot, output_tokens=101).load(row)
        outcome: dict[str, Any] = {
            "prompt_tokens": 100,
            "completion_tokens": 101,
            "ttft_seconds": 0.4,
            "e2e_seconds": 4.4,
            "attempts": 1,
            **changes,
        }
        learned = estimator.learn(snapshot.table.addresses[row], load, **outcome)
    return learned


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
            prompt_tokens=100_000,
            completion_tokens=2,
            ttft_seconds=100.0,
            e2e_seconds=100.02,
        )

    found = predict(estimator, busy, prompt_tokens=100_000, output_tokens=2)

    assert found.caused_seconds[0] == pytest.approx(3.0 * found.total_seconds[0], rel=0.01)
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


def test_what_was_measured_is_predicted(estimator: LatencyEstimator, snapshot: FleetSnapshot) -> None:
    """Forty outcomes that took three times as long as declared are enough, on the whole cluster and nowhere else."""
    assert teach(estimator, snapshot, times=40)

    found = predict(estimator, snapshot, output_tokens=101)

    assert found.ttft_seconds[0] == pytest.approx(0.4, rel=0.1)
    assert found.total_seconds[0] == pytest.approx(4.4, rel=0.1)
    assert found.total_seconds[1] == pytest.approx(4.4, rel=0.25)
    assert found.total_seconds[2] < 1.5


def test_an_answer_that_was_not_streamed_teaches_its_total(
    estimator: LatencyEstimator, snapshot: FleetSnapshot
) -> None:
    """Its first byte is its last: neither is taken for a first token, whether the caller knows it or not."""
    for ttft in (None, 4.39):
        fresh = LatencyEstimator(snapshot.table)
        assert teach(fresh, snapshot, times=40, ttft_seconds=ttft)
        found = predict(fresh, snapshot, output_tokens=101)
        assert found.total_seconds[0] == pytest.approx(4.4, rel=0.1)
        assert found.ttft_seconds[0] < 0.5


def test_unknown_length_teaches_the_first_token_only(
    estimator: LatencyEstimator, snapshot: FleetSnapshot
) -> None:
    """Without usage nobody knows how many iterations the answer took."""
    before = predict(estimator, snapshot)

    assert teach(estimator, snapshot, times=40, completion_tokens=None)

    found = predict(estimator, snapshot)
    assert found.ttft_seconds[0] == pytest.approx(0.4, rel=0.15)
    assert found.iteration_seconds[0] <= 3 * before.iteration_seconds[0]


@pytest.mark.parametrize(
    "outcome",
    [
        {"attempts": 2},
        {"attempts": 0},
        {"e2e_seconds": 0.0},
        {"e2e_seconds": math.nan},
        {"e2e_seconds": math.inf},
        {"ttft_seconds": -1.0},
        {"ttft_seconds": 5.0},
        {"prompt_tokens": -1},
        {"completion_tokens": None, "ttft_seconds": None},
    ],
)
def test_what_says_nothing_of_one_instance_is_ignored(
    estimator: LatencyEstimator, snapshot: FleetSnapshot, outcome: dict[str, Any]
) -> None:
    """Retried, impossible and unmeasured outcomes leave every figure as it was."""
    before = predict(estimator, snapshot)

    assert not teach(estimator, snapshot, **outcome)

    assert before.total_seconds.tolist() == predict(estimator, snapshot).total_seconds.tolist()


def test_an_unknown_address_is_ignored(estimator: LatencyEstimator, snapshot: FleetSnapshot) -> None:
    """An instance that left the fleet before its outcome came teaches nothing."""
    load = predict(estimator, snapshot).load(0)

    assert not estimator.learn(
        "10.9.9.9:1",
        load,
        prompt_tokens=100,
        completion_tokens=10,
        ttft_seconds=0.1,
        e2e_seconds=1.0,
        attempts=1,
    )


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


def test_the_load_meanwhile_prices_what_a_request_causes(
    estimator: LatencyEstimator, snapshot: FleetSnapshot
) -> None:
    """Requests that met an empty instance which then filled up show H, if the load meanwhile is told."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        beside = float(rng.integers(0, 4))
        seconds = 100 * (W + 3 * H * (1 + beside / 2)) * rng.lognormal(0.0, 0.02)
        teach(
            estimator,
            snapshot,
            prompt_tokens=1,
            ttft_seconds=0.03,
            e2e_seconds=0.03 + seconds,
            sequences_meanwhile=beside / 2,
        )

    assert estimator.speed("a-short").iteration_per_sequence_seconds == pytest.approx(3 * H, rel=0.35)


def test_a_new_instance_inherits_its_cluster(
    make_cluster: Callable[..., Cluster], make_fleet: Callable[..., Fleet], snapshot: FleetSnapshot
) -> None:
    """An instance that joins is predicted as its cluster was learned; those that stay keep what is theirs."""
    estimator = LatencyEstimator(snapshot.table)
    teach(estimator, snapshot, row=0, times=60)
    clusters = snapshot.table.fleet.clusters
    grown = replace(clusters[0], instances=(Instance(address="10.0.0.9:1"), *clusters[0].instances))
    after = LoadBook(make_fleet(grown, clusters[1])).snapshot(0.0)

    found = estimator.predict(after, np.arange(3), prompt_tokens=100, output_tokens=101, sequences=1)

    assert found.total_seconds[0] == pytest.approx(4.4, rel=0.3)
    assert found.total_seconds[1] == pytest.approx(4.4, rel=0.1)


def test_an_instance_that_moves_to_another_cluster_starts_anew(
    make_fleet: Callable[..., Fleet], snapshot: FleetSnapshot
) -> None:
    """The factor was relative to the old cluster."""
    estimator = LatencyEstimator(snapshot.table)
    for number in range(300):
        teach(estimator, snapshot, row=number % 2, e2e_seconds=8.0 if number % 2 else 4.4)
    short, long = snapshot.table.fleet.clusters
    moved = short.instances[1]
    assert estimator.factors(moved.address)[1] > 1.1

    fleet = make_fleet(
        replace(short, instances=short.instances[:1]), replace(long, instances=(*long.instances, moved))
    )
    estimator.replace_fleet(LoadBook(fleet).table)

    assert (1.0, 1.0) == estimator.factors(moved.address)


def test_state_survives_json(estimator: LatencyEstimator, snapshot: FleetSnapshot) -> None:
    """A restored estimator predicts what the original does."""
    teach(estimator, snapshot, times=30, sequences_meanwhile=2.0)
    copy = LatencyEstimator(snapshot.table)

    copy.restore(json.loads(json.dumps(estimator.state())))

    for name in ("ttft_seconds", "total_seconds", "total_upper_seconds", "caused_seconds"):
        busy = loaded(snapshot, sequences=[2.0, 1.0, 0.0, 3.0])
        expected, found = (getattr(predict(each, busy), name) for each in (estimator, copy))
        assert found == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), 99),
        (("clusters",), []),
        (("instances",), None),
        (("clusters", "a-short", "law"), {}),
        (("clusters", "a-short", "ttft_spreads"), [1]),
        (("clusters", "a-short", "lengths"), [1.0, -1.0]),
        (("instances", "x", "ttft"), [1.0]),
    ],
)
def test_a_malformed_state_is_refused_whole(
    estimator: LatencyEstimator, snapshot: FleetSnapshot, path: tuple[str, ...], value: object
) -> None:
    """The text says what is wrong, and what was learned stays."""
    teach(estimator, snapshot, times=30)
    before = predict(estimator, snapshot).total_seconds.tolist()
    state: Any = json.loads(json.dumps(estimator.state()))
    state["instances"]["x"] = {"cluster": "a-short", "ttft": [0.0, 0.01], "decode": [0.0, 0.01]}
    place = state
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value

    with pytest.raises(ValueError, match="latency state"):
        estimator.restore(state)

    assert before == predict(estimator, snapshot).total_seconds.tolist()


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
