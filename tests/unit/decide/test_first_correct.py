from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from extproc.decide.first_correct import (
    MOST_STAND_INS,
    Objective,
    price_seconds,
    rank_first_correct,
    rank_laar,
    rank_load_aware,
    rank_session_affinity,
)
from extproc.decide.sequence import best_sequence
from extproc.estimate.latency_records import LatencyPrediction
from extproc.estimate.latency_upper import UpperFactors
from extproc.estimate.predictions import Predictions
from extproc.fleet.snapshot import FleetSnapshot
from extproc.fleet.topology import Cluster, Fleet, Instance
from extproc.sessions.book import SessionHistory

OBJECTIVE = Objective(worth_seconds=40.0, congestion_weight=1.0, seconds_per_usd=0.0)


@pytest.fixture
def snapshot(
    make_cluster: Callable[..., Cluster],
    make_fleet: Callable[..., Fleet],
    make_snapshot: Callable[..., FleetSnapshot],
) -> FleetSnapshot:
    """Two models with two instances each: small on rows 0 and 1, large on rows 2 and 3."""
    return make_snapshot(make_fleet(make_cluster("s", model="small"), make_cluster("l", model="large")))


def predictions(
    *,
    seconds: list[float],
    chances: tuple[float, float] = (0.5, 0.9),
    caused: float = 0.0,
    failed: tuple[str, ...] = (),
) -> Predictions:
    """Figures of all four rows; the chances are independent."""
    zeros = np.zeros(4)
    total = np.array(seconds)
    return Predictions(
        rows=np.arange(4),
        model=np.array([0, 0, 1, 1]),
        chances=np.array(chances)[:, np.newaxis],
        weights=np.ones(1),
        names=("small", "large"),
        failed=failed,
        latency=LatencyPrediction(
            ttft_seconds=zeros,
            total_seconds=total,
            upper=UpperFactors(logs=np.zeros((6, 4)), rows=np.arange(4), quantile=0.95),
            caused_seconds=caused * total,
            waiting_seconds=zeros,
            sequences=zeros,
            backlog_tokens=zeros,
            preemption_share=zeros,
            ttft_alone_seconds=zeros,
            iteration_seconds=zeros,
            iteration_alone_seconds=zeros,
            iterations=zeros,
            own_sequences=1,
            sequence_seconds=zeros,
        ),
        output_tokens=np.full(4, 100.0),
        usd=np.array([0.001, 0.001, 0.01, 0.01]),
        output_usd=np.array([0.0005, 0.0005, 0.005, 0.005]),
        ability=(0.0, 1.0),
        limits=(None, None),
    )


def rank(snapshot: FleetSnapshot, given: Predictions, **changes: Any) -> tuple[tuple[int, ...], int]:
    """Positions and number of weighed steps under `first_correct`."""
    values: dict[str, Any] = {"horizon": 3, "objective": OBJECTIVE, **changes}
    ranking = rank_first_correct(given, snapshot, values.pop("objective"), **values)
    return ranking.positions, len(ranking.steps)


def test_each_model_is_tried_on_its_cheapest_instance(snapshot: FleetSnapshot) -> None:
    """The cheap model goes first, the strong one second, then stand-ins of the first model."""
    assert ((1, 2, 0), 2) == rank(snapshot, predictions(seconds=[3.0, 2.0, 9.0, 10.0]))


@pytest.mark.parametrize(
    ("seconds", "chances", "second"),
    [
        ([3.0, 2.0, 9.0, 10.0], (0.5, 0.9), 0),
        ([3.0, 2.0, 6.0, 10.0], (0.5, 0.9), 0),
        ([3.0, 2.0, 5.0, 10.0], (0.5, 0.9), None),
        ([6.0, 2.0, 5.0, 10.0], (0.5, 0.9), None),
        ([3.0, 2.0, 9.0, 10.0], (0.99, 0.0), 0),
    ],
)
def test_a_first_try_that_fails_is_followed_by_what_costs_least_for_its_chance(
    snapshot: FleetSnapshot, seconds: list[float], chances: tuple[float, float], second: int | None
) -> None:
    """The same model's other instance, unless that is so busy that the next model is better value."""
    ranking = rank_first_correct(
        predictions(seconds=seconds, chances=chances), snapshot, OBJECTIVE, horizon=3
    )

    assert 1 == ranking.positions[0]
    assert second == ranking.second_instance


