from __future__ import annotations

from typing import Any

from extproc.telemetry.listeners import Listeners


class Recorder:
    def __init__(self, heard: list[tuple[str, str, object]], name: str) -> None:
        self.heard, self.name = heard, name

    def decided(self, record: Any) -> None:
        self.heard.append((self.name, "decided", record))

    def attempted(self, record: Any) -> None:
        self.heard.append((self.name, "attempted", record))

    def finished(self, outcome: Any) -> None:
        self.heard.append((self.name, "finished", outcome))


def test_everybody_is_told_in_order() -> None:
    """Each record reaches each listener, the first one first."""
    heard: list[tuple[str, str, object]] = []
    both: Any = Listeners(Recorder(heard, "a"), Recorder(heard, "b"))
    both.decided(1)
    both.attempted(2)
    both.finished(3)

    expected = [
        (name, kind, record)
        for record, kind in enumerate(("decided", "attempted", "finished"), start=1)
        for name in ("a", "b")
    ]
    assert expected == heard
