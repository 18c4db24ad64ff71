from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from extproc.estimate.quality.coupling import MOST_LOG_ODDS
from extproc.fit.mixing import log_loss
from extproc.fit.rivals import LengthAndLanguage, LinearWords, Neighbours, Ours, PriorOnly
from extproc.fit.table import OutcomeTable
from extproc.fit.trials import ESTIMATORS

MakeTable = Callable[..., OutcomeTable]


@pytest.mark.parametrize("name", list(ESTIMATORS))
def test_every_rung_learns_and_answers(make_table: MakeTable, name: str) -> None:
    """Each estimator gives bounded log odds for every model, and none is far below the prior."""
    table, fresh = make_table(300), make_table(200, seed=9)
    estimator, prior = ESTIMATORS[name](), PriorOnly()
    estimator.fit(table)
    prior.fit(table)
    said = estimator.log_odds(fresh.prompts)
    assert (200, 3) == said.shape
    assert np.abs(said).max() <= MOST_LOG_ODDS
    assert log_loss(said, fresh.outcomes) < log_loss(prior.log_odds(fresh.prompts), fresh.outcomes) + 0.1


def test_neighbours_repeat_what_they_have_seen(make_table: MakeTable) -> None:
    """A prompt that was seen is its own nearest neighbour and outweighs the others."""
    table = make_table(60)
    estimator = Neighbours()
    estimator.fit(table)
    assert np.array_equal(table.outcomes > 0.5, estimator.log_odds(table.prompts) > 0.0)


@pytest.mark.parametrize("make", [LinearWords, LengthAndLanguage, Neighbours])
def test_one_kind_of_outcome_can_be_learned(
    make_table: MakeTable, make: type[LinearWords | LengthAndLanguage | Neighbours]
) -> None:
    """A model that was always right does not break the fit of the others."""
    table = make_table(40)
    outcomes = table.outcomes.copy()
    outcomes[:, 0] = 1.0
    estimator = make()
    estimator.fit(replace(table, outcomes=outcomes))
    assert (estimator.log_odds(table.prompts)[:, 0] > 2.0).all()


def test_asking_before_fitting_is_a_mistake(make_table: MakeTable) -> None:
    """Ours says so instead of guessing."""
    estimator = Ours(ESTIMATORS["this service"]()._settings)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="fit"):
        estimator.log_odds(make_table(2).prompts)
