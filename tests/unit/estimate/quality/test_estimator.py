from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.estimate.quality.coupling import WEIGHTS, tabulate
from extproc.estimate.quality.estimator import QualityEstimator, Rails
from extproc.estimate.quality.features import NUMBERS, PromptFeatures
from extproc.estimate.quality.model import QualityModel

MakeModel = Callable[..., QualityModel]

PROMPT = PromptFeatures((8.0,) + (0.0,) * (len(NUMBERS) - 1))


def _model_of_three() -> QualityModel:
    numbers = len(NUMBERS)
    return QualityModel(
        names=("small", "middle"),
        bias=np.array([-1.0, 0.5, 0.0]),
        slopes=np.ones(3),
        offset=np.zeros(3),
        centre=np.zeros(numbers),
        least=np.zeros(numbers),
        most=np.zeros(numbers),
        number_weights=np.zeros((numbers, 3)),
    )


def odds_of(estimator: QualityEstimator, model: str) -> float:
    chance = float(estimator.chances(PROMPT, [model])[0])
    return float(np.log(chance / (1.0 - chance)))


def test_a_declared_prior_is_the_chance_of_an_unknown_model(make_model: MakeModel) -> None:
    """A model without data is right as often as it was declared to be; a fitted one goes by the fit."""
    estimator = QualityEstimator(make_model(), declared={"new": 0.8, "small": 0.99})
    assert np.allclose([0.8, 0.269], estimator.chances(PROMPT, ["new", "small"]), atol=0.003)


def test_a_declared_prior_can_be_declared_anew(make_model: MakeModel) -> None:
    """It counts at once; what answers have taught is kept, and who is not declared any more is like the others."""
    estimator = QualityEstimator(make_model(), declared={"new": 0.8, "old": 0.9})
    estimator.learn_against("new", expected=0.8, correct=False)
    taught = odds_of(estimator, "new")
    estimator.declare({"new": 0.5})

    assert pytest.approx(taught - float(np.log(4.0)), abs=0.01) == odds_of(estimator, "new")
    assert odds_of(estimator, "nobody") == odds_of(estimator, "old")


def test_a_declared_prior_moves_with_the_difficulty_of_the_prompt(make_model: MakeModel) -> None:
    """On prompts that are hard for all fitted models, a declared one is believed less, too."""
    weights = np.zeros((len(NUMBERS), 4))
    weights[0] = -0.1
    estimator = QualityEstimator(make_model(number_weights=weights), declared={"new": 0.8})
    assert float(estimator.chances(PROMPT, ["new"])[0]) < 0.7


@pytest.mark.parametrize("chance", [0.0, 1.0, 1.5])
def test_a_declared_certainty_is_refused(chance: float) -> None:
    """No model is always right."""
    with pytest.raises(ValueError, match="chance"):
        QualityEstimator(declared={"new": chance})


def test_answers_move_an_unknown_model_to_its_true_chance() -> None:
    """A model declared at 80 % that is right 40 % of the time is believed so after some hundred answers."""
    estimator = QualityEstimator(declared={"new": 0.8})
    rng = np.random.default_rng(3)
    for correct in rng.random(800) < 0.4:
        estimator.learn("new", PROMPT, correct=bool(correct))
    assert pytest.approx(0.4, abs=0.07) == float(estimator.chances(PROMPT, ["new"])[0])


@pytest.mark.parametrize("correct", [False, True])
def test_a_poisoned_stream_ends_at_the_rails(make_model: MakeModel, *, correct: bool) -> None:
    """Ten thousand verdicts of one kind push a fitted model no further than its rails, and others hardly at all."""
    rails = Rails()
    estimator = QualityEstimator(make_model(), rails=rails, declared={"new": 0.5})
    clean = {model: odds_of(estimator, model) for model in ("middle", "large", "new")}
    for _ in range(10_000):
        estimator.learn("middle", PROMPT, correct=correct)
    moved = {model: abs(odds_of(estimator, model) - odds) for model, odds in clean.items()}
    assert moved["middle"] <= rails.fitted + rails.common + 0.01
    assert max(moved["large"], moved["new"]) <= rails.common + 0.01


