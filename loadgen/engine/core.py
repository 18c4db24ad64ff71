"""The engine: vLLM's scheduler loop over virtual time.

Rule 1: iterations follow one another without a gap while there is work; the composition of an iteration is fixed
        when it starts, so a request that arrives during an iteration waits for its end.
Rule 2: decoding sequences go first, one token each; what is left of the token budget prefills, oldest first;
        then the waiting queue is admitted in order of arrival (FCFS) while sequences, tokens and blocks last.
Rule 3: when decoding needs more KV blocks than are free, the youngest running sequence loses its blocks, goes to
        the front of the queue and is prefilled anew, generated tokens included; nobody is admitted meanwhile.
Rule 4: iterations in which nothing can change but the token counts are run as one stretch.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush

from loadgen.engine.blocks import BlockLedger
from loadgen.engine.config import EngineConfig
from loadgen.engine.records import (
    Completion,
    DecodeGap,
    EngineRequest,
    EngineTotals,
    FirstToken,
    QueueFullError,
    StepResult,
)
from loadgen.engine.sequence import Phase, Sequence
from loadgen.engine.stretch import Stretch


class Engine:
    """One engine. The caller owns the clock: `now` never goes back, and what happened is fetched by `advance`.

    The same calls at the same times give the same results, to the bit; how often `advance` is called between
    them changes nothing.

    >>> engine = Engine(EngineConfig(iteration_base_seconds=0.01, iteration_per_sequence_seconds=0.0,
    ...                              prefill_tokens_per_second=1000.0))
    >>> engine.submit(EngineRequest(request_id="a", prompt_tokens=10, output_tokens=(3,)), now=0.0)
    >>> [round(done.finished_seconds, 3) for done in engine.advance(1.0).completions]
    [0.04]
    """

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self.totals = EngineTotals()
        self._blocks = BlockLedger(config.kv_blocks, config.block_size)
        self._waiting: deque[Sequence] = deque()
        self._running: dict[int, Sequence] = {}
        self._prefilling: dict[int, Sequence] = {}
        self._finish_order: list[tuple[int, int, Sequence]] = []
        self._requests: dict[str, list[Sequence]] = {}
        self._decoding = 0
        self._context_tokens = 0
        self._iteration = 0
        self._serial = 0
        self._clock = 0.0
        self._now = float("-inf")
        self._stretch: Stretch | None = None
        self._result = StepResult()

    @property
    def running(self) -> int:
        """Sequences in the batch."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Sequences in the waiting queue."""
        return len(self._waiting)

    @property
    def kv_usage(self) -> float:
        """Share of the KV blocks in use, 0 to 1."""
        return self._blocks.used / self._blocks.total

    def generated(self, request_id: str, choice: int) -> int:
        """Tokens that an unfinished request's choice has produced at the last `now`.

        Raises:
            KeyError: When no such request is unfinished.
        """
        return self._requests[request_id][choice].generated_at(self._iteration)

    def submit(self, request: EngineRequest, now: float) -> None:
        """Put a request into the waiting queue.

        Raises:
            QueueFullError: When `max_num_queued_reqs` would be exceeded; nothing has changed then.
            ValueError: When its id is taken, or its lengths are impossible.
        """
        config = self.config
        if request.request_id in self._requests:
            raise ValueError(f"request {request.request_id!r} is still unfinished")
        longest = request.prompt_tokens + max(request.output_tokens, default=0)
        if (
            request.prompt_tokens < 1
            or min(request.output_tokens, default=0) < 1
            or longest > config.max_model_len
        ):
            raise ValueError(
                f"lengths must be at least 1 and fit {config.max_model_len} tokens, got {request}"
            )
        self._run_until(now)
        limit = config.max_num_queued_reqs
        if limit is not None and self.running + self.waiting + len(request.output_tokens) > limit:
            raise QueueFullError(f"{limit} unfinished sequences is the limit")
        sequences = [
            Sequence(
                self._serial + choice,
                request_id=request.request_id,
                choice=choice,
                prompt_tokens=request.prompt_tokens,
                output_tokens=tokens,
                submitted_seconds=now,
                cached_tokens=request.cached_tokens,
            )
            for choice, tokens in enumerate(request.output_tokens)
        ]
        self._serial += len(sequences)
        self._requests[request.request_id] = sequences
        self._waiting.extend(sequences)
        self._composition_changes(now)

    def abort(self, request_id: str, now: float) -> bool:
        """Drop a request at once; the iteration under way still takes its time. False when it is not there."""
        self._run_until(now)
        sequences = self._requests.pop(request_id, None)
        if sequences is None:
            return False
        for sequence in sequences:
            if sequence.phase is Phase.WAITING:
                self._waiting.remove(sequence)
            elif sequence.phase is not Phase.DONE:
                self._leave_batch(sequence)
            sequence.phase = Phase.DONE
        self._composition_changes(now)
        return True

    def advance(self, now: float) -> StepResult:
        """Run every iteration that ends at or before `now`; return what happened since the last call.

        Raises:
            ValueError: When `now` lies before an earlier `now`.
        """
        self._run_until(now)
        result, self._result = self._result, StepResult()
        return result

    def next_event_seconds(self) -> float | None:
        """When the next iteration ends that yields a first or last token or admits somebody; None when idle.

        Holds as long as nobody submits or aborts. Fixes the composition of the iteration that starts now.
        """
        if self._stretch is None:
            if not self._running and not self._waiting:
                return None
            self._stretch = self._plan()
        return self._stretch.end_of(self._stretch.length)

    def _run_until(self, now: float) -> None:
        if now < self._now:
            raise ValueError(f"time went back from {self._now} to {now}")
        self._now = now
        while True:
            stretch = self._stretch
            if stretch is None:
                # An iteration starts when time has passed its start: who arrives at that very instant joins it.
                if self._clock >= now or not (self._running or self._waiting):
                    return
                stretch = self._stretch = self._plan()
            ended = stretch.ended_by(now)
            if ended > stretch.done:
                self._decode(stretch, ended)
            if ended < stretch.length:
                return
            self._clock = stretch.end_of(ended)
            self._stretch = None
            self._end_iteration(stretch)

    def _composition_changes(self, now: float) -> None:
        if self._stretch is None:
            self._clock = max(self._clock, now)
        else:
            self._stretch.length = self._stretch.done + 1

    def _plan(self) -> Stretch:
        config = self.config
        preempted = self._preempt_until_growth_fits()
        budget = config.max_num_batched_tokens - self._decoding
        chunks: list[tuple[Sequence, int]] = []
        for sequence in self._prefilling.values():
            tokens = min(sequence.prefill_left, budget)
            if tokens == 0:
                break
            chunks.append((sequence, tokens))
            budget -= tokens
        if not preempted:
            self._admit(chunks, budget)
        batch = self._decoding + len(chunks)
        first = (
            config.iteration_base_seconds
            + config.iteration_per_sequence_seconds * batch
            + config.iteration_per_context_token_seconds * self._context_tokens
            + sum(tokens for _, tokens in chunks) / config.prefill_tokens_per_second
        )
        growth = config.iteration_per_context_token_seconds * self._decoding
        length = 1 if chunks or (preempted and self._waiting) else self._uneventful_iterations()
        return Stretch(self._clock, first, growth, length, chunks)

    def _admit(self, chunks: list[tuple[Sequence, int]], budget: int) -> None:
        """Rule 2, second half: move sequences from the queue into the batch; extends `chunks`."""
        reserved = self._blocks.needed_at(self._iteration + 1)
        while self._waiting and budget > 0 and len(self._running) < self.config.max_num_seqs:
            sequence = self._waiting[0]
            blocks = self._blocks.blocks_for(sequence.prefill_target)
            if blocks > self._blocks.free - reserved:
                return
            self._waiting.popleft()
            self._blocks.take(blocks)
            sequence.phase = Phase.PREFILL
            if sequence.scheduled_seconds is None:
                sequence.scheduled_seconds = self._clock
            self._running[sequence.serial] = sequence
            self._prefilling[sequence.serial] = sequence
            tokens = min(sequence.prefill_left, budget)
            chunks.append((sequence, tokens))
            budget -= tokens

    def _preempt_until_growth_fits(self) -> bool:
        """Rule 3."""
        preempted = False
        while self._blocks.needed_at(self._iteration + 1) > self._blocks.free:
            sequence = self._running[next(reversed(self._running))]
            generated = sequence.generated_at(self._iteration)
            self._leave_batch(sequence)
            sequence.phase = Phase.WAITING
            sequence.generated = generated
            sequence.prefill_target = sequence.prefill_left = sequence.prompt_tokens + generated
            sequence.preemptions += 1
            self._waiting.appendleft(sequence)
            self.totals.preemptions += 1
            preempted = True
        return preempted

    def _uneventful_iterations(self) -> int:
        """Rule 4: iterations until the next sequence finishes or blocks run short, at least 1."""
        order = self._finish_order
        while order and not self._is_current(order[0]):
            heappop(order)
        if not order:
            return 1
        return max(self._blocks.iterations_until_short(self._iteration, order[0][0] - self._iteration), 1)

    def _decode(self, stretch: Stretch, ended: int) -> None:
        """Give every decoding sequence one token for each iteration that has ended."""
        count = ended - stretch.done
        begin = stretch.end_of(stretch.done) if stretch.done else stretch.start_seconds
        seconds = stretch.end_of(ended) - begin
        if self._decoding:
            self._blocks.grow(self._iteration, count)
            tokens = count * self._decoding
            self._context_tokens += tokens
            self.totals.generation_tokens += tokens
            self._result.decode_gaps.append(DecodeGap(seconds / count, tokens))
        self._iteration += count
        stretch.done = ended
        self.totals.iterations += count
        self.totals.busy_seconds += seconds

    def _end_iteration(self, stretch: Stretch) -> None:
        order = self._finish_order
        while order and order[0][0] <= self._iteration:
            entry = heappop(order)
            if self._is_current(entry):
                self._leave_batch(entry[2])
                self._finish(entry[2])
        for sequence, tokens in stretch.chunks:
            # An aborted sequence is still in the chunks of the iteration that was under way.
            if sequence.phase is Phase.PREFILL:
                sequence.prefill_left -= tokens
                if sequence.prefill_left == 0:
                    self._end_prefill(sequence)

    def _end_prefill(self, sequence: Sequence) -> None:
        del self._prefilling[sequence.serial]
        sequence.phase = Phase.DECODE
        sequence.generated += 1
        sequence.decode_since = self._iteration
        self._blocks.start_decoding(sequence.prefill_target, self._iteration)
        self._context_tokens += sequence.prefill_target
        self._decoding += 1
        self.totals.generation_tokens += 1
        if sequence.first_token_seconds is None:
            sequence.first_token_seconds = self._clock
            self.totals.prompt_tokens += sequence.prompt_tokens
            self._result.first_tokens.append(FirstToken(sequence.request_id, sequence.choice, self._clock))
        if sequence.generated == sequence.output_tokens:
            self._leave_batch(sequence)
            self._finish(sequence)
        else:
            heappush(self._finish_order, (sequence.done_at(), sequence.serial, sequence))

    def _leave_batch(self, sequence: Sequence) -> None:
        """Take a running sequence out of the batch and return its blocks."""
        del self._running[sequence.serial]
        if sequence.phase is Phase.PREFILL:
            del self._prefilling[sequence.serial]
            self._blocks.give_back(self._blocks.blocks_for(sequence.prefill_target))
            return
        context = sequence.context_at(self._iteration)
        self._blocks.stop_decoding(context, self._iteration)
        self._blocks.give_back(self._blocks.blocks_for(context))
        self._context_tokens -= context
        self._decoding -= 1

    def _finish(self, sequence: Sequence) -> None:
        sequence.generated = sequence.output_tokens
        sequence.phase = Phase.DONE
        assert sequence.scheduled_seconds is not None  # noqa: S101 - it left the queue to get here
        assert sequence.first_token_seconds is not None  # noqa: S101 - the last token is never before the first
        self._result.completions.append(
            Completion(
                sequence.request_id,
                sequence.choice,
                sequence.prompt_tokens,
                sequence.output_tokens,
                sequence.submitted_seconds,
                sequence.scheduled_seconds,
                sequence.first_token_seconds,
                self._clock,
                sequence.preemptions,
            )
        )
        siblings = self._requests[sequence.request_id]
        if all(sibling.phase is Phase.DONE for sibling in siblings):
            del self._requests[sequence.request_id]

    def _is_current(self, entry: tuple[int, int, Sequence]) -> bool:
        """False for an entry of a sequence that was aborted, or preempted since."""
        done_at, _, sequence = entry
        return sequence.phase is Phase.DECODE and sequence.done_at() == done_at
