from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from extproc.server.admin import admin_app
from extproc.telemetry.trace_filter import TraceFilter


@pytest.fixture
async def client() -> Any:
    """A client of an application that is not ready and whose pages say how they were asked."""
    app = admin_app(
        is_ready=lambda: False,
        metrics_text=lambda: "ttca_x 1\n",
        fleet=lambda: {"instances": []},
        traces=lambda last, asked: {"last": last, "asked": f"{asked.request}/{asked.status}/{asked.verdict}"},
    )
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/healthz", 200, "ok\n"),
        ("/readyz", 503, "not ready\n"),
        ("/metrics", 200, "ttca_x 1\n"),
        ("/fleet", 200, '{"instances":[]}'),
        ("/traces", 200, '{"last":20,"asked":"//"}'),
        ("/traces?last=3", 200, '{"last":3,"asked":"//"}'),
        ("/traces?request=dd&status=5xx&verdict=rejected", 200, '{"last":20,"asked":"dd/5xx/rejected"}'),
        ("/traces?status=x", 400, "status='x': expected a status like 503, or a class like 5xx\n"),
        ("/traces?last=0", 400, "last='0': expected a whole number from 1 to 1000\n"),
        ("/traces?last=x", 400, "last='x': expected a whole number from 1 to 1000\n"),
        ("/traces?last=%C2%B2", 400, "last='²': expected a whole number from 1 to 1000\n"),
    ],
)
async def test_each_page_answers(client: Any, path: str, status: int, text: str) -> None:
    """Pages come from the functions given for them; a bad query is explained."""
    response = await client.get(path)

    assert (status, text) == (response.status, await response.text())


async def test_traces_are_looked_up_beside_everything_else_one_at_a_time() -> None:
    """A query of a full store takes most of a second, in which decisions must not wait; nor do queries pile up."""
    under_way, most = 0, 0
    may_end = threading.Event()

    def traces(_last: int, _asked: TraceFilter) -> dict[str, bool]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        was_let = may_end.wait(10)
        under_way -= 1
        return {"was_let": was_let}

    app = admin_app(is_ready=lambda: True, metrics_text=str, fleet=dict, traces=traces)
    async with TestClient(TestServer(app)) as client:
        queries = [asyncio.create_task(client.get("/traces")) for _ in range(2)]
        async with asyncio.timeout(5):
            while not under_way:
                await asyncio.sleep(0.01)
            assert 200 == (await client.get("/healthz")).status
            may_end.set()
            answers = [await query for query in queries]
        assert [{"was_let": True}] * 2 == [await answer.json() for answer in answers]
    assert 1 == most
