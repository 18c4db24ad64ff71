from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from extproc.gateway.yaml_text import write_yaml

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(
    st.characters(codec="utf-8", exclude_characters="\x7f\x85\ufeff", exclude_categories=["Cs", "Cc", "Zl", "Zp", "Cn", "Co"]),
)  # fmt: skip
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc.@/-", min_size=1), inner, max_size=4)
    ),
    max_leaves=25,
)


@given(st.dictionaries(st.text("abc", min_size=1), TREES, min_size=1))
def test_what_is_written_is_read_back(tree: dict[str, Any]) -> None:
    """Whatever the layout, a YAML reader finds the same tree."""
    assert tree == yaml.safe_load(write_yaml(tree, {}))


def test_short_leaves_stand_on_one_line_and_long_ones_do_not() -> None:
    """The reader sees an address at a glance, and no line runs off the screen."""
    text = write_yaml({"a": {"b": 1, "c": "x"}, "d": {f"key{i}": "v" * 20 for i in range(6)}}, {})

    assert "a: {b: 1, c: x}" == text.splitlines()[0]
    assert "d:" == text.splitlines()[1]


def test_a_comment_stands_before_the_first_place_that_ends_so() -> None:
    """Items of a list go by their name; the comment is indented with what it explains."""
    tree = {"list": [{"name": "one", "option": True}, {"name": "two", "option": True}]}

    assert (
        "list:\n  - name: one\n    option: true\n  - name: two\n    # Why.\n    option: true\n"
        == write_yaml(tree, {"list[two].option": "Why."})
    )


def test_a_comment_on_an_item_stands_before_its_dash() -> None:
    """It explains the whole item."""
    tree = {"list": [{"name": "x", "inner": {"a": {"b": 1, "c": [1]}}}]}

    assert write_yaml(tree, {"list[x]": "Why."}).startswith("list:\n  # Why.\n  - name: x\n")


def test_a_comment_on_the_first_key_of_an_item_stands_before_its_dash() -> None:
    """The dash and the first key share a line."""
    tree = {"list": [{"a": {"b": 1}, "c": [[1], [2]]}]}

    assert tree == yaml.safe_load(write_yaml(tree, {"list[0].a": "Why."}))


def test_long_comments_are_wrapped() -> None:
    """No comment runs off the screen."""
    text = write_yaml({"a": 1}, {"a": "word " * 100})

    assert max(len(line) for line in text.splitlines()) <= 118


def test_a_comment_without_a_place_is_an_error() -> None:
    """Comments do not get lost."""
    with pytest.raises(KeyError, match="nowhere"):
        write_yaml({"a": 1}, {"nowhere": "Why."})
