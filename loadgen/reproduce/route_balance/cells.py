"""One cell of the study: an arm under a load, and what came of every request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from extproc.fleet.load import LoadBook
from extproc.fleet.snapshot import FleetSnapshot
from loadgen.arrivals import gamma_burst, poisson, square_wave
from loadgen.questions.question import QuestionSet
from loadgen.reproduce.route_balance.arms import Arm, Bench, make_decider
from loadgen.reproduce.route_balance.balance import BalanceDecider
from loadgen.reproduce.route_balance.batches import StudySimulation
from loadgen.reproduce.route_balance.cluster import INSTANCES, build_cluster
from loadgen.reproduce.route_balance.rivals import Dispatch, ModelThenInstance, always
from loadgen.reproduce.route_balance.token_time import FleetState, Forest, grow
from loadgen.virtual.course import Report
from loadgen.virtual.deciders import PolicyDecider
from loadgen.virtual.fleet import VirtualFleet
from loadgen.virtual.knowledge import ExpectedLengths
from loadgen.virtual.policy import Asked, Forecast
from loadgen.virtual.summary import WARM_UP_SHARE

Floats = npt.NDArray[np.float64]

BURSTINESS: Final = 0.3
"""Shape of the gamma distribution of the gaps; the coefficient of variation is its root's inverse."""

SQUARE_RATIO: Final = 5.0
SQUARE_PERIOD_SECONDS: Final = 60.0


class Pattern(StrEnum):
    """How requests arrive."""

    POISSON = "poisson"
    SQUARE = "square"
    GAMMA = "gamma"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Arrivals.

    Attributes:
        rate: Mean requests per second.
        pattern: How they come; the square wave is 5 : 1 with phases of 30 s.
        serial_seconds: Time that each request holds the one scorer that all go by before they are routed; 0 for none.
    """

    rate: float
    pattern: Pattern = Pattern.POISSON
    serial_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is run.

    Attributes:
        arm: Who decides.
        load: How requests arrive.
        requests: Number of requests, at least 10.
        seed: Of questions, arrivals and random choices; the questions are the same whatever the load.
    """

    arm: Arm
    load: Load
    requests: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What came of a run, by request in order of arrival, the first tenth left out.

    Attributes:
        questions: Position among the held-out questions.
        correct: 1.0 for a correct final answer.
        seconds: From the arrival to the final answer.
        usd: Price of all its tries.
        shares: Share of the tries by model, in the order of the fleet.
        throughput: All requests over the time until the last one ended, per second.
    """

    questions: npt.NDArray[np.int64]
    correct: Floats
    seconds: Floats
    usd: Floats
    shares: Floats
    throughput: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Cells that one process runs one after the other.

    Attributes:
        bench: What the arms share.
        cells: What is run.
    """

    bench: Bench
    cells: tuple[Setting, ...]


def run_cells(task: Task) -> list[Cell]:
    """Run the cells of a task."""
    return [run_cell(task.bench, setting) for setting in task.cells]


def run_cell(bench: Bench, setting: Setting) -> Cell:
    """Run an arm under a load.

    Args:
        bench: What the arms share.
        setting: What is run.
    """
    arm, load, requests, seed = setting.arm, setting.load, setting.requests, setting.seed
    fleet = build_cluster(bench.questions.models)
    drawn = np.random.default_rng(seed).integers(0, len(bench.questions.held_out), requests)
    asked = [bench.questions.held_out[index] for index in drawn]
    arrivals = _arrivals(load, requests, seed)
    routed = _after_scoring(arrivals, load.serial_seconds)
    decider = make_decider(bench, fleet, arm, np.random.default_rng(seed))
    simulation = StudySimulation(fleet, decider, decider if isinstance(decider, BalanceDecider) else None)
    run = simulation.run(asked, routed)
    first = int(WARM_UP_SHARE * requests)
    stories = run.stories[first:]
    tries = np.array([float(simulation.tries[model]) for model in bench.questions.models])
    waited = (routed - arrivals)[first:]
    return Cell(
        questions=drawn[first:],
        correct=np.array([float(story.is_solved) for story in stories]),
        seconds=np.array([story.seconds for story in stories]) + waited,
        usd=np.array([story.usd for story in stories]),
        shares=tries / tries.sum(),
        throughput=requests / run.seconds,
    )


