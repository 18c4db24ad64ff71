"""One run: questions arrive, a decider routes them, a gateway carries it out, engines answer."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from extproc.decide.attempts import Following
from extproc.fleet.topology import Price
from loadgen.questions.question import Question
from loadgen.virtual.course import Report, Try
from loadgen.virtual.deciders import Decider
from loadgen.virtual.events import Events
from loadgen.virtual.fleet import VirtualFleet
from loadgen.virtual.gateway import Gateway
from loadgen.virtual.policy import Asked

SCRAPE_SECONDS = 1.0
"""Time between two scrapes of one instance; the instances take turns."""

REPORT_SECONDS = 0.1
"""Delay of the access log."""

TOKENS_PER_PRICE = 1e6


@dataclass(slots=True, kw_only=True)
class Story:
    """What happened to one request, from its arrival to its first correct answer or to giving up.

    Attributes:
        question: What was asked.
        arrived_seconds: Since the start of the run.
        ended_seconds: When the client had a correct answer or gave up.
        is_solved: True when it had one.
        is_first_correct: True when the first try gave one.
        attempts: Upstream tries.
        prompt_tokens, output_tokens: Of all tries.
        usd: Price of these tokens.
    """

    question: Question
    arrived_seconds: float
    ended_seconds: float = 0.0
    is_solved: bool = False
    is_first_correct: bool = False
    attempts: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0

    @property
    def seconds(self) -> float:
        """Time from the arrival to the end: TTCA when it was solved."""
        return self.ended_seconds - self.arrived_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What came of a run.

    Attributes:
        stories: One per request, in order of arrival.
        busy_seconds: Time that each engine has computed, by address.
        preemptions: How often a sequence lost its KV blocks.
        seconds: Virtual time until the last request ended.
    """

    stories: tuple[Story, ...]
    busy_seconds: dict[str, float]
    preemptions: int
    seconds: float


class Simulation:
    """Runs questions through a decider.

    Args:
        fleet: What is routed to.
        decider: Decides.
        on_done: Called once for each request that ended.
        keeps_prefixes: True when engines do not prefill a prompt again that they have answered and still hold.
    """

    def __init__(
        self,
        fleet: VirtualFleet,
        decider: Decider,
        *,
        on_done: Callable[[], None] | None = None,
        keeps_prefixes: bool = False,
    ) -> None:
        self._events = Events()
        clusters = fleet.topology.clusters
        self._prices = {cluster.model: cluster.price for cluster in clusters}
        models = {instance.address: cluster.model for cluster in clusters for instance in cluster.instances}
        self._rows = {address: row for row, address in enumerate(models)}
        self._gateway = Gateway(
            fleet.engines, models, self._events, self._on_try, self._following, keeps_prefixes=keeps_prefixes
        )
        self._decider = decider
        self._on_done = on_done
        self._open = 0
        self._on_finish: Callable[[], None] | None = None

    def run(self, questions: Sequence[Question], arrivals: npt.NDArray[np.float64]) -> Run:
        """Run to the end of the last request, arrivals given: an open loop.

        Args:
            questions: One per arrival.
            arrivals: Seconds since the start, ascending.

        Raises:
            ValueError: There are not as many questions as arrivals.
        """
        stories = [
            Story(question=question, arrived_seconds=float(seconds))
            for question, seconds in zip(questions, arrivals, strict=True)
        ]
        self._events.feed(
            (story.arrived_seconds, partial(self._ask, story, Asked(number, story.question)))
            for number, story in enumerate(stories)
        )
        return self._to_the_end(stories)

    def run_closed(self, questions: Sequence[Question], *, concurrency: int) -> Run:
        """Run to the end of the last request, with so many clients that each ask the next question when theirs has ended.

        Args:
            questions: In the order in which they are asked.
            concurrency: Number of clients, at least 1.

        Raises:
            ValueError: There is no client.
        """
        if concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, got {concurrency}")
        stories = [Story(question=question, arrived_seconds=0.0) for question in questions]
        upcoming = iter(enumerate(stories))

        def ask_next() -> None:
            number, story = next(upcoming, (-1, None))
            if story is not None:
                story.arrived_seconds = self._events.now
                self._ask(story, Asked(number, story.question))

        # Through the agenda, so that a client that gives up at once does not ask from within its own end.
        self._on_finish = partial(self._events.after, 0.0, ask_next)
        for _ in range(concurrency):
            self._events.at(0.0, ask_next)
        return self._to_the_end(stories)

    def _to_the_end(self, stories: Sequence[Story]) -> Run:
        self._open = len(stories)
        for row, address in enumerate(self._rows):
            self._events.at(SCRAPE_SECONDS * row / len(self._rows), partial(self._scrape, address))
        with _no_search_for_cycles():
            while self._open and self._events.step():
                pass
        machines = self._gateway.machines
        return Run(
            stories=tuple(stories),
            busy_seconds=machines.busy_seconds(),
            preemptions=machines.preemptions(),
            seconds=self._events.now,
        )

    def _ask(self, story: Story, asked: Asked) -> None:
        course = self._decider.decide(asked, self._events.now)
        if course is None:
            self._finish(story)
        else:
            self._gateway.send(course, story.question, partial(self._ended, story, asked))

    def _ended(self, story: Story, asked: Asked, report: Report) -> None:
        self._decider.hear_answer(report, self._events.now)
        self._events.after(REPORT_SECONDS, partial(self._report_end, report))
        for attempt in report.tries:
            asked.rows.append(self._rows[attempt.address])
            if attempt.is_correct is False:
                asked.failed.append(attempt.model)
        self._count(story, report)
        if report.delivered is not None and report.delivered.is_correct:
            story.is_solved = True
            self._finish(story)
        else:
            self._ask(story, asked)

    def _count(self, story: Story, report: Report) -> None:
        if story.attempts == 0 and report.tries:
            story.is_first_correct = bool(report.tries[0].is_correct)
        for attempt in report.tries:
            price = self._prices[attempt.model]
            story.attempts += 1
            # A try that was refused took no prompt.
            prompt_tokens = report.prompt_tokens if attempt.status in (0, 200) else 0
            story.prompt_tokens += prompt_tokens
            story.output_tokens += attempt.output_tokens
            story.usd += _usd(price, prompt_tokens, attempt.output_tokens)

    def _finish(self, story: Story) -> None:
        story.ended_seconds = self._events.now
        self._open -= 1
        if self._on_finish is not None:
            self._on_finish()
        if self._on_done is not None:
            self._on_done()

    def _following(self, report: Report) -> Following | None:
        return self._decider.following(report, self._events.now)

    def _on_try(self, report: Report, attempt: Try) -> None:
        self._events.after(REPORT_SECONDS, partial(self._report_try, report, attempt))

    def _report_try(self, report: Report, attempt: Try) -> None:
        self._decider.hear_try(report, attempt, self._events.now)

    def _report_end(self, report: Report) -> None:
        self._decider.hear_end(report, self._events.now)

    def _scrape(self, address: str) -> None:
        self._decider.observe(address, self._gateway.machines.metrics(address), self._events.now)
        self._events.after(SCRAPE_SECONDS, partial(self._scrape, address))


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Keep the garbage collector from searching: requests leave no cycles behind, and looking for some takes a fifth of a run."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _usd(price: Price, prompt_tokens: int, output_tokens: int) -> float:
    return (
        prompt_tokens * price.input_usd_per_mtok + output_tokens * price.output_usd_per_mtok
    ) / TOKENS_PER_PRICE
