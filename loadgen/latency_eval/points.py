"""Mean latencies at given loads: closed loops and static batches, each load predicted before it is learned."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from extproc.fleet.load import LoadBook
from extproc.fleet.snapshot import FleetTable, Floats
from loadgen.calibration.measured import LoadPoint
from loadgen.latency_eval.rivals import Ended, Moment, Predictor
from loadgen.latency_eval.trace import A100_8B, TimedRequest, fleet_of

MOST_CONCURRENCY = 4096
SHUFFLES = 5
FEW = 5
"""Loads after which a group counts as learned."""

Backlog = Callable[[LoadPoint], float]
Makers = Mapping[str, Callable[[FleetTable], Predictor]]


def staggered(_point: LoadPoint) -> float:
    """Prompt tokens ahead in a closed loop: arrivals are spread, so none."""
    return 0.0


def together(point: LoadPoint) -> float:
    """Prompt tokens ahead in a batch that starts at once: all the others'."""
    return float((point.concurrency - 1) * point.input_tokens)


def point_errors(
    groups: Mapping[str, Sequence[LoadPoint]], makers: Makers, *, backlog: Backlog, seed: int
) -> dict[str, dict[str, Floats]]:
    """Relative errors of every predictor on every group, its loads in random order, several orders each.

    Args:
        groups: Loads of one engine by its name.
        makers: A fresh predictor from a fleet, by name.
        backlog: Prompt tokens ahead at a load.
        seed: Of the orders.

    Returns:
        By predictor and group an array of shape (orders, loads, 2), TTFT and total.
    """
    table = LoadBook(fleet_of(A100_8B, 1, MOST_CONCURRENCY)).table
    found: dict[str, dict[str, Floats]] = {name: {} for name in makers}
    for group, points in groups.items():
        rng = np.random.default_rng((seed, zlib.crc32(group.encode())))
        orders = [rng.permutation(len(points)) for _ in range(SHUFFLES)]
        for name, make in makers.items():
            found[name][group] = np.array(
                [_errors([points[i] for i in order], make(table), table, backlog) for order in orders]
            )
    return found


def _errors(
    points: Sequence[LoadPoint], predictor: Predictor, table: FleetTable, backlog: Backlog
) -> list[tuple[float, float]]:
    idle = LoadBook(table.fleet).snapshot(0.0)
    errors = []
    for number, point in enumerate(points):
        total = point.ttft_seconds + (point.output_tokens - 1) * point.tpot_seconds
        request = TimedRequest(
            address=table.addresses[0],
            arrival=0.0,
            prompt_tokens=point.input_tokens,
            output_tokens=point.output_tokens,
            ttft_seconds=point.ttft_seconds,
            total_seconds=total,
        )
        moment = Moment(
            number=number,
            snapshot=replace(
                idle,
                table=table,
                sequences=np.array([point.concurrency - 1.0]),
                usual_sequences=np.array([point.concurrency - 1.0]),
                mean_output_tokens=np.array([float(point.output_tokens)]),
                prefill_backlog_tokens=np.array([backlog(point)]),
            ),
            row=0,
            prompt_tokens=point.input_tokens,
            output_tokens=point.output_tokens,
            pending_decode_tokens=point.concurrency * point.output_tokens / 2.0,
        )
        guess = predictor.predict(moment)
        predictor.learn(moment, Ended(request=request, sequences_at_end=point.concurrency - 1.0))
        errors.append(
            (
                abs(guess.ttft_seconds - point.ttft_seconds) / point.ttft_seconds,
                abs(guess.total_seconds - total) / total,
            )
        )
    return errors