def _arrivals(load: Load, requests: int, seed: int) -> Floats:
    rng = np.random.default_rng((seed, 1))
    if load.pattern is Pattern.SQUARE:
        return square_wave(requests, load.rate, SQUARE_RATIO, SQUARE_PERIOD_SECONDS, rng)
    if load.pattern is Pattern.GAMMA:
        return gamma_burst(requests, load.rate, BURSTINESS**-0.5, rng)
    return poisson(requests, load.rate, rng)


def _after_scoring(arrivals: Floats, seconds: float) -> Floats:
    """When requests leave a scorer that takes them one by one."""
    if not seconds:
        return arrivals
    left = np.empty_like(arrivals)
    free = 0.0
    for index, arrival in enumerate(arrivals):
        free = max(free, float(arrival)) + seconds
        left[index] = free
    return left


PROFILE_RATES: Final = (6.0, 12.0, 18.0, 24.0, 30.0, 40.0)
"""Requests per second over the fleet in the profiled runs; instances are drawn at random."""


def profile(questions: QuestionSet, *, requests: int, seed: int) -> Forest:
    """Learn times per output token from runs on training questions at several rates.

    Args:
        questions: The set; only its training part is asked.
        requests: Number of requests at each rate.
        seed: Of questions, arrivals, instances and trees.
    """
    fleet = build_cluster(questions.models)
    samples: list[tuple[list[Floats], list[float]]] = [([], []) for _ in INSTANCES]
    for number, rate in enumerate(PROFILE_RATES):
        rng = np.random.default_rng((seed, number, 2))
        drawn = rng.integers(0, len(questions.training), requests)
        decider = _Profiler(fleet, questions, rng, samples)
        simulation = StudySimulation(fleet, decider)
        simulation.run([questions.training[index] for index in drawn], poisson(requests, rate, rng))
    return grow([(np.array(rows), np.array(seconds)) for rows, seconds in samples], seed=seed)


class _Profiler(PolicyDecider):
    """Routes at random and notes what each instance looked like, and how long its answer took per token."""

    def __init__(
        self,
        fleet: VirtualFleet,
        questions: QuestionSet,
        rng: np.random.Generator,
        samples: Sequence[tuple[list[Floats], list[float]]],
    ) -> None:
        lengths = ExpectedLengths(questions.training, questions.models)
        forecast = Forecast(LoadBook(fleet.topology).table, lengths)
        self._seen: dict[int, Floats] = {}
        self._lengths = lengths
        self._samples = samples
        super().__init__(fleet.topology, self, forecast)
        self._random = ModelThenInstance(always(None), Dispatch.RANDOM, rng)

    def choose(self, asked: Asked, snapshot: FleetSnapshot) -> int | None:
        """Row by chance; notes the state that it was in."""
        row = self._random.choose(asked, snapshot)
        if row is not None:
            longest = float(self._lengths.tokens(asked.question).max())
            state = FleetState.of(snapshot)
            self._seen[asked.number] = state.features(asked.question.prompt_tokens, longest)[row]
        return row

    def hear_end(self, report: Report, now: float) -> None:
        """Note seconds per output token, the prompt's own prefill left out."""
        super().hear_end(report, now)
        (attempt,) = report.tries
        table = self._book.table
        row = table.row_by_address[attempt.address]
        seconds = report.ended_seconds - report.started_seconds
        seconds -= report.prompt_tokens * float(table.prefill_seconds_per_token[row])
        rows, times = self._samples[int(table.model_index[row])]
        rows.append(self._seen.pop(int(report.course.decision_id.split("-", 1)[0])))
        times.append(seconds / max(1, attempt.output_tokens))
