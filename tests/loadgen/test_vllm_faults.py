from __future__ import annotations

import pytest

from loadgen.vllm.faults import FaultDice, Faults


def test_changes_are_taken_whole_or_not_at_all() -> None:
    """Known fields are replaced; a bad one among good ones raises."""
    assert Faults(error_rate=0.5, error_status=503) == Faults().changed(
        {"error_rate": 0.5, "error_status": 503}
    )
    with pytest.raises(ValueError, match="hang_rate"):
        Faults().changed({"error_rate": 0.5, "hang_rate": -1})


def test_faults_repeat_under_a_seed() -> None:
    """The same seed strikes the same requests, at about the rate."""
    dice, again = FaultDice(7), FaultDice(7)
    first = [dice.strikes(0.3) for _ in range(1000)]
    assert first == [again.strikes(0.3) for _ in range(1000)]
    assert 250 <= sum(first) <= 350


def test_an_unused_fault_shifts_no_other() -> None:
    """Rate 0 draws nothing from the dice."""
    dice, other = FaultDice(3), FaultDice(3)
    mixed = [(dice.strikes(0.0), dice.strikes(0.5)) for _ in range(50)]
    assert [(False, other.strikes(0.5)) for _ in range(50)] == mixed
