"""What the production router adds: whole frontiers against whole frontiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from loadgen.reproduce.findings import Finding, Verdict
from loadgen.reproduce.route_balance.cells import Load
from loadgen.reproduce.route_balance.experiment import (
    BUSY,
    CALM,
    PUBLISHED,
    Swept,
    rival_arms,
    route_balance_arms,
)
from loadgen.reproduce.route_balance.families import (
    FITTED_LINE,
    MIN_MAX,
    NEIGHBOUR_LINE,
    ONE_ATTEMPT,
    ROUTE_BALANCE,
    VERIFIED,
)
from loadgen.reproduce.route_balance.measured import figure
from loadgen.reproduce.route_balance.verdicts import judge_sign
from loadgen.virtual.summary import Figure

_KEYS: Final = {ONE_ATTEMPT: "one_attempt", VERIFIED: "verified"}


def frontiers(sets: Sequence[Swept]) -> list[Finding]:
    """Hypervolume and dominance of our plan against everything published, by set and rate."""
    return (
        [
            finding
            for swept in sets
            for label in (VERIFIED, ONE_ATTEMPT)
            for load in (CALM, BUSY)
            for finding in (_volume(swept, label, load), _dominance(swept, label, load))
        ]
        + [_readings(swept) for swept in sets]
        + [_chances(swept) for swept in sets]
    )


def _volume(swept: Swept, label: str, load: Load) -> Finding:
    own, found, reference = swept.families[label], swept.found, swept.reference
    best = {name: found.hypervolumes(swept.families[name], load, reference) for name in PUBLISHED}
    strongest = max(best, key=lambda name: float(best[name][0]))
    whole = found.hypervolumes(own, load, reference)
    ours = figure(whole / best[strongest])
    together = figure(whole / found.hypervolumes(rival_arms(swept), load, reference))
    patient = figure(
        found.hypervolumes(own, load, swept.patient)
        / found.hypervolumes(swept.families[strongest], load, swept.patient)
    )
    return Finding(
        key=f"volume_{_KEYS[label]}_{swept.name}_{load.rate:.0f}",
        claim=f"The {label} dominates more of the space of quality, price and latency than the best published arm "
        f"({swept.name}, {load.rate:.0f} requests/s).",
        published="",
        ours=ours,
        unit="x",
        verdict=judge_sign(ours, is_above=True, bound=1.0),
        reason=(
            f"hypervolume of {len(own)} points over that of the {len(swept.families[strongest])} of {strongest}, from quality 0, "
            f"{reference.usd:.1e} USD and {reference.seconds:.0f} s; from {swept.patient.seconds:.0f} s {_text(patient)}; over all "
            f"{len(rival_arms(swept))} published points together {_text(together)}"
            + ("; it alone may ask again after a wrong answer" if label == VERIFIED else "")
        ),
    )


def _text(ours: Figure) -> str:
    return f"{ours.value:.2f} x [{ours.low:.2f}, {ours.high:.2f}]"


def _dominance(swept: Swept, label: str, load: Load) -> Finding:
    own, balance = swept.families[label], route_balance_arms(swept)
    ours = figure(100 * swept.found.coverage(own, balance, load, swept.reference))
    back = figure(100 * swept.found.coverage(balance, own, load, swept.reference))
    return Finding(
        key=f"dominance_{_KEYS[label]}_{swept.name}_{load.rate:.0f}",
        claim=f"The {label} dominates more of RouteBalance's points than RouteBalance dominates of its "
        f"({swept.name}, {load.rate:.0f} requests/s).",
        published="",
        ours=ours,
        unit="%",
        verdict=Verdict.HOLDS
        if ours.low > back.high
        else Verdict.CONDITIONAL
        if ours.value > back.value
        else Verdict.FAILS,
        reason=f"share of RouteBalance's {len(balance)} points that are beaten in all three; the other way {back.value:.0f} % "
        f"[{back.low:.0f}, {back.high:.0f}] of {len(own)}",
    )


def _readings(swept: Swept) -> Finding:
    found, reference = swept.found, swept.reference
    raw, spread = (
        found.hypervolumes(swept.families[label], BUSY, reference) for label in (ROUTE_BALANCE, MIN_MAX)
    )
    ours = figure(spread / raw)
    return Finding(
        key=f"min_max_{swept.name}",
        claim=f"RouteBalance with quality spread to 0..1 (as released) covers more than with raw quality (as written), {swept.name}.",
        published="",
        ours=ours,
        unit="x",
        verdict=judge_sign(ours, is_above=True, bound=1.0),
        reason="hypervolume at 30 requests/s; the paper's text and its released runs differ in this",
    )


def _chances(swept: Swept) -> Finding:
    found, reference = swept.found, swept.reference
    neighbours, fitted = (
        found.hypervolumes(swept.families[label], BUSY, reference) for label in (NEIGHBOUR_LINE, FITTED_LINE)
    )
    ours = figure(fitted / neighbours)
    return Finding(
        key=f"our_chances_{swept.name}",
        claim=f"RouteBalance's own rule covers more with this service's chances than with its nearest neighbours', {swept.name}.",
        published="",
        ours=ours,
        unit="x",
        verdict=judge_sign(ours, is_above=True, bound=1.0),
        reason=(
            "hypervolume at 30 requests/s, raw quality, weights along a fine line from quality to the rest; separates the estimate from "
            "the rule and from the spread of its values, which decides where sixteen fixed weights fall"
        ),
    )
