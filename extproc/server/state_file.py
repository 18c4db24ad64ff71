"""Keeps what was learned across restarts: one JSON file, replaced atomically, never half-written."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

logger = logging.getLogger(__name__)

SAVE_INTERVAL_SECONDS = 30.0


class StateFile:
    """Reads and writes the state of named parts.

    Args:
        path: The file; its folder is made when missing.
        parts: For each name a function that gives the part's state as JSON-able data, and one that restores it and
            raises ValueError when it cannot.
    """

    def __init__(
        self, path: Path, parts: Mapping[str, tuple[Callable[[], Any], Callable[[Any], None]]]
    ) -> None:
        self._path = path
        self._parts = parts

    def restore(self) -> None:
        """Restore every part; an unreadable file is set aside, and its parts start from their priors."""
        try:
            saved = orjson.loads(self._path.read_bytes())
        except FileNotFoundError:
            return
        except (OSError, orjson.JSONDecodeError) as error:
            self._set_aside(str(error))
            return
        if not isinstance(saved, dict):
            self._set_aside("expected a JSON object")
            return
        for name, (_, restore) in self._parts.items():
            if name in saved:
                try:
                    restore(saved[name])
                except ValueError as error:
                    logger.warning(
                        "%s: part %s is not usable and starts from its prior: %s", self._path, name, error
                    )

    def save(self) -> None:
        """Write every part's state; the old file stays whole until the new one is complete."""
        content = orjson.dumps(
            {name: state() for name, (state, _) in self._parts.items()}, option=orjson.OPT_SERIALIZE_NUMPY
        )
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        fresh.write_bytes(content)
        fresh.replace(self._path)

    async def keep_saving(self) -> None:
        """Save on a timer until cancelled, and once more then."""
        try:
            while True:
                await asyncio.sleep(SAVE_INTERVAL_SECONDS)
                self._try_save()
        finally:
            self._try_save()

    def _try_save(self) -> None:
        try:
            self.save()
        except OSError as error:
            logger.warning(
                "cannot write %s, what was learned is lost at the next restart: %s", self._path, error
            )

    def _set_aside(self, problem: str) -> None:
        aside = self._path.with_suffix(".unreadable")
        logger.warning(
            "%s is not usable (%s); set aside as %s, starting from priors", self._path, problem, aside
        )
        try:
            self._path.replace(aside)
        except OSError as error:
            logger.warning("cannot rename %s: %s", self._path, error)
