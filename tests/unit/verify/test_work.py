from __future__ import annotations

import pytest

from extproc.verify.work import WorkBudget, WorkExceededError


def test_a_budget_is_spent_to_its_last_step() -> None:
    """Exactly the steps that are there can be taken."""
    work = WorkBudget(5)
    work.charge(5)

    assert work.left == 0
    with pytest.raises(WorkExceededError):
        work.charge(1)
