from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from loadgen.engine.stretch import Stretch


@given(
    first=st.floats(1e-4, 1.0),
    growth=st.sampled_from([0.0, 1e-9, 1e-4, 0.1]),
    length=st.integers(1, 60),
    now=st.floats(0.0, 100.0),
)
def test_iterations_ended_are_those_whose_end_has_passed(
    first: float, growth: float, length: int, now: float
) -> None:
    """The closed form agrees with counting ends one by one."""
    stretch = Stretch(2.0, first, growth, length, [])
    expected = sum(stretch.end_of(count) <= now for count in range(1, length + 1))
    assert expected == stretch.ended_by(now)


def test_an_end_belongs_to_its_iteration() -> None:
    """At the very end of an iteration it has ended, whatever the rounding."""
    stretch = Stretch(0.1, 0.1, 0.0, 1000, [])
    assert list(range(1, 1001)) == [stretch.ended_by(stretch.end_of(count)) for count in range(1, 1001)]
