from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from extproc.estimate.quality.features import NUMBERS, PromptFeatures
from extproc.estimate.quality.model import QualityModel, TextWeights

KNOWN = "which way does the river flow in winter"
ALIEN = "quux blorp zyxt frobnicate wibble narf"

Describe = Callable[[str], PromptFeatures]
MakeModel = Callable[..., QualityModel]
MakeText = Callable[..., TextWeights]


def test_chances_follow_the_fit(make_model: MakeModel, describe_prompt: Describe) -> None:
    """Without failures each model's chance is its own, in the order asked for."""
    found = make_model().chances(describe_prompt(KNOWN), ["large", "small"])
    assert np.allclose([0.731, 0.269], found, atol=0.002)


def test_known_words_move_the_chances(
    make_model: MakeModel, make_text: MakeText, describe_prompt: Describe
) -> None:
    """Words that the fit knows push the model that is good at them, fully."""
    odds, trust = make_model(text=make_text(KNOWN)).log_odds(describe_prompt(KNOWN))
    assert 1.0 == trust
    assert np.allclose([1.0, 0.0, 1.0, 0.0], odds, atol=0.01)


def test_alien_words_fall_back_to_the_prior(
    make_model: MakeModel, make_text: MakeText, describe_prompt: Describe
) -> None:
    """A prompt of words that the fit has hardly seen gets each model's chance over all prompts."""
    weights = np.zeros((len(NUMBERS), 4))
    weights[0] = 3.0
    model = make_model(text=make_text(KNOWN), number_weights=weights)
    odds, trust = model.log_odds(describe_prompt(ALIEN))
    assert 0.0 == trust
    assert np.array_equal(model.bias, odds)


def test_trust_falls_steadily_with_novelty(make_text: MakeText) -> None:
    """From all to the share for novel prompts, and on to none."""
    text = make_text(KNOWN)
    assert [1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0] == pytest.approx(
        [text._trust(novelty) for novelty in (0.0, 0.05, 0.125, 0.2, 0.35, 0.5, 0.9)]
    )


def test_a_prompt_without_words_gets_the_prior(make_model: MakeModel, make_text: MakeText) -> None:
    """Token ids alone tell a model that goes by words nothing."""
    model = make_model(text=make_text(KNOWN))
    odds, trust = model.log_odds(PromptFeatures((0.0,) * len(NUMBERS)))
    assert (0.0, model.bias.tolist()) == (trust, odds.tolist())


def test_numbers_beyond_the_range_are_taken_as_at_its_end(make_model: MakeModel) -> None:
    """A prompt a thousand times longer than any that was seen is no more extreme than the longest."""
    weights = np.zeros((len(NUMBERS), 4))
    weights[0] = 0.1
    model = make_model(number_weights=weights)
    inside, outside = (
        model.log_odds(PromptFeatures((size, *(0.0,) * (len(NUMBERS) - 1))))[0] for size in (20.0, 30.0)
    )
    assert np.array_equal(inside, outside)


def test_an_unknown_model_is_the_population(make_model: MakeModel, describe_prompt: Describe) -> None:
    """A model that the fit does not know has the mean model's chance, and takes part in the coupling."""
    model = make_model()
    before, after = (
        model.chances(describe_prompt(KNOWN), ["new"], failed)[0] for failed in ((), ("middle",))
    )
    assert pytest.approx(0.5, abs=0.002) == before
    assert after < 0.35


def test_a_model_that_failed_hardly_gets_it_right_again(
    make_model: MakeModel, describe_prompt: Describe
) -> None:
    """The chance of a repeat is a small share of the conditional chance of an equal but other model."""
    model = make_model(bias=np.array([0.5, 0.5, 1.0, 0.0]))
    repeat, other = model.chances(describe_prompt(KNOWN), ["small", "middle"], ["small"])
    assert pytest.approx(model.repeat_share * other) == repeat


def test_the_same_failure_twice_counts_once(make_model: MakeModel, describe_prompt: Describe) -> None:
    """A model that gives the same wrong answer again has said nothing new."""
    model, prompt = make_model(), describe_prompt(KNOWN)
    once, twice = (model.chances(prompt, ["large"], failed) for failed in (["small"], ["small", "small"]))
    assert np.array_equal(once, twice)


def test_the_node_table_gives_every_sequence(make_model: MakeModel, describe_prompt: Describe) -> None:
    """A planner's product over the table is the conditional chance that `chances` tells."""
    model, prompt = make_model(), describe_prompt(KNOWN)
    weights, table = model.node_table(prompt, ["small", "middle", "large"])
    left = weights * (1 - table[0]) * (1 - table[1])
    expected = model.chances(prompt, ["large"], ["small", "middle"])[0]
    assert pytest.approx(float(expected)) == float(left @ table[2] / left.sum())


def test_unfamiliar_prompts_have_steeper_slopes(make_model: MakeModel) -> None:
    """Where little is believed of a prompt, its difficulty is more open, and a failure says more."""
    model = make_model(novel_slope=1.5)
    assert ([3.0] * 4, [2.0] * 4) == (model.slopes_at(0.0).tolist(), model.slopes_at(1.0).tolist())


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"bias": np.zeros(3)}, "bias"),
        ({"bias": np.array([0.0, np.nan, 0.0, 0.0])}, "bias: expected numbers from"),
        ({"number_weights": np.full((len(NUMBERS), 4), -1e308)}, "number_weights: expected numbers from"),
        ({"slopes": np.array([1.0, -1.0, 1.0, 1.0])}, "slopes"),
        ({"names": ("a", "a", "b")}, "twice"),
        ({"number_weights": np.zeros((2, 4))}, "number_weights"),
        ({"repeat_share": 1.5}, "repeat_share"),
    ],
)
def test_malformed_arrays_are_refused(make_model: MakeModel, changes: dict[str, Any], complaint: str) -> None:
    """An array of another shape, with what is no number, or with one that adds up to none, says which."""
    with pytest.raises(ValueError, match=complaint):
        make_model(**changes)


@pytest.mark.parametrize(
    "changes",
    [{"novel": 0.01}, {"novel_trust": 2.0}, {"scale": np.ones(3, dtype=np.float32)}, {"alien": 0.1}],
)
def test_malformed_text_weights_are_refused(make_text: MakeText, changes: dict[str, Any]) -> None:
    """Thresholds out of order, shares beyond 1 and short arrays are refused."""
    with pytest.raises(ValueError, match="text"):
        make_text(KNOWN, **changes)
