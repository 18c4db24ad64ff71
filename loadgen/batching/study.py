"""Runs every rule in every scenario on the same requests, and holds each against deciding on requests as they come.

Intervals are over seeds: the same questions at the same moments meet each rule, so that the difference is taken seed by seed and
Student's t gives its 95 % interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context

import numpy as np
import numpy.typing as npt

from extproc.decide.order import Policy
from extproc.decide.planner import Verification
from loadgen.arrivals import gamma_burst, poisson
from loadgen.batching.gates import RULES, Rule
from loadgen.batching.simulation import GatedSimulation
from loadgen.questions.question import Question
from loadgen.virtual.arms import POLICY, Workbench
from loadgen.virtual.deciders import RouterDecider
from loadgen.virtual.fleet import STUDY_TIERS, build_fleet
from loadgen.virtual.routers import build_router
from loadgen.virtual.summary import Figure

Floats = npt.NDArray[np.float64]

SLOTS = 16
"""Most running sequences of one instance: few enough that queues form, without which no order matters."""

INSTANCES = 2
"""Instances of each of the five models."""

WARM_UP_SHARE = 0.1
BURST_VARIATION = 3.0
"""Coefficient of variation of the gaps between requests that come in bursts."""

# Student's t at 97.5 % by degrees of freedom: a table, since scipy is no dependency of a load generator.
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Traffic and the policy that meets it.

    Attributes:
        policy: The router's; `first_correct` verifies answers and tries again, the others give one answer.
        rate: Mean requests per second.
        in_bursts: True for gamma-distributed gaps, False for Poisson arrivals.
        load: A word on the load.
    """

    policy: Policy
    rate: float
    in_bursts: bool
    load: str

    @property
    def title(self) -> str:
        """Name for tables."""
        return f"{self.policy.value}, {self.rate:g}/s{' in bursts' if self.in_bursts else ''} ({self.load})"


