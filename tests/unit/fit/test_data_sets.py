from __future__ import annotations

from typing import Any

import pytest

from extproc.fit.data_sets import BASELINES, by_data_set
from extproc.fit.trials import ESTIMATORS, OURS, PART_OF_OURS


def judged(data: str, **values: float) -> dict[str, Any]:
    """What a trial would say: values as measured, and two samples a tenth above and below."""
    by_name = dict.fromkeys(ESTIMATORS, 0.0) | {NAMES[short]: value for short, value in values.items()}
    return {
        "data": data,
        "value_draws": {name: [value, value + 0.1, value - 0.1] for name, value in by_name.items()},
    }


NAMES = {"ours": OURS, "linear": "words, linear", "laar": "length and language (LAAR)", "part": PART_OF_OURS}


def test_a_set_is_the_mean_over_its_fleets() -> None:
    """Two fleets on one set count as one, sets come in their first order, and samples stay paired."""
    first, second = by_data_set(
        [judged("b", ours=0.4, linear=0.1), judged("a", ours=0.2), judged("b", ours=0.0, linear=0.2)], []
    )

    assert ("b", 2, "a", 1) == (first["data"], first["fleets"], second["data"], second["fleets"])
    assert pytest.approx(0.2) == first["values"][OURS]
    ahead = first["ahead"]["words, linear"]
    assert pytest.approx([0.05, 0.05, 0.05]) == [ahead["value"], ahead["low"], ahead["high"]]


def test_the_best_of_a_set_is_a_baseline() -> None:
    """A part of this service's own fit is shown beside the others, but is not what it is held against."""
    (found,) = by_data_set([judged("a", ours=0.2, linear=0.1, laar=0.3, part=0.9)], [])

    assert NAMES["laar"] == found["best"]
    assert pytest.approx(-0.1) == found["ahead"][NAMES["laar"]]["value"]
    assert PART_OF_OURS not in BASELINES
    assert pytest.approx(-0.7) == found["ahead"][PART_OF_OURS]["value"]


def test_other_splits_stand_beside_the_first() -> None:
    """Each way to part the questions gives a figure of its own, and changes none of the first's."""
    trials = [judged("a", ours=0.2, linear=0.1)]
    (found,) = by_data_set(trials, [[judged("a", ours=0.0, linear=0.3)], [judged("a", ours=0.5, linear=0.1)]])

    assert [-0.3, 0.4] == pytest.approx(found["ahead_again"][NAMES["linear"]])
    (alone,) = by_data_set(trials, [])
    assert (alone["values"], alone["ahead"]) == (found["values"], found["ahead"])
    assert [] == alone["ahead_again"][NAMES["linear"]]
