from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.errors import ProtocolError
from extproc.protocol.transitions import (
    ATTEMPT_TRANSITIONS,
    DECIDE_TRANSITIONS,
    AttemptInput,
    AttemptState,
    DecideInput,
    DecideState,
    next_attempt_state,
    next_decide_state,
)


@given(state=st.sampled_from(DecideState), happened=st.sampled_from(DecideInput))
def test_every_pair_of_decide_lands_or_is_refused(state: DecideState, happened: DecideInput) -> None:
    """A pair in the table gives its state; any other raises `ProtocolError` naming both."""
    expected = DECIDE_TRANSITIONS[state].get(happened)
    if expected is not None:
        assert expected is next_decide_state(state, happened)
        return
    with pytest.raises(ProtocolError, match=f"{happened} cannot come in state {state}"):
        next_decide_state(state, happened)


@given(state=st.sampled_from(AttemptState), happened=st.sampled_from(AttemptInput))
def test_every_pair_of_attempt_lands_or_is_refused(state: AttemptState, happened: AttemptInput) -> None:
    """A pair in the table gives its state; any other raises `ProtocolError` naming both."""
    expected = ATTEMPT_TRANSITIONS[state].get(happened)
    if expected is not None:
        assert expected is next_attempt_state(state, happened)
        return
    with pytest.raises(ProtocolError, match=f"{happened} cannot come in state {state}"):
        next_attempt_state(state, happened)


def test_every_state_is_described_and_reached() -> None:
    """Both tables have a row for each state, and every state but the first is reached from another."""
    assert set(DecideState) == set(DECIDE_TRANSITIONS)
    assert set(AttemptState) == set(ATTEMPT_TRANSITIONS)
    decide_targets = {target for row in DECIDE_TRANSITIONS.values() for target in row.values()}
    assert set(DecideState) - {DecideState.IDLE} == decide_targets
    attempt_targets = {target for row in ATTEMPT_TRANSITIONS.values() for target in row.values()}
    assert set(AttemptState) - {AttemptState.IDLE} == attempt_targets


def test_done_is_final() -> None:
    """Nothing leads out of `done`."""
    assert {DecideState.DONE} == set(DECIDE_TRANSITIONS[DecideState.DONE].values())
    assert {AttemptState.DONE} == set(ATTEMPT_TRANSITIONS[AttemptState.DONE].values())
