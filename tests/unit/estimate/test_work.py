from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from extproc.estimate.work import predicted_work_seconds
from extproc.fleet.load import LoadBook
from extproc.fleet.snapshot import FleetSnapshot
from extproc.fleet.topology import Fleet


@pytest.fixture
def snapshot(make_fleet: Any) -> FleetSnapshot:
    """Four idle instances: W = 10 ms, H = 1 ms, 1000 prompt tokens per second, 4 slots."""
    fleet: Fleet = make_fleet()
    return LoadBook(fleet).snapshot(0.0)


def work(
    snapshot: FleetSnapshot, *, prompt: int = 100, output: int = 10, **arrays: list[float]
) -> list[float]:
    """Predict for one sequence on every row, with some arrays of the snapshot replaced."""
    changes: dict[str, Any] = {name: np.array(value) for name, value in arrays.items()}
    changed = replace(snapshot, **changes)
    rows = np.arange(len(snapshot.table))
    result: list[float] = predicted_work_seconds(
        changed, rows, prompt_tokens=prompt, output_tokens=output, sequences=1
    ).tolist()
    return result


def test_an_idle_instance_costs_prefill_and_decode(snapshot: FleetSnapshot) -> None:
    """100 prompt tokens at 1000/s and ten iterations of W + H are 0.1 s + 0.11 s."""
    assert work(snapshot)[0] == pytest.approx(0.1 + 10 * 0.011)


def test_company_costs_its_delay_twice(snapshot: FleetSnapshot) -> None:
    """Beside two sequences every iteration is 2·H longer, and the two are delayed by H per iteration and by prefill."""
    alone, beside = work(snapshot, sequences=[0.0, 2.0, 0.0, 0.0])[:2]

    assert beside - alone == pytest.approx(10 * 2 * 0.001 + 2 * (10 * 0.001 + 0.1))


def test_a_full_instance_costs_the_wait_for_a_slot(snapshot: FleetSnapshot) -> None:
    """Each request ahead for a slot adds the mean residual time until one becomes free."""
    full, queue = work(snapshot, sequences=[4.0, 8.0, 0.0, 0.0], mean_output_tokens=[100.0, 100.0, 0.0, 0.0])[
        :2
    ]

    assert queue - full == pytest.approx(4 * 50 * 0.014 / 4)


def test_the_backlog_of_prompts_comes_first(snapshot: FleetSnapshot) -> None:
    """Prompt tokens sent before wait to be prefilled before ours."""
    idle, behind = work(snapshot, prefill_backlog_tokens=[0.0, 500.0, 0.0, 0.0])[:2]

    assert behind - idle == pytest.approx(0.5)


def test_memory_that_is_full_costs_a_wait(snapshot: FleetSnapshot) -> None:
    """A request that does not fit into the free KV cache waits for somebody to end."""
    fits, waits = work(
        snapshot, sequences=[1.0, 1.0, 0.0, 0.0], kv_free_tokens=[110.0, 109.0, np.inf, np.inf]
    )[:2]

    assert waits > fits


def test_preempted_work_is_done_again(snapshot: FleetSnapshot) -> None:
    """Half a preemption per running sequence makes half of the work be done twice."""
    calm, thrashing = work(snapshot, preemption_share=[0.0, 0.5, 0.0, 0.0])[:2]

    assert thrashing == pytest.approx(1.5 * calm)
