"""The paper's headlines against what came out here, a module per subject."""

from __future__ import annotations

from collections.abc import Sequence

from loadgen.reproduce.findings import Finding
from loadgen.reproduce.route_balance.experiment import Compared, Swept
from loadgen.reproduce.route_balance.published.isolation import isolation
from loadgen.reproduce.route_balance.published.latency import latency
from loadgen.reproduce.route_balance.published.out_of_distribution import out_of_distribution
from loadgen.reproduce.route_balance.published.quality_and_price import quality_and_price
from loadgen.reproduce.route_balance.published.throughput import multiplier, sustained_rate
from loadgen.reproduce.route_balance.unseen import Unseen


def published_findings(
    swept: Swept, compared: Compared, judged: Sequence[Unseen], *, seed: int
) -> list[Finding]:
    """All of them, in the order of the report.

    Args:
        swept: The study's first set.
        compared: Single settings on the same set.
        judged: Tasks that the neighbours have not seen; empty without recorded texts.
        seed: Of the resamples of `judged`.
    """
    return [
        *quality_and_price(swept),
        *latency(swept, compared),
        sustained_rate(compared),
        *isolation(compared.isolation),
        *out_of_distribution(judged, seed=seed),
        multiplier(compared),
    ]
