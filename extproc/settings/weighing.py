"""Rules that span several weights of the fleet file; like those of `consistency`, they skip what has the wrong type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from extproc.settings.translate import Complaint

LEAST_LATENCY_SHARE = 0.01
"""Everything else is measured in seconds, so that these cannot weigh nothing."""

_NAMES = ("quality", "latency", "cost")


def find_odd_weights(tree: dict[str, Any]) -> Iterator[Complaint]:
    """Latency weighs something, each range has something in it, and some weights lie in all three ranges."""
    yield from _latency_share(tree)
    yield from _ranges(tree)


def _latency_share(tree: dict[str, Any]) -> Iterator[Complaint]:
    weights = _section(_section(tree, "objective"), "weights")
    given = [weights[name] for name in _NAMES if _is_number(weights.get(name)) and weights[name] >= 0]
    if len(given) < len(_NAMES):
        return
    total, latency = sum(given), weights["latency"]
    if 0 < latency < LEAST_LATENCY_SHARE * total:
        yield Complaint(
            ("objective", "weights", "latency"),
            f"got {latency:g} of {total:g}, expected at least {LEAST_LATENCY_SHARE:g} of the sum of the weights",
            "everything else is measured in seconds, so that these cannot weigh nothing",
        )


def _ranges(tree: dict[str, Any]) -> Iterator[Complaint]:
    ranges = _section(_section(tree, "overrides"), "weights")
    if not ranges:
        return
    least, most = 0.0, 0.0
    for name in _NAMES:
        bounds = _section(ranges, name)
        low, high = bounds.get("min", 0.0), bounds.get("max", 1.0)
        if not (_is_number(low) and _is_number(high) and 0 <= low <= 1 and 0 <= high <= 1):
            return
        if low > high:
            yield Complaint(
                ("overrides", "weights", name), f"got min {low:g} and max {high:g}, expected min <= max"
            )
            return
        least, most = least + low, most + high
    if not least <= 1 <= most:
        yield Complaint(
            ("overrides", "weights"),
            f"the least shares sum to {least:g} and the largest to {most:g}, expected at most 1 and at least 1",
            "no weights lie in all three ranges; for none at all, leave the key out",
        )


def _section(tree: dict[str, Any], name: str) -> dict[str, Any]:
    value = tree.get(name)
    return value if isinstance(value, dict) else {}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
