from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.engine.config import EngineConfig
from loadgen.engine.core import Engine
from loadgen.engine.records import Completion, EngineRequest, QueueFullError

CONFIG = EngineConfig(
    iteration_base_seconds=0.010,
    iteration_per_sequence_seconds=0.001,
    prefill_tokens_per_second=1000.0,
    max_num_seqs=4,
    max_num_batched_tokens=64,
    max_model_len=256,
    kv_blocks=64,
)


def a_request(name: str, *, prompt: int = 10, outputs: tuple[int, ...] = (3,)) -> EngineRequest:
    """A request of ten prompt tokens and three output tokens unless told otherwise."""
    return EngineRequest(request_id=name, prompt_tokens=prompt, output_tokens=outputs)


def finished(engine: Engine, until: float = 1e6) -> dict[str, Completion]:
    """What has ended until then, by request and choice."""
    return {f"{done.request_id}.{done.choice}": done for done in engine.advance(until).completions}


def test_a_lone_request_takes_its_prefill_and_one_iteration_per_further_token() -> None:
    """TTFT is W + H + prompt/R, each further token W + H."""
    engine = Engine(CONFIG)
    engine.submit(a_request("a"), now=5.0)
    done = finished(engine)["a.0"]
    assert done.first_token_seconds == pytest.approx(5.0 + 0.011 + 0.010)
    assert done.finished_seconds == pytest.approx(5.0 + 0.021 + 2 * 0.011)


def test_the_context_makes_iterations_longer() -> None:
    """With A per context token, each decode iteration costs A times the tokens stored before it."""
    engine = Engine(replace(CONFIG, iteration_per_context_token_seconds=0.001))
    engine.submit(a_request("a", outputs=(4,)), now=0.0)
    done = finished(engine)["a.0"]
    assert done.finished_seconds - done.first_token_seconds == pytest.approx(
        3 * 0.011 + 0.001 * (10 + 11 + 12)
    )


def test_cached_prompt_tokens_are_not_prefilled() -> None:
    """Only the rest of the prompt takes time; the last token is computed even when all are cached."""
    engine = Engine(CONFIG)
    engine.submit(replace(a_request("a", prompt=50, outputs=(1,)), cached_tokens=30), now=0.0)
    engine.submit(replace(a_request("b", prompt=50, outputs=(1,)), cached_tokens=50), now=10.0)
    done = finished(engine)
    assert done["a.0"].first_token_seconds == pytest.approx(0.011 + 0.020)
    assert done["b.0"].first_token_seconds == pytest.approx(10.0 + 0.011 + 0.001)


def test_a_request_that_arrives_during_an_iteration_waits_for_its_end() -> None:
    """The composition of an iteration is fixed when it starts."""
    engine = Engine(CONFIG)
    engine.submit(a_request("a", outputs=(50,)), now=0.0)
    engine.submit(a_request("b"), now=0.025)
    assert finished(engine)["b.0"].scheduled_seconds == pytest.approx(0.032)


def test_requests_that_arrive_at_one_instant_share_the_iteration() -> None:
    """Two submissions at the same time are prefilled together."""
    engine = Engine(CONFIG)
    engine.submit(a_request("a"), now=0.0)
    engine.submit(a_request("b"), now=0.0)
    done = finished(engine)
    assert done["a.0"].first_token_seconds == done["b.0"].first_token_seconds == pytest.approx(0.012 + 0.020)


def test_a_long_prompt_is_prefilled_in_chunks_while_others_decode() -> None:
    """Decoding goes first; a prompt of 150 tokens needs three iterations of at most 64 tokens."""
    engine = Engine(CONFIG)
    engine.submit(a_request("short", outputs=(20,)), now=0.0)
    engine.submit(a_request("long", prompt=150, outputs=(1,)), now=0.001)
    result = engine.advance(1e6)
    first = next(event for event in result.first_tokens if event.request_id == "long")
    assert first.at_seconds == pytest.approx(0.021 + 3 * 0.012 + 0.150)
    assert sum(gap.tokens for gap in result.decode_gaps if gap.seconds > 0.02) == 3


