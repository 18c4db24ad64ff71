from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from extproc.fit.table import OutcomeTable, stacked

MakeTable = Callable[..., OutcomeTable]


def test_a_fleet_is_what_all_its_models_answered(make_table: MakeTable) -> None:
    """Rows with a gap drop out, fractions become 0 or 1, and columns come in the order asked for."""
    table = make_table(6)
    outcomes = table.outcomes.copy()
    outcomes[0, 1], outcomes[1, 0], outcomes[2, 0] = np.nan, 0.4, 0.5
    fleet = replace(table, outcomes=outcomes).fleet(["strong", "weak"])
    assert (("strong", "weak"), 5) == (fleet.models, len(fleet.prompts))
    assert [0.0, 1.0] == fleet.outcomes[:2, 1].tolist()


def test_an_unknown_model_is_named(make_table: MakeTable) -> None:
    """Asking for a column that is not there says which."""
    with pytest.raises(ValueError, match="absent"):
        make_table(4).fleet(["absent"])


def test_tables_stack_with_gaps(make_table: MakeTable) -> None:
    """A model that one table lacks was not asked there."""
    first, second = make_table(4), make_table(3, seed=1)
    second = replace(second, models=("weak", "other", "strong"))
    both = stacked([first, second], "both")
    assert ("weak", "strong", "specialist", "other") == both.models
    assert np.isnan(both.outcomes[:4, 3]).all()
    assert np.array_equal(second.outcomes[:, 2], both.outcomes[4:, 1])


def test_folds_go_by_key_alone(make_table: MakeTable) -> None:
    """Equal keys share a fold whatever their place, and folds are of about the same size."""
    table = make_table(200)
    folds = table.folds(5)
    backwards = table.rows(np.ones(200, dtype=bool))
    backwards = replace(backwards, keys=tuple(reversed(table.keys)))
    assert folds.tolist() == backwards.folds(5)[::-1].tolist()
    assert 20 < np.bincount(folds).min()


def test_another_split_parts_questions_in_another_way(make_table: MakeTable) -> None:
    """Splits agree on about one question in five, which is what chance would give; each is the same every time."""
    table = make_table(500)
    same = table.folds(5) == table.folds(5, 1)
    assert 0.1 < same.mean() < 0.3
    assert table.folds(5, 1).tolist() == table.folds(5, 1).tolist()
    assert table.folds(5, 0).tolist() == table.folds(5).tolist()


def test_the_digest_sees_every_outcome(make_table: MakeTable) -> None:
    """One changed outcome, prompt or model name is another table."""
    table = make_table(10)
    outcomes = table.outcomes.copy()
    outcomes[3, 1] = 1.0 - outcomes[3, 1]
    digests = {
        table.digest(),
        replace(table, outcomes=outcomes).digest(),
        replace(table, models=("a", "b", "c")).digest(),
        replace(table, prompts=tuple(reversed(table.prompts))).digest(),
    }
    assert 4 == len(digests)
    assert table.digest() == make_table(10).digest()


def test_malformed_tables_are_refused(make_table: MakeTable) -> None:
    """Outcomes out of range, missing rows and doubled models are mistakes."""
    table = make_table(4)
    with pytest.raises(ValueError, match="0 to 1"):
        replace(table, outcomes=table.outcomes + 1.5)
    with pytest.raises(ValueError, match="as many"):
        replace(table, keys=("a",))
    with pytest.raises(ValueError, match="twice"):
        replace(table, models=("a", "a", "b"))
    with pytest.raises(ValueError, match="at least one"):
        table.rows(np.zeros(4, dtype=bool))
