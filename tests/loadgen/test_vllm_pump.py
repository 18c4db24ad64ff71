from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import uvloop

from loadgen.vllm.pump import EnginePump


def test_an_event_that_is_due_at_once_is_armed_again_and_again() -> None:
    """A timer of less than half a millisecond is a plain handle of uvloop, which does not say when it is due."""

    async def arm_twice() -> int:
        engine: Any = SimpleNamespace(next_event_seconds=lambda: 0.0)
        metrics: Any = None
        pump = EnginePump(engine, metrics, time_scale=1.0, flush_seconds=0.1)
        for _ in range(3):
            pump._arm()
        pump.close()
        return pump.unfinished_jobs

    assert 0 == uvloop.run(arm_twice())
