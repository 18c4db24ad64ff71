from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from extproc.decide.route_balance import QualityNorm, order_by_score, score_terms
from extproc.decide.weights import PRESETS, Preset, Weights
from extproc.estimate.predictions import Predictions
from extproc.estimate.quality.coupling import NODE_COUNT
from extproc.fleet.snapshot import FleetSnapshot
from extproc.fleet.topology import Cluster, Fleet

QUARTERS = Weights.of(quality=2.0, latency=1.0, cost=1.0)


@pytest.fixture
def snapshot(
    make_cluster: Callable[..., Cluster],
    make_fleet: Callable[..., Fleet],
    make_snapshot: Callable[..., FleetSnapshot],
) -> FleetSnapshot:
    """Two models with two instances each: small on rows 0 and 1, large on rows 2 and 3."""
    return make_snapshot(make_fleet(make_cluster("s", model="small"), make_cluster("l", model="large")))


@pytest.fixture
def predictions(snapshot: FleetSnapshot, make_predictions: Callable[..., Predictions]) -> Predictions:
    """Small is cheap and quick, large right more often."""
    return make_predictions(
        snapshot, chances=(0.6, 0.8), seconds=(2.0, 4.0, 6.0, 8.0), usd=(1e-5, 1e-5, 4e-5, 4e-5)
    )


def test_the_score_is_the_published_formula(predictions: Predictions) -> None:
    """Half the chance, a quarter of what money and time leave of their largest."""
    terms = score_terms(predictions, QUARTERS, QualityNorm.RAW)

    assert [0.3, 0.3, 0.4, 0.4] == pytest.approx(terms.quality.tolist())
    assert [0.1875, 0.1875, 0.0, 0.0] == pytest.approx(terms.cost.tolist())
    assert [0.1875, 0.125, 0.0625, 0.0] == pytest.approx(terms.latency.tolist())
    assert [0.675, 0.6125, 0.4625, 0.4] == pytest.approx(terms.score.tolist())


def test_minmax_stretches_small_differences(snapshot: FleetSnapshot, predictions: Predictions) -> None:
    """Raw chances of 0.6 and 0.8 differ little; stretched, the better model wins under the same weights."""
    raw = score_terms(predictions, QUARTERS, QualityNorm.RAW)
    stretched = score_terms(predictions, QUARTERS, QualityNorm.MINMAX)

    assert [0.0, 0.0, 0.5, 0.5] == pytest.approx(stretched.quality.tolist(), abs=1e-6)
    assert 0 == order_by_score(raw, predictions.rows, snapshot)[0]
    assert 2 == order_by_score(stretched, predictions.rows, snapshot)[0]


def test_equal_candidates_and_free_models_divide_by_nothing(predictions: Predictions) -> None:
    """One chance for all and no price at all give finite terms."""
    same = replace(predictions, chances=np.full((2, NODE_COUNT), 0.5), usd=np.zeros(4))
    terms = score_terms(same, PRESETS[Preset.BALANCED], QualityNorm.MINMAX)

    assert [0.0] * 4 == terms.quality.tolist()
    assert [1 / 3] * 4 == pytest.approx(terms.cost.tolist())


def test_ties_go_to_the_smaller_queue_then_to_whom_was_assigned_longest_ago(
    snapshot: FleetSnapshot,
    make_snapshot: Callable[..., FleetSnapshot],
    make_predictions: Callable[..., Predictions],
) -> None:
    """Equal scores are spread; a suspect comes last, whatever its score."""
    equal = make_predictions(snapshot, chances=(0.5, 0.5), seconds=(1.0,) * 4, usd=(1e-5,) * 4)
    terms = score_terms(equal, QUARTERS, QualityNorm.RAW)
    busy = make_snapshot(
        snapshot.table.fleet,
        sequences=[2, 1, 1, 0],
        last_assigned=[1, 9, 3, 5],
        suspect=[False, False, False, True],
    )

    assert [2, 1, 0, 3] == order_by_score(terms, equal.rows, busy).tolist()
