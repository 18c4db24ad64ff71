"""What the router's estimators say of each candidate, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from extproc.decide.order import least_work
from extproc.decide.plan import TokenBudget
from extproc.decide.policies import POLICIES, ByWork
from extproc.estimate.cost import PriceTable
from extproc.estimate.forecast import Forecaster
from extproc.estimate.predictions import Predictions
from extproc.explain.records import CandidateView, Interval, Term
from extproc.explain.terms import Scores, scores_of
from extproc.explain.world import NOW_SECONDS, Decided
from extproc.facts.request import RequestFacts
from extproc.fleet.snapshot import FleetSnapshot, Floats, Ints

LOW, HIGH = 0.05, 0.95
_HARD, _EASY = 0.1, 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """Candidates that a policy ranked, with what it ranked them by.

    Attributes:
        predictions: Figures by candidate; made for the explanation alone when the policy does not forecast.
        scores: What was ranked by.
        order: Candidates, best first.
        snapshot: The load they were weighed at.
        budget: The request's token budget.
        facts: The request.
    """

    predictions: Predictions
    scores: Scores
    order: Ints
    snapshot: FleetSnapshot
    budget: TokenBudget
    facts: RequestFacts

    @classmethod
    def of(cls, decided: Decided) -> Weighed | None:
        """None when the request did not get as far as being weighed."""
        witness, facts = decided.witness, decided.facts
        snapshot, budget, pool = witness.snapshot, witness.budget, witness.pool
        if snapshot is None or budget is None or pool is None or facts is None:
            return None
        case = witness.case
        if case is not None:
            predictions, scores = case.predictions, scores_of(decided.policy.policy, case)
        else:
            predictions = _forecast(decided, facts, pool.rows, snapshot, budget)
            scores = _work_scores(decided, pool.rows, snapshot)
        sign = -1.0 if scores.larger_is_better else 1.0
        return cls(
            predictions=predictions,
            scores=scores,
            order=np.argsort(sign * scores.score, kind="stable"),
            snapshot=snapshot,
            budget=budget,
            facts=facts,
        )


def candidate_views(decided: Decided, weighed: Weighed) -> tuple[CandidateView, ...]:
    """Describe the candidates, those of the plan first, then by their score."""
    table = weighed.snapshot.table
    addresses = [attempt.address for attempt in decided.plan.attempts] if decided.plan else []
    places = {table.row_by_address[address]: number for number, address in enumerate(addresses, start=1)}
    rows = weighed.predictions.rows
    figures = _Figures(decided, weighed)
    order = sorted(
        weighed.order.tolist(), key=lambda position: places.get(int(rows[position]), len(addresses) + 1)
    )
    return tuple(figures.view(position, places.get(int(rows[position]))) for position in order)


class _Figures:
    """Intervals of one request's estimates."""

    def __init__(self, decided: Decided, weighed: Weighed) -> None:
        self._weighed = weighed
        self._quality = decided.core.estimators.quality
        self._outputs = decided.core.estimators.outputs
        self._prices = PriceTable.of(weighed.snapshot.table)

    def view(self, position: int, place: int | None) -> CandidateView:
        weighed = self._weighed
        predictions, snapshot = weighed.predictions, weighed.snapshot
        row = int(predictions.rows[position])
        table, latency = snapshot.table, predictions.latency
        model = table.clusters[row].model
        output = self._output(model, float(predictions.output_tokens[position]))
        usd = [self._usd(row, tokens) for tokens in (output.expected, output.low or 0.0, output.high)]
        return CandidateView(
            address=table.addresses[row],
            model=model,
            pool=table.clusters[row].pool,
            sequences=float(snapshot.sequences[row]),
            is_suspect=bool(snapshot.suspect[row]),
            chance=_chance(predictions, position),
            verdicts=self._quality.samples(model),
            output_tokens=output,
            ttft_seconds=_upper(latency.ttft_seconds, latency.ttft_upper_seconds, position),
            total_seconds=_upper(latency.total_seconds, latency.total_upper_seconds, position),
            caused_seconds=float(latency.caused_seconds[position]),
            usd=Interval(expected=usd[0], low=usd[1], high=usd[2]),
            terms=tuple(
                Term(name=name, value=float(values[position]))
                for name, values in weighed.scores.terms.items()
            ),
            score=float(weighed.scores.score[position]),
            place=place,
        )

    def _output(self, model: str, expected: float) -> Interval:
        facts = self._weighed.facts
        limit = facts.max_output_tokens
        low, high = (
            min(tokens, limit) if limit is not None else tokens
            for tokens in (self._outputs.predict(model, facts.text, share) for share in (LOW, HIGH))
        )
        return Interval(expected=expected, low=float(low), high=float(high))

    def _usd(self, row: int, output_tokens: float) -> float:
        found = self._prices.attempt_usd(
            np.array([row]),
            prompt_tokens=float(self._weighed.budget.prompt_tokens),
            output_tokens=output_tokens,
            sequences=self._weighed.facts.choices,
        )
        return float(found[0])


def _chance(predictions: Predictions, position: int) -> Interval:
    """The chance, and what it is for questions at the tenth and the ninetieth percentile of difficulty, hard to easy."""
    by_node, weights = predictions.chances[predictions.model[position]], predictions.weights
    share = np.cumsum(weights) - 0.5 * weights
    hard, easy = np.interp((_HARD, _EASY), share, by_node)
    return Interval(expected=float(by_node @ weights), low=float(hard), high=float(easy))


def _upper(values: Floats, upper: Floats, position: int) -> Interval:
    return Interval(expected=float(values[position]), low=None, high=float(upper[position]))


def _forecast(
    decided: Decided, facts: RequestFacts, rows: Ints, snapshot: FleetSnapshot, budget: TokenBudget
) -> Predictions:
    """Figures that the policy did not ask for, by the forecaster that others ask."""
    session = facts.session
    return Forecaster(decided.core.estimators, snapshot.table).forecast(
        facts,
        rows,
        snapshot,
        prompt_tokens=budget.prompt_tokens,
        history=decided.core.router.sessions.history(session, NOW_SECONDS) if session else None,
        is_conditional=False,
    )


def _work_scores(decided: Decided, rows: Ints, snapshot: FleetSnapshot) -> Scores:
    rule, work = POLICIES[decided.policy.policy], decided.witness.work_seconds
    key = rule.key if isinstance(rule, ByWork) else least_work
    by_candidate = work[rows] if work is not None else np.zeros(len(rows))
    score = np.asarray(key(rows, by_candidate, snapshot, np.random.default_rng(0)), dtype=np.float64)
    names = {
        "shortest_queue": "sequences",
        "round_robin": "number of the last assignment",
        "random": "a draw",
    }
    return Scores(
        terms={},
        score=score,
        name=names.get(decided.policy.policy.value, "predicted work, seconds"),
        larger_is_better=False,
    )
