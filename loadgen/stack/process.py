"""One child process with a log file: started, awaited, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from loadgen.stack.failure import StackError

LOG_TAIL_LINES = 15
STOP_SECONDS = 8.0


class ChildProcess:
    """A child in a process group of its own, so that a Ctrl-C in the terminal leaves its end to us."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Process id of the running child.

        Raises:
            StackError: It is not running.
        """
        if self._process is None or self._process.returncode is not None:
            raise StackError(f"{self.name} is not running")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """True from start to end."""
        return self._process is not None and self._process.returncode is None

    async def start(self, is_ready: Callable[[], Awaitable[bool]], *, within_seconds: float) -> None:
        """Start the child and wait until `is_ready`.

        Raises:
            StackError: It ended, or was not ready in time; the message has the end of its log.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as sink:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        deadline = asyncio.get_running_loop().time() + within_seconds
        while not await is_ready():
            if self._process.returncode is not None:
                raise StackError(
                    f"{self.name} ended at once (exit code {self._process.returncode}). {self._tail()}"
                )
            if asyncio.get_running_loop().time() > deadline:
                await self.kill()
                raise StackError(f"{self.name} was not ready within {within_seconds:.0f} s. {self._tail()}")
            await asyncio.sleep(0.05)

    async def stop(self) -> int | None:
        """End the child politely, then firmly; its exit code, or None when it was not running."""
        if not self.is_running:
            return None
        self._signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self._wait(), STOP_SECONDS)
        except TimeoutError:
            return await self.kill()

    async def kill(self) -> int | None:
        """End the child at once."""
        if not self.is_running:
            return None
        self._signal(signal.SIGKILL)
        return await self._wait()

    async def _wait(self) -> int:
        if self._process is None:
            raise StackError(f"{self.name} was never started")
        return await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return "\n".join([f"The end of {self.log}:", *(f"  {line}" for line in lines)])
