from __future__ import annotations

import pytest
from pydantic import ValidationError

from extproc.settings.schema import Settings
from extproc.settings.translate import closest, complaints_of, shown


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "null"),
        (True, "true"),
        ([], "an empty list"),
        ([1], "a list"),
        ({}, "a mapping"),
        (1.5, "1.5"),
        ("a", "'a'"),
    ],
)
def test_values_are_shown_as_the_file_writes_them(value: object, expected: str) -> None:
    """The reader looks for what stands in the file."""
    assert expected == shown(value)


def test_long_values_are_cut() -> None:
    """A message stays readable, whatever the file holds."""
    assert len(shown("x" * 10_000)) == 60


def test_a_near_key_is_suggested_and_a_far_one_is_not() -> None:
    """A suggestion is only made when it is likely the one."""
    assert "did you mean 'listen'?" == closest("lisen", ("listen", "admin"))
    assert "" == closest("zzz", ("listen", "admin"))


def test_a_list_with_bad_items_is_not_called_empty() -> None:
    """Only the items are at fault."""
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"version": 1, "pools": [{"name": "a"}], "clusters": [3]})

    assert [("clusters", 0)] == [complaint.path for complaint in complaints_of(caught.value)]


def test_an_unknown_key_of_a_small_section_lists_the_known_ones() -> None:
    """Without a near key the reader sees what there is."""
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"version": 1, "scrape": {"zzz": 1}})

    hints = [item.hint for item in complaints_of(caught.value) if item.path == ("scrape", "zzz")]
    assert ["known keys: interval_seconds, timeout_seconds, jitter"] == hints
