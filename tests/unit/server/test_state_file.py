from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from extproc.server.state_file import StateFile


class Part:
    """A part whose state is one number; it refuses anything else."""

    def __init__(self, value: int) -> None:
        self.value = value

    def state(self) -> int:
        return self.value

    def restore(self, saved: Any) -> None:
        if not isinstance(saved, int):
            raise ValueError(f"expected a number, got {saved!r}")
        self.value = saved


def state_file(path: Path, **parts: Part) -> StateFile:
    return StateFile(path, {name: (part.state, part.restore) for name, part in parts.items()})


def test_what_was_saved_is_restored(tmp_path: Path) -> None:
    """Every part gets back what it had, and the folder is made when missing."""
    path = tmp_path / "deep" / "state.json"
    state_file(path, a=Part(1), b=Part(2)).save()
    a, b = Part(0), Part(0)
    state_file(path, a=a, b=b).restore()

    assert (1, 2) == (a.value, b.value)
    assert [path] == list(path.parent.iterdir())


def test_no_file_means_priors(tmp_path: Path) -> None:
    """A first start finds nothing and changes nothing."""
    part = Part(7)
    state_file(tmp_path / "state.json", a=part).restore()

    assert part.value == 7


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe"])
def test_an_unreadable_file_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    """The service starts from priors, says so, and keeps the broken file for whoever wants to look."""
    path = tmp_path / "state.json"
    path.write_bytes(content)
    part = Part(7)
    with caplog.at_level(logging.WARNING):
        state_file(path, a=part).restore()

    assert part.value == 7
    assert (False, content) == (path.exists(), (tmp_path / "state.unreadable").read_bytes())
    assert "set aside" in caplog.text


def test_a_part_that_refuses_does_not_cost_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One malformed part starts from its prior; the rest is restored."""
    path = tmp_path / "state.json"
    path.write_text('{"a": "nonsense", "b": 2, "unknown": 3}')
    a, b = Part(7), Part(0)
    with caplog.at_level(logging.WARNING):
        state_file(path, a=a, b=b).restore()

    assert (7, 2) == (a.value, b.value)
    assert "part a" in caplog.text


def test_a_failed_save_leaves_the_old_file_whole(tmp_path: Path) -> None:
    """A state that cannot be written does not touch what was written before."""
    path = tmp_path / "state.json"
    state_file(path, a=Part(1)).save()

    def broken() -> object:
        return object()

    with pytest.raises(TypeError):
        StateFile(path, {"a": (broken, lambda _: None)}).save()
    assert path.read_bytes() == b'{"a":1}'


async def test_the_last_state_is_saved_at_the_end(tmp_path: Path) -> None:
    """Ending the timer saves once more, so that a restart loses nothing."""
    path = tmp_path / "state.json"
    part = Part(1)
    task = asyncio.create_task(state_file(path, a=part).keep_saving())
    await asyncio.sleep(0)
    part.value = 5
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert path.read_bytes() == b'{"a":5}'
