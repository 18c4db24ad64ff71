"""What a latency is made of: prior prices, units of a request, and the figures by which a row is predicted."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from extproc.estimate.latency_cluster import ClusterLatency
from extproc.estimate.latency_filter import PARTS, Part
from extproc.estimate.latency_records import LoadAtDecision
from extproc.fleet.snapshot import Floats
from extproc.fleet.topology import Cluster, Speed

OVERHEAD_SECONDS = 0.01
"""Prior of what a request costs beside the engine's work: gateway, network, tokenizing."""

CROWD_SHARE = 0.005
"""Prior of the share of the prompts beside that are not prefilled although the load book takes them for it."""

FIRST_ITERATIONS = 1.5
"""Iterations until the first token: half of the one under way and the own one."""


class Column(IntEnum):
    """Figures by row of the fleet.

    Attributes:
        ALONE: A request's overhead and first iterations.
        PREFILL: A token of its prompt.
        BACKLOG: A token of the prompts before it.
        WAITING: A second of waiting.
        FIRST_BESIDE: A sequence beside, until the first token.
        BASE: An iteration.
        OWN: An own sequence, per iteration.
        BESIDE: A sequence beside, per iteration.
        CAUSAL: An iteration of an otherwise idle instance, by what load does rather than by what it foretells.
        SLOWING: Share by which a sequence beside lengthens an iteration of an otherwise idle instance.
        CROWDING: The same share where the sequence that is alone prefills too, between its own tokens as it were.
        SLOTS: Most running sequences.
    """

    ALONE = 0
    PREFILL = 1
    BACKLOG = 2
    WAITING = 3
    FIRST_BESIDE = 4
    BASE = 5
    OWN = 6
    BESIDE = 7
    CAUSAL = 8
    SLOWING = 9
    CROWDING = 10
    SLOTS = 11


def prior_seconds(speed: Speed) -> Floats:
    """What one unit of each part costs by the fleet file."""
    prefill = 1.0 / speed.prefill_tokens_per_second
    base = speed.iteration_base_seconds
    # An H of zero could not be learned as a multiple of itself.
    per_sequence = max(speed.iteration_per_sequence_seconds, 1e-3 * base)
    return np.array(
        [OVERHEAD_SECONDS, prefill, prefill, CROWD_SHARE * prefill, 1.0, base, per_sequence, prefill]
    )


def columns_of(cluster: ClusterLatency) -> tuple[Floats, Floats]:
    """The columns of an instance that is as its cluster: those of the TTFT, and those of each iteration."""
    overhead, prefill, backlog, crowd, waiting, base, own, interference = cluster.law.seconds.tolist()
    interference *= cluster.prompt_tokens / cluster.output_tokens
    causal = cluster.causal_law.seconds
    own_causal = float(causal[Part.ITERATION_PER_SEQUENCE])
    beside_causal = (
        own_causal + float(causal[Part.INTERFERENCE]) * cluster.prompt_tokens / cluster.output_tokens
    )
    base_causal = float(causal[Part.ITERATION_BASE])
    alone_causal = base_causal + own_causal
    slowing, crowding = beside_causal / alone_causal, beside_causal / (base_causal + beside_causal)
    alone = overhead + FIRST_ITERATIONS * (base + own)
    first_beside = crowd * cluster.prompt_tokens + FIRST_ITERATIONS * own
    first = np.array([alone, prefill, backlog, waiting, first_beside])
    return first, np.array([base, own, own + interference, alone_causal, slowing, crowding])


def units_to_first(
    load: LoadAtDecision, cluster: Cluster, learned: ClusterLatency, prompt_tokens: int
) -> Floats:
    """Units of each part until the first token."""
    beside = min(load.sequences, cluster.max_num_seqs - 1.0)
    units = np.zeros(PARTS)
    units[Part.OVERHEAD] = 1.0
    units[Part.PREFILL] = prompt_tokens
    units[Part.BACKLOG] = load.backlog_tokens
    units[Part.CROWD] = beside * learned.prompt_tokens
    units[Part.WAITING] = load.waiting_seconds
    units[Part.ITERATION_BASE] = FIRST_ITERATIONS
    units[Part.ITERATION_PER_SEQUENCE] = FIRST_ITERATIONS * (1.0 + beside)
    return units


def units_of_decoding(
    load: LoadAtDecision, sequences: float, cluster: Cluster, learned: ClusterLatency
) -> Floats:
    """Units of each part of one iteration beside so many sequences."""
    beside = min(sequences, cluster.max_num_seqs - 1.0)
    units = np.zeros(PARTS)
    units[Part.ITERATION_BASE] = 1.0
    units[Part.ITERATION_PER_SEQUENCE] = 1.0 + beside
    units[Part.INTERFERENCE] = beside * learned.prompt_tokens / learned.output_tokens
    return units * (1.0 + load.preemption_share)
