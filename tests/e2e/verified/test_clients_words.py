from __future__ import annotations

import orjson
import pytest

from extproc.protocol import names
from tests.e2e.verified.scripted import (
    System,
)

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


async def test_feedback_is_answered_here(system: System) -> None:
    """A client's verdict reaches the service and no instance."""
    url = system.url + names.FEEDBACK_PATH
    async with system.client.post(url, json={"session": "known", "attempt": 2, "correct": False}) as response:
        assert (202, {"known": True}) == (response.status, await response.json())
    async with system.client.post(url, json={"session": "other", "correct": True}) as response:
        assert (202, {"known": False}) == (response.status, await response.json())
    async with system.client.post(url, json={"session": "known"}) as response:
        assert (400, "correct") == (response.status, (await response.json())["error"]["param"])
    async with system.client.get(url) as response:
        assert 400 == response.status

    told = [word for replica in system.replicas for word in replica.feedback]
    assert {("known", 2, False), ("other", None, True)} == set(told)
    assert [] == system.received


async def test_malformed_wishes_are_refused(system: System) -> None:
    """An expectation or a deadline that cannot be understood is the client's mistake."""
    headers = {"content-type": "application/json"}
    body = orjson.dumps({"model": "auto", "messages": [{"role": "user", "content": "hi"}]})
    for extra in ({names.EXPECT: "nonsense"}, {names.DEADLINE: "soon"}, {names.DEADLINE: "0"}):
        async with system.client.post(
            f"{system.url}/v1/chat/completions", data=body, headers=headers | extra
        ) as response:
            assert 400 == response.status, extra
    assert [] == system.received
