from __future__ import annotations

import pytest

from extproc.facts.answer import Choice
from extproc.facts.answer_shapes import read_chat_choices
from extproc.verify.confidence import ConfidenceSpec, check_confidence
from extproc.verify.finding import Outcome


def _choice(*values: float) -> Choice:
    return Choice(text="a", token_logprobs=values or None)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (ConfidenceSpec(min_mean=-1.0), ""),
        (ConfidenceSpec(min_mean=-0.9), "confidence.mean"),
        (ConfidenceSpec(min_token=-2.0), ""),
        (ConfidenceSpec(min_token=-1.9), "confidence.token"),
    ],
)
def test_both_thresholds_are_inclusive(spec: ConfidenceSpec, reason: str) -> None:
    """A figure that equals its threshold is enough."""
    finding = check_confidence(spec, _choice(0.0, -1.0, -2.0))

    assert finding is not None
    assert reason == finding.reason
    assert (Outcome.REJECTED if reason else Outcome.PASSED) is finding.outcome


def test_without_figures_there_is_no_opinion() -> None:
    """Most clients ask for no log-probabilities."""
    assert check_confidence(ConfidenceSpec(min_mean=-1.0), _choice()) is None


def test_without_thresholds_there_is_no_opinion() -> None:
    """Figures alone are neither good nor bad."""
    assert check_confidence(ConfidenceSpec(), _choice(-9.0)) is None


def test_the_least_figures_that_an_answer_can_carry_are_too_unlikely() -> None:
    """Figures at the end of a float's range are rejected like any other unlikely ones."""
    entries = [{"logprob": -1.7e308}] * 2
    choices = read_chat_choices(
        {"choices": [{"message": {"content": "a"}, "logprobs": {"content": entries}}]}
    )
    assert choices is not None

    finding = check_confidence(ConfidenceSpec(min_mean=-1.0), choices[0])
    assert finding is not None
    assert "confidence.mean" == finding.reason
