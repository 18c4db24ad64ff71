from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from extproc.calibrate.lessons import Lesson, LessonBook, lesson_line, parse_lesson
from extproc.facts.grams import hash_grams
from extproc.facts.request import Api, RequestFacts
from extproc.facts.text import profile_text

SECRET = "the password of the treasurer"


@pytest.fixture
def told() -> list[Lesson]:
    return []


@pytest.fixture
def book(told: list[Lesson]) -> LessonBook:
    book = LessonBook(max_questions=3)
    book.tell = told.append
    return book


@pytest.fixture
def facts() -> RequestFacts:
    return RequestFacts(
        api=Api.CHAT_COMPLETIONS,
        model="auto",
        text=profile_text([SECRET]),
        grams=hash_grams([SECRET]),
        messages=2,
    )


def test_a_verdict_is_told_with_what_was_asked(
    book: LessonBook, told: list[Lesson], facts: RequestFacts
) -> None:
    """Each answer to a question knows who had failed on it before."""
    book.ask("d", facts, ())
    book.judge("d", "a", is_correct=False)
    book.judge("d", "b", is_correct=True)

    assert [("d", "a", False, ()), ("d", "b", True, ("a",))] == [
        (lesson.question, lesson.model, lesson.is_correct, lesson.after) for lesson in told
    ]
    assert hash_grams([SECRET]) == told[0].features.grams


def test_a_second_failure_of_a_model_is_no_lesson(
    book: LessonBook, told: list[Lesson], facts: RequestFacts
) -> None:
    """It would fail again on any question that it has failed on."""
    book.ask("d", facts, ("a",))
    book.judge("d", "a", is_correct=False)

    assert [] == told


def test_requests_of_a_session_are_one_question(
    book: LessonBook, told: list[Lesson], facts: RequestFacts
) -> None:
    """They are joined without its name: a client may have put a secret there."""
    named = replace(facts, session="alice@example.org")
    for decision, failed in (("d1", ()), ("d2", ("a",))):
        book.ask(decision, named, failed)
    book.judge("d1", "a", is_correct=False)
    book.judge("d2", "b", is_correct=True)

    assert 1 == len({lesson.question for lesson in told})
    assert b"alice" not in b"".join(map(lesson_line, told))


def test_nothing_is_remembered_while_nobody_listens(facts: RequestFacts) -> None:
    """A service without a log pays nothing for one."""
    book = LessonBook()
    book.ask("d", facts, ())

    assert 0 == len(book)
    book.judge("d", "a", is_correct=True)


def test_memory_is_bounded(book: LessonBook, told: list[Lesson], facts: RequestFacts) -> None:
    """The oldest question is forgotten first; what was never sent is forgotten at once."""
    for number in range(5):
        book.ask(f"d{number}", facts, ())
    book.judge("d1", "a", is_correct=True)
    book.forget("d2")

    assert ([], 2) == (told, len(book))


def test_a_line_comes_back_as_it_was_and_holds_no_text(
    book: LessonBook, told: list[Lesson], facts: RequestFacts
) -> None:
    """Numbers, hashed words, model and verdict; not one word of the prompt."""
    book.ask("d", facts, ("b",))
    book.judge("d", "a", is_correct=True)
    line = lesson_line(told[0])
    again = parse_lesson(orjson.loads(line))

    assert (told[0].question, "a", True, ("b",)) == (
        again.question,
        again.model,
        again.is_correct,
        again.after,
    )
    assert told[0].features.grams == again.features.grams
    assert pytest.approx(told[0].features.numbers, abs=1e-4) == again.features.numbers
    assert not [word for word in SECRET.split() if word.encode() in line]
    assert line.endswith(b"\n")


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"v": 2}, "another release"),
        ({"question": ""}, "question"),
        ({"model": 3}, "model"),
        ({"correct": 2}, "correct"),
        ({"correct": "yes"}, "correct"),
        ({"correct": [1]}, "correct"),
        ({"after": "a"}, "after"),
        ({"after": [1]}, "after"),
        ({"numbers": [1.0]}, "numbers"),
        ({"numbers": None}, "numbers"),
        ({"grams": "?"}, "grams"),
        ({"grams": "AA=="}, "grams"),
        ({"grams": "//8="}, "grams"),
        ({"grams": 1}, "grams"),
    ],
)
def test_a_malformed_line_is_refused(
    book: LessonBook, told: list[Lesson], facts: RequestFacts, values: dict[str, Any], complaint: str
) -> None:
    """The complaint names the field."""
    book.ask("d", facts, ())
    book.judge("d", "a", is_correct=True)
    row = {**orjson.loads(lesson_line(told[0])), **values}

    with pytest.raises(ValueError, match=complaint):
        parse_lesson(row)
