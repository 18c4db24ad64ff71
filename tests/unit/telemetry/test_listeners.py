from __future__ import annotations

from typing import Any

from extproc.telemetry.listeners import Listeners


class Recorder:
    def __init__(self, heard: list[tuple[str, str, object]], name: str) -> None:
        self.heard, self.name = heard, name

    def decided(self, record: Any) -> None:
        self.heard.append((self.name, "decided", record))

    def finished(self, outcome: Any) -> None:
        self.heard.append((self.name, "finished", outcome))


def test_everybody_is_told_in_order() -> None:
    """Each record reaches each listener, the first one first."""
    heard: list[tuple[str, str, object]] = []
    both: Any = Listeners(Recorder(heard, "a"), Recorder(heard, "b"))
    both.decided(1)
    both.finished(2)

    expected = [("a", "decided", 1), ("b", "decided", 1), ("a", "finished", 2), ("b", "finished", 2)]
    assert expected == heard
