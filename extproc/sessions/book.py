"""The session book: for each session which models and instances answered, and what the client said of it.

A client that asks again in a session says by it that the answer before was of no use, unless it has said otherwise. What
another replica saw is unknown here, and unknown is not an error: the session then simply begins with what this replica sees.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

LONGEST_NAME = 256
"""Session names are cut to this many characters."""

MOST_ATTEMPTS = 64
"""Attempts remembered of one session; later ones push out the oldest."""


MOST_LESSONS = 2
"""Verdicts on one answer that teach something: the first, and one that takes it back."""


@dataclass(slots=True)
class _Answer:
    session: str
    decision_id: str
    model: str
    address: str
    chance: float | None
    is_correct: bool | None = None
    lessons: int = 0


@dataclass(slots=True)
class _Session:
    started_at: float
    seen_at: float
    attempts: int = 0
    answers: list[_Answer] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionHistory:
    """What is known of a session when its next request comes.

    Attributes:
        started_at: When its first request came: TTCA counts from here.
        attempts: Requests before this one.
        failed_models: Model of each answer that failed, in order; a model that failed twice is there twice.
        failed_addresses: Instances that gave these answers.
        last_address: Instance that gave the last answer; None when none is known.
    """

    started_at: float
    attempts: int = 0
    failed_models: tuple[str, ...] = ()
    failed_addresses: frozenset[str] = frozenset()
    last_address: str | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer that a client had its say on.

    Attributes:
        model: Model that gave it.
        chance: What was given for its being correct; None when nobody estimated it, or the answer has taught enough.
        decision_id: The decision that it followed.
    """

    model: str
    chance: float | None
    decision_id: str


class SessionBook:
    """Remembers sessions for a while.

    Args:
        max_sessions: Sessions that are remembered; the one seen longest ago is forgotten first.
        expiry_seconds: A session that was not seen for this long begins anew.
    """

    def __init__(self, *, max_sessions: int = 100_000, expiry_seconds: float = 900.0) -> None:
        self._max_sessions = max_sessions
        self._expiry_seconds = expiry_seconds
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._by_decision: dict[str, _Answer] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def history(self, name: str, now: float) -> SessionHistory:
        """What is known when a request of session `name` comes at `now`; an answer that nobody praised has failed."""
        session = self._live(name[:LONGEST_NAME], now)
        if session is None:
            return SessionHistory(started_at=now)
        failed = [answer for answer in session.answers if answer.is_correct is not True]
        return SessionHistory(
            started_at=session.started_at,
            attempts=session.attempts,
            failed_models=tuple(answer.model for answer in failed),
            failed_addresses=frozenset(answer.address for answer in failed),
            last_address=session.answers[-1].address if session.answers else None,
        )

    def enter(
        self,
        name: str,
        *,
        decision_id: str,
        model: str,
        address: str,
        now: float,
        chance: float | None = None,
    ) -> None:
        """Enter a request of the session, who was planned to answer it, and the chance that was given to that."""
        key = name[:LONGEST_NAME]
        session = self._live(key, now)
        if session is None:
            session = self._sessions[key] = _Session(started_at=now, seen_at=now)
            if len(self._sessions) > self._max_sessions:
                self._forget(next(iter(self._sessions)))
        session.seen_at = now
        session.attempts += 1
        self._sessions.move_to_end(key)
        answer = _Answer(key, decision_id, model, address, chance)
        session.answers.append(answer)
        self._by_decision[decision_id] = answer
        if len(session.answers) > MOST_ATTEMPTS:
            self._by_decision.pop(session.answers.pop(0).decision_id, None)

    def served(self, decision_id: str, *, model: str, address: str) -> None:
        """Correct who answered: after a retry it was not the one that was planned first."""
        answer = self._by_decision.get(decision_id)
        if answer is not None and answer.model != model:
            answer.chance = None
        if answer is not None:
            answer.model, answer.address = model, address

    def unanswered(self, decision_id: str) -> None:
        """Take back a request that nobody answered: it says nothing about any model."""
        answer = self._by_decision.pop(decision_id, None)
        if answer is not None:
            self._sessions[answer.session].answers.remove(answer)

    def judge(
        self, name: str, *, attempt: int | None, is_correct: bool, now: float, only_unjudged: bool = False
    ) -> Judged | None:
        """Take a client's word on an answer.

        Args:
            name: The session.
            attempt: Which of the session's requests, from 1; None for the last.
            is_correct: What the client says.
            now: The time.
            only_unjudged: True to leave what was said before as it is.

        Returns:
            That answer, when this replica knows of it and had not been told the same before, else None.
        """
        session = self._live(name[:LONGEST_NAME], now)
        if session is None or not session.answers:
            return None
        position = (
            len(session.answers) - 1
            if attempt is None
            else attempt - 1 - (session.attempts - len(session.answers))
        )
        if not 0 <= position < len(session.answers):
            return None
        answer = session.answers[position]
        if answer.is_correct is is_correct or (only_unjudged and answer.is_correct is not None):
            return None
        answer.is_correct = is_correct
        answer.lessons += 1
        chance = answer.chance if answer.lessons <= MOST_LESSONS else None
        return Judged(answer.model, chance, answer.decision_id)

    def expire(self, now: float) -> int:
        """Forget sessions that were not seen for the expiry time; returns how many."""
        forgotten = 0
        while self._sessions:
            name, session = next(iter(self._sessions.items()))
            if now - session.seen_at < self._expiry_seconds:
                break
            self._forget(name)
            forgotten += 1
        return forgotten

    def _live(self, key: str, now: float) -> _Session | None:
        session = self._sessions.get(key)
        if session is not None and now - session.seen_at >= self._expiry_seconds:
            self._forget(key)
            return None
        return session

    def _forget(self, key: str) -> None:
        for answer in self._sessions.pop(key).answers:
            self._by_decision.pop(answer.decision_id, None)
