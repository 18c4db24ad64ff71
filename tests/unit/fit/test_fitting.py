from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from extproc.fit.design import learn_design
from extproc.fit.fitting import PENALTIES, FitSettings, fit_model
from extproc.fit.logistic import fit_regressions
from extproc.fit.mixing import log_loss
from extproc.fit.table import OutcomeTable, describe_prompt

MakeTable = Callable[..., OutcomeTable]


def asked(table: OutcomeTable, settings: FitSettings, questions: OutcomeTable) -> np.ndarray:
    model = fit_model(table, settings).model
    return np.array([model.log_odds(prompt)[0][:-1] for prompt in questions.prompts])


def test_the_exported_arrays_say_what_the_regression_says(make_table: MakeTable) -> None:
    """On a familiar prompt the runtime's log odds are those of the fitted regression, to rounding."""
    table = make_table(300)
    fitted = fit_model(table, FitSettings(directions=16))
    design = learn_design(table.prompts, 16, 0)
    matrix = design.matrix(table.prompts)
    fits = [fit_regressions(matrix, table.outcomes, penalty) for penalty in PENALTIES]
    expected = fitted.mixture.of_regressions(fits).log_odds(matrix)
    said = [fitted.model.log_odds(prompt) for prompt in table.prompts]
    familiar = np.array([trust for _, trust in said]) == 1.0
    assert 150 < familiar.sum()
    assert np.allclose(expected[familiar], np.array([odds for odds, _ in said])[familiar], atol=1e-3)


def test_a_specialist_is_known_for_its_speciality(make_table: MakeTable) -> None:
    """The fit finds by words the questions that one model is better at, on questions it has not seen."""
    table, fresh = make_table(600), make_table(300, seed=9)
    said = asked(table, FitSettings(), fresh)
    proofs = np.array(fresh.groups) == "proofs"
    assert (said[proofs, 2] > said[proofs, 1]).mean() > 0.95
    assert (said[~proofs, 2] < said[~proofs, 1]).mean() > 0.95


def test_words_are_worth_more_than_numbers_and_these_more_than_nothing(make_table: MakeTable) -> None:
    """Log loss on fresh questions falls from the prior to the full fit."""
    table, fresh = make_table(600), make_table(400, seed=9)
    rate = table.outcomes.mean(axis=0)
    prior = np.tile(np.log(rate / (1 - rate)), (400, 1))
    words = log_loss(asked(table, FitSettings(), fresh), fresh.outcomes)
    assert words < log_loss(prior, fresh.outcomes) - 0.02


def test_shared_difficulty_is_found(make_table: MakeTable) -> None:
    """Outcomes that hang together give steeper slopes than those that do not."""
    together, apart = (fit_model(make_table(600, slope=slope)).model.slopes for slope in (3.0, 0.0))
    assert together.min() > 1.5 * apart.max()


def test_prompts_of_another_world_get_the_prior(make_table: MakeTable) -> None:
    """Words that the fit has never seen leave every model near its chance over all prompts."""
    model = fit_model(make_table(400)).model
    odds, trust = model.log_odds(describe_prompt("qwv zzkrt xolph brrm vvantu ooglix mnemph ttrask"))
    assert trust < 0.2
    assert np.abs(odds - model.bias).max() < 0.4


@pytest.mark.parametrize("rows", [1, 2, 5, 23])
def test_tiny_tables_can_be_fitted(make_table: MakeTable, rows: int) -> None:
    """However few the rows, the result is a model of finite numbers."""
    table = make_table(rows)
    odds, _ = fit_model(table).model.log_odds(table.prompts[0])
    assert np.isfinite(odds).all()


def test_a_fit_is_the_same_in_every_run(make_table: MakeTable) -> None:
    """The same table and seed give the same arrays."""
    first, second = (fit_model(make_table(150)).model for _ in range(2))
    assert np.array_equal(first.bias, second.bias)
    assert np.array_equal(first.number_weights, second.number_weights)
    assert np.array_equal(first.slopes, second.slopes)
