"""The session book: for each session which models and instances answered, and what was said of it.

A client that asks again in a session says by it that the answer before was of no use, unless it has said otherwise. It can
say so only of an answer that it got. That one came is reported a moment later than it came, so a request that follows at once is
planned as if it had, and what that teaches waits for the report. What another replica saw is unknown here, and unknown is not an
error: the session then simply begins with what this replica sees.
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

REPORT_LAG_SECONDS = 0.5
"""How long after an answer its report may come: Envoy gathers reports for 0.1 s.

A request that came longer before the report of the answer before it came beside that answer, and is no word on it.
"""


@dataclass(slots=True)
class _Answer:
    """The answer to one request of a session, from its decision on.

    Attributes:
        number: Which of the session's requests, from 1.
        is_correct: What is said of it; None while nothing is.
        is_clients_word: True when the client said so, by words or by asking again.
        has_come: True once it is known to have reached the client.
        doubted_at: When the client asked again before that was known; None when it did not.
        verdict_at: Instance whose answer verification judged last; empty when it judged none.
        verdict: What it said; None that no answer came, since the instance failed.
        lessons: How many of the words on it have taught something.
    """

    session: str
    decision_id: str
    number: int
    model: str
    address: str
    chance: float | None
    is_correct: bool | None = None
    is_clients_word: bool = False
    has_come: bool = False
    doubted_at: float | None = None
    verdict_at: str = ""
    verdict: bool | None = None
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
        failed_models: Model of each answer that failed, in order; a model that failed twice is there twice. One that is
            not known to have come is among them.
        failed_addresses: Instances that gave these answers.
        judged_models: Those of the models whose answers are known to have come, and to have failed.
        last_address: Instance that gave the last answer; None when none is known.
    """

    started_at: float
    attempts: int = 0
    failed_models: tuple[str, ...] = ()
    failed_addresses: frozenset[str] = frozenset()
    judged_models: tuple[str, ...] = ()
    last_address: str | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer on which something was said.

    Attributes:
        model: Model that gave it.
        chance: What was given for its being correct; None when nobody estimated it, or the answer has taught enough.
        decision_id: The decision that it followed.
        is_news: False when the same was said before.
        followers: The decisions of the session after that one.
    """

    model: str
    chance: float | None
    decision_id: str
    is_news: bool = True
    followers: tuple[str, ...] = ()


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
        """What is known when a request of session `name` comes at `now`; an answer that nobody praised has failed.

        Whether the last one came may not be reported yet: to plan as if it had is right after an answer, and does no harm after none.
        """
        session = self._live(name[:LONGEST_NAME], now)
        if session is None:
            return SessionHistory(started_at=now)
        failed = [answer for answer in session.answers if answer.is_correct is not True]
        return SessionHistory(
            started_at=session.started_at,
            attempts=session.attempts,
            failed_models=tuple(answer.model for answer in failed),
            failed_addresses=frozenset(answer.address for answer in failed),
            judged_models=tuple(answer.model for answer in failed if answer.is_correct is False),
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
        answer = _Answer(key, decision_id, session.attempts, model, address, chance)
        session.answers.append(answer)
        self._by_decision[decision_id] = answer
        if len(session.answers) > MOST_ATTEMPTS:
            self._by_decision.pop(session.answers.pop(0).decision_id, None)

    def verified(
        self, decision_id: str, *, model: str, address: str, is_correct: bool | None, is_delivered: bool
    ) -> None:
        """Take note of a verdict that has taught its lesson already; the client may still say otherwise.

        Args:
            decision_id: The request.
            model: Who answered.
            address: Where.
            is_correct: The verdict; None when the instance failed, and no answer came.
            is_delivered: True when the client gets this answer; False when Envoy is asked for another one, and may refuse.
        """
        answer = self._by_decision.get(decision_id)
        if answer is None:
            return
        answer.verdict_at, answer.verdict = address, is_correct
        if is_delivered and is_correct is None:
            self.unanswered(decision_id)
        elif is_delivered:
            self._settle(answer, model, address)

    def served(self, decision_id: str, *, model: str, address: str, now: float) -> Judged | None:
        """Take note that an answer came, and of whom: after a retry it was not the one that was planned first.

        Returns:
            The answer, when the client had asked again meanwhile: then it has failed.
        """
        answer = self._by_decision.get(decision_id)
        if answer is None:
            return None
        if answer.verdict_at == address and answer.verdict is None:
            self.unanswered(decision_id)
            return None
        self._settle(answer, model, address)
        doubted_at, answer.doubted_at = answer.doubted_at, None
        if doubted_at is None or now - doubted_at > REPORT_LAG_SECONDS:
            return None
        return self._doubt(answer)

    def unanswered(self, decision_id: str) -> None:
        """Take back a request that nobody answered: it says nothing about any model."""
        answer = self._by_decision.pop(decision_id, None)
        if answer is not None:
            self._sessions[answer.session].answers.remove(answer)

    def asked_again(self, name: str, now: float) -> Judged | None:
        """Take a session's next request for a word on the answer before, unless the client has said what it thinks of it.

        Returns:
            That answer, when it is known to have come; else the word is kept until that is reported.
        """
        session = self._live(name[:LONGEST_NAME], now)
        if session is None or not session.answers:
            return None
        answer = session.answers[-1]
        if answer.has_come:
            return self._doubt(answer)
        if answer.doubted_at is None:
            answer.doubted_at = now
        return None

    def judge(self, name: str, *, attempt: int | None, is_correct: bool, now: float) -> Judged | None:
        """Take a client's word on an answer.

        Args:
            name: The session.
            attempt: Which of the session's requests, from 1; None for the last.
            is_correct: What the client says.
            now: The time.

        Returns:
            That answer, when this replica knows of it, else None.
        """
        session = self._live(name[:LONGEST_NAME], now)
        if session is None or not session.answers:
            return None
        if attempt is None:
            return self._judged(session.answers[-1], is_correct=is_correct)
        found = next((one for one in session.answers if one.number == attempt), None)
        return self._judged(found, is_correct=is_correct) if found is not None else None

    def _settle(self, answer: _Answer, model: str, address: str) -> None:
        """Note that the client got this instance's answer, and what verification said of it."""
        if answer.model != model:
            answer.chance = None
        answer.model, answer.address, answer.has_come = model, address, True
        if answer.verdict_at == address and answer.is_correct is None:
            answer.is_correct = answer.verdict
            answer.lessons += 1

    def _doubt(self, answer: _Answer) -> Judged | None:
        return None if answer.is_clients_word else self._judged(answer, is_correct=False)

    def _judged(self, answer: _Answer, *, is_correct: bool) -> Judged:
        is_news = answer.is_correct is not is_correct
        answer.is_correct, answer.is_clients_word = is_correct, True
        answer.lessons += is_news
        return Judged(
            model=answer.model,
            chance=answer.chance if is_news and answer.lessons <= MOST_LESSONS else None,
            decision_id=answer.decision_id,
            is_news=is_news,
            followers=tuple(
                one.decision_id
                for one in self._sessions[answer.session].answers
                if one.number > answer.number
            ),
        )

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
