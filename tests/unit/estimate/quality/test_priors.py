from __future__ import annotations

import pytest

from extproc.estimate.quality.priors import ACCURACY, accuracy_of_size, log_odds, prior_model


def test_larger_models_are_believed_better() -> None:
    """The prior rises with size, stays a chance, and ends at its bounds."""
    found = [accuracy_of_size(size) for size in (0.1, 0.5, 2, 8, 70, 405, 1_000, 10_000)]
    assert sorted(found) == found
    assert found[0] == found[1]
    assert found[-1] == found[-2]
    assert 0.3 < found[0] < found[-1] < 0.95


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan")])
def test_a_size_that_is_none_is_refused(size: float) -> None:
    """Zero, negative and undefined sizes are mistakes."""
    with pytest.raises(ValueError, match="parameters_billions"):
        accuracy_of_size(size)


@pytest.mark.parametrize("chance", [0.0, 1.0, -0.1, float("nan")])
def test_certainty_has_no_log_odds(chance: float) -> None:
    """Chances of 0, 1 and beyond are refused."""
    with pytest.raises(ValueError, match="chance"):
        log_odds(chance)


def test_the_prior_model_knows_no_model() -> None:
    """Any model has the default chance on any prompt."""
    model = prior_model()
    assert not model.knows("a")
    assert pytest.approx(log_odds(ACCURACY)) == model.bias[model.row("a")]
