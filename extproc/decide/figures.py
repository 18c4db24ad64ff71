"""What the predictions say of a plan's attempts, one by one."""

from __future__ import annotations

from dataclasses import dataclass

from extproc.decide.first_correct import Objective, Ranking
from extproc.decide.hedge import Runner
from extproc.decide.plan import Attempt
from extproc.decide.sequence import Step
from extproc.estimate.predictions import Predictions
from extproc.estimate.quality.coupling import Ability, abilities
from extproc.fleet.snapshot import FleetTable


@dataclass(frozen=True, slots=True)
class Figure:
    """One attempt: seconds, dollars, its chance whatever the others say, and what a sequence made of it.

    Attributes:
        latency: Expected, in seconds.
        upper: Its upper quantile.
        caused: Delay caused to others, in seconds.
        usd: Price in dollars.
        own_chance: P(correct) as the next attempt.
        ability: What the chances of all orders follow from; None when it is not wanted.
        step: Its place in the weighed sequence; None for a stand-in.
    """

    latency: float
    upper: float
    caused: float
    usd: float
    own_chance: float
    step: Step | None
    ability: Ability | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """What the predictions say of the attempts, by row."""

    by_row: dict[int, Figure]

    @classmethod
    def of(
        cls, predictions: Predictions, ranking: Ranking, rows: list[int], *, wants_abilities: bool
    ) -> Figures:
        """Look up `rows`; one that nobody ranked has no figures."""
        latency, wanted = predictions.latency, frozenset(rows)
        own_chance = (predictions.chances @ predictions.weights).tolist()
        known = abilities(predictions.chances) if wants_abilities else None
        steps = dict(zip(ranking.positions, ranking.steps, strict=False))
        ranked = zip(predictions.rows[list(ranking.positions)].tolist(), ranking.positions, strict=True)
        return cls(
            {
                row: Figure(
                    latency=float(latency.total_seconds[p]),
                    upper=latency.total_upper_at(p),
                    caused=float(latency.caused_seconds[p]),
                    usd=float(predictions.usd[p]),
                    own_chance=own_chance[predictions.model[p]],
                    step=steps.get(p),
                    ability=known[predictions.model[p]] if known else None,
                )
                for row, p in ranked
                if row in wanted
            }
        )

    def runner(self, row: int, objective: Objective) -> Runner | None:
        """The attempt as it would run against the clock; None when its figures are not known."""
        figure = self.by_row.get(row)
        if figure is None or figure.latency <= 0.0:
            return None
        cost = objective.congestion_weight * figure.caused + objective.seconds_per_usd * figure.usd
        return Runner(
            expected_seconds=figure.latency,
            upper_seconds=figure.upper,
            chance=figure.own_chance,
            cost_per_second=cost / figure.latency,
        )

    def attempt(self, row: int, table: FleetTable, *, tells_chance: bool) -> Attempt:
        """The attempt as a plan holds it; its chance is left out when nobody may learn against it."""
        cluster, figure = table.clusters[row], self.by_row.get(row)
        if figure is None:
            return Attempt(
                address=table.addresses[row], cluster=cluster.name, model=cluster.model, work_seconds=0.0
            )
        return Attempt(
            address=table.addresses[row],
            cluster=cluster.name,
            model=cluster.model,
            work_seconds=figure.latency + figure.caused,
            chance=figure.step.chance if figure.step and tells_chance else None,
            max_tokens=figure.step.max_tokens if figure.step else None,
            ability=figure.ability if figure.step and tells_chance else None,
            latency_seconds=figure.latency,
            latency_upper_seconds=figure.upper,
            cost_usd=figure.usd,
        )
