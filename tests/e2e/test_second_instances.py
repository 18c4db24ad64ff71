from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.questions import question, weighing_quality

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def document(document: dict[str, Any]) -> dict[str, Any]:
    """The usual fleet's short pool, weighing quality: model-a is asked first, and has two instances."""
    clusters = [cluster for cluster in document["clusters"] if cluster["pool"] == "short"]
    for cluster in clusters:
        cluster["instances"] = cluster["instances"][:2]
    return weighing_quality(document | {"clusters": clusters, "pools": [{"name": "short"}]})


async def test_a_failed_first_try_is_made_again_by_the_same_model(gateway: Any) -> None:
    """At its other instance; the next model is for that one's wrong answer. Nothing stays charged."""
    first, second = gateway.instances("a-short")
    await gateway.faults(first, error_rate=1.0, error_status=503)
    _, headers, answer = await gateway.ask(question(right="model-b"), headers={"x-ttca-expect": "exact:42"})
    received = await gateway.received()

    assert ("42", "accepted", "model-b", "3") == (
        answer["choices"][0]["message"]["content"],
        headers["x-ttca-verdict"],
        headers["x-ttca-model"],
        headers["x-ttca-attempts"],
    )
    assert [first, second] == [request["address"] for request in received[:2]]
    assert ["model-a", "model-b"] == [request["model"] for request in received[1:]]
    await gateway.settle_empty()