@pytest.mark.parametrize(("large", "second"), [(0.9, None), (0.5, 0)])
def test_the_last_try_goes_to_whom_it_is_worth_most(
    snapshot: FleetSnapshot, large: float, second: int | None
) -> None:
    """With two attempts in all, a cheap one that fails leaves one: nothing could follow a wrong answer of its twin."""
    given = predictions(seconds=[3.0, 2.0, 9.0, 10.0], chances=(0.5, large))
    ranking = rank_first_correct(given, snapshot, OBJECTIVE, horizon=2)

    assert (1, second) == (ranking.positions[0], ranking.second_instance)


def test_a_suspect_second_instance_follows_no_failure(
    snapshot: FleetSnapshot, make_snapshot: Callable[..., FleetSnapshot]
) -> None:
    """It failed lately itself."""
    suspect = make_snapshot(snapshot.table.fleet, suspect=[True, False, False, False])
    ranking = rank_first_correct(predictions(seconds=[3.0, 2.0, 9.0, 10.0]), suspect, OBJECTIVE, horizon=3)

    assert ((1, 2, 0), None) == (ranking.positions, ranking.second_instance)


def test_without_verification_one_model_is_chosen(snapshot: FleetSnapshot) -> None:
    """With one attempt the larger gain wins, and its twin stands in."""
    assert ((2, 3), 1) == rank(snapshot, predictions(seconds=[3.0, 2.0, 9.0, 10.0]), horizon=1)


def test_congestion_and_money_are_priced(snapshot: FleetSnapshot) -> None:
    """The delay caused to others and the dollars move the choice to the small model."""
    given = predictions(seconds=[3.0, 2.0, 9.0, 10.0], caused=2.0)
    assert ((1, 0), 1) == rank(snapshot, given, horizon=1)

    dear = Objective(worth_seconds=40.0, congestion_weight=0.0, seconds_per_usd=2000.0)
    assert [5.0, 4.0, 29.0, 30.0] == price_seconds(given, snapshot, dear).tolist()


def test_suspects_are_the_last_resort(
    snapshot: FleetSnapshot, make_snapshot: Callable[..., FleetSnapshot]
) -> None:
    """A suspect instance serves only when its model has no other."""
    suspicious = make_snapshot(snapshot.table.fleet, suspect=[False, True, False, False])
    positions, _ = rank(suspicious, predictions(seconds=[3.0, 2.0, 9.0, 10.0]))

    assert 0 == positions[0]
    assert 1 == positions[-1]


def test_laar_divides_latency_by_chance(snapshot: FleetSnapshot) -> None:
    """3 s at 0.5 lose against 5 s at 0.9; a failed model is penalised, or left out altogether."""
    seconds = [3.0, 4.0, 5.0, 6.0]
    assert 2 == rank_laar(predictions(seconds=seconds), snapshot, penalty=10.0).positions[0]

    failed = predictions(seconds=seconds, failed=("large",))
    assert 0 == rank_laar(failed, snapshot, penalty=10.0).positions[0]
    assert 2 == rank_laar(failed, snapshot, penalty=1.01).positions[0]
    assert 0 == rank_laar(failed, snapshot, penalty=np.inf).positions[0]


def test_laar_asks_a_failed_model_again_when_all_failed(snapshot: FleetSnapshot) -> None:
    """An infinite penalty cannot leave nobody."""
    given = predictions(seconds=[3.0, 4.0, 5.0, 6.0], failed=("small", "large"))

    assert 2 == rank_laar(given, snapshot, penalty=np.inf).positions[0]


def test_load_aware_looks_at_time_alone(snapshot: FleetSnapshot) -> None:
    """The quickest instance wins, however poor its model; its twin stands in."""
    given = predictions(seconds=[3.0, 2.0, 9.0, 10.0], chances=(0.01, 0.99))

    assert (1, 0) == rank_load_aware(given, snapshot).positions


