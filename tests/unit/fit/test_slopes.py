from __future__ import annotations

import numpy as np
import pytest

from extproc.estimate.quality.coupling import WEIGHTS, tabulate
from extproc.fit.slopes import fit_slopes, joint_log_likelihood


def draw(slopes: list[float], rows: int, seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Outcomes of models of even chances that share a difficulty."""
    rng = np.random.default_rng(seed)
    table = tabulate(np.zeros(len(slopes)), np.array(slopes))
    nodes = rng.choice(len(WEIGHTS), size=rows, p=WEIGHTS)
    return (rng.random((rows, len(slopes))) < table[:, nodes].T).astype(float)


@pytest.mark.parametrize("true", [0.8, 2.0, 3.5])
def test_the_common_slope_is_found_again(true: float) -> None:
    """Whether failures hang together loosely or tightly is read off the outcomes."""
    outcomes = draw([true] * 5, 2_500, 0)
    found = fit_slopes(np.zeros_like(outcomes), outcomes)
    assert np.allclose(true, found[:-1], rtol=0.3)


def test_models_are_told_apart() -> None:
    """A model whose outcomes hang on the difficulty less than the others' gets a smaller slope."""
    outcomes = draw([2.5, 2.5, 2.5, 0.6], 3_000, 1)
    found = fit_slopes(np.zeros_like(outcomes), outcomes)
    assert found[3] < 0.6 * found[:3].min()


def test_gaps_do_not_count() -> None:
    """A model that was never asked has the common slope, or near it, and its gaps cost no likelihood."""
    outcomes = draw([2.0, 2.0, 2.0], 800, 2)
    whole = joint_log_likelihood(np.zeros((800, 2)), np.full(2, 2.0), outcomes[:, :2])
    outcomes[:, 2] = np.nan
    gaps = joint_log_likelihood(np.zeros((800, 3)), np.full(3, 2.0), outcomes)
    assert np.allclose(whole, gaps)
    found = fit_slopes(np.zeros_like(outcomes), outcomes)
    assert pytest.approx(found[3], rel=0.2) == found[2]


def test_no_slope_is_independence() -> None:
    """With slopes of 0 the joint likelihood is the product of the marginal ones."""
    outcomes = np.array([[1.0, 0.0]])
    found = joint_log_likelihood(np.array([[0.0, 1.0]]), np.zeros(2), outcomes)
    assert pytest.approx(np.log(0.5) + np.log(1.0 - 1.0 / (1.0 + np.exp(-1.0)))) == float(found[0])


def test_the_true_slope_is_likelier_than_independence() -> None:
    """Outcomes that share a difficulty are better explained with one."""
    outcomes = draw([2.0] * 4, 500, 3)
    odds = np.zeros_like(outcomes)
    coupled, apart = (joint_log_likelihood(odds, np.full(4, slope), outcomes).mean() for slope in (2.0, 0.0))
    assert coupled > apart + 0.2
