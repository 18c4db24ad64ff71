from __future__ import annotations

import pytest

from extproc.sessions.book import MOST_ATTEMPTS, REPORT_LAG_SECONDS, Judged, SessionBook, SessionHistory


def enter(book: SessionBook, number: int, *, session: str = "s", model: str = "m", now: float = 0.0) -> None:
    book.enter(session, decision_id=f"{session}-d{number}", model=model, address=f"a{number}", now=now)


def serve(book: SessionBook, number: int, *, model: str = "m", now: float = 0.0) -> Judged | None:
    return book.served(f"s-d{number}", model=model, address=f"a{number}", now=now)


def test_an_unknown_session_begins_now() -> None:
    """Nothing is known, and nothing is wrong with that."""
    assert SessionHistory(started_at=5.0) == SessionBook().history("s", 5.0)


def test_asking_again_means_the_answer_failed() -> None:
    """The models and instances that answered before have failed, and time counts from the first request."""
    book = SessionBook()
    enter(book, 1, model="small", now=1.0)
    serve(book, 1, model="small", now=1.5)
    assert Judged("small", None, "s-d1") == book.asked_again("s", 2.0)
    enter(book, 2, model="large", now=2.0)

    expected = SessionHistory(
        started_at=1.0,
        attempts=2,
        failed_models=("small", "large"),
        failed_addresses=frozenset({"a1", "a2"}),
        judged_models=("small",),
        last_address="a2",
    )
    assert expected == book.history("s", 3.0)


def test_a_praised_answer_has_not_failed() -> None:
    """A client may go on in a session after a correct answer."""
    book = SessionBook()
    enter(book, 1, model="small")

    assert Judged("small", None, "s-d1") == book.judge("s", attempt=1, is_correct=True, now=0.0)
    assert () == book.history("s", 1.0).failed_models


def test_judging_twice_counts_once() -> None:
    """Feedback that repeats itself is no news; feedback that changes its mind is."""
    book = SessionBook()
    enter(book, 1)
    judged = [book.judge("s", attempt=None, is_correct=word, now=0.0) for word in (False, False, True)]

    assert [True, False, True] == [one is not None and one.is_news for one in judged]


def test_judging_the_unknown_is_no_error() -> None:
    """Another replica's session, an attempt that never was, or one that is forgotten: simply not known."""
    book = SessionBook()
    assert book.judge("other", attempt=1, is_correct=False, now=0.0) is None

    for number in range(MOST_ATTEMPTS + 2):
        enter(book, number)
    assert book.judge("s", attempt=0, is_correct=False, now=0.0) is None
    assert book.judge("s", attempt=2, is_correct=False, now=0.0) is None
    found = book.judge("s", attempt=3, is_correct=False, now=0.0)
    assert "s-d2" == (found.decision_id if found else None)
    assert book.judge("s", attempt=MOST_ATTEMPTS + 3, is_correct=False, now=0.0) is None


def test_who_served_replaces_who_was_planned() -> None:
    """After a retry the model and the instance that really answered have failed."""
    book = SessionBook()
    enter(book, 1, model="small")
    book.served("s-d1", model="large", address="b1", now=0.5)

    history = book.history("s", 1.0)
    assert (("large",), frozenset({"b1"})) == (history.failed_models, history.failed_addresses)


def test_asking_again_teaches_once_the_answer_is_known_to_have_come() -> None:
    """The report comes a moment after the answer: until then the next request is planned as if it had come."""
    book = SessionBook()
    enter(book, 1, now=0.0)

    assert book.asked_again("s", 1.0) is None
    assert (("m",), ()) == (book.history("s", 1.0).failed_models, book.history("s", 1.0).judged_models)
    enter(book, 2, now=1.0)
    assert Judged("m", None, "s-d1", followers=("s-d2",)) == serve(book, 1, now=1.1)
    assert ("m",) == book.history("s", 1.1).judged_models
    assert serve(book, 1, now=1.2) is None


def test_requests_beside_each_other_are_no_words_on_each_other() -> None:
    """An answer that comes long after the session's next request cannot have been its reason."""
    book = SessionBook()
    enter(book, 1, now=0.0)
    book.asked_again("s", 0.1)
    enter(book, 2, now=0.1)

    assert serve(book, 1, now=0.2 + REPORT_LAG_SECONDS) is None
    assert () == book.history("s", 1.0).judged_models


