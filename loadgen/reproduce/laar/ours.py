"""Our plan beside LAAR and the other baselines, at equal final success."""

from __future__ import annotations

import math
from collections.abc import Sequence

from loadgen.reproduce.findings import Finding, Verdict
from loadgen.reproduce.laar.arms import ARMS
from loadgen.reproduce.laar.results import Equal, Results, geometric_mean
from loadgen.virtual.frontier import Measure

OURS = ("router_verified", "router_judged", "plan")
RIVALS = ("laar", "load_aware_others")
"""Baselines with a frontier."""

MOST_WORSE = 1.03
"""At equal final success we aim to be at most this much slower anywhere."""

WORDS: dict[Measure, str] = {
    "mean_seconds_all": "mean time until a correct answer or giving up",
    "ttca_mean_seconds": "mean TTCA over solved requests",
}


def our_findings(results: Results, independent: Results) -> list[Finding]:
    """How our arms compare.

    Args:
        results: Runs on outcomes that hang together.
        independent: Runs on independent ones: at least `laar` and `router_judged`.
    """
    found = [
        _mean(results, arm, rival, measure)
        for rival in RIVALS
        for arm in OURS
        for measure in ("mean_seconds_all", "ttca_mean_seconds")
    ]
    found += [_worst(results, arm, measure) for arm in OURS for measure in WORDS]
    found.append(_mean(independent, "router_judged", "laar", "mean_seconds_all", "_independent_outcomes"))
    return found


def _key(measure: Measure) -> str:
    return "time" if measure == "mean_seconds_all" else "ttca"


def _mean(results: Results, arm: str, rival: str, measure: Measure, suffix: str = "") -> Finding:
    found = results.equal(arm, rival, measure)
    condition = ", outcomes independent" if suffix else ""
    figure = geometric_mean(found)
    verdict = (
        Verdict.HOLDS if figure.high < 1.0 else Verdict.CONDITIONAL if figure.value < 1.0 else Verdict.FAILS
    )
    by_length = ", ".join(
        f"{length // 1024}K {geometric_mean(found, lambda one, at=length: one.length == at).value:.2f}"  # type: ignore[misc]
        for length in results.lengths
    )
    return Finding(
        key=f"{arm}_over_{rival}_{_key(measure)}{suffix}",
        claim=f"{ARMS[arm].title} is faster than {ARMS[rival].title} at equal final success: {WORDS[measure]}{condition}",
        published="",
        ours=figure,
        unit="x",
        verdict=verdict,
        reason=(f"Geometric mean over lengths and retry caps ({len(found)} comparisons): {by_length}."),
    )


def _worst(results: Results, arm: str, measure: Measure) -> Finding:
    found = [(rival, equal) for rival in RIVALS for equal in results.equal(arm, rival, measure)]
    rival, worst = max(found, key=lambda item: item[1].value)
    figure = worst.figure
    verdict = (
        Verdict.HOLDS
        if worst.value <= MOST_WORSE
        else Verdict.CONDITIONAL
        if figure.low <= MOST_WORSE
        else Verdict.FAILS
    )
    return Finding(
        key=f"{arm}_worst_{_key(measure)}",
        claim=f"{ARMS[arm].title} is nowhere more than 3 % slower than the best baseline at equal final success: {WORDS[measure]}",
        published="",
        ours=figure,
        unit="x",
        verdict=verdict,
        reason=(
            f"The worst of {len(found)} comparisons: {ARMS[rival].title} with {worst.cap:.0f} attempts "
            f"at {worst.length // 1024}K, success {worst.success:.3f}. {_count_worse([one for _, one in found])}"
        ),
    )


def _count_worse(found: Sequence[Equal]) -> str:
    worse = sum(one.value > MOST_WORSE for one in found)
    certain = sum(one.figure.low > MOST_WORSE for one in found if math.isfinite(one.figure.low))
    return f"More than 3 % slower in {worse} of them, certainly (interval) in {certain}."
