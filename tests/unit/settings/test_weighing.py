from __future__ import annotations

from typing import Any

import pytest

from extproc.settings.weighing import find_odd_weights


@pytest.mark.parametrize(
    ("tree", "path"),
    [
        ({"objective": {"weights": {"quality": 1, "latency": 0.001, "cost": 0}}}, "latency"),
        ({"overrides": {"weights": {"cost": {"min": 0.5, "max": 0.2}}}}, "cost"),
        ({"overrides": {"weights": {"quality": {"min": 0.6}, "cost": {"min": 0.6}}}}, "weights"),
        (
            {"overrides": {"weights": {n: {"max": 0.3} for n in ("quality", "latency", "cost")}}},
            "weights",
        ),
    ],
)
def test_weights_that_cannot_be_obeyed_are_named(tree: dict[str, Any], path: str) -> None:
    """A weight of latency of nearly nothing, a range upside down, and ranges without weights in them."""
    assert [path] == [complaint.path[-1] for complaint in find_odd_weights(tree)]


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"objective": {"weights": {"quality": 0, "latency": 1, "cost": 0}}},
        {"objective": {"weights": {"quality": "much", "latency": 0.001, "cost": None}}},
        {"objective": {"weights": [1, 2, 3]}, "overrides": 7},
        {"overrides": {"weights": {"cost": {"max": 0.5}}}},
        {"overrides": {"weights": {"cost": {"max": True, "min": "x"}}}},
    ],
)
def test_sound_weights_and_wrong_types_pass(tree: dict[str, Any]) -> None:
    """What has the wrong type is left to the per-field errors."""
    assert [] == list(find_odd_weights(tree))
