from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from extproc.fleet.vllm_metrics import InstanceMetrics
from extproc.server.scraper import Scraper, ScrapeTiming

PAGE = "vllm:num_requests_running 2\nvllm:num_requests_waiting 1\nvllm:kv_cache_usage_perc 0.5\n"
CACHE = 'vllm:cache_config_info{block_size="16",num_gpu_blocks="%s"} 1.0\n'


class Observer:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.observed: list[tuple[str, float]] = []
        self.refused: list[str] = []
        self.unread: set[str] = set()
        self.failures: list[tuple[str, str]] = []

    def observe(self, address: str, metrics: InstanceMetrics, now: float) -> None:
        self.observed.append((address, metrics.running + metrics.waiting))

    def observe_refused(self, address: str) -> None:
        self.refused.append(address)

    def observe_unread(self, address: str) -> None:
        self.unread.add(address)

    def note_failure(self, address: str, why: str) -> None:
        self.failures.append((address, why))


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """Serve a /metrics page on a free port; gives its address."""
    runners: list[web.AppRunner] = []

    async def start(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> str:
        app = web.Application()
        app.router.add_get("/metrics", handler)
        runner = web.AppRunner(app)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        return f"{host}:{port}"

    yield start
    for runner in runners:
        await runner.cleanup()


async def scrape(observer: Observer, *addresses: str, until: Callable[[], bool]) -> None:
    """Scrape quickly until a condition holds."""
    scraper = Scraper(
        observer,
        ScrapeTiming(interval_seconds=0.02, timeout_seconds=0.2, jitter=0.2),
        clock=lambda: 1.0,
        rng=random.Random(1),
        on_failure=observer.note_failure,
    )
    scraper.follow(addresses)
    try:
        async with asyncio.timeout(10):
            while not until():
                await asyncio.sleep(0.01)
    finally:
        await scraper.stop()


async def ok(_request: web.Request) -> web.Response:
    return web.Response(text=PAGE)


async def test_pages_are_read_again_and_again(serve: Callable[..., Awaitable[str]]) -> None:
    """Each instance's figures arrive on every beat."""
    one, two = await serve(ok), await serve(ok)
    observer = Observer()
    await scrape(
        observer, one, two, until=lambda: min(observer.observed.count((a, 3.0)) for a in (one, two)) > 2
    )

    assert {(one, 3.0), (two, 3.0)} == set(observer.observed)
    assert observer.failures == []


async def test_a_refused_connection_is_told_as_such(serve: Callable[..., Awaitable[str]]) -> None:
    """Nobody listening is different from a page that cannot be had."""
    observer = Observer()
    await scrape(observer, "127.0.0.1:1", until=lambda: len(observer.refused) > 1)

    assert {"127.0.0.1:1"} == set(observer.refused)
    assert {("127.0.0.1:1", "refused")} == set(observer.failures)
    assert set() == observer.unread


async def test_a_slow_or_broken_page_is_only_a_failure(serve: Callable[..., Awaitable[str]]) -> None:
    """Timeouts, errors and pages of something else are counted by kind, and say that the connection was not refused."""

    async def slow(_request: web.Request) -> web.Response:
        await asyncio.sleep(1)
        return web.Response(text=PAGE)

    async def broken(_request: web.Request) -> web.Response:
        return web.Response(status=500)

    async def other(_request: web.Request) -> web.Response:
        return web.Response(text="<html>")

    addresses = [await serve(handler) for handler in (slow, broken, other)]
    expected = set(zip(addresses, ("timeout", "http", "page"), strict=True))
    observer = Observer()
    await scrape(observer, *addresses, until=lambda: expected <= set(observer.failures))

    assert expected == set(observer.failures)
    assert ([], [], set(addresses)) == (observer.refused, observer.observed, observer.unread)


async def test_following_another_set_stops_the_old(serve: Callable[..., Awaitable[str]]) -> None:
    """An instance that left the fleet is not asked any more."""
    one, two = await serve(ok), await serve(ok)
    observer = Observer()
    scraper = Scraper(
        observer,
        ScrapeTiming(interval_seconds=0.01, timeout_seconds=0.2, jitter=0.0),
        clock=lambda: 1.0,
        rng=random.Random(1),
        on_failure=observer.note_failure,
    )
    scraper.follow([one])
    async with asyncio.timeout(10):
        while not observer.observed:
            await asyncio.sleep(0.01)
        scraper.follow([two])
        await asyncio.sleep(0.05)
        observer.observed.clear()
        while len(observer.observed) < 5:
            await asyncio.sleep(0.01)
    await scraper.stop()

    assert {two} == {address for address, _ in observer.observed}


@pytest.mark.parametrize("broken", [PAGE.replace(" 2\n", " NaN\n"), PAGE + CACHE % ("9" * 400)])
async def test_an_impossible_figure_is_not_believed(
    serve: Callable[..., Awaitable[str]], broken: str
) -> None:
    """A page with a figure that cannot be tells the observer nothing, and the next one is read again."""
    pages = [broken]

    async def handler(_request: web.Request) -> web.Response:
        return web.Response(text=pages.pop() if pages else PAGE)

    address, observer = await serve(handler), Observer()
    await scrape(observer, address, until=lambda: bool(observer.observed))

    assert [(address, "page")] == observer.failures
    assert {(address, 3.0)} == set(observer.observed)