def test_an_estimate_recovers_from_a_poisoned_stream(make_model: MakeModel) -> None:
    """Once the verdicts are right again, the estimate comes back: it never hardens."""
    estimator = QualityEstimator(make_model())
    for _ in range(10_000):
        estimator.learn("middle", PROMPT, correct=False)
    rng = np.random.default_rng(5)
    for correct in rng.random(3_000) < 0.5:
        estimator.learn("middle", PROMPT, correct=bool(correct))
    assert pytest.approx(0.5, abs=0.12) == float(estimator.chances(PROMPT, ["middle"])[0])


def test_one_answer_moves_an_estimate_by_a_bounded_step() -> None:
    """The first verdict of a model that nothing is known of is no more than a step."""
    estimator = QualityEstimator(rails=Rails(declared_spread=50.0))
    before = odds_of(estimator, "new")
    estimator.learn("new", PROMPT, correct=False)
    assert 0.0 < before - odds_of(estimator, "new") <= 2 * Rails().step + 0.01


def test_failures_on_hard_questions_do_not_make_a_model_look_bad(make_model: MakeModel) -> None:
    """A model that is asked only after others failed is judged by its chance on such questions."""
    estimator = QualityEstimator(make_model())
    rng = np.random.default_rng(7)
    table = tabulate(np.array([0.0, 1.0]), np.full(2, 2.0))
    for _ in range(4_000):
        node = rng.choice(len(WEIGHTS), p=WEIGHTS)
        if rng.random() > table[0, node]:
            estimator.learn("large", PROMPT, correct=bool(rng.random() < table[1, node]), failed=["middle"])
    assert estimator.samples("large") > 1_500
    assert pytest.approx(1.0, abs=0.25) == odds_of(estimator, "large")


def test_a_second_failure_on_the_same_question_teaches_nothing(make_model: MakeModel) -> None:
    """The same model with the same wrong answer is no news."""
    estimator = QualityEstimator(make_model())
    estimator.learn("small", PROMPT, correct=False, failed=["small"])
    assert 0 == estimator.samples("small")


def test_harder_traffic_lowers_models_that_were_not_asked(make_model: MakeModel) -> None:
    """When all models that are asked fall short, the others are believed a little less."""
    estimator = QualityEstimator(make_model())
    for _ in range(60):
        for model in ("small", "middle"):
            estimator.learn(model, PROMPT, correct=False)
    assert odds_of(estimator, "large") < 0.9


def test_state_survives_a_restart(make_model: MakeModel) -> None:
    """What was learned comes back from JSON as it was."""
    estimator = QualityEstimator(make_model(), declared={"new": 0.7})
    for index in range(50):
        estimator.learn(("small", "new")[index % 2], PROMPT, correct=index % 3 == 0)
    restored = QualityEstimator(make_model(), declared={"new": 0.7})
    restored.restore(json.loads(json.dumps(estimator.state())))
    models = ["small", "middle", "new"]
    assert np.allclose(estimator.chances(PROMPT, models), restored.chances(PROMPT, models), atol=1e-5)
    assert estimator.state() == restored.state()


@pytest.mark.parametrize(
    "state",
    [
        None,
        {"version": 2},
        {"version": 1, "common": {}, "models": {}},
        {"version": 1, "common": {"shift": [0.0, 0.1], "samples": 1}, "models": {"a": {"shift": [0.0]}}},
        {"version": 1, "common": {"shift": [0.0, -1.0], "samples": 1}, "models": {}},
        {"version": 1, "common": {"shift": [0.0, 0.1], "samples": 1}, "models": {3: {}}},
    ],
)
def test_a_malformed_state_is_refused_and_nothing_changes(state: object) -> None:
    """Whatever is wrong with it, the text says what, and what was learned stays."""
    estimator = QualityEstimator()
    estimator.learn("a", PROMPT, correct=True)
    before = estimator.state()
    with pytest.raises(ValueError, match="quality state"):
        estimator.restore(state)
    assert before == estimator.state()


def test_what_was_learned_of_another_fit_is_not_restored(make_model: MakeModel) -> None:
    """It corrected other chances; the same fit takes it back."""
    old = replace(make_model(), fit_id="old")
    estimator = QualityEstimator(old)
    estimator.learn("small", PROMPT, correct=False)

    with pytest.raises(ValueError, match="another fitted model"):
        QualityEstimator(replace(old, fit_id="new")).restore(estimator.state())
    again = QualityEstimator(old)
    again.restore(estimator.state())
    assert 1 == again.samples("small")


