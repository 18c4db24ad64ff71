"""Makes the external judge's call; whatever goes wrong with it is no reply, and never an error of the answer's."""

from __future__ import annotations

import logging

import aiohttp

from extproc.verify.judge import MAX_REPLY_BYTES, JudgeCall

logger = logging.getLogger(__name__)


class HttpJudge:
    """Posts calls over connections that are kept; must be made and closed on the event loop.

    Args:
        max_calls: Calls at once; one beyond that is not made, so that a slow judge cannot pile up answers.
    """

    def __init__(self, *, max_calls: int = 64) -> None:
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self._free_calls = max_calls

    async def __call__(self, call: JudgeCall) -> tuple[int | None, bytes]:
        """Return status and body of the reply, a body too long cut; None and nothing when none came in time."""
        if self._free_calls <= 0:
            return None, b""
        self._free_calls -= 1
        try:
            timeout = aiohttp.ClientTimeout(total=call.timeout_seconds)
            async with self._session.post(
                call.url, data=call.body, headers=dict(call.headers), timeout=timeout, allow_redirects=False
            ) as response:
                return response.status, await _read(response.content)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            logger.warning("the judge at %s gave no reply: %s", call.url, type(error).__name__)
            return None, b""
        finally:
            self._free_calls += 1

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


async def _read(content: aiohttp.StreamReader) -> bytes:
    """Read up to one byte more than a reply may have."""
    pieces = bytearray()
    async for piece in content.iter_any():
        pieces += piece
        if len(pieces) > MAX_REPLY_BYTES:
            break
    return bytes(pieces)
