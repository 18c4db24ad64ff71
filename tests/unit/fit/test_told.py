from __future__ import annotations

from pathlib import Path

import pytest

from extproc.estimate.quality.priors import prior_model
from extproc.fit.told import WrittenFit, tell

FIGURES = {
    "questions": 500.0,
    "log_loss": 0.5,
    "log_loss_of_prior": 0.6,
    "log_loss_gain_error": 0.01,
    "calibration_error": 0.031,
}


def told(**changes: float) -> str:
    """What is said of these figures."""
    fit = WrittenFit(model=prior_model(), questions=2500, metrics={**FIGURES, **changes})
    return tell(fit, Path("out/model"))


def test_the_figures_of_the_manifest_are_told() -> None:
    """Whoever fits need not open it."""
    text = told()

    assert "fitted to 2,500 questions" in text
    assert "On 500 questions held out: log loss 0.5000, against 0.6000 of the prior" in text
    assert "calibration error 3.1%" in text
    assert "quality: {model_directory: out/model}" in text


@pytest.mark.parametrize(
    ("log_loss", "expected"),
    [
        (0.5, "The fit beats the prior, by 0.1000 ± 0.0100"),
        (0.59, "neither better nor worse than the prior (0.0100 ± 0.0100"),
        (0.61, "neither better nor worse than the prior (0.0100 ± 0.0100"),
        (0.7, "worse than the prior, by 0.1000 ± 0.0100 (standard error): do not serve it"),
    ],
)
def test_it_is_said_whether_the_fit_is_worth_serving(log_loss: float, expected: str) -> None:
    """What chance alone could have made is not called a gain."""
    assert expected in told(log_loss=log_loss)


def test_without_questions_held_out_nothing_is_claimed() -> None:
    """A very small table says nothing of how good the fit is."""
    text = tell(WrittenFit(model=prior_model(), questions=20, metrics={}), Path("m"))

    assert "none could be held out: nothing is known of how good it is" in text