def test_a_restored_shift_stays_within_the_rails() -> None:
    """A state file that was tampered with cannot push an estimate further than answers could."""
    estimator = QualityEstimator(declared={"a": 0.5})
    shift = {"shift": [900.0, 500.0], "samples": 3}
    estimator.restore({"version": 1, "common": shift, "models": {"a": shift}})
    assert odds_of(estimator, "a") <= Rails().declared + Rails().common + 0.01


@pytest.mark.parametrize("expected", [float("nan"), float("inf"), -0.1, 1.1])
def test_a_chance_that_is_none_teaches_nothing(make_model: MakeModel, expected: float) -> None:
    """What a plan carried through other hands may come back broken; the state stays as it was, and stays finite."""
    estimator = QualityEstimator(make_model())
    estimator.learn("small", PROMPT, correct=True)
    before = estimator.state()
    estimator.learn_against("small", expected=expected, correct=False)
    assert before == estimator.state()


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["small", "middle", "new", "unheard of"]),
            st.booleans(),
            st.floats(allow_nan=True, allow_infinity=True) | st.floats(0.0, 1.0),
        ),
        max_size=40,
    ),
    st.integers(1, 40),
)
def test_no_stream_leaves_the_rails(answers: list[tuple[str, bool, float]], repeats: int) -> None:
    """Contradictory, broken and replayed verdicts move no estimate beyond its rails, nor by more than a step at a time."""
    rails = Rails()
    model = _model_of_three()
    estimator = QualityEstimator(model, declared={"new": 0.5})
    fit, _ = model.log_odds(PROMPT)
    names = {"small": (0, rails.fitted), "middle": (1, rails.fitted), "new": (None, rails.declared)}
    before = {name: odds_of(estimator, name) for name in names}
    for name, correct, expected in answers * repeats:
        estimator.learn_against(name, expected=expected, correct=correct)
        for known, (row, rail) in names.items():
            odds = odds_of(estimator, known)
            start = 0.0 if row is None else float(fit[row])
            assert abs(odds - start) <= rail + rails.common + 0.02
            assert abs(odds - before[known]) <= 2 * rails.step + 0.02
            before[known] = odds


def test_the_sharpest_adversary_is_held_and_forgotten(make_model: MakeModel) -> None:
    """Certainties denied a thousand times reach the rail and no further; honest answers then bring the estimate back."""
    rails = Rails()
    estimator = QualityEstimator(make_model())
    start = odds_of(estimator, "middle")
    for _ in range(1_000):
        estimator.learn_against("middle", expected=1.0, correct=False)
    pushed = odds_of(estimator, "middle")
    assert start - rails.fitted - rails.common - 0.01 <= pushed < start

    rng = np.random.default_rng(5)
    truth = 1.0 / (1.0 + np.exp(-start))
    for correct in rng.random(4_000) < truth:
        estimator.learn("middle", PROMPT, correct=bool(correct))
    assert pytest.approx(start, abs=0.35) == odds_of(estimator, "middle")


def test_the_model_that_learned_least_recently_is_forgotten() -> None:
    """Memory is bounded by the number of models."""
    estimator = QualityEstimator(max_models=2)
    for model in ("a", "b", "a", "c"):
        estimator.learn(model, PROMPT, correct=True)
    assert (2, 0, 1) == tuple(estimator.samples(model) for model in ("a", "b", "c"))


def test_a_new_fit_starts_afresh(make_model: MakeModel) -> None:
    """What corrected the old fit does not distort the new one."""
    estimator = QualityEstimator(make_model())
    for _ in range(100):
        estimator.learn("middle", PROMPT, correct=False)
    estimator.replace(make_model())
    assert pytest.approx(0.0, abs=0.01) == odds_of(estimator, "middle")


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(["small", "new"]), st.booleans(), st.booleans()), max_size=60))
def test_any_stream_of_answers_leaves_chances(answers: list[tuple[str, bool, bool]]) -> None:
    """Whatever is learned, every chance stays strictly between 0 and 1."""
    estimator = QualityEstimator(declared={"new": 0.99})
    for model, correct, is_second in answers:
        estimator.learn(model, PROMPT, correct=correct, failed=["other"] if is_second else [])
    found = estimator.chances(PROMPT, ["small", "new", "other"], ["other"])
    assert ((found > 0.0) & (found < 1.0)).all()
