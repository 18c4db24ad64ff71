"""What can be routed to: clusters, their instances and pools, as the fleet file declares them. Immutable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Iteration-time model of one instance: a decode step over n sequences takes W + H·n.

    Attributes:
        iteration_base_seconds: W, the fixed part of one iteration.
        iteration_per_sequence_seconds: H, what each running sequence adds to an iteration.
        prefill_tokens_per_second: Prompt tokens that an otherwise idle instance prefills per second.
    """

    iteration_base_seconds: float
    iteration_per_sequence_seconds: float
    prefill_tokens_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Price in US dollars per million tokens."""

    input_usd_per_mtok: float
    output_usd_per_mtok: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One vLLM server.

    Attributes:
        address: `ip:port`, as Envoy knows it.
        draining: True when it finishes what it has and gets nothing new.
    """

    address: str
    draining: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The instances that serve one model in one configuration; also an Envoy cluster of the same name.

    Attributes:
        name: Name of the cluster, unique in the fleet.
        model: Name under which the instances serve the model.
        pool: Name of the pool that it belongs to.
        max_model_len: Most tokens (prompt + output) of one sequence.
        max_num_seqs: Most sequences that one instance runs at once.
        quality_prior: Declared share of ordinary requests that the model answers correctly; None for not declared.
    """

    name: str
    model: str
    pool: str
    max_model_len: int
    max_num_seqs: int
    price: Price
    speed: Speed
    instances: tuple[Instance, ...]
    quality_prior: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Clusters grouped by the context they are configured for.

    Attributes:
        name: Name of the pool.
        threshold_tokens: Token budgets up to this prefer the pool; None for the pool without a bound (the last).
        spill_at: Pressure (running + waiting over `max_num_seqs`, mean over its instances) from which on
            requests are redirected to another pool that can hold them.
    """

    name: str
    threshold_tokens: int | None
    spill_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Everything that can be routed to.

    Attributes:
        clusters: In the order of the fleet file.
        pools: Ascending by threshold; the last one is unbounded.
        aliases: Names that clients may ask for, and the models each stands for.
    """

    clusters: tuple[Cluster, ...]
    pools: tuple[Pool, ...]
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
