from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from loadgen.virtual.events import Events


def run(events: Events) -> None:
    """Everything, to the end."""
    while events.step():
        pass


def test_actions_happen_in_order_of_time_then_of_planning() -> None:
    """Also those that are planned on the way; one in the past happens now."""
    events, done = Events(), list[str]()
    events.at(2.0, partial(done.append, "late"))
    events.at(1.0, partial(done.append, "first"))
    events.at(1.0, partial(events.at, 0.5, partial(done.append, "past")))
    events.at(1.0, partial(events.after, 0.5, partial(done.append, "middle")))
    run(events)

    assert ["first", "past", "middle", "late"] == done
    assert 2.0 == events.now


def test_what_is_fed_comes_in_between_and_first_of_its_moment() -> None:
    """Fed actions are made one ahead, and precede planned ones of the same time."""
    events, done, made = Events(), list[str](), list[float]()

    def arrivals() -> Iterator[tuple[float, Callable[[], None]]]:
        for seconds in (1.0, 2.0, 3.0):
            made.append(seconds)
            yield seconds, partial(done.append, f"fed {seconds:g}")

    events.at(2.0, partial(done.append, "planned 2"))
    events.feed(arrivals())
    assert [1.0] == made
    assert events.step()
    assert [1.0, 2.0] == made
    events.after(0.5, partial(done.append, "planned 1.5"))
    run(events)

    assert ["fed 1", "planned 1.5", "fed 2", "planned 2", "fed 3"] == done
    assert 3.0 == events.now