SCENARIOS = (
    Scenario(policy=Policy.ROUTE_BALANCE, rate=20.0, in_bursts=False, load="light"),
    Scenario(policy=Policy.ROUTE_BALANCE, rate=40.0, in_bursts=False, load="heavy"),
    Scenario(policy=Policy.ROUTE_BALANCE, rate=60.0, in_bursts=False, load="beyond saturation"),
    Scenario(policy=Policy.ROUTE_BALANCE, rate=40.0, in_bursts=True, load="heavy"),
    Scenario(policy=Policy.FIRST_CORRECT, rate=30.0, in_bursts=False, load="heavy"),
    Scenario(policy=Policy.FIRST_CORRECT, rate=30.0, in_bursts=True, load="heavy"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Figures of one run, requests after the warm-up.

    Attributes:
        mean_seconds: Mean time until an answer was accepted or given up, window included.
        p95_seconds: The 95th percentile of that.
        success: Share of requests with a correct answer.
    """

    mean_seconds: float
    p95_seconds: float
    success: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One rule in one scenario.

    Attributes:
        scenario: The scenario.
        rule: The rule.
        mean_seconds: Mean over seeds of the mean time.
        mean_change: Its change against the first rule, as a share.
        p95_change: The change of the 95th percentile, as a share.
        success_change: The change of the success, in points.
    """

    scenario: Scenario
    rule: Rule
    mean_seconds: float
    mean_change: Figure
    p95_change: Figure
    success_change: Figure

    @property
    def verdict(self) -> str:
        """`faster` or `slower` when the interval of the mean excludes no change, else `no difference`."""
        if self.mean_change.high < 0.0:
            return "faster"
        return "slower" if self.mean_change.low > 0.0 else "no difference"


def run_point(bench: Workbench, scenario: Scenario, rule: int, *, requests: int, seed: int) -> Point:
    """Simulate one rule, by its index in `RULES`; requests and arrivals hang on scenario and seed alone."""
    rng = np.random.default_rng(seed)
    held_out = bench.questions.held_out
    asked = [held_out[index] for index in rng.integers(0, len(held_out), requests)]
    if scenario.in_bursts:
        arrivals = gamma_burst(requests, scenario.rate, BURST_VARIATION, rng)
    else:
        arrivals = poisson(requests, scenario.rate, rng)
    models = bench.questions.models
    fleet = build_fleet(models, STUDY_TIERS, instances=[INSTANCES] * len(models), max_num_seqs=SLOTS)
    is_verified = scenario.policy is Policy.FIRST_CORRECT
    policy = replace(
        POLICY,
        policy=scenario.policy,
        verification=Verification.ALWAYS if is_verified else Verification.OFF,
    )
    router = build_router(
        fleet,
        policy,
        quality=bench.quality,
        training=bench.questions.training,
        rng=np.random.default_rng(seed),
    )

    def longest(question: Question) -> float:
        return float(bench.lengths.tokens(question).max())

    simulation = GatedSimulation(
        fleet,
        RouterDecider(router, client_judges=False, client_attempts=1),
        rule=RULES[rule],
        length_of=longest,
    )
    stories = simulation.run(asked, arrivals).stories[int(WARM_UP_SHARE * requests) :]
    seconds = np.array([story.seconds for story in stories])
    return Point(
        mean_seconds=float(seconds.mean()),
        p95_seconds=float(np.quantile(seconds, 0.95)),
        success=float(np.mean([story.is_solved for story in stories])),
    )


def run_study(
    bench: Workbench,
    scenarios: Sequence[Scenario],
    *,
    requests: int,
    seeds: int,
    processes: int,
    on_run: Callable[[], None],
) -> tuple[Row, ...]:
    """Run all rules in all scenarios.

    Args:
        bench: Questions and what was learned from them.
        scenarios: What is run.
        requests: Requests of each run, at least 20.
        seeds: Seeds of each scenario, 2 to 15.
        processes: Runs at once.
        on_run: Called as each run is done.

    Raises:
        ValueError: There are too few requests, or too few or too many seeds.
    """
    if requests < 20:
        raise ValueError(f"a run of {requests} requests is too short, 20 is the least")
    if not 2 <= seeds <= len(_STUDENT) + 1:
        raise ValueError(f"there must be 2 to {len(_STUDENT) + 1} seeds, not {seeds}")
    found: dict[tuple[int, int, int], Point] = {}
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        futures = {
            pool.submit(run_point, bench, scenario, rule, requests=requests, seed=seed): (place, rule, seed)
            for place, scenario in enumerate(scenarios)
            for rule in range(len(RULES))
            for seed in range(1, seeds + 1)
        }
        for future in as_completed(futures):
            found[futures[future]] = future.result()
            on_run()
    return tuple(
        _row(
            scenario,
            rule,
            [found[place, index, seed] for seed in range(1, seeds + 1)],
            [found[place, 0, seed] for seed in range(1, seeds + 1)],
        )
        for place, scenario in enumerate(scenarios)
        for index, rule in enumerate(RULES)
    )


def _row(scenario: Scenario, rule: Rule, points: Sequence[Point], base: Sequence[Point]) -> Row:
    def changes(value: Callable[[Point], float], *, is_share: bool) -> Figure:
        pairs = [(value(point), value(before)) for point, before in zip(points, base, strict=True)]
        return paired(np.array([(new - old) / (old if is_share else 1.0) for new, old in pairs]))

    return Row(
        scenario=scenario,
        rule=rule,
        mean_seconds=float(np.mean([point.mean_seconds for point in points])),
        mean_change=changes(lambda point: point.mean_seconds, is_share=True),
        p95_change=changes(lambda point: point.p95_seconds, is_share=True),
        success_change=changes(lambda point: 100.0 * point.success, is_share=False),
    )


def paired(differences: Floats) -> Figure:
    """Mean of differences, one per seed, with Student's 95 % interval.

    Args:
        differences: Shape (seeds,), 2 to 15.
    """
    mean = float(differences.mean())
    half = _STUDENT[len(differences) - 2] * float(differences.std(ddof=1)) / np.sqrt(len(differences))
    return Figure(mean, float(mean - half), float(mean + half))
