from __future__ import annotations

import pytest

from loadgen.ttca.machine import usage


def test_a_process_with_a_full_core_is_saturated_in_that_window() -> None:
    """Mean cores over the whole run, saturation by window."""
    samples = [
        (0.0, {"service": 0.0, "machine": 0.0}),
        (1.0, {"service": 0.2, "machine": 0.5}),
        (2.0, {"service": 1.2, "machine": 2.5}),
    ]
    found = usage(samples, cores=2)
    assert pytest.approx(0.6) == found.cores["service"]
    assert {"service": 0.5, "machine": 0.5} == dict(found.saturated)


def test_envoy_is_not_judged_by_one_core() -> None:
    """It has several busy threads."""
    found = usage([(0.0, {"envoy": 0.0}), (1.0, {"envoy": 1.5})], cores=2)
    assert {} == dict(found.saturated)
    assert pytest.approx(1.5) == found.cores["envoy"]
