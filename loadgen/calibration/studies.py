"""The three studies: each fits on one part of a set, and reports the error of the engine on the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from statistics import fmean, median

import numpy as np

from loadgen.calibration.drive import AMPLE_KV_BLOCKS, Replay, Times, closed_loop, replay, static_batch
from loadgen.calibration.measured import LoadPoint, MeasuredRequest, RecordedRun
from loadgen.calibration.solve import Vector, nonnegative_least_squares, simplex_search
from loadgen.engine.speed import Speed

RECORDED_BATCHED_TOKENS = 2048
"""`max_num_batched_tokens` of the recorded runs, as their source states."""

BENCHMARK_BATCHED_TOKENS = 8192
"""vLLM's default for its server on the GPUs of the closed-loop benchmark."""

LOW_CONCURRENCY = 8
"""Up to this load TTFT has a closed form: hardly anybody else is prefilled meanwhile."""

REPLAY_EVALUATIONS = 300


@dataclass(frozen=True, slots=True)
class Errors:
    """Median absolute relative errors (0.1 = 10 %)."""

    ttft: float
    tpot: float
    e2e: float


@dataclass(frozen=True, slots=True)
class StudyResult:
    """One fitted engine.

    Attributes:
        fitted_on: Requests or load points that the fit saw.
        held_out: Those that `errors` is about.
        load_errors: Mean absolute error of running and of waiting sequences over time, where recorded.
    """

    label: str
    speed: Speed
    fitted_on: int
    held_out: int
    errors: Errors
    load_errors: tuple[float, float] | None = None


def recorded_run_study(run: RecordedRun) -> StudyResult:
    """Fit on the first half of the arrivals, judge on the second half; every candidate replays the whole run."""
    half = len(run.requests) // 2
    measured = [_measured(request) for request in run.requests]

    def replayed(speed: Speed, seconds: Sequence[float] = ()) -> Replay:
        config = speed.engine_config(
            max_num_seqs=run.max_num_seqs,
            max_num_batched_tokens=RECORDED_BATCHED_TOKENS,
            max_model_len=16_384,
            kv_blocks=AMPLE_KV_BLOCKS,
        )
        return replay(config, run.requests, engines=run.engines, seconds=seconds)

    def loss(logarithms: Vector) -> float:
        times = replayed(_speed(np.exp(logarithms))).times[:half]
        return fmean(_log_error(one, real) for one, real in zip(times, measured[:half], strict=True))

    start = np.log(np.array([0.015, 1e-4, 1e-7, 1 / 15_000]))
    speed = _speed(np.exp(simplex_search(loss, start, step=0.7, evaluations=REPLAY_EVALUATIONS)))
    judged = replayed(speed, [float(second.second) for second in run.seconds])
    pairs = zip(judged.load, run.seconds, strict=True)
    gaps = [(abs(load[0] - second.running), abs(load[1] - second.waiting)) for load, second in pairs]
    return StudyResult(
        label=run.label,
        speed=speed,
        fitted_on=half,
        held_out=len(run.requests) - half,
        errors=_errors(judged.times[half:], measured[half:]),
        load_errors=(fmean(gap[0] for gap in gaps), fmean(gap[1] for gap in gaps)) if gaps else None,
    )


def closed_loop_study(label: str, points: Sequence[LoadPoint]) -> StudyResult:
    """Fit every other load point by least squares of relative errors, judge the engine on the others.

    With c sequences of mean context x, and p = c·isl/osl prompt tokens prefilled per iteration:
    TPOT = W + H·c + A·c·x + p/R; at low load TTFT = isl/R + 1.5 iterations (half of one is waited for).
    """
    fitted, held_out = points[::2], points[1::2]
    rows: list[list[float]] = []
    targets: list[float] = []
    for point in fitted:
        terms = _iteration_terms(point)
        prefill = point.concurrency * point.input_tokens / point.output_tokens
        rows.append([*terms, prefill])
        targets.append(point.tpot_seconds)
        if point.concurrency <= LOW_CONCURRENCY:
            rows.append([*(1.5 * term for term in terms), float(point.input_tokens)])
            targets.append(point.ttft_seconds)
    speed = _least_squares(rows, targets)
    return _judged(
        label,
        speed,
        fitted,
        held_out,
        lambda point: closed_loop(speed, point, max_num_batched_tokens=BENCHMARK_BATCHED_TOKENS),
    )


