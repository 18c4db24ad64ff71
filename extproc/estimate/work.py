"""Predicted work of putting one request on each instance, in seconds: its own time plus the delay it causes others.

The iteration-time model t(n) = W + H·n (one decode step over n sequences) gives the own time; the delay to others
follows from the same model: a request of S output tokens lengthens every iteration of the n sequences beside it by
H, S times, so it costs them n·H·S, and its prefill holds them up once. Pricing only the own time overloads the
instance that everybody finds fast.
"""

from __future__ import annotations

import numpy as np

from extproc.fleet.snapshot import FleetSnapshot, Floats, Ints

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
    # Whole columns: that is cheaper than gathering the rows of each column first, up to thousands of instances.
    table = snapshot.table
    slots = table.max_num_seqs
    per_sequence = table.iteration_per_sequence_seconds
    present = snapshot.sequences
    running = np.minimum(present, slots)
    after = present + sequences

    # Own prefill, and as much again for everyone whom it holds up; prompts that were sent before come first.
    prefill = (
        snapshot.prefill_backlog_tokens + prompt_tokens * (1.0 + running)
    ) * table.prefill_seconds_per_token
    # Own iterations among all that run beside, and what the own sequences add to each of theirs.
    lengths = np.minimum(after, slots) + sequences * running
    decode = output_tokens * (table.iteration_base_seconds + per_sequence * lengths)
    seconds = prefill + decode
    needs_memory = snapshot.kv_free_tokens < prompt_tokens + sequences * output_tokens
    if np.count_nonzero(needs_memory | (after > slots)):
        slots_short = np.maximum(needs_memory, after - slots)
        seconds += np.maximum(0.0, slots_short) * _seconds_per_slot(snapshot, running, output_tokens)
    result: Floats = (seconds * (1.0 + snapshot.preemption_share))[rows]
    return result


def _seconds_per_slot(snapshot: FleetSnapshot, running: Floats, output_tokens: int) -> Floats:
    """Time until a full instance frees one slot: each time a running sequence ends."""
    table = snapshot.table
    mean_output = snapshot.mean_output_tokens
    residual = RESIDUAL_SHARE * np.where(mean_output > 0.0, mean_output, output_tokens)
    iteration = table.iteration_base_seconds + table.iteration_per_sequence_seconds * running
    result: Floats = residual * iteration / np.maximum(1.0, running)
    return result
