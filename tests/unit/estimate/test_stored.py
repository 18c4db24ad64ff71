from __future__ import annotations

import math

import pytest

from extproc.estimate.stored import as_count, as_name, as_number, as_numbers, as_object, as_version


def test_good_values_pass_through() -> None:
    """Each check returns what it was given, numbers as floats."""
    assert {"a": 1} == as_object({"a": 1}, "x")
    assert "a" == as_name("a", "x")
    assert 3 == as_count(3, "x")
    assert 2.0 == as_number(2, "x")
    assert [1.0, 2.5] == as_numbers([1, 2.5], 2, "x")
    assert {"version": 2} == as_version({"version": 2}, 2, "x")


@pytest.mark.parametrize("value", [None, True, "1", [1], math.inf, math.nan, 10**400])
def test_what_is_no_finite_number_is_refused(value: object) -> None:
    """The error says where, what was expected and what came."""
    with pytest.raises(ValueError, match=r"^here: expected a finite number, got "):
        as_number(value, "here")


@pytest.mark.parametrize("value", [None, True, -1, 1.5, "1"])
def test_what_is_no_count_is_refused(value: object) -> None:
    """Booleans, fractions and negative numbers are no counts."""
    with pytest.raises(ValueError, match=r"^here: expected a non-negative integer"):
        as_count(value, "here")


def test_a_list_of_another_length_is_refused() -> None:
    """Both lengths are named."""
    with pytest.raises(ValueError, match=r"^here: expected 3 numbers, got 2"):
        as_numbers([1, 2], 3, "here")


def test_a_name_and_an_object_must_be_what_they_are() -> None:
    """Anything else is refused with its place."""
    with pytest.raises(ValueError, match=r"^here: expected a name"):
        as_name(1, "here")
    with pytest.raises(ValueError, match=r"^here: expected an object, got list"):
        as_object([], "here")
    with pytest.raises(ValueError, match=r"^here: expected version 2, got None"):
        as_version({}, 2, "here")
