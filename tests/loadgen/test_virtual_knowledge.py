from __future__ import annotations

import numpy as np
import pytest

from loadgen.questions.generated import generate_questions
from loadgen.questions.question import Question
from loadgen.virtual.knowledge import Chances, Knowledge, Level, Oracle, features


def test_all_fail_lists_every_set_of_models() -> None:
    """Entry S of the list is the chance that all models of S fail, summed over the difficulty."""
    chances = Chances(np.array([0.5, 0.5]), np.array([[0.2, 0.8], [0.4, 0.6]]))
    expected = [1.0, 0.5, 0.5, 0.5 * (0.8 * 0.6 + 0.2 * 0.4)]
    assert pytest.approx(expected) == chances.all_fail()


def test_coupling_explains_held_out_answers_better_than_independence() -> None:
    """On questions drawn with a common difficulty the one-factor fit has the higher likelihood."""
    drawn = generate_questions("zeroeval", seed=2, count=800)
    coupled = Knowledge(drawn.training, drawn.models, level=Level.LENGTH)
    independent = Knowledge(drawn.training, drawn.models, level=Level.LENGTH, is_coupled=False)
    gain = coupled.log_likelihood(drawn.held_out) - independent.log_likelihood(drawn.held_out)
    assert gain > 0.2


def test_a_failure_lowers_the_chances_of_the_others() -> None:
    """Given that one model failed, the others are less likely right than before."""
    drawn = generate_questions("zeroeval", seed=2, count=500)
    chances = Knowledge(drawn.training, drawn.models, level=Level.MODEL).chances(drawn.held_out[0])
    fails = chances.all_fail()
    after = 1 - fails[0b11000] / fails[0b01000]
    assert after < chances.marginal()[4] - 0.1


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("What is the value of the key?", [0.0, 0.0]),
        ("このキーの値は何ですか。", [1.0, 0.0]),
        ("请告诉我这个键的值。不要说别的。", [0.0, 1.0]),
    ],
)
def test_language_is_told_by_the_script(text: str, language: list[float]) -> None:
    """Kana make a text Japanese, Chinese characters without kana make it Chinese."""
    question = Question(key="k", kind="kv", text=text, prompt_tokens=8, correct={}, output_tokens={})
    assert language == features(question, Level.LANGUAGE)[2:].tolist()


def test_the_oracle_knows_the_answers() -> None:
    """Its chances are 0 and 1."""
    drawn = generate_questions("zeroeval", seed=2, count=20)
    question = drawn.training[0]
    found = Oracle(drawn.models).chances(question).marginal().tolist()
    assert [float(question.correct[model]) for model in drawn.models] == found


def test_nothing_to_learn_from_is_refused() -> None:
    """A fit without questions is an error."""
    with pytest.raises(ValueError, match="no questions"):
        Knowledge([], ["m"], level=Level.MODEL)
