"""Predicted work of putting one request on each instance, in seconds: its own time plus the delay it causes others.

The iteration-time model t(n) = W + H·n (one decode step over n sequences) gives the own time; the delay to others
follows from the same model: a request of S output tokens lengthens every iteration of the n sequences beside it by
H, S times, so it costs them n·H·S, and its prefill holds them up once. Pricing only the own time overloads the
instance that everybody finds fast.
"""

from __future__ import annotations

import numpy as np

from extproc.fleet.snapshot import Floats, FleetSnapshot, Ints

RESIDUAL_SHARE = 0.5
"""Mean share of a running sequence's output that is still to come, seen at a random moment."""


def predicted_work_seconds(
    snapshot: FleetSnapshot, rows: Ints, *, prompt_tokens: int, output_tokens: int, sequences: int
) -> Floats:
    """Predict the work of a request on each of `rows`.

    Args:
        snapshot: The fleet's load.
        rows: Rows of the snapshot to predict for, shape (k,).
        prompt_tokens: Prompt tokens of all sequences together; a prompt that they share counts once.
        output_tokens: Output tokens of one sequence.
        sequences: Sequences that the request occupies at once.

    Returns:
        Seconds of work, shape (k,), finite and at least 0.
    """
    table = snapshot.table
    base = table.iteration_base_seconds[rows]
    per_sequence = table.iteration_per_sequence_seconds[rows]
    slots = table.max_num_seqs[rows]
    present = snapshot.sequences[rows]
    running = np.minimum(present, slots)
    prefill = prompt_tokens / table.prefill_tokens_per_second[rows]
    backlog = snapshot.prefill_backlog_tokens[rows] / table.prefill_tokens_per_second[rows]

    # A full instance frees one slot each time a running sequence ends; whoever waits already comes first.
    mean_output = snapshot.mean_output_tokens[rows]
    residual = RESIDUAL_SHARE * np.where(mean_output > 0.0, mean_output, output_tokens)
    seconds_per_slot = residual * (base + per_sequence * running) / np.maximum(1.0, running)
    before_us = np.maximum(0.0, present + sequences - slots)
    needs_memory = prompt_tokens + sequences * output_tokens > snapshot.kv_free_tokens[rows]
    wait = seconds_per_slot * np.where(needs_memory, np.maximum(1.0, before_us), before_us)

    beside = np.minimum(running + sequences, slots)
    own = wait + backlog + prefill + output_tokens * (base + per_sequence * beside)
    caused = running * (per_sequence * sequences * output_tokens + prefill)
    result: Floats = (own + caused) * (1.0 + snapshot.preemption_share[rows])
    return result
