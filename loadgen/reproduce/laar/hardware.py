"""The five instances: one A100-80GB each, with speeds and room that follow from the models' shapes.

Prefill is bound by arithmetic, decoding by memory. With N parameters, l layers of width h and L prompt tokens, a token of the
prompt takes 2·N + 2·l·h·L floating-point operations (the second term is attention over half the prompt on average), and
an iteration reads 2·N bytes of weights and the KV cache. The rates are measured ones:

    operations  152 T/s per A100: Llama-2-70B on four of them prefills 4,333 tokens/s (`A100_TP4_LLAMA2_70B`)
    bytes       1.49 T/s: Llama-3.1-8B reads its weights in 12.2 ms on an RTX PRO 6000 (`RTXPRO6000_LLAMA3_8B`), 73 %
                of that card's 1.79 T/s; the same share of an A100's 2.04 T/s
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from extproc.fleet.topology import Cluster, Fleet, Instance, Pool, Price
from extproc.fleet.topology import Speed as KnownSpeed
from loadgen.engine.config import EngineConfig
from loadgen.engine.presets import A100_TP4_LLAMA2_70B, RTXPRO6000_LLAMA3_8B
from loadgen.virtual.fleet import AUTO, VirtualFleet

A100_BYTES = 80e9
MEMORY_SHARE = 0.9
"""vLLM's default share of the memory that it may use."""

ACTIVATION_BYTES = 3e9
"""Set aside beside weights and KV cache; assumed."""

OPERATIONS_PER_SECOND = 2.0 * 70e9 * A100_TP4_LLAMA2_70B.prefill_tokens_per_second / 4
BYTES_PER_SECOND = 2.04e12 * (2.0 * 8.03e9 / RTXPRO6000_LLAMA3_8B.base_seconds) / 1.79e12

MAX_MODEL_LEN = 131_072
MAX_NUM_SEQS = 256
MAX_BATCHED_TOKENS = 2_048
BLOCK_SIZE = 16

OUTPUT_TOKENS = 28
"""A UUID and what stands around it: the mean of the answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A model's shape, as its published configuration gives it.

    Attributes:
        model: Its name here.
        parameters: Number of weights.
        layers, width: Number of layers and size of their hidden state.
        kv_width: KV heads times the size of a head.
    """

    model: str
    parameters: float
    layers: int
    width: int
    kv_width: int

    @property
    def kv_bytes_per_token(self) -> float:
        """Keys and values of all layers, two bytes each."""
        return 2.0 * 2.0 * self.layers * self.kv_width

    def prefill_tokens_per_second(self, length: int) -> float:
        """Mean speed over a prompt of `length` tokens."""
        operations = 2.0 * self.parameters + 2.0 * self.layers * self.width * length
        return OPERATIONS_PER_SECOND / operations

    def engine(self, length: int) -> EngineConfig:
        """Its instance, for prompts of one length: the engine knows one speed of prefill."""
        room = A100_BYTES * MEMORY_SHARE - 2.0 * self.parameters - ACTIVATION_BYTES
        return EngineConfig(
            iteration_base_seconds=2.0 * self.parameters / BYTES_PER_SECOND,
            iteration_per_sequence_seconds=RTXPRO6000_LLAMA3_8B.per_sequence_seconds,
            iteration_per_context_token_seconds=self.kv_bytes_per_token / BYTES_PER_SECOND,
            prefill_tokens_per_second=self.prefill_tokens_per_second(length),
            max_num_seqs=MAX_NUM_SEQS,
            max_num_batched_tokens=MAX_BATCHED_TOKENS,
            max_model_len=MAX_MODEL_LEN,
            kv_blocks=int(room / self.kv_bytes_per_token / BLOCK_SIZE),
            block_size=BLOCK_SIZE,
        )


SHAPES: Sequence[Shape] = (
    Shape(model="granite-3.1-2b", parameters=2.5e9, layers=40, width=2048, kv_width=8 * 64),
    Shape(model="phi-3-mini", parameters=3.8e9, layers=32, width=3072, kv_width=32 * 96),
    Shape(model="llama-3.1-swallow-8b", parameters=8.0e9, layers=32, width=4096, kv_width=8 * 128),
    Shape(model="granite-3.1-8b", parameters=8.2e9, layers=40, width=4096, kv_width=8 * 128),
    Shape(model="phi-3-medium", parameters=14.0e9, layers=40, width=5120, kv_width=10 * 128),
)
"""Smallest first."""

MODELS: tuple[str, ...] = tuple(shape.model for shape in SHAPES)


def build_instances(length: int) -> VirtualFleet:
    """One instance of each model, in one pool, for prompts of `length` tokens."""
    engines: dict[str, EngineConfig] = {}
    clusters: list[Cluster] = []
    for number, shape in enumerate(SHAPES):
        address = f"10.{number}.0.1:8000"
        engine = engines[address] = shape.engine(length)
        clusters.append(
            Cluster(
                name=shape.model,
                model=shape.model,
                pool="all",
                max_model_len=MAX_MODEL_LEN,
                max_num_seqs=MAX_NUM_SEQS,
                # By size; nobody here weighs money.
                price=Price(
                    input_usd_per_mtok=shape.parameters / 1e11, output_usd_per_mtok=shape.parameters / 5e10
                ),
                speed=KnownSpeed(
                    iteration_base_seconds=engine.iteration_base_seconds,
                    iteration_per_sequence_seconds=engine.iteration_per_sequence_seconds,
                    prefill_tokens_per_second=engine.prefill_tokens_per_second,
                ),
                instances=(Instance(address=address),),
            )
        )
    topology = Fleet(
        clusters=tuple(clusters),
        pools=(Pool(name="all", threshold_tokens=None, spill_at=1.0),),
        aliases={AUTO: MODELS},
    )
    return VirtualFleet(topology=topology, engines=engines)


def idle_seconds(shape: Shape, length: int) -> float:
    """An attempt on an idle instance."""
    engine = shape.engine(length)
    return length / engine.prefill_tokens_per_second + OUTPUT_TOKENS * engine.iteration_base_seconds


def unit_seconds(length: int) -> float:
    """Mean over the models of an attempt on an idle instance: the measure of stop prices at this length."""
    return sum(idle_seconds(shape, length) for shape in SHAPES) / len(SHAPES)
