from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from loadgen.batching.gates import (
    BUSY,
    FULL,
    QUIET,
    RULES,
    Gate,
    Job,
    Rule,
    Window,
    published,
    zero_when_idle,
)
from loadgen.virtual.events import Events

IMMEDIATE, MEANWHILE, _, PUBLISHED, IN_ORDER, _ = RULES


def decisions(
    rule: Rule,
    arrivals: Sequence[tuple[float, float]],
    *,
    queued_share: float = 0.0,
    decision_seconds: float = 0.01,
) -> list[tuple[float, float]]:
    """Moment and length of each decision, requests given by moment and length."""
    events, made = Events(), list[tuple[float, float]]()
    gate = Gate(rule, events, lambda: queued_share, decision_seconds)

    def offer(length: float) -> None:
        gate.offer(Job(length=length, decide=lambda: made.append((round(events.now, 6), length))))

    for moment, length in arrivals:
        events.at(moment, lambda length=length: offer(length))  # type: ignore[misc]
    while events.step():
        pass
    return made


def test_without_a_window_each_is_decided_in_its_turn() -> None:
    """One decider, in the order of arrival, idle in between."""
    assert [(0.01, 1), (0.02, 9), (1.01, 5)] == decisions(IMMEDIATE, [(0, 1), (0.001, 9), (1, 5)])


def test_what_came_meanwhile_is_decided_longest_first() -> None:
    """Nobody waits for others: the first is decided at once, the rest by length while the decider was busy."""
    assert [(0.01, 1), (0.02, 9), (0.03, 4), (0.04, 2)] == decisions(
        MEANWHILE, [(0, 1), (0.001, 2), (0.002, 9), (0.003, 4)]
    )


def test_a_window_closes_by_time() -> None:
    """The first request opens it; at its end the longest goes first. Quiet instances make the next one 50 ms."""
    found = decisions(PUBLISHED, [(0, 1), (0.05, 7), (1.0, 3)])

    assert [(0.11, 7), (0.12, 1), (1.06, 3)] == found


def test_a_window_closes_by_size_once() -> None:
    """Its end by time then closes no other window early."""
    rule = Rule(title="two", choose=lambda _share: Window(0.1, 2), first=Window(0.1, 2))
    found = decisions(rule, [(0, 1), (0.01, 5), (0.05, 2)])

    assert [(0.02, 5), (0.03, 1), (0.16, 2)] == found


def test_order_and_window_are_apart() -> None:
    """The same window without the order keeps the order of arrival."""
    assert [1, 9, 4] == [length for _, length in decisions(IN_ORDER, [(0, 1), (0.01, 9), (0.02, 4)])]


@pytest.mark.parametrize(
    ("share", "window"), [(0.0, QUIET), (0.29, QUIET), (0.3, BUSY), (0.69, BUSY), (0.7, FULL), (1.0, FULL)]
)
def test_windows_grow_with_queues(share: float, window: Window) -> None:
    """By RouteBalance's bounds; the careful rule has none at all while nobody queues."""
    assert window == published(share)
    assert (None if share == 0.0 else window) == zero_when_idle(share)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.title)
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_every_request_is_decided_once_and_none_waits_for_ever(rule: Rule, share: float) -> None:
    """Whatever the rule, as many decisions as requests, each within its window and the decider's turn."""
    arrivals = [(0.003 * math.floor(k * k / 40), float(k % 7)) for k in range(200)]
    found = decisions(rule, arrivals, queued_share=share, decision_seconds=0.001)

    assert sorted(length for _, length in arrivals) == sorted(length for _, length in found)
    assert found[-1][0] <= arrivals[-1][0] + 0.2 + 0.2 + 0.001 * len(arrivals)
