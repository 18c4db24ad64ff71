"""Drives one engine in real time: one timer per engine, however many sequences run."""

from __future__ import annotations

import asyncio

from loadgen.engine.core import Engine
from loadgen.engine.records import Completion, DecodeGap, EngineRequest, QueueFullError
from loadgen.vllm.metrics import EngineMetrics
from loadgen.vllm.plan import Choice

SHORTEST_TIMER_SECONDS = 0.0005
"""Engine events closer together than this are handled at once: an event loop gains nothing by waking for each."""


class Job:
    """One HTTP request inside the engine.

    Attributes:
        news: Set when there is something to write, or the job ended.
        died: True when the engine went away while the job was in it.
    """

    def __init__(
        self, job_id: str, choices: tuple[Choice, ...], choices_per_prompt: int, *, stream: bool
    ) -> None:
        self.job_id = job_id
        self.choices = choices
        self.stream = stream
        self.news = asyncio.Event()
        self.died = False
        self._per_prompt = choices_per_prompt
        self._produced = [0] * len(choices)
        self._unfinished = len(choices)

    @property
    def is_done(self) -> bool:
        """True when every choice has its last token."""
        return self._unfinished == 0

    @property
    def produced(self) -> list[int]:
        """Tokens per choice, as of the pump's last turn."""
        return self._produced

    def engine_requests(self, longest_prompt: int) -> list[EngineRequest]:
        """One engine request per prompt."""
        return [
            EngineRequest(
                request_id=f"{self.job_id}/{start // self._per_prompt}",
                prompt_tokens=min(self.choices[start].prompt_tokens, longest_prompt),
                output_tokens=tuple(
                    choice.tokens for choice in self.choices[start : start + self._per_prompt]
                ),
            )
            for start in range(0, len(self.choices), self._per_prompt)
        ]

    def index_of(self, request_id: str, choice: int) -> int:
        """Position among the job's choices of an engine request's choice."""
        return int(request_id.rpartition("/")[2]) * self._per_prompt + choice

    def note(self, index: int, tokens: int, *, last: bool) -> None:
        """Take in that a choice has so many tokens."""
        self._produced[index] = tokens
        if last:
            self._unfinished -= 1

    def refresh(self, engine: Engine) -> None:
        """Read the progress of every unfinished choice."""
        for index, choice in enumerate(self.choices):
            if self._produced[index] < choice.tokens:
                request_id = f"{self.job_id}/{index // self._per_prompt}"
                self._produced[index] = engine.generated(request_id, index % self._per_prompt)


class EnginePump:
    """Runs an engine against the event loop's clock and tells jobs when they have news."""

    def __init__(
        self, engine: Engine, metrics: EngineMetrics, *, time_scale: float, flush_seconds: float
    ) -> None:
        self.engine = engine
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._time_scale = time_scale
        self._flush_seconds = flush_seconds
        self._real_origin = self._loop.time()
        self._engine_origin = 0.0
        self._jobs: dict[str, Job] = {}
        self._streams: set[Job] = set()
        self._next_flush = 0.0
        self._timer: asyncio.Handle | None = None
        self._timer_at = 0.0

    @property
    def time_scale(self) -> float:
        """Simulated seconds per real second."""
        return self._time_scale

    @time_scale.setter
    def time_scale(self, value: float) -> None:
        self._turn()
        self._engine_origin = self._engine_now()
        self._real_origin = self._loop.time()
        self._time_scale = value
        self._arm()

    @property
    def unfinished_jobs(self) -> int:
        """Requests inside the engine."""
        return len(self._jobs)

    def submit(self, job: Job) -> None:
        """Hand a job to the engine.

        Raises:
            QueueFullError: When the engine's queue has no room for all of it.
        """
        now = self._engine_now()
        submitted: list[str] = []
        for request in job.engine_requests(self.engine.config.max_model_len - 1):
            try:
                self.engine.submit(request, now)
            except QueueFullError:
                for request_id in submitted:
                    self.engine.abort(request_id, now)
                raise
            submitted.append(request.request_id)
        self._jobs[job.job_id] = job
        self._arm()

    def leave(self, job: Job) -> bool:
        """Forget a job; one that is not done is aborted in the engine. True when it was aborted."""
        if self._jobs.pop(job.job_id, None) is None:
            return False
        self._streams.discard(job)
        if job.is_done:
            return False
        now = self._engine_now()
        for request in job.engine_requests(self.engine.config.max_model_len - 1):
            self.engine.abort(request.request_id, now)
        self._arm()
        return True

    def fail_all(self) -> None:
        """Abort every job; each learns that its engine died."""
        for job in list(self._jobs.values()):
            self.leave(job)
            job.died = True
            job.news.set()

    def refresh(self) -> None:
        """Bring the engine to the present, for whoever reads its gauges."""
        self._turn()
        self._arm()

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _engine_now(self) -> float:
        return self._engine_origin + (self._loop.time() - self._real_origin) * self._time_scale

    def _on_timer(self) -> None:
        self._timer = None
        self._turn()
        self._arm()

    def _turn(self) -> None:
        result = self.engine.advance(self._engine_now())
        # Completions first: the engine no longer knows the progress of what it has finished.
        for done in result.completions:
            self._complete(done)
        for first in result.first_tokens:
            job = self._jobs.get(first.request_id.rpartition("/")[0])
            if job is not None and job.stream and not job.is_done:
                self._streams.add(job)
                job.refresh(self.engine)
                job.news.set()
        self._metrics.observe_gaps(
            [DecodeGap(gap.seconds / self._time_scale, gap.tokens) for gap in result.decode_gaps]
        )
        real_now = self._loop.time()
        if self._streams and real_now >= self._next_flush:
            self._next_flush = real_now + self._flush_seconds
            for job in self._streams:
                job.refresh(self.engine)
                job.news.set()

    def _complete(self, done: Completion) -> None:
        job = self._jobs.get(done.request_id.rpartition("/")[0])
        if job is None:
            return
        index = job.index_of(done.request_id, done.choice)
        job.note(index, done.output_tokens, last=True)
        self._metrics.observe_completion(done, job.choices[index].finish_reason, self._time_scale)
        if job.is_done:
            self._streams.discard(job)
        if job.is_done or job.stream:
            job.news.set()

    def _arm(self) -> None:
        event = self.engine.next_event_seconds()
        if event is None:
            self.close()
            return
        when = self._real_origin + (event - self._engine_origin) / self._time_scale
        if self._streams:
            when = min(when, self._next_flush)
        when = max(when, self._loop.time() + SHORTEST_TIMER_SECONDS)
        if self._timer is not None:
            # Not `when()`: uvloop makes a timer that is due at once a plain handle, which has none.
            if self._timer_at == when:
                return
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_at(when, self._on_timer), when
