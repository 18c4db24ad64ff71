"""What is reported of plans under way and afterwards, taken into the load book, the sessions and the estimators.

Envoy's access log tells of tries and of finished requests, verification of answers, clients of what they think of them. These
reports come in any order, each once at most, and some never: every book here bears that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from extproc.calibrate.calibrator import Calibrator, is_all_taught
from extproc.calibrate.lessons import LessonBook
from extproc.calibrate.outcome import Outcome, TryRecord, VerdictRecord
from extproc.decide.encounters import Encounters, Met
from extproc.estimate.forecast import Estimators
from extproc.estimate.tokens import PromptTokenEstimator
from extproc.fleet.load import LoadBook
from extproc.sessions.book import Judged, SessionBook


class Reports:
    """Takes reports.

    Args:
        book: The load of every instance.
        sessions: Memory of clients who judge for themselves.
        lessons: Judged answers, for whoever wants to be told.
        encounters: What decisions under way met.
        prompts: Prompt-token estimator.
        estimators: What else is estimated.
        on_learning_failure: Told of mistakes of ours in learning from a verdict; the request goes on.
    """

    def __init__(
        self,
        book: LoadBook,
        sessions: SessionBook,
        lessons: LessonBook,
        encounters: Encounters,
        *,
        prompts: PromptTokenEstimator,
        estimators: Estimators,
        on_learning_failure: Callable[[Exception], None],
    ) -> None:
        self._book = book
        self._sessions = sessions
        self._lessons = lessons
        self._on_learning_failure = on_learning_failure
        self._encounters = encounters
        self._estimators = estimators
        self._calibrator = Calibrator(prompts, estimators)

    def verdict(self, record: VerdictRecord, now: float) -> None:
        """Take note of what verification said of an answer, and pass the charge on when Envoy makes another attempt."""
        decision_id = record.decision_id
        if record.is_answer:
            self._learn_verdict(record, now)
        self._sessions.verified(
            decision_id,
            model=record.model,
            address=record.address,
            is_correct=record.is_correct if record.is_answer else None,
            is_delivered=not record.goes_on,
        )
        if record.goes_on:
            self._book.advance(decision_id, record.address, record.next_address, now=now)
        if record.goes_on or record.answer_seconds is not None:
            self._encounters.go_on(decision_id, record.address if is_all_taught(record) else "")

    def feedback(self, session: str, *, attempt: int | None, is_correct: bool, now: float) -> bool:
        """Take a client's word on an answer; False when this replica knows of no such answer."""
        judged = self._sessions.judge(session, attempt=attempt, is_correct=is_correct, now=now)
        if judged is None:
            return False
        self._learn_from(judged, is_correct=is_correct)
        return True

    def asked_again(self, session: str, now: float) -> None:
        """Take a session's next request for a word on the answer before, if that is known to have come."""
        judged = self._sessions.asked_again(session, now)
        if judged is not None:
            self._learn_from(judged, is_correct=False)

    def overflowed(self, decision_id: str, address: str, next_address: str | None, now: float) -> None:
        """Pass the charge on after a context-length rejection that Envoy follows by another try.

        It says nothing of the model nor of the instance.

        Args:
            decision_id: The plan.
            address: Who found the request too long.
            next_address: Where the next try is made; None for the plan's next instance.
            now: Seconds of a monotonic clock.
        """
        self._book.advance(decision_id, address, next_address, now=now)
        self._encounters.go_on(decision_id)

    def tried(self, record: TryRecord, now: float) -> None:
        """Take note of a finished try.

        A try that Envoy follows by another one passes its charge on to the plan's next instance. One that broke off in
        the middle of its answer keeps it until the request's end is reported.
        """
        if record.is_failure and record.address:
            self._book.observe_failure(record.address, now)
            if not record.has_begun:
                self._book.advance(record.decision_id, record.address, now=now)

    def finished(self, outcome: Outcome, now: float) -> bool:
        """Take note of a finished request; True when it taught an estimator something."""
        decision_id = outcome.decision.decision_id if outcome.decision else ""
        outcome = self.as_served(outcome)
        met = self._encounters.forget(decision_id)
        served = outcome.served_address
        # Until it is released, what is beside a request is all but itself.
        beside = self._beside(met, served, now)
        self._book.release(decision_id, outcome.request_id, now=now)
        if served and outcome.is_served:
            self._book.observe_success(served)
        self._end_in_session(outcome, decision_id, now)
        is_taught = met is not None and met.is_refused(served, outcome.attempts)
        return self._calibrator.learn(
            outcome,
            # What was predicted for one instance says nothing of another that served in its place.
            met.load if met and met.address == served and not is_taught else None,
            now=now,
            sequences_meanwhile=beside,
            is_length_taught=is_taught,
        )

    def as_served(self, outcome: Outcome) -> Outcome:
        """Name the model that really answered: a plan may have gone on to another one."""
        row = self._book.table.row_by_address.get(outcome.served_address or "")
        if row is None or outcome.decision is None or not outcome.decision.model:
            return outcome
        model = self._book.table.clusters[row].model
        if model == outcome.decision.model:
            return outcome
        return replace(outcome, decision=replace(outcome.decision, model=model))

    def _learn_verdict(self, record: VerdictRecord, now: float) -> None:
        decision_id = record.decision_id
        self._learn(decision_id, record.model, record.chance, is_correct=record.is_correct)
        if record.completion_tokens is not None and record.choices == 1:
            self._estimators.limits.learn(
                record.model, record.completion_tokens, is_correct=record.is_correct, was_cut=record.was_cut
            )
        met = self._encounters.of(decision_id)
        if met is not None:
            self._calibrator.learn_answer(
                record, met, now=now, sequences_meanwhile=self._beside(met, record.address, now)
            )

    def _end_in_session(self, outcome: Outcome, decision_id: str, now: float) -> None:
        """Tell a session that an answer came, or none, so that asking again says something about it, or nothing."""
        if not outcome.is_answered:
            self._sessions.unanswered(decision_id)
            return
        served = outcome.served_address or ""
        row = self._book.table.row_by_address.get(served)
        if row is not None:
            model = self._book.table.clusters[row].model
            judged = self._sessions.served(decision_id, model=model, address=served, now=now)
            if judged is not None:
                self._learn_from(judged, is_correct=False)

    def _learn_from(self, judged: Judged, *, is_correct: bool) -> None:
        if not judged.is_news:
            return
        self._learn(judged.decision_id, judged.model, judged.chance, is_correct=is_correct)
        if not is_correct:
            for follower in judged.followers:
                self._lessons.failed_before(follower, judged.model)

    def _learn(self, decision_id: str, model: str, chance: float | None, *, is_correct: bool) -> None:
        """Learn from a verdict. Whatever goes wrong with that, the request that brought it goes on."""
        try:
            if chance is not None:
                self._estimators.quality.learn_against(model, expected=chance, correct=is_correct)
            self._lessons.judge(decision_id, model, is_correct=is_correct)
        except Exception as error:  # noqa: BLE001 - a mistake in learning must not cost an answer
            self._on_learning_failure(error)

    def _beside(self, met: Met | None, served: str | None, now: float) -> float | None:
        """Mean of the sequences beside a request on the instance that it was planned for; None when not known."""
        if met is None or met.load is None or met.address != served or now <= met.at:
            return None
        ended = self._book.sequence_seconds_on(met.address, now)
        if ended is None:
            return None
        mean = (ended - met.load.sequence_seconds) / (now - met.at)
        return max(0.0, mean - met.load.own_sequences)