def test_the_queue_is_served_in_order_of_arrival() -> None:
    """With max_num_seqs taken, the oldest waiting request starts when the first one ends."""
    engine = Engine(replace(CONFIG, max_num_seqs=1))
    for name in ("a", "b", "c"):
        engine.submit(a_request(name), now=0.0)
    engine.advance(0.015)
    assert (engine.running, engine.waiting) == (1, 2)
    done = finished(engine)
    assert done["b.0"].scheduled_seconds == done["a.0"].finished_seconds
    assert done["c.0"].scheduled_seconds == done["b.0"].finished_seconds


def test_each_choice_occupies_a_sequence() -> None:
    """A request with three outputs runs as three sequences of their own lengths."""
    engine = Engine(CONFIG)
    engine.submit(a_request("a", outputs=(2, 4, 6)), now=0.0)
    engine.advance(0.015)
    assert engine.running == 3
    assert [2, 4, 6] == [done.output_tokens for done in engine.advance(10.0).completions]


def test_the_youngest_loses_its_blocks_when_they_run_out() -> None:
    """Preemption by recompute: the older request is not delayed by it, the younger one still finishes."""
    engine = Engine(replace(CONFIG, kv_blocks=16, max_num_batched_tokens=256))
    engine.submit(a_request("old", prompt=100, outputs=(100,)), now=0.0)
    engine.submit(a_request("young", prompt=100, outputs=(100,)), now=0.0)
    done = finished(engine)
    assert (done["old.0"].preemptions, done["young.0"].preemptions) == (0, 1)
    assert engine.totals.preemptions == 1
    assert done["young.0"].finished_seconds > done["old.0"].finished_seconds
    assert engine.kv_usage == 0.0


def test_an_aborted_request_frees_its_place_and_blocks() -> None:
    """Abort works on running and waiting requests; unknown ids are reported as not there."""
    engine = Engine(replace(CONFIG, max_num_seqs=1))
    engine.submit(a_request("a", outputs=(200,)), now=0.0)
    engine.submit(a_request("b"), now=0.0)
    engine.submit(a_request("c"), now=0.0)
    assert engine.abort("a", now=0.1)
    assert engine.abort("b", now=0.1)
    assert not engine.abort("a", now=0.1)
    assert list(finished(engine)) == ["c.0"]
    assert (0, 0, 0.0) == (engine.running, engine.waiting, engine.kv_usage)


def test_progress_can_be_read_between_events() -> None:
    """Tokens produced so far follow from the time, without an event per token."""
    engine = Engine(CONFIG)
    engine.submit(a_request("a", outputs=(100,)), now=0.0)
    engine.advance(0.021 + 10.5 * 0.011)
    assert engine.generated("a", 0) == 11


def test_the_next_event_is_when_something_happens() -> None:
    """Advancing to the promised time yields an event; an idle engine promises none."""
    engine = Engine(CONFIG)
    assert engine.next_event_seconds() is None
    engine.submit(a_request("a", outputs=(100,)), now=0.0)
    first = engine.next_event_seconds()
    assert first is not None
    assert engine.advance(first).first_tokens
    last = engine.next_event_seconds()
    assert last is not None
    assert engine.advance(last).completions
    assert engine.next_event_seconds() is None


def test_a_full_queue_refuses_and_changes_nothing() -> None:
    """max_num_queued_reqs counts unfinished sequences, each choice as one."""
    engine = Engine(replace(CONFIG, max_num_queued_reqs=3))
    engine.submit(a_request("a", outputs=(1, 1)), now=0.0)
    with pytest.raises(QueueFullError):
        engine.submit(a_request("b", outputs=(1, 1)), now=0.0)
    engine.submit(a_request("b"), now=0.0)
    assert {"a.0", "a.1", "b.0"} == set(finished(engine))