def test_session_affinity_returns_to_who_answered(snapshot: FleetSnapshot) -> None:
    """The session's last instance comes first, unless there is none or it has left."""
    given = predictions(seconds=[3.0, 2.0, 9.0, 10.0])
    last = SessionHistory(started_at=0.0, last_address=snapshot.table.addresses[3])
    gone = SessionHistory(started_at=0.0, last_address="10.9.9.9:1")

    assert (3, 2) == rank_session_affinity(given, snapshot, last).positions
    assert (1, 0) == rank_session_affinity(given, snapshot, gone).positions
    assert (1, 0) == rank_session_affinity(given, snapshot, None).positions


def ranked_one_by_one(given: Predictions, price: list[float], horizon: int) -> list[int]:
    """Positions by the rule's own words: sort all candidates, take each model's first, then the first model's others."""
    order = sorted(range(len(price)), key=price.__getitem__)
    best = [next(p for p in order if given.model[p] == model) for model in range(len(given.names))]
    steps = best_sequence(
        given.chances,
        given.weights,
        np.array([price[p] for p in best]),
        worth_seconds=OBJECTIVE.worth_seconds,
        max_attempts=horizon,
    )
    chosen = [best[step.candidate] for step in steps]
    twins = [p for p in order if given.model[p] == given.model[chosen[0]] and p != chosen[0]]
    return chosen + twins[:MOST_STAND_INS]


@pytest.mark.parametrize("seed", range(40))
def test_ranking_without_sorting_all_is_the_same(
    seed: int,
    make_cluster: Callable[..., Cluster],
    make_fleet: Callable[..., Fleet],
    make_snapshot: Callable[..., FleetSnapshot],
) -> None:
    """The rule's positions are those of sorting every candidate, equal prices and suspects included."""
    rng = np.random.default_rng(seed)
    count, models = int(rng.integers(4, 200)), int(rng.integers(1, 5))
    given = predictions(seconds=[1.0] * 4)
    given = replace(
        given,
        rows=np.arange(count),
        model=np.concatenate((np.arange(models), rng.integers(0, models, count - models))),
        chances=rng.uniform(0.05, 0.95, (models, 3)),
        weights=np.array([0.2, 0.5, 0.3]),
        names=tuple(f"m{index}" for index in range(models)),
        latency=replace(
            given.latency,
            total_seconds=rng.integers(1, 40, count) / 4.0,
            caused_seconds=rng.integers(0, 3, count) / 4.0,
        ),
        usd=np.zeros(count),
    )
    instances = tuple(Instance(address=f"10.0.0.1:{port}") for port in range(1, count + 1))
    snapshot = make_snapshot(make_fleet(make_cluster(instances=instances)), suspect=rng.random(count) < 0.1)
    price, horizon = price_seconds(given, snapshot, OBJECTIVE).tolist(), int(rng.integers(1, 6))

    ranking = rank_first_correct(given, snapshot, OBJECTIVE, horizon=horizon)
    assert ranked_one_by_one(given, price, horizon) == list(ranking.positions)


def test_members_may_be_ready_or_looked_for() -> None:
    """Positions of a model's candidates are the same, whether somebody had them ready or not."""
    given = predictions(seconds=[1.0] * 4)
    ready = replace(given, members=(np.array([0, 1]), np.array([2, 3])))

    for model in range(2):
        assert given.positions_of(model).tolist() == ready.positions_of(model).tolist()


def test_candidates_by_model_leave_out_who_has_no_instance(
    make_cluster: Callable[..., Cluster],
    make_fleet: Callable[..., Fleet],
    make_snapshot: Callable[..., FleetSnapshot],
    make_predictions: Callable[..., Predictions],
) -> None:
    """A model of the fleet file without instances shifts nobody's candidates to another model."""
    fleet = make_fleet(
        make_cluster("n", model="none", instances=()),
        make_cluster("a", model="a"),
        make_cluster("b", model="b"),
    )
    given = make_predictions(make_snapshot(fleet), chances=(0.5, 0.6), seconds=(1.0,) * 4, usd=(0.0,) * 4)

    assert ("a", "b") == given.names
    assert [[0, 1], [2, 3]] == [given.positions_of(model).tolist() for model in range(2)]
