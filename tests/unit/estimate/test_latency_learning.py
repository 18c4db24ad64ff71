from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from extproc.estimate.latency import LatencyEstimator
from extproc.fleet.load import LoadBook
from extproc.fleet.snapshot import FleetSnapshot
from extproc.fleet.topology import Cluster, Fleet, Instance, Pool, Price, Speed
from tests.unit.estimate.latency_cases import H, W, loaded, predict, teach


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
        {"completion_tokens": -1},
        {"prompt_tokens": 8193},
        {"completion_tokens": 8193},
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


def test_several_answers_may_have_more_tokens_than_one_context(
    estimator: LatencyEstimator, snapshot: FleetSnapshot
) -> None:
    """The counts are of all answers together, and each of them has a context of its own."""
    load = predict(estimator, snapshot, sequences=3).load(0)
    outcome: dict[str, Any] = {"prompt_tokens": 100, "ttft_seconds": 0.4, "e2e_seconds": 4.4, "attempts": 1}

    assert estimator.learn(snapshot.table.addresses[0], load, completion_tokens=3 * 8192, **outcome)
    assert not estimator.learn(snapshot.table.addresses[0], load, completion_tokens=3 * 8192 + 1, **outcome)