@pytest.mark.parametrize(
    "request_",
    [
        a_request("x", prompt=0),
        a_request("x", outputs=()),
        a_request("x", outputs=(0,)),
        a_request("x", prompt=200, outputs=(57,)),
        a_request("taken"),
    ],
)
def test_an_impossible_request_is_refused(request_: EngineRequest) -> None:
    """Lengths below 1 or above the context, and ids in use, are errors of the caller."""
    engine = Engine(CONFIG)
    engine.submit(a_request("taken"), now=0.0)
    with pytest.raises(ValueError, match=r"lengths|unfinished"):
        engine.submit(request_, now=0.0)


def test_time_does_not_go_back() -> None:
    """A caller whose clock runs backwards is told so."""
    engine = Engine(CONFIG)
    engine.advance(2.0)
    with pytest.raises(ValueError, match="time went back"):
        engine.advance(1.0)


@pytest.mark.parametrize(
    ("field_name", "value"),
    [
        ("iteration_base_seconds", -1.0),
        ("prefill_tokens_per_second", 0.0),
        ("max_num_seqs", 0),
        ("max_num_batched_tokens", 3),
        ("kv_blocks", 15),
        ("max_model_len", 0),
    ],
)
def test_an_impossible_engine_is_refused(field_name: str, value: float) -> None:
    """Every figure that no engine could run with is named."""
    with pytest.raises(ValueError, match="iteration times|" + field_name):
        replace(CONFIG, **{field_name: value})  # type: ignore[arg-type]


@dataclass
class PlainSequence:
    name: str
    prompt: int
    output: int
    made: int = 0
    to_prefill: int = 0
    stored: int = 0
    blocks: int = 0
    first: float = 0.0


