"""Scrapes `/metrics` of every instance on a timer, each on its own beat, and hands what it reads to the router."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import aiohttp

from extproc.fleet.vllm_metrics import InstanceMetrics, parse_metrics

logger = logging.getLogger(__name__)

MAX_PAGE_BYTES = 4 * 1024 * 1024


class LoadObserver(Protocol):
    """Hears what scrapes found."""

    def observe(self, address: str, metrics: InstanceMetrics, now: float) -> None:
        """Hear of an answered scrape."""

    def observe_refused(self, address: str) -> None:
        """Hear of a refused connection."""

    def observe_unread(self, address: str) -> None:
        """Hear of a scrape that gave no figures, though the connection was not refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapeTiming:
    """How often to scrape.

    Attributes:
        interval_seconds: Mean time between two scrapes of one instance.
        timeout_seconds: For one scrape, connection included.
        jitter: Share of the interval by which each wait varies at random, 0 to 1.
    """

    interval_seconds: float
    timeout_seconds: float
    jitter: float


class Scraper:
    """Keeps one scraping task per instance.

    A slow or broken page only makes the last figures older; a refused connection is reported as such, since nobody
    can be served there, and whatever else happens as the end of that.

    Attributes:
        timing: How often to scrape; may be replaced at any time.
    """

    def __init__(
        self,
        observer: LoadObserver,
        timing: ScrapeTiming,
        *,
        clock: Callable[[], float],
        rng: random.Random,
        on_failure: Callable[[str, str], None],
    ) -> None:
        self._observer = observer
        self.timing = timing
        self._clock = clock
        self._rng = rng
        self._on_failure = on_failure
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._session: aiohttp.ClientSession | None = None

    def follow(self, addresses: Iterable[str]) -> None:
        """Scrape exactly these instances from now on; must be called on the event loop."""
        wanted = set(addresses)
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
                auto_decompress=True,
            )
        for address in self._tasks.keys() - wanted:
            self._tasks.pop(address).cancel()
        for address in wanted - self._tasks.keys():
            self._tasks[address] = asyncio.create_task(
                self._follow_one(address, self._session), name=f"scrape {address}"
            )

    async def stop(self) -> None:
        """End all scraping."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _follow_one(self, address: str, session: aiohttp.ClientSession) -> None:
        await asyncio.sleep(self._rng.random() * self.timing.interval_seconds * 0.1)
        while True:
            await self._scrape(address, session)
            spread = self.timing.jitter * (2 * self._rng.random() - 1)
            await asyncio.sleep(self.timing.interval_seconds * (1 + spread))

    async def _scrape(self, address: str, session: aiohttp.ClientSession) -> None:
        limit = aiohttp.ClientTimeout(total=self.timing.timeout_seconds)
        try:
            async with session.get(f"http://{address}/metrics", timeout=limit) as response:
                response.raise_for_status()
                page = await response.content.read(MAX_PAGE_BYTES)
                while not response.content.at_eof() and len(page) < MAX_PAGE_BYTES:
                    page += await response.content.read(MAX_PAGE_BYTES)
            self._observer.observe(address, parse_metrics(page), self._clock())
        except aiohttp.ClientConnectorError:
            self._observer.observe_refused(address)
            self._on_failure(address, "refused")
        except TimeoutError:
            self._not_read(address, "timeout")
        except (aiohttp.ClientError, OSError) as error:
            self._not_read(address, "http")
            logger.debug("scrape of %s failed: %s", address, error)
        except ValueError as error:
            self._not_read(address, "page")
            logger.debug("scrape of %s cannot be read: %s", address, error)

    def _not_read(self, address: str, why: str) -> None:
        self._observer.observe_unread(address)
        self._on_failure(address, why)
