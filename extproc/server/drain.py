"""Ends the service without ending what it is needed for: the verification of answers that are under way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from extproc.server.health import HealthService

logger = logging.getLogger(__name__)

MOST_PAUSE_SECONDS = 3.0
"""Longest wait until those who ask for health have stopped sending: three of Envoy's intervals."""

_LOOK_SECONDS = 0.02


class Drain:
    """Waits, once the service is to end, until it may.

    First everybody who asks for health is told that the service does not serve, while it still serves; then the answers
    that are under way are waited for.

    Args:
        health: Told by, and knows who was told.
        open_attempts: How many streams of the ATTEMPT filter are open: each lasts until its answer is judged.
    """

    def __init__(self, health: HealthService, open_attempts: Callable[[], int]) -> None:
        self._health = health
        self._open_attempts = open_attempts

    async def run(self, seconds: float) -> bool:
        """Wait for at most `seconds`, and for the pause before that; 0 waits for nothing.

        Returns:
            True in the end; False when it was cancelled, which ends the wait and goes no further.
        """
        self._health.serving = False
        try:
            await self._wait(lambda: self._health.is_awaited, min(seconds, MOST_PAUSE_SECONDS))
            await self._wait(lambda: self._open_attempts() > 0, seconds)
        except asyncio.CancelledError:
            logger.warning("asked to end at once: %d answers go unverified", self._open_attempts())
            return False
        if self._open_attempts():
            logger.warning("service.drain_seconds are over: %d answers go unverified", self._open_attempts())
        return True

    async def _wait(self, is_needed: Callable[[], bool], seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while is_needed() and loop.time() < until:  # noqa: ASYNC110 - one of the conditions is that time passes
            await asyncio.sleep(_LOOK_SECONDS)
