"""What the estimators say of one request on each candidate, handed to the planners that weigh quality."""

from __future__ import annotations

from dataclasses import dataclass

from extproc.estimate.answer_limits import AnswerLimits
from extproc.estimate.latency_records import LatencyPrediction
from extproc.fleet.snapshot import Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """Figures by candidate; position i of every array is `rows[i]`.

    Attributes:
        rows: Candidates, rows of the fleet table, shape (k,).
        model: Index of the candidate's model in `chances`, shape (k,).
        chances: P(correct) of each model at each node of the latent difficulty, shape (models, nodes).
        weights: Weights of the nodes given what failed before in the session, shape (nodes,), summing to 1.
        names: Models in the order of `chances`.
        failed: Models that failed before in the session.
        latency: Latencies by candidate.
        output_tokens: Expected output tokens of the candidate's model, shape (k,).
        usd: Price of one attempt in dollars, shape (k,).
        output_usd: The part of it that the output takes, shape (k,).
        limits: What an answer of each model may be cut at, in the order of `names`; None where nothing is known.
        ability: Mean and standard deviation of the nodes under `weights`.
        members: Positions of each model's candidates, ascending, in the order of `names`; None when nobody has them ready.
    """

    rows: Ints
    model: Ints
    chances: Floats
    weights: Floats
    names: tuple[str, ...]
    failed: tuple[str, ...]
    latency: LatencyPrediction
    output_tokens: Floats
    usd: Floats
    output_usd: Floats
    ability: tuple[float, float]
    limits: tuple[AnswerLimits | None, ...]

    members: tuple[Ints, ...] | None = None

    def positions_of(self, model: int) -> Ints:
        """Positions of the candidates that serve a model, given by its index in `names`, ascending."""
        return (self.model == model).nonzero()[0] if self.members is None else self.members[model]

    @property
    def chance(self) -> Floats:
        """P(correct) of each candidate as the next attempt, shape (k,)."""
        result: Floats = (self.chances @ self.weights)[self.model]
        return result