@dataclass
class PlainEngine:
    """The rules of the engine spelled out token by token, as slow and simple as possible."""

    config: EngineConfig
    arrivals: list[tuple[float, PlainSequence]]
    waiting: list[PlainSequence] = field(default_factory=list)
    running: list[PlainSequence] = field(default_factory=list)
    free: int = 0
    preemptions: int = 0
    done: dict[str, tuple[float, float]] = field(default_factory=dict)

    def run(self) -> None:
        self.free = self.config.kv_blocks
        now = 0.0
        while self.arrivals or self.waiting or self.running:
            if not self.waiting and not self.running:
                now = max(now, self.arrivals[0][0])
            while self.arrivals and self.arrivals[0][0] <= now:
                sequence = self.arrivals.pop(0)[1]
                sequence.to_prefill = sequence.prompt
                self.waiting.append(sequence)
            now = self.iterate(now)

    def blocks(self, tokens: int) -> int:
        return -(-tokens // self.config.block_size)

    def iterate(self, now: float) -> float:
        preempted = self.make_room()
        decoding = [one for one in self.running if not one.to_prefill]
        context = sum(one.stored for one in decoding)
        for one in self.growing():
            one.blocks += 1
            self.free -= 1
        chunks = self.chunks(self.config.max_num_batched_tokens - len(decoding), admit=not preempted)
        now += (
            self.config.iteration_base_seconds
            + self.config.iteration_per_sequence_seconds * (len(decoding) + len(chunks))
            + self.config.iteration_per_context_token_seconds * context
            + sum(tokens for _, tokens in chunks) / self.config.prefill_tokens_per_second
        )
        for one in decoding:
            one.stored += 1
            one.made += 1
        for one, tokens in chunks:
            one.to_prefill -= tokens
            one.stored += tokens
            if not one.to_prefill:
                one.made += 1
                one.first = one.first or now
        for one in [one for one in self.running if one.made == one.output]:
            self.running.remove(one)
            self.free += one.blocks
            self.done[one.name] = (one.first, now)
        return now

    def growing(self) -> list[PlainSequence]:
        return [
            one for one in self.running if not one.to_prefill and self.blocks(one.stored + 1) > one.blocks
        ]

    def make_room(self) -> bool:
        before = self.preemptions
        while len(self.growing()) > self.free:
            victim = self.running.pop()
            self.free += victim.blocks
            victim.to_prefill, victim.stored, victim.blocks = victim.prompt + victim.made, 0, 0
            self.waiting.insert(0, victim)
            self.preemptions += 1
        return self.preemptions > before

    def chunks(self, budget: int, *, admit: bool) -> list[tuple[PlainSequence, int]]:
        chunks: list[tuple[PlainSequence, int]] = []
        for one in [one for one in self.running if one.to_prefill]:
            if budget:
                chunks.append((one, min(budget, one.to_prefill)))
                budget -= chunks[-1][1]
        while admit and self.waiting and budget and len(self.running) < self.config.max_num_seqs:
            one = self.waiting[0]
            if self.blocks(one.to_prefill) > self.free:
                break
            self.waiting.pop(0)
            one.blocks = self.blocks(one.to_prefill)
            self.free -= one.blocks
            self.running.append(one)
            chunks.append((one, min(budget, one.to_prefill)))
            budget -= chunks[-1][1]
        return chunks


ARRIVALS = st.lists(
    st.tuples(st.floats(0.0, 2.0), st.integers(1, 120), st.integers(1, 120)), min_size=1, max_size=25
).map(sorted)


@settings(max_examples=60, deadline=None)
@given(arrivals=ARRIVALS, blocks=st.integers(16, 40), per_context=st.sampled_from([0.0, 1e-6]))
def test_stretches_do_what_single_iterations_do(
    arrivals: list[tuple[float, int, int]], blocks: int, per_context: float
) -> None:
    """Fast-forwarding agrees with the rules spelled out token by token, preemptions included."""
    config = replace(CONFIG, kv_blocks=blocks, iteration_per_context_token_seconds=per_context)
    plain = PlainEngine(config, [(at, PlainSequence(str(i), p, o)) for i, (at, p, o) in enumerate(arrivals)])
    plain.run()
    engine = Engine(config)
    for number, (at, prompt, output) in enumerate(arrivals):
        engine.submit(a_request(str(number), prompt=prompt, outputs=(output,)), now=at)
    done = finished(engine)
    assert plain.preemptions == engine.totals.preemptions
    assert len(plain.done) == len(done)
    for name, (first, last) in plain.done.items():
        assert first == pytest.approx(done[f"{name}.0"].first_token_seconds)
        assert last == pytest.approx(done[f"{name}.0"].finished_seconds)


@settings(max_examples=60, deadline=None)
@given(arrivals=ARRIVALS, looks=st.lists(st.floats(0.0, 3.0), max_size=40))
def test_looking_more_often_changes_nothing(
    arrivals: list[tuple[float, int, int]], looks: list[float]
) -> None:
    """Results are equal to the bit however often `advance` is called in between."""
    outcomes = []
    for marks in ([], looks):
        engine = Engine(replace(CONFIG, kv_blocks=20))
        done: list[Completion] = []
        for at, number in sorted(
            [(at, i) for i, (at, _, _) in enumerate(arrivals)] + [(at, -1) for at in marks]
        ):
            if number < 0:
                done.extend(engine.advance(at).completions)
            else:
                _, prompt, output = arrivals[number]
                engine.submit(a_request(str(number), prompt=prompt, outputs=(output,)), now=at)
        done.extend(engine.advance(1e6).completions)
        outcomes.append((done, engine.totals.iterations, engine.totals.generation_tokens))
    assert outcomes[0] == outcomes[1]


@settings(max_examples=40, deadline=None)
@given(arrivals=ARRIVALS, gone=st.sets(st.integers(0, 24)))
def test_nothing_leaks_when_requests_are_aborted(
    arrivals: list[tuple[float, int, int]], gone: set[int]
) -> None:
    """After aborts at odd moments every block and place is free again."""
    engine = Engine(replace(CONFIG, kv_blocks=18))
    for number, (at, prompt, output) in enumerate(arrivals):
        engine.submit(a_request(str(number), prompt=prompt, outputs=(output, output)), now=at)
        if number in gone:
            engine.abort(str(number // 2), now=at)
    engine.advance(1e6)
    assert (0, 0, 0.0, None) == (engine.running, engine.waiting, engine.kv_usage, engine.next_event_seconds())
