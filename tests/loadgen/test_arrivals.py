from __future__ import annotations

import numpy as np
import pytest

from loadgen import arrivals


def test_constant_arrivals_keep_their_distance() -> None:
    """Constant arrivals start at 0 and are one over the rate apart."""
    assert [0.0, 0.25, 0.5, 0.75] == arrivals.constant(4, 4.0).tolist()


def test_poisson_arrivals_have_their_rate_and_variation() -> None:
    """Poisson gaps have mean one over the rate and a coefficient of variation of 1."""
    gaps = np.diff(arrivals.poisson(20_000, 5.0, np.random.default_rng(1)))

    assert gaps.mean() == pytest.approx(0.2, rel=0.03)
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, rel=0.03)


@pytest.mark.parametrize("variation", [0.5, 3.0])
def test_gamma_arrivals_have_the_wanted_variation(variation: float) -> None:
    """Gamma gaps keep the mean rate and have the coefficient of variation that was asked for."""
    gaps = np.diff(arrivals.gamma_burst(40_000, 5.0, variation, np.random.default_rng(2)))

    assert gaps.mean() == pytest.approx(0.2, rel=0.05)
    assert gaps.std() / gaps.mean() == pytest.approx(variation, rel=0.05)


def test_square_wave_alternates_between_its_levels_and_keeps_the_mean() -> None:
    """The first half of each period has `ratio` times the arrivals of the second half."""
    times = arrivals.square_wave(40_000, 100.0, 4.0, 10.0, np.random.default_rng(3))
    is_high = times % 10.0 < 5.0

    assert is_high.sum() / (~is_high).sum() == pytest.approx(4.0, rel=0.05)
    assert len(times) / times[-1] == pytest.approx(100.0, rel=0.03)
    assert np.all(np.diff(times) >= 0)


def test_warp_follows_the_rate_of_each_step_and_repeats() -> None:
    """Unit-rate arrivals are squeezed where the rate is high; the profile starts over at its end."""
    warped = arrivals.warp(np.array([1.0, 2.0, 3.0, 6.0]), np.array([2.0, 1.0]), 1.0)

    assert [0.5, 1.0, 2.0, 4.0] == pytest.approx(warped.tolist())


def test_replay_compresses_time_and_starts_at_zero() -> None:
    """At scale 2 a recording takes half its time, whenever it began."""
    assert [0.0, 0.5, 2.0] == arrivals.replay(np.array([10.0, 11.0, 14.0]), 2.0).tolist()


def test_replay_of_nothing_is_nothing() -> None:
    """An empty recording gives no arrivals."""
    assert [] == arrivals.replay(np.array([]), 1.0).tolist()


def test_within_keeps_arrivals_before_the_end() -> None:
    """An arrival at the very end of the duration is left out."""
    assert [0.0, 1.0] == arrivals.within(np.array([0.0, 1.0, 2.0]), 2.0).tolist()


def test_the_same_seed_gives_the_same_arrivals() -> None:
    """Arrivals depend on their arguments and the seed alone."""
    first, second, other = (arrivals.poisson(100, 3.0, np.random.default_rng(seed)) for seed in (7, 7, 8))

    assert first.tolist() == second.tolist()
    assert first.tolist() != other.tolist()


def test_impossible_parameters_are_refused_by_name() -> None:
    """Each bad parameter raises an error that says what was expected."""
    rng = np.random.default_rng(1)
    with pytest.raises(ValueError, match="rate must be positive"):
        arrivals.constant(3, 0.0)
    with pytest.raises(ValueError, match="must not be negative"):
        arrivals.poisson(-1, 1.0, rng)
    with pytest.raises(ValueError, match="variation must be positive"):
        arrivals.gamma_burst(3, 1.0, 0.0, rng)
    with pytest.raises(ValueError, match="at least 1"):
        arrivals.square_wave(3, 1.0, 0.5, 10.0, rng)
    with pytest.raises(ValueError, match="period must be positive"):
        arrivals.square_wave(3, 1.0, 2.0, 0.0, rng)
    with pytest.raises(ValueError, match="scale must be positive"):
        arrivals.replay(np.array([0.0]), -1.0)
    with pytest.raises(ValueError, match="must ascend"):
        arrivals.replay(np.array([1.0, 0.0]), 1.0)
    with pytest.raises(ValueError, match="duration must be positive"):
        arrivals.within(np.array([0.0]), 0.0)
