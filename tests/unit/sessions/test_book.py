from __future__ import annotations

from extproc.sessions.book import MOST_ATTEMPTS, Judged, SessionBook, SessionHistory


def enter(book: SessionBook, number: int, *, session: str = "s", model: str = "m", now: float = 0.0) -> None:
    book.enter(session, decision_id=f"{session}-d{number}", model=model, address=f"a{number}", now=now)


def test_an_unknown_session_begins_now() -> None:
    """Nothing is known, and nothing is wrong with that."""
    assert SessionHistory(started_at=5.0) == SessionBook().history("s", 5.0)


def test_asking_again_means_the_answer_failed() -> None:
    """The models and instances that answered before have failed, and time counts from the first request."""
    book = SessionBook()
    enter(book, 1, model="small", now=1.0)
    enter(book, 2, model="large", now=2.0)

    expected = SessionHistory(
        started_at=1.0,
        attempts=2,
        failed_models=("small", "large"),
        failed_addresses=frozenset({"a1", "a2"}),
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
    """Feedback that repeats itself teaches nothing; feedback that changes its mind does."""
    book = SessionBook()
    enter(book, 1)

    assert book.judge("s", attempt=None, is_correct=False, now=0.0) is not None
    assert book.judge("s", attempt=None, is_correct=False, now=0.0) is None
    assert book.judge("s", attempt=None, is_correct=True, now=0.0) is not None


def test_judging_the_unknown_is_no_error() -> None:
    """Another replica's session, an attempt that never was, or one that is forgotten: simply not known."""
    book = SessionBook()
    assert book.judge("other", attempt=1, is_correct=False, now=0.0) is None

    for number in range(MOST_ATTEMPTS + 2):
        enter(book, number)
    assert book.judge("s", attempt=0, is_correct=False, now=0.0) is None
    assert book.judge("s", attempt=2, is_correct=False, now=0.0) is None
    assert Judged("m", None, "s-d2") == book.judge("s", attempt=3, is_correct=False, now=0.0)
    assert book.judge("s", attempt=MOST_ATTEMPTS + 3, is_correct=False, now=0.0) is None


def test_who_served_replaces_who_was_planned() -> None:
    """After a retry the model and the instance that really answered have failed."""
    book = SessionBook()
    enter(book, 1, model="small")
    book.served("s-d1", model="large", address="b1")

    history = book.history("s", 1.0)
    assert (("large",), frozenset({"b1"})) == (history.failed_models, history.failed_addresses)


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
