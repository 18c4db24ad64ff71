from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from extproc.estimate.tokens import PromptTokenEstimator, TokenEstimate
from extproc.facts.request import Api, RequestFacts
from extproc.facts.text import Category, TextProfile

TEXT = TextProfile(((Category.ENGLISH, 4000), (Category.SYMBOLS, 200)))


def facts(text: TextProfile = TEXT, **fields: Any) -> RequestFacts:
    """A chat request with the given text."""
    return RequestFacts(api=Api.CHAT_COMPLETIONS, model="m", text=text, **fields)


def taught(times: int = 30, model: str = "m", tokens: int = 1500, **options: Any) -> PromptTokenEstimator:
    """An estimator that learned one prompt many times."""
    estimator = PromptTokenEstimator(**options)
    for _ in range(times):
        teach(estimator, model, tokens)
    return estimator


def teach(
    estimator: PromptTokenEstimator, model: str, tokens: int, text: TextProfile = TEXT, **fields: Any
) -> None:
    """Report usage of a prompt."""
    given = {"prompt_token_ids": 0, "messages": 0, "images": 0, **fields}
    estimator.learn(model=model, text=text, prompt_tokens=tokens, **given)


def test_an_unknown_model_starts_from_the_prior() -> None:
    """Without usage, the count is bytes by category times the prior, and says that it has no samples."""
    estimate = PromptTokenEstimator().predict(facts(), "m")
    assert round(4000 * 0.170 + 200 * 0.470) == estimate.tokens
    assert estimate.upper > estimate.tokens
    assert estimate.samples == 0


def test_learns_per_model() -> None:
    """One model's usage does not touch another's figures."""
    estimator = taught()
    assert pytest.approx(1500, rel=0.03) == estimator.predict(facts(), "m").tokens
    assert PromptTokenEstimator().predict(facts(), "n") == estimator.predict(facts(), "n")
    assert estimator.predict(facts(), "m").samples == 30


def test_token_ids_are_exact_and_get_no_template() -> None:
    """A prompt of token ids alone has exactly as many tokens."""
    estimate = PromptTokenEstimator().predict(facts(TextProfile(), prompt_token_ids=77, messages=1), "m")
    assert TokenEstimate(77, 77, 0) == estimate


def test_images_cost_the_configured_tokens() -> None:
    """Each image adds its tokens to both figures."""
    estimate = PromptTokenEstimator(tokens_per_image=500).predict(facts(TextProfile(), images=3), "m")
    assert TokenEstimate(1500, 1500, 0) == estimate


def test_messages_cost_template_tokens() -> None:
    """More messages of the same text are more tokens."""
    estimator = PromptTokenEstimator()
    one = estimator.predict(facts(messages=1), "m").tokens
    assert 45 == estimator.predict(facts(messages=10), "m").tokens - one


def test_template_tokens_are_learned() -> None:
    """A model whose template takes eight tokens a message is known after a while."""
    estimator = PromptTokenEstimator()
    for step in range(400):
        size, messages = 200 * (step % 9 + 1), step % 7 + 1
        text = TextProfile(((Category.ENGLISH, size),))
        teach(estimator, "m", round(size * 0.17) + 8 * messages + 4, text, messages=messages)
    text = TextProfile(((Category.ENGLISH, 1000),))
    ten = estimator.predict(facts(text, messages=10), "m").tokens
    assert pytest.approx(72, abs=12) == ten - estimator.predict(facts(text, messages=1), "m").tokens


@pytest.mark.parametrize(
    ("tokens", "fields"),
    [
        (0, {}),
        (-5, {}),
        (10**9, {}),
        (3, {}),
        (1500, {"images": 1}),
        (1500, {"prompt_token_ids": 1500}),
    ],
)
def test_nonsense_teaches_nothing(tokens: int, fields: dict[str, Any]) -> None:
    """Counts that no tokenizer makes of the text, and prompts with images, leave the figures alone."""
    estimator = taught()
    before = estimator.state()
    teach(estimator, "m", tokens, **fields)
    assert before == estimator.state()


