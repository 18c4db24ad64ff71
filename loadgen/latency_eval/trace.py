"""Requests with their measured latencies, and the fleets that they met."""

from __future__ import annotations

from dataclasses import dataclass

from extproc.fleet.topology import Cluster, Fleet, Instance, Pool, Price, Speed

A100_8B = Speed(
    iteration_base_seconds=0.008, iteration_per_sequence_seconds=0.00065, prefill_tokens_per_second=16_000.0
)
A100_32B = Speed(
    iteration_base_seconds=0.018, iteration_per_sequence_seconds=0.0009, prefill_tokens_per_second=7_000.0
)
"""What the example fleet file says of a model of this size: the guess of an operator who has measured nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedRequest:
    """One request with its measured latencies.

    Attributes:
        address: Instance that served it; `ANY` where that was not recorded.
        arrival: Seconds on the trace's clock.
        prompt_tokens: Reported by the engine.
        output_tokens: Reported by the engine, at least 1.
        ttft_seconds: From the arrival to the first token.
        total_seconds: From the arrival to the last token.
    """

    address: str
    arrival: float
    prompt_tokens: int
    output_tokens: int
    ttft_seconds: float
    total_seconds: float


ANY = "any"
"""Address where it was not recorded who served a request."""

MEDIAN_OUTPUT = 129.0
"""Median of the Azure chat trace's answers, in tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Requests in the order of their arrivals, on one cluster.

    Attributes:
        name: Shown in the tables.
        requests: Ascending by arrival.
        fleet: One cluster; its speed is the static prior.
    """

    name: str
    requests: tuple[TimedRequest, ...]
    fleet: Fleet

    @property
    def cluster(self) -> Cluster:
        """The one cluster."""
        return self.fleet.clusters[0]


def fleet_of(speed: Speed, instances: int, max_num_seqs: int) -> Fleet:
    """A fleet of one cluster."""
    cluster = Cluster(
        name="cluster",
        model="model",
        pool="pool",
        max_model_len=1_000_000,
        max_num_seqs=max_num_seqs,
        price=Price(input_usd_per_mtok=0.0, output_usd_per_mtok=0.0),
        speed=speed,
        instances=tuple(Instance(address=f"10.0.0.{number}:8000") for number in range(1, instances + 1)),
    )
    return Fleet(clusters=(cluster,), pools=(Pool(name="pool", threshold_tokens=None, spill_at=1.0),))
