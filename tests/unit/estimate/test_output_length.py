# ruff: noqa: RUF001 - other scripts are what is tested
from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

from extproc.estimate.output_length import OutputLengthEstimator, TextKind, kind_of
from extproc.facts.text import Category, TextProfile, profile_text

ENGLISH = TextProfile(((Category.ENGLISH, 900), (Category.SYMBOLS, 40)))
HAN = TextProfile(((Category.HAN, 900),))


def taught(length: int, times: int = 200, *, model: str = "m") -> OutputLengthEstimator:
    """An estimator that learned the same answer many times."""
    estimator = OutputLengthEstimator()
    for _ in range(times):
        estimator.learn(model, ENGLISH, length, was_cut=False)
    return estimator


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Why is the sky blue in the morning and red in the evening?", TextKind.ENGLISH),
        ("for (int i = 0; i < n; ++i) { sum += a[i] * b[i]; }", TextKind.CODE),
        ("Watu wote wamezaliwa huru, hadhi na haki zao ni sawa kila mtu", TextKind.LATIN),
        ("人人生而自由", TextKind.CJK),
        ("Все люди рождаются", TextKind.OTHER),
        ("", TextKind.OTHER),
    ],
)
def test_kinds_of_prompts(text: str, kind: TextKind) -> None:
    """A prompt's kind is that of most of its words, or code when symbols abound."""
    assert kind == kind_of(profile_text([text]))


@pytest.mark.parametrize(("quantile", "tokens"), [(0.25, 91), (0.5, 246), (0.9, 522), (0.95, 610)])
def test_the_prior_gives_back_its_quantiles(quantile: float, tokens: int) -> None:
    """Without usage, quantiles are those of the public traces, to the width of a bin."""
    assert pytest.approx(tokens, rel=0.1) == OutputLengthEstimator().predict("m", ENGLISH, quantile)


def test_the_default_quantile_is_nine_tenths() -> None:
    """None asks for the default."""
    estimator = OutputLengthEstimator()
    assert estimator.predict("m", ENGLISH, 0.9) == estimator.predict("m", ENGLISH, None)


def test_learns_a_models_lengths() -> None:
    """After a few hundred answers, the median is theirs."""
    assert pytest.approx(3000, rel=0.2) == taught(3000).predict("m", ENGLISH, 0.5)


def test_quantiles_are_ordered() -> None:
    """A higher quantile is never a smaller length."""
    estimator = taught(77)
    lengths = [estimator.predict("m", ENGLISH, share / 100) for share in range(1, 100)]
    assert sorted(lengths) == lengths


def test_a_new_kind_and_a_new_model_start_from_what_is_known() -> None:
    """The model's other answers count for a kind never seen, and the fleet's for a model never seen."""
    estimator = taught(6000)
    prior = OutputLengthEstimator().predict("m", HAN, 0.5)
    assert estimator.predict("m", HAN, 0.5) > 5 * prior
    assert estimator.predict("new", ENGLISH, 0.5) > 5 * prior


def test_old_answers_are_forgotten() -> None:
    """A model that changes its ways is followed."""
    estimator = taught(4000, 500)
    for _ in range(1500):
        estimator.learn("m", ENGLISH, 100, was_cut=False)
    assert estimator.predict("m", ENGLISH, 0.5) < 150


def test_a_cut_answer_is_a_lower_bound() -> None:
    """Answers cut at 200 tokens do not pull the median below what the others say."""
    finished, cut = taught(2000, 100), taught(2000, 100)
    for _ in range(100):
        finished.learn("m", ENGLISH, 200, was_cut=False)
        cut.learn("m", ENGLISH, 200, was_cut=True)
    assert finished.predict("m", ENGLISH, 0.4) < 300
    assert cut.predict("m", ENGLISH, 0.4) > 1000


