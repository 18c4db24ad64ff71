"""RouteBalance (arXiv 2606.17949): the instance with the best weighted sum of quality, price and latency.

    S = wq·Q + wc·(1 - C / max C) + wl·(1 - T / max T),    T = TPOT · (d / b + L),

over the candidates of one request, with d pending decode tokens, b running sequences and L the predicted output; d / b
falls away where a slot is free. Requests come in batches, the longest predicted first; each assignment is added to what
is known before the next one is scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from extproc.decide.attempts import Following
from extproc.fleet.load import LoadBook
from extproc.fleet.snapshot import FleetSnapshot
from extproc.fleet.vllm_metrics import InstanceMetrics
from loadgen.questions.question import Question
from loadgen.reproduce.route_balance.batches import FIRST_WINDOW, NO_WINDOW, Window, adaptive_window
from loadgen.reproduce.route_balance.cluster import PRIOR_SECONDS
from loadgen.reproduce.route_balance.sight import Sight
from loadgen.reproduce.route_balance.token_time import FleetState, Forest
from loadgen.virtual.course import Course, Report, Try
from loadgen.virtual.fleet import VirtualFleet
from loadgen.virtual.policy import Asked

Floats = npt.NDArray[np.float64]

_EPSILON: Final = 1e-8
_TIE: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What is weighed; each at least 0, together 1."""

    quality: float
    cost: float
    latency: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """One setting of RouteBalance.

    Attributes:
        weights: Of the score.
        is_min_max: True to spread quality over the candidates to 0..1, as the paper's released runs do; False for
            the paper's text.
        is_static: True for one time per output token by size; False for the trees'.
        is_batched: False to decide each request at once.
        longest_first: False to take a batch in order of arrival.
        ties_by_latency: True to prefer, among equal scores, the least predicted latency to the shortest queue.
        uses_fitted_quality: True for this service's estimate of quality in place of the nearest neighbours'.
    """

    weights: Weights
    is_min_max: bool = False
    is_static: bool = False
    is_batched: bool = True
    longest_first: bool = True
    ties_by_latency: bool = False
    uses_fitted_quality: bool = False


class BalanceDecider:
    """Carries a setting out, with the router's own load book.

    Args:
        fleet: What is routed to.
        setting: How.
        sight: What is known of the questions.
        forest: Times per output token.
    """

    def __init__(self, fleet: VirtualFleet, setting: Balance, sight: Sight, forest: Forest) -> None:
        self._book = LoadBook(fleet.topology)
        self._setting = setting
        self._sight = sight
        self._forest = forest
        table = self._book.table
        prices = [cluster.price for cluster in table.clusters]
        self._input_usd = np.array([price.input_usd_per_mtok for price in prices]) / 1e6
        self._output_usd = np.array([price.output_usd_per_mtok for price in prices]) / 1e6
        self._prior = np.array(PRIOR_SECONDS)[table.model_index]
        self._window = FIRST_WINDOW if setting.is_batched else NO_WINDOW

    def window(self) -> Window:
        """How long the next batch is held back."""
        return self._window

    def decide_together(self, batch: Sequence[Asked], now: float) -> list[Course]:
        """One course of one try per request, in the order of the batch."""
        snapshot = self._book.snapshot(now)
        state = FleetState.of(snapshot)
        if self._setting.is_batched:
            self._window = adaptive_window(float(np.mean(state.waiting > 0)))
        order = list(range(len(batch)))
        if self._setting.longest_first:
            order.sort(key=lambda position: -self._longest(batch[position].question))
        courses: dict[int, Course] = {}
        for position in order:
            courses[position] = self._assign(batch[position], state, snapshot, now)
        return [courses[position] for position in range(len(batch))]

    def decide(self, asked: Asked, now: float) -> Course | None:
        """A course of one try; None after a first one."""
        return None if asked.rows else self.decide_together([asked], now)[0]

    def scores(self, question: Question, state: FleetState, snapshot: FleetSnapshot) -> tuple[Floats, Floats]:
        """S and T of one request by instance."""
        seen = self._sight.row(question)
        models = snapshot.table.model_index
        known = self._sight.fitted_quality if self._setting.uses_fitted_quality else self._sight.near_quality
        quality = known[seen][models]
        if self._setting.is_min_max:
            quality = (quality - quality.min()) / (quality.max() - quality.min() + _EPSILON)
        tokens = self._sight.near_tokens[seen][models]
        usd = question.prompt_tokens * self._input_usd + tokens * self._output_usd
        seconds = self._seconds(question, state, snapshot, tokens)
        weights = self._setting.weights
        score = (
            weights.quality * quality
            + weights.cost * (1.0 - usd / (usd.max() + _EPSILON * usd.max()))
            + weights.latency * (1.0 - seconds / (seconds.max() + _EPSILON))
        )
        return score, seconds

    def _seconds(
        self, question: Question, state: FleetState, snapshot: FleetSnapshot, tokens: Floats
    ) -> Floats:
        if self._setting.is_static:
            per_token = self._prior
        else:
            features = state.features(question.prompt_tokens, self._longest(question))
            per_token = self._forest.predict(features, snapshot.table.model_index)
        running = np.minimum(state.sequences - state.waiting, state.slots)
        is_free = (running < state.slots) & (state.waiting == 0)
        ahead = np.where(is_free, 0.0, state.pending_decode_tokens / np.maximum(running, 1.0))
        result: Floats = per_token * (ahead + tokens)
        return result

    def _assign(self, asked: Asked, state: FleetState, snapshot: FleetSnapshot, now: float) -> Course:
        question, table = asked.question, snapshot.table
        score, seconds = self.scores(question, state, snapshot)
        best = np.flatnonzero(score >= score.max() - _TIE)
        queue = seconds if self._setting.ties_by_latency else state.sequences
        row = int(best[np.lexsort((state.last_assigned[best], queue[best]))[0]])
        tokens = self._longest(question)
        state.assign(row, prompt_tokens=question.prompt_tokens, output_tokens=tokens)
        course = Course(decision_id=f"{asked.number}-{len(asked.rows)}", addresses=(table.addresses[row],))
        own = self._sight.near_tokens[self._sight.row(question)][table.model_index[row]]
        self._book.charge(
            course.decision_id,
            addresses=course.addresses,
            request_id="",
            sequences=1,
            prompt_tokens=question.prompt_tokens,
            output_tokens=round(float(own)),
            now=now,
            expires_at=float("inf"),
        )
        return course

    def _longest(self, question: Question) -> float:
        return float(self._sight.near_tokens[self._sight.row(question)].max())

    def following(self, report: Report, now: float) -> Following | None:  # noqa: ARG002 - the protocol's
        """None: a course of one try ends with it."""
        return None

    def hear_answer(self, report: Report, now: float) -> None:
        """Nothing to learn: what the score knows of quality, it knew before the run."""

    def hear_try(self, report: Report, attempt: Try, now: float) -> None:
        """Nothing to learn."""

    def hear_end(self, report: Report, now: float) -> None:
        """Take the request out of the book."""
        self._book.release(report.course.decision_id, now=now)

    def observe(self, address: str, metrics: InstanceMetrics, now: float) -> None:
        """Correct the book."""
        self._book.observe(address, metrics, now)
