from __future__ import annotations

import pytest

from loadgen.questions.question import HELD_OUT_SHARE, Question, split


def a_question(key: str) -> Question:
    return Question(key=key, kind="k", text=key, prompt_tokens=5, correct={"m": True}, output_tokens={"m": 3})


def test_parts_have_no_question_in_common_and_nothing_is_lost() -> None:
    """Every question lands on one side, repeats of a key on the same one."""
    questions = [a_question(f"q{number % 700}") for number in range(1000)]
    parts = split("s", ["m"], questions, seed=1, is_recorded=True)
    assert 1000 == len(parts.training) + len(parts.held_out)
    assert not {q.key for q in parts.training} & {q.key for q in parts.held_out}


def test_the_held_out_share_is_kept() -> None:
    """Of many questions about the declared share is held out."""
    parts = split("s", ["m"], [a_question(f"q{n}") for n in range(4000)], seed=1, is_recorded=True)
    assert pytest.approx(HELD_OUT_SHARE, abs=0.03) == len(parts.held_out) / 4000


def test_the_division_hangs_on_the_seed_alone() -> None:
    """The same seed divides alike in any order, another seed divides otherwise."""
    questions = [a_question(f"q{n}") for n in range(200)]
    held_out = {q.key for q in split("s", ["m"], questions, seed=1, is_recorded=True).held_out}
    turned = {q.key for q in split("s", ["m"], questions[::-1], seed=1, is_recorded=True).held_out}
    other = {q.key for q in split("s", ["m"], questions, seed=2, is_recorded=True).held_out}
    assert held_out == turned
    assert held_out != other
