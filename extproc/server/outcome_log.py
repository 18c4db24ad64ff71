"""Writes judged answers for the next offline fit: beside the event loop, bounded on disk and in memory."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Final

from extproc.calibrate.lessons import Lesson, lesson_line

logger = logging.getLogger(__name__)

WRITE_INTERVAL_SECONDS: Final = 1.0
MOST_PENDING: Final = 10_000
"""Lines that wait to be written; beyond, new ones are lost and counted."""


class OutcomeLog:
    """Appends lessons to a file; a full one becomes `….1`, replacing the one before it.

    Args:
        path: The file; None to write nothing.
        max_bytes: Of both files together.
    """

    def __init__(self, path: Path | None, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._pending: list[bytes] = []
        self._is_failing = False
        self.lost = 0

    @property
    def is_open(self) -> bool:
        """Tell whether lessons are written anywhere."""
        return self._path is not None

    def follow(self, path: Path | None, max_bytes: int) -> None:
        """Write elsewhere from now on, lines that wait included."""
        self._path, self._max_bytes = path, max_bytes

    def add(self, lesson: Lesson) -> None:
        """Take a lesson; it is written within a second or so."""
        if len(self._pending) < MOST_PENDING:
            self._pending.append(lesson_line(lesson))
        else:
            self.lost += 1

    async def keep_writing(self) -> None:
        """Write on a timer until cancelled, and once more then."""
        try:
            while True:
                await asyncio.sleep(WRITE_INTERVAL_SECONDS)
                if self._pending:
                    await asyncio.to_thread(self._write, self._taken(), self._path, self._max_bytes)
        finally:
            self._write(self._taken(), self._path, self._max_bytes)

    def _taken(self) -> list[bytes]:
        lines, self._pending = self._pending, []
        return lines

    def _write(self, lines: list[bytes], path: Path | None, max_bytes: int) -> None:
        if not lines or path is None:
            return
        try:
            _append(b"".join(lines), path, max_bytes // 2)
            self._is_failing = False
        except OSError as error:
            self.lost += len(lines)
            if not self._is_failing:
                logger.warning("cannot write %s, judged answers are lost: %s", path, error)
            self._is_failing = True


def _append(content: bytes, path: Path, most_bytes: int) -> None:
    if len(content) > most_bytes:
        # The newest lines that fit, from the beginning of one.
        content = content[-most_bytes:].partition(b"\n")[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size + len(content) > most_bytes:
        path.replace(path.with_name(f"{path.name}.1"))
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "wb") as file:
        file.write(content)
