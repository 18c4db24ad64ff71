from __future__ import annotations

import pytest

from extproc.settings.document import Path
from extproc.settings.expectation import expectation_at


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (("clusters", 2, "max_model_len"), "an integer >= 1 and <= 1000000000"),
        (("pools", 0, "threshold_tokens"), "an integer >= 1 and <= 1000000000 or null"),
        (("budgets", "output_quantile"), "a number > 0 and < 1"),
        (("budgets",), "a mapping"),
        (("pools",), "a list that is not empty"),
        (("aliases", "fast"), "a list that is not empty"),
        (("aliases", "fast", 0), "a text without spaces"),
        (
            ("policy", "name"),
            (
                "one of least_work, first_correct, route_balance, laar, load_aware, session_affinity, dual_pool, shortest_queue, "
                "round_robin, random"
            ),
        ),
        (("gateway", "listen"), "ip:port, such as 10.0.0.5:8000 or [fd00::5]:8000"),
        (("clusters", 0, "instances", 0, "draining"), "true or false"),
    ],
)
def test_a_place_says_what_may_stand_there(path: Path, words: str) -> None:
    """Type and range come from the model, in words."""
    found = expectation_at(path)

    assert found is not None
    assert words == found.words


@pytest.mark.parametrize("path", [("nowhere",), ("budgets", "nothing"), ("budgets", 0), ("version", "x")])
def test_an_unknown_place_expects_nothing(path: Path) -> None:
    """Where nothing belongs there is nothing to say."""
    assert expectation_at(path) is None


def test_a_section_knows_its_keys() -> None:
    """The keys are what a misspelt one is compared with."""
    found = expectation_at(("scrape",))

    assert found is not None
    assert ("interval_seconds", "timeout_seconds", "jitter") == found.keys
