"""Requests on the wrong side of the threshold, by token estimator, as the estimators learn from every answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from extproc.estimate.tokens import PromptTokenEstimator
from loadgen.planning.traffic import Bools
from loadgen.reproduce.dual_pool.sizing_tasks import sizes_of
from loadgen.reproduce.dual_pool.texts import Prompt, pieces, prompts
from loadgen.token_rivals import FixedRatio, OurEstimate, PaperRatio, ShippedRatio, TokenEstimator
from loadgen.virtual.summary import RESAMPLES, Figure

STATIC, PAPER, SHIPPED, OURS = "4 bytes per token", "paper's ratio", "authors' code", "this service"

CONVERGED_AFTER = 50
"""Observations per category after which the paper calls its ratios converged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MisrouteTask:
    """What is run.

    Attributes:
        trace: A key of `TRACES`.
        threshold: Budgets up to this belong into the short pool, whose context is the same.
        requests: How many.
        seed: Of draws and resamples.
        data: The data folder, or None.
    """

    trace: str
    threshold: int
    requests: int
    seed: int
    data: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Misrouting:
    """Shares of all requests, in per cent, of one estimator.

    Attributes:
        false_short: Sent to the short pool, which cannot hold them.
        false_long: Sent to the long pool without need.
        either: On the wrong side.
        ratio_error: Mean over categories of |sum of estimates / sum of counts - 1| after `CONVERGED_AFTER` each.
    """

    false_short: Figure
    false_long: Figure
    either: Figure
    ratio_error: float


def run_misroutes(task: MisrouteTask) -> dict[str, Misrouting]:
    """Route requests one by one with each estimator; each learns the true count afterwards.

    The output is known (the client's limit), so that prompt estimates alone are judged. A request goes short when its
    conservative estimate and its output fit, as capacity is checked; 4 bytes per token have no other estimate.

    Raises:
        FileNotFoundError: The data folder lacks a file.
    """
    rng = np.random.default_rng(task.seed)
    sizes = sizes_of(task.trace, task.data)
    sizes = sizes.where(rng.integers(0, len(sizes), task.requests))
    found = pieces(task.data)
    made = prompts(sizes.prompt_tokens, found, rng)
    outputs = sizes.output_tokens.tolist()
    is_short = sizes.total_tokens <= task.threshold
    makers: Mapping[str, Callable[[], TokenEstimator]] = {
        STATIC: FixedRatio,
        PAPER: PaperRatio,
        SHIPPED: ShippedRatio,
        OURS: lambda: OurEstimate(PromptTokenEstimator(priors=found.priors)),
    }
    results = {}
    for name, make in makers.items():
        sent_short, error = _routed(make(), made, outputs, task.threshold)
        results[name] = Misrouting(
            false_short=_share(sent_short & ~is_short, task.seed),
            false_long=_share(~sent_short & is_short, task.seed),
            either=_share(sent_short ^ is_short, task.seed),
            ratio_error=error,
        )
    return results


def _routed(
    estimator: TokenEstimator, made: list[Prompt], outputs: list[int], threshold: int
) -> tuple[Bools, float]:
    sent_short = np.zeros(len(made), dtype=np.bool_)
    seen: dict[str, int] = {}
    sums: dict[str, list[float]] = {}
    for number, prompt in enumerate(made):
        expected, upper = estimator.predict(prompt.profile)
        sent_short[number] = upper + outputs[number] <= threshold
        if seen.get(prompt.kind, 0) >= CONVERGED_AFTER:
            both = sums.setdefault(prompt.kind, [0.0, 0.0])
            both[0] += expected
            both[1] += prompt.tokens
        seen[prompt.kind] = seen.get(prompt.kind, 0) + 1
        estimator.learn(prompt.profile, prompt.tokens)
    errors = [abs(expected / true - 1) for expected, true in sums.values()]
    return sent_short, float(np.mean(errors)) if errors else float("nan")


def _share(hits: Bools, seed: int) -> Figure:
    """Share in per cent, with its bootstrap interval over requests."""
    draws = np.random.default_rng(seed).binomial(len(hits), float(hits.mean()), RESAMPLES) / len(hits)
    low, high = np.quantile(draws, (0.025, 0.975))
    return Figure(100 * float(hits.mean()), 100 * float(low), 100 * float(high))