def static_batch_study(label: str, points: Sequence[LoadPoint]) -> StudyResult:
    """As `closed_loop_study`, for batches that are prefilled at once: TTFT = W + H·c + c·isl/R, TPOT without p."""
    fitted, held_out = points[::2], points[1::2]
    rows: list[list[float]] = []
    targets: list[float] = []
    for point in fitted:
        rows.append([*_iteration_terms(point), 0.0])
        targets.append(point.tpot_seconds)
        rows.append([1.0, float(point.concurrency), 0.0, float(point.concurrency * point.input_tokens)])
        targets.append(point.ttft_seconds)
    speed = _least_squares(rows, targets)
    return _judged(label, speed, fitted, held_out, lambda point: static_batch(speed, point))


def _judged(
    label: str,
    speed: Speed,
    fitted: Sequence[LoadPoint],
    held_out: Sequence[LoadPoint],
    simulate: Callable[[LoadPoint], Times],
) -> StudyResult:
    real = [
        Times(
            point.ttft_seconds,
            point.tpot_seconds,
            point.ttft_seconds + point.tpot_seconds * (point.output_tokens - 1),
        )
        for point in held_out
    ]
    errors = _errors([simulate(point) for point in held_out], real)
    return StudyResult(label=label, speed=speed, fitted_on=len(fitted), held_out=len(held_out), errors=errors)


def _iteration_terms(point: LoadPoint) -> list[float]:
    context = point.input_tokens + point.output_tokens / 2
    return [1.0, float(point.concurrency), point.concurrency * context]


def _least_squares(rows: list[list[float]], targets: list[float]) -> Speed:
    weights = 1.0 / np.array(targets)
    return _speed(nonnegative_least_squares(np.array(rows) * weights[:, None], np.ones(len(targets))))


def _speed(values: Vector) -> Speed:
    base, per_sequence, per_context, per_prompt_token = (float(value) for value in values)
    return Speed(
        base_seconds=base,
        per_sequence_seconds=per_sequence,
        per_context_token_seconds=per_context,
        prefill_tokens_per_second=1.0 / max(per_prompt_token, 1e-12),
    )


def _measured(request: MeasuredRequest) -> Times:
    return Times(
        ttft=request.first_token - request.arrival,
        tpot=(request.last_token - request.first_token) / max(request.output_tokens - 1, 1),
        e2e=request.last_token - request.arrival,
    )


def _log_error(simulated: Times, real: Times) -> float:
    ratios = ((simulated.ttft, real.ttft), (simulated.tpot, real.tpot), (simulated.e2e, real.e2e))
    # A request of one token has no TPOT; 1 ms keeps the logarithm finite and out of the way.
    return fmean(abs(log((one + 1e-3) / (other + 1e-3))) for one, other in ratios)


def _errors(simulated: Sequence[Times], real: Sequence[Times]) -> Errors:
    pairs = list(zip(simulated, real, strict=True))
    return Errors(
        ttft=_median_error([(one.ttft, other.ttft) for one, other in pairs]),
        tpot=_median_error([(one.tpot, other.tpot) for one, other in pairs]),
        e2e=_median_error([(one.e2e, other.e2e) for one, other in pairs]),
    )


def _median_error(pairs: Sequence[tuple[float, float]]) -> float:
    # A request of one token has no TPOT to be right about.
    return median(abs(simulated - real) / real for simulated, real in pairs if real > 0.0)