def test_a_prompt_without_text_teaches_nothing() -> None:
    """Token ids alone say nothing about bytes."""
    estimator = PromptTokenEstimator()
    teach(estimator, "m", 20, TextProfile(), prompt_token_ids=10)
    assert {} == estimator.state()["models"]


def test_a_rejection_raises_the_estimate() -> None:
    """A prompt known to exceed a limit moves the expected count towards it."""
    estimator = PromptTokenEstimator()
    before = estimator.predict(facts(), "m").tokens
    estimator.learn_lower_bound(
        model="m", text=TEXT, prompt_token_ids=0, messages=0, images=0, at_least=2 * before
    )
    assert estimator.predict(facts(), "m").tokens > 1.1 * before


def test_a_bound_that_is_met_teaches_nothing() -> None:
    """A lower bound below the estimate is no news."""
    estimator = taught()
    before = estimator.state()
    estimator.learn_lower_bound(model="m", text=TEXT, prompt_token_ids=0, messages=0, images=0, at_least=100)
    assert before == estimator.state()


def test_the_least_recently_taught_model_is_forgotten() -> None:
    """The number of models is bounded, whatever names clients send."""
    estimator = PromptTokenEstimator(max_models=2)
    for model in ("a", "b", "a", "c"):
        teach(estimator, model, 1500)
    models = estimator.state()["models"]
    assert isinstance(models, dict)
    assert ["a", "c"] == sorted(models)


def test_state_survives_json() -> None:
    """A restored estimator predicts and goes on learning like the one it was saved from."""
    original = taught()
    restored = PromptTokenEstimator()
    restored.restore(json.loads(json.dumps(original.state())))
    assert original.predict(facts(messages=2), "m") == restored.predict(facts(messages=2), "m")
    teach(original, "m", 1400)
    teach(restored, "m", 1400)
    after = restored.predict(facts(), "m").tokens
    assert abs(original.predict(facts(), "m").tokens - after) <= 1


def malformed() -> list[tuple[str, object, str]]:
    """Name, state and expected error of states that must be refused."""
    good = json.loads(json.dumps(taught(3).state()))

    def edited(path: list[Any], value: object) -> object:
        state = copy.deepcopy(good)
        inner = state
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        return state

    costs = ["models", "m"]
    return [
        ("list", [], "expected an object, got list"),
        ("version", edited(["version"], 99), "expected version 1, got 99"),
        ("units", edited(["units"], ["english"]), "units differ"),
        ("models", edited(["models"], 3), "models: expected an object"),
        ("costs", edited(costs, None), "models.m: costs: expected an object, got NoneType"),
        ("samples", edited([*costs, "samples"], -1), "models.m: samples: expected a non-negative integer"),
        ("boolean", edited([*costs, "samples"], True), "samples"),
        ("short", edited([*costs, "mean"], [1.0]), "mean: expected 21 numbers, got 1"),
        ("text", edited([*costs, "mean", 0], "x"), "mean: expected a finite number, got 'x'"),
        ("nan", edited([*costs, "mean", 0], float("nan")), "mean: expected a finite number"),
        ("huge", edited([*costs, "margins", 0], 10**400), "margins: expected a finite number"),
        ("variance", edited([*costs, "covariance", 0], -1.0), "covariance: expected variances above 0"),
    ]


@pytest.mark.parametrize(
    ("state", "message"), [case[1:] for case in malformed()], ids=[c[0] for c in malformed()]
)
def test_malformed_state_is_refused_and_changes_nothing(state: object, message: str) -> None:
    """A bad state raises an error that says what is wrong, and the estimator keeps what it knew."""
    estimator = taught()
    before = estimator.state()
    with pytest.raises(ValueError, match=r"^token state") as raised:
        estimator.restore(state)
    assert message in str(raised.value)
    assert before == estimator.state()


@pytest.mark.parametrize(
    "options", [{"tokens_per_image": -1}, {"under_rate": 0.0}, {"under_rate": 0.9}, {"max_models": 0}]
)
def test_parameters_out_of_range_are_refused(options: dict[str, Any]) -> None:
    """Each parameter's range is checked, and the error names it."""
    with pytest.raises(ValueError, match=next(iter(options))):
        PromptTokenEstimator(**options)
