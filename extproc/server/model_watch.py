"""Follows the directory of the fitted quality model: a good one is taken over, one that cannot be used is refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from extproc.estimate.quality.model import QualityModel
from extproc.estimate.quality.priors import prior_model
from extproc.model_directory import Identity, identify, load_model
from extproc.server.retry_looks import RetryLooks, may_pass

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
"""How often the directory is looked at."""

RETRY_MOST_LOOKS = 20
"""Looks between two tries, at most, of a model that was refused for a reason that may pass: ten seconds."""


class ModelWatch:
    """Polls a model directory and hands over each new model in it.

    A directory that was just written to is left alone until it has stood still for one look, so that a copy that takes
    its time is not read half-way. What could not be read for a reason that may pass is read again without a change.

    Args:
        directory: Where the model is; None for no fitted model.
        take_over: Given each model that is to be used from now on; called on the event loop.
        on_look: Told of each change: True when it was taken over, False when it was refused.
    """

    def __init__(
        self,
        directory: Path | None,
        *,
        take_over: Callable[[QualityModel], None],
        on_look: Callable[[bool], None],
    ) -> None:
        self._directory = directory
        self._take_over = take_over
        self._on_look = on_look
        self._done: Identity | None = None
        self._seen: Identity | None = None
        self._retry = RetryLooks(RETRY_MOST_LOOKS)

    def follow(self, directory: Path | None) -> None:
        """Look elsewhere from now on; None takes back whatever was fitted."""
        if directory != self._directory:
            self._directory = directory
            self._done = self._seen = None
            self._retry.settle()
            if directory is None:
                self._accept(prior_model())

    def load(self) -> None:
        """Take over what is there now, or refuse it; for the start, when nobody waits."""
        if self._directory is None:
            return
        self._done = self._seen = identify(self._directory)
        try:
            model = load_model(self._directory)
        except ValueError as error:
            self._refuse(error)
            return
        self._accept(model)

    async def run(self) -> None:
        """Follow the directory until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Look once: take over or refuse what has changed, once it has stood still since the look before.

        The files are read beside the event loop; nothing is taken over when the directory to follow has changed meanwhile.
        """
        directory = self._directory
        if directory is None:
            return
        identity = identify(directory)
        is_still, self._seen = identity == self._seen, identity
        is_changed = identity != self._done
        if not is_still or not (is_changed or self._retry.is_due()):
            return
        if is_changed:
            self._retry.settle()
        try:
            model = await asyncio.to_thread(load_model, directory)
        except ValueError as error:
            if directory == self._directory:
                self._done = identity
                self._refuse(error)
            return
        if directory == self._directory:
            self._done = identity
            self._accept(model)

    def _accept(self, model: QualityModel) -> None:
        self._retry.settle()
        self._take_over(model)
        self._on_look(True)

    def _refuse(self, error: ValueError) -> None:
        """Tell of a refusal once, however often what may pass is tried again."""
        was_told = self._retry.is_pending
        if may_pass(error):
            self._retry.failed()
            if was_told:
                return
        else:
            self._retry.settle()
        logger.error(
            "quality.model_directory %s refused, the model before it stays in use: %s", self._directory, error
        )
        self._on_look(False)
