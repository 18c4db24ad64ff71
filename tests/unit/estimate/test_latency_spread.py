from __future__ import annotations

import json
import math
from statistics import NormalDist

import numpy as np
import pytest

from extproc.estimate.latency_spread import BINS, ResidualSpread


def test_before_any_observation_it_is_normal() -> None:
    """The quantiles start at those of a normal distribution of the given deviation."""
    spread = ResidualSpread(0.4)

    for share in (0.05, 0.5, 0.95):
        assert spread.quantile(share) == pytest.approx(NormalDist(0.0, 0.4).inv_cdf(share), abs=0.05)


def test_quantiles_become_those_of_what_was_observed() -> None:
    """After a thousand skewed observations each quantile holds its share of further ones."""
    rng = np.random.default_rng(0)
    spread = ResidualSpread(0.4)
    for ratio in rng.exponential(0.1, 3000):
        spread.learn(float(ratio))

    fresh = rng.exponential(0.1, 5000)
    for share in (0.1, 0.5, 0.9, 0.99):
        assert (fresh <= spread.quantile(share)).mean() == pytest.approx(share, abs=0.03)


def test_small_errors_are_told_apart() -> None:
    """A spread of three per cent does not come out as one of a tenth."""
    rng = np.random.default_rng(0)
    spread = ResidualSpread(0.4)
    for ratio in rng.normal(0.0, 0.03, 3000):
        spread.learn(float(ratio))

    assert spread.quantile(0.95) == pytest.approx(0.049, abs=0.012)


def test_it_forgets() -> None:
    """After two thousand observations of another kind the first kind is gone."""
    spread = ResidualSpread(0.4)
    for ratio in [1.0] * 2000 + [-1.0] * 3000:
        spread.learn(ratio)

    assert spread.quantile(0.99) < 0.0


@pytest.mark.parametrize("ratio", [1e9, -1e9, math.inf, -math.inf])
def test_nonsense_counts_as_the_largest_error(ratio: float) -> None:
    """A ratio beyond all bounds moves a quantile no further than the last edge."""
    spread = ResidualSpread(0.4)
    for _ in range(1000):
        spread.learn(ratio)

    assert abs(spread.quantile(0.5)) <= 4.0


def test_state_survives_json() -> None:
    """A restored copy has the quantiles of the original."""
    spread, copy = ResidualSpread(0.4), ResidualSpread(0.1)
    for ratio in (0.1, 0.2, -0.3):
        spread.learn(ratio)

    copy.restore(json.loads(json.dumps(spread.state())), "spread")

    assert copy.quantile(0.9) == pytest.approx(spread.quantile(0.9), rel=1e-3)


@pytest.mark.parametrize("state", [None, [1.0], [-1.0] * BINS, [0.0] * BINS, [1e6] * BINS])
def test_a_malformed_state_is_refused_whole(state: object) -> None:
    """The text names the place, and what was learned stays."""
    spread = ResidualSpread(0.4)
    before = spread.quantile(0.9)

    with pytest.raises(ValueError, match="here"):
        spread.restore(state, "here")

    assert spread.quantile(0.9) == before
