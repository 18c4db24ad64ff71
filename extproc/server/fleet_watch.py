"""Follows the fleet file: a good edit is taken over whole, a bad one is refused whole and the old one kept.

An edit that is refused for a reason that may pass (no room for Envoy's files, no permission) is tried again, without an
edit, until it is taken over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from extproc.server.retry_looks import RetryLooks, may_pass
from extproc.settings import Settings, SettingsError, load_settings

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.25
"""How often the file is looked at; a rename over it is seen as well as a write into it."""

RETRY_MOST_LOOKS = 40
"""Looks between two tries, at most, of an edit that was refused for a reason that may pass: ten seconds."""

GONE_LOOKS = 8
"""Looks in a row after which a file that is not there counts as gone: some editors delete before they write."""


FileIdentity: TypeAlias = tuple[int, int, int, int]
"""Times of change of content and of status, in ns, size in bytes and inode."""


def file_identity(path: Path) -> FileIdentity | None:
    """Identify what stands in a file; None when it cannot be found.

    Two identities differ when there may be something new to read. The time of the last change of status tells that
    permission was given, too.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


class FleetWatch:
    """Polls the fleet file and applies what changed.

    Args:
        path: The fleet file.
        settings: What was loaded at start.
        static_changes: What differs between two settings that a running Envoy cannot take over, in readable lines.
        apply: Takes over new settings; called on the event loop.
        on_reload: Told of each edit: True when it was taken over.
        seen: What the file was before `settings` were read from it; None for what it is now.
    """

    def __init__(
        self,
        path: Path,
        settings: Settings,
        *,
        static_changes: Callable[[Settings, Settings], Sequence[str]],
        apply: Callable[[Settings], None],
        on_reload: Callable[[bool], None],
        seen: FileIdentity | None = None,
    ) -> None:
        self._path = path
        self._settings = settings
        self._static_changes = static_changes
        self._apply = apply
        self._on_reload = on_reload
        self._seen = seen if seen is not None else file_identity(path)
        self._missed_looks = 0
        self._retry = RetryLooks(RETRY_MOST_LOOKS)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._settings

    async def run(self) -> None:
        """Follow the file until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            self.look()

    def look(self) -> None:
        """Look at the file once and take over or refuse what changed since the last look.

        A file that is gone is told of once, like a refused edit; whatever then stands there is an edit.
        """
        identity = file_identity(self._path)
        if identity is None:
            self._miss()
            return
        self._missed_looks = 0
        is_edit = identity != self._seen
        if not is_edit and not self._retry.is_due():
            return
        self._seen = identity
        if is_edit:
            self._retry.settle()
        was_told = self._retry.is_pending
        try:
            self._take_over()
        except Exception as error:  # noqa: BLE001 - whatever an edit stumbles over, the service goes on
            if may_pass(error):
                self._retry.failed()
            else:
                self._retry.settle()
            if not (was_told and self._retry.is_pending):
                self._refuse(self._reason(error))
        else:
            self._retry.settle()

    def _reason(self, error: Exception) -> str:
        """Say what an edit was refused for; a defect of our own is logged with its traceback."""
        match error:
            case SettingsError():
                return error.in_one_line()
            case OSError():
                return f"Envoy's endpoint files cannot be written to gateway.endpoints_directory: {error}"
            case _:
                logger.error("edit of %s cannot be handled", self._path, exc_info=error)
                return f"a defect of the service, please report it: {type(error).__name__}: {error}"

    def _take_over(self) -> None:
        fresh = load_settings(self._path)
        changes = self._static_changes(self._settings, fresh)
        if changes:
            self._refuse(
                "; ".join([*changes, "these need `ttca render` and a restart of Envoy and the service"])
            )
            return
        self._apply(fresh)
        self._settings = fresh
        logger.info("edit of %s taken over", self._path)
        self._on_reload(True)

    def _miss(self) -> None:
        self._missed_looks += 1
        if self._missed_looks == GONE_LOOKS:
            self._seen = None
            logger.error(
                "%s cannot be found, the fleet that was read from it stays in force; put it back: a restart of the "
                "service needs it",
                self._path,
            )
            self._on_reload(False)

    def _refuse(self, problems: str) -> None:
        logger.error("edit of %s refused, the fleet before it stays in force: %s", self._path, problems)
        self._on_reload(False)
