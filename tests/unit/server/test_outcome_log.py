from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from extproc.calibrate.lessons import Lesson, lesson_line
from extproc.fit.read import read_table
from extproc.fit.table import describe_prompt
from extproc.server import outcome_log
from extproc.server.outcome_log import OutcomeLog


def a_lesson(number: int) -> Lesson:
    return Lesson(
        f"q{number}", "a", is_correct=number % 2 == 0, after=(), features=describe_prompt(f"river {number}")
    )


async def run_until_written(log: OutcomeLog) -> None:
    """Cancel the writer as the service does when it stops: what waits is written then."""
    writing = asyncio.create_task(log.keep_writing())
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing


async def test_what_was_judged_can_be_read_by_a_fit(tmp_path: Path) -> None:
    """Lines appear in order, in a file that only its owner may read."""
    path = tmp_path / "new" / "outcomes.jsonl"
    log = OutcomeLog(path, 1 << 20)
    for number in range(5):
        log.add(a_lesson(number))
    await run_until_written(log)

    assert [1.0, 0.0, 1.0, 0.0, 1.0] == read_table(path).outcomes[:, 0].tolist()
    assert 0o600 == path.stat().st_mode & 0o777


async def test_lines_are_written_while_the_service_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing waits for the end."""
    monkeypatch.setattr(outcome_log, "WRITE_INTERVAL_SECONDS", 0.001)
    path = tmp_path / "outcomes.jsonl"
    log = OutcomeLog(path, 1 << 20)
    writing = asyncio.create_task(log.keep_writing())
    log.add(a_lesson(0))
    async with asyncio.timeout(30):
        while not path.exists() or not path.read_bytes():
            await asyncio.sleep(0.01)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing

    assert lesson_line(a_lesson(0)) == path.read_bytes()


async def test_both_files_together_stay_within_the_bound(tmp_path: Path) -> None:
    """A full file becomes the one before, and the newest lines are kept."""
    path = tmp_path / "outcomes.jsonl"
    most = 20 * len(lesson_line(a_lesson(100)))
    log = OutcomeLog(path, most)
    for number in range(100, 200):
        log.add(a_lesson(number))
        await run_until_written(log)

    files = [path, tmp_path / "outcomes.jsonl.1"]
    assert sum(file.stat().st_size for file in files) <= most
    assert path.read_bytes().endswith(lesson_line(a_lesson(199)))

    for number in range(200, 300):
        log.add(a_lesson(number))
    await run_until_written(log)
    assert sum(file.stat().st_size for file in files) <= most
    assert 10 > len(read_table(path).prompts) > 5


async def test_a_full_disk_costs_lessons_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be written is counted and said once; later lines are written when that is possible again."""
    (tmp_path / "file").write_text("in the way")
    log = OutcomeLog(tmp_path / "file" / "outcomes.jsonl", 1 << 20)
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            log.add(a_lesson(number))
            await run_until_written(log)
    assert (3, 1) == (log.lost, len(caplog.messages))

    log.follow(tmp_path / "outcomes.jsonl", 1 << 20)
    log.add(a_lesson(4))
    await run_until_written(log)
    assert lesson_line(a_lesson(4)) == (tmp_path / "outcomes.jsonl").read_bytes()


def test_lines_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that cannot keep up loses lines, not memory."""
    monkeypatch.setattr(outcome_log, "MOST_PENDING", 2)
    log = OutcomeLog(Path("unused"), 1 << 20)
    for number in range(5):
        log.add(a_lesson(number))

    assert 3 == log.lost


def test_without_a_path_there_is_no_log() -> None:
    """The service then keeps no lessons at all."""
    assert not OutcomeLog(None, 1).is_open