@pytest.mark.parametrize("length", [-1, 10**7])
def test_nonsense_teaches_nothing(length: int) -> None:
    """Negative and absurd lengths are ignored."""
    estimator = taught(500)
    before = estimator.state()
    estimator.learn("m", ENGLISH, length, was_cut=False)
    assert before == estimator.state()


@pytest.mark.parametrize("quantile", [0.0, 1.0, -1.0, 2.0])
def test_a_quantile_outside_its_range_is_refused(quantile: float) -> None:
    """Only what lies strictly between 0 and 1 is a quantile."""
    with pytest.raises(ValueError, match="quantile"):
        OutputLengthEstimator().predict("m", ENGLISH, quantile)


def test_the_number_of_models_is_bounded() -> None:
    """The model that learned least recently goes first."""
    estimator = OutputLengthEstimator(max_models=2)
    for model in ("a", "b", "a", "c"):
        estimator.learn(model, ENGLISH, 100, was_cut=False)
    models = estimator.state()["models"]
    assert isinstance(models, dict)
    assert ["a", "c"] == sorted(models)
    with pytest.raises(ValueError, match="max_models"):
        OutputLengthEstimator(max_models=0)


def test_state_survives_json() -> None:
    """A restored estimator predicts like the one it was saved from."""
    original, restored = taught(900), OutputLengthEstimator()
    restored.restore(json.loads(json.dumps(original.state())))
    for quantile in (0.1, 0.5, 0.99):
        assert original.predict("m", ENGLISH, quantile) == restored.predict("m", ENGLISH, quantile)


def malformed() -> list[tuple[str, object, str]]:
    """Name, state and expected error of states that must be refused."""
    good = json.loads(json.dumps(taught(900, 5).state()))

    def edited(path: list[Any], value: object) -> object:
        state = copy.deepcopy(good)
        inner = state
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        return state

    return [
        ("null", None, "expected an object, got NoneType"),
        ("version", edited(["version"], 7), "expected version 1, got 7"),
        ("edges", edited(["edges"], [1, 2]), "edges differ"),
        ("learned", edited(["learned"], "9"), "learned: expected a non-negative integer"),
        ("fleet", edited(["fleet"], {}), "fleet.ended: expected"),
        ("kind", edited(["models", "m", "poetry"], {}), "models.m: unknown kind of text"),
        ("negative", edited(["models", "m", "english", "cut", 0], -1.0), "models.m.english: expected counts"),
        ("flood", edited(["fleet", "ended", 0], 1e9), "fleet: expected counts"),
    ]


@pytest.mark.parametrize(
    ("state", "message"), [case[1:] for case in malformed()], ids=[c[0] for c in malformed()]
)
def test_malformed_state_is_refused_and_changes_nothing(state: object, message: str) -> None:
    """A bad state raises an error that says what is wrong, and the estimator keeps what it knew."""
    estimator = taught(900, 5)
    before = estimator.state()
    with pytest.raises(ValueError, match=r"^output state") as raised:
        estimator.restore(state)
    assert message in str(raised.value)
    assert before == estimator.state()


def test_mean_and_quantile_in_one_pass_are_those_of_two() -> None:
    """Of several models, the mean alone within the limit; a quantile out of range is refused."""
    estimator = OutputLengthEstimator()
    rng = np.random.default_rng(3)
    for _ in range(200):
        estimator.learn("brief", TextProfile(), int(rng.integers(5, 40)), was_cut=False)
        estimator.learn("lengthy", TextProfile(), int(rng.integers(200, 2000)), was_cut=False)
    models = ("brief", "lengthy")
    expected = [
        (estimator.expected(model, TextProfile(), 100), estimator.predict(model, TextProfile(), 0.95))
        for model in models
    ]

    assert expected == estimator.expected_and_upper(models, TextProfile(), 0.95, 100)
    assert expected[0][0] < 40 < expected[1][0] <= 100 < expected[1][1]
    with pytest.raises(ValueError, match="quantile"):
        estimator.expected_and_upper(models, TextProfile(), 1.0)