def test_asking_again_does_not_take_a_word_back() -> None:
    """A client may go on in a session after an answer that it has praised."""
    book = SessionBook()
    enter(book, 1)
    serve(book, 1)
    book.judge("s", attempt=None, is_correct=True, now=0.0)

    assert book.asked_again("s", 1.0) is None
    assert () == book.history("s", 1.0).failed_models


def test_a_verdict_is_a_word_on_the_answer_that_is_delivered() -> None:
    """It has taught its lesson; saying the same is no news, and saying otherwise is the last lesson of that answer."""
    book = SessionBook()
    book.enter("s", decision_id="d", model="m", address="a", chance=0.5, now=0.0)
    book.verified("d", model="m", address="a", is_correct=False, is_delivered=True)
    book.served("d", model="m", address="a", now=0.0)

    assert Judged("m", None, "d", is_news=False) == book.asked_again("s", 1.0)
    words = [book.judge("s", attempt=1, is_correct=word, now=2.0) for word in (True, False)]
    assert [0.5, None] == [one.chance if one else 0.0 for one in words]


def test_a_client_may_find_an_accepted_answer_wrong() -> None:
    """What verification could check may not be all: asking again counts."""
    book = SessionBook()
    book.enter("s", decision_id="d", model="m", address="a", chance=0.5, now=0.0)
    book.verified("d", model="m", address="a", is_correct=True, is_delivered=True)

    assert Judged("m", 0.5, "d") == book.asked_again("s", 1.0)
    assert ("m",) == book.history("s", 1.0).judged_models


@pytest.mark.parametrize(("served", "is_news"), [("a", False), ("b", True)])
def test_a_verdict_counts_for_the_answer_that_it_was_given_on(served: str, is_news: bool) -> None:
    """A rejected answer reaches the client after all when Envoy refuses the next try; else another one does."""
    book = SessionBook()
    enter(book, 1)
    book.verified("s-d1", model="m", address="a", is_correct=False, is_delivered=False)
    book.served("s-d1", model="m", address=served, now=0.0)
    judged = book.asked_again("s", 1.0)

    assert judged is not None
    assert is_news == judged.is_news


def test_a_request_without_an_answer_leaves_the_numbers_of_others() -> None:
    """A client counts its requests, whether they were answered or not."""
    book = SessionBook()
    for number in (1, 2, 3):
        enter(book, number)
    book.unanswered("s-d2")
    found = [book.judge("s", attempt=number, is_correct=False, now=0.0) for number in (1, 2, 3)]

    assert ["s-d1", None, "s-d3"] == [one.decision_id if one else None for one in found]


def test_a_request_without_an_answer_says_nothing() -> None:
    """A refusal by overload is no wrong answer; it still was an attempt."""
    book = SessionBook()
    enter(book, 1)
    book.unanswered("s-d1")
    book.unanswered("s-d1")

    history = book.history("s", 1.0)
    assert ((), 1) == (history.failed_models, history.attempts)


def test_sessions_expire() -> None:
    """A name that comes back after the expiry time is a new session."""
    book = SessionBook(expiry_seconds=10.0)
    enter(book, 1, now=0.0)
    enter(book, 1, session="t", now=5.0)

    assert book.history("s", 9.9).attempts == 1
    assert book.history("s", 10.0).attempts == 0
    assert (0, 1) == (book.expire(14.9), book.expire(15.0))
    assert len(book) == 0
    assert book._by_decision == {}


def test_sessions_are_bounded_in_number() -> None:
    """The session that was not seen for longest makes room."""
    book = SessionBook(max_sessions=2)
    for now, session in enumerate("abac"):
        enter(book, now, session=session, now=now)

    assert (2, 0, 1) == (
        book.history("a", 4.0).attempts,
        book.history("b", 4.0).attempts,
        book.history("c", 4.0).attempts,
    )
    assert {"a-d0", "a-d2", "c-d3"} == set(book._by_decision)


def test_an_answer_teaches_twice_at_most() -> None:
    """A client that changes its mind again and again is heard, and teaches no more than its verdict and one correction."""
    book = SessionBook()
    book.enter("s", decision_id="d", model="m", address="a", chance=0.5, now=0.0)
    judged = [book.judge("s", attempt=None, is_correct=turn % 2 == 0, now=0.0) for turn in range(50)]

    assert [0.5, 0.5, *[None] * 48] == [one.chance if one else 0.0 for one in judged]
    assert ("m",) == book.history("s", 0.0).failed_models
