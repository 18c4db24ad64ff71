from __future__ import annotations

import pytest

from loadgen.bench.intervals import Interval, median_interval, paired_difference, paired_ratio


def test_equal_values_leave_no_doubt() -> None:
    """The interval of a constant is that constant."""
    assert Interval(2.0, 2.0, 2.0) == median_interval([2.0, 2.0, 2.0], seed=1)


def test_the_interval_encloses_the_median_and_widens_with_the_noise() -> None:
    """Scattered rounds give a wider interval than close ones, around the same median."""
    close = median_interval([1.0, 1.01, 0.99, 1.02, 0.98], seed=1)
    wide = median_interval([1.0, 1.5, 0.5, 1.9, 0.2], seed=1)

    assert wide.median == close.median
    assert wide.low < close.low <= close.median <= close.high < wide.high


def test_ratios_are_taken_within_rounds() -> None:
    """A machine that slows down for both arms in a round changes no ratio."""
    assert 2.0 == paired_ratio([2.0, 20.0, 6.0], [1.0, 10.0, 3.0], seed=1).median
    assert 1.0 == paired_difference([2.0, 11.0, 4.0], [1.0, 10.0, 3.0], seed=1).median


def test_the_same_seed_gives_the_same_interval() -> None:
    """Resampling is deterministic under a seed."""
    values = [1.0, 3.0, 2.0, 5.0, 4.0, 9.0]

    assert median_interval(values, seed=3) == median_interval(values, seed=3)


def test_nothing_and_unequal_rounds_are_refused() -> None:
    """There is no median of nothing, and no pairs of unequal numbers of rounds."""
    with pytest.raises(ValueError, match="median of nothing"):
        median_interval([], seed=1)
    with pytest.raises(ValueError, match="shorter"):
        paired_ratio([1.0, 2.0], [1.0], seed=1)
